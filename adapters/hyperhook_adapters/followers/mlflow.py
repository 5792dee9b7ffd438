"""Follows a script that only logs to MLflow, from the files of a store of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

from hyperhook import Params, TrialRecord
from hyperhook.follower import Follower, Reading
from hyperhook.points import Points
from hyperhook_adapters._mlflow_names import cut, safe_name

__all__ = ["MLflowFollower"]

_FOLDER = "mlruns"
_AT_ONCE = 1 << 20
_TAG_LENGTH = 5000


class _Row(NamedTuple):
    time: int
    name: str
    value: float
    step: int


class MLflowFollower(Follower):
    """Reads the metrics of all runs that a script starts, while they grow.

    The script logs into MLflow's file store, below the trial's folder: there a run starts at once and a metric costs it
    half a millisecond, where a new SQLite database costs seconds of migrations. The trial, the study and the params are
    tags of each run, ``hyperhook.trial``, ``hyperhook.study`` and ``hyperhook.param.<name>``. Metrics are called as
    MLflow has them; those of a nested run have its name in front. A script that sets another tracking URI by itself
    cannot be followed.
    """

    requires: ClassVar[tuple[str, ...]] = ("mlflow",)

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._ends: dict[str, int] = {}
        """Of each metric's file, how far it is read."""
        self._prefixes: dict[str, str] = {}
        """Of each run's folder, what stands before the names of its metrics."""
        self._points: dict[str, Points] = {}

    def environment(self, folder: Path, params: Params, study: str, trial: TrialRecord) -> dict[str, str]:
        """Return variables that make the script log below the trial's folder, and its runs tell the trial."""
        self._folder = folder / _FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)
        self._ends = {path: os.path.getsize(path) for _, _, path in self._metrics()}
        tags = {"hyperhook.trial": trial.id, "hyperhook.study": study}
        tags |= {safe_name(f"hyperhook.param.{name}"): cut(str(value), _TAG_LENGTH) for name, value in params.items()}
        return {
            "MLFLOW_TRACKING_URI": self._folder.as_uri(),
            "MLFLOW_ALLOW_FILE_STORE": "true",
            "MLFLOW_EXPERIMENT_NAME": study,
            "MLFLOW_RUN_CONTEXT": json.dumps(tags),
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    def read(self) -> Iterator[Reading]:
        """Yield the metrics that are new, of each run in the order of their times."""
        moved = True
        while moved:
            rows: dict[str, list[_Row]] = {}
            for run, name, path in self._metrics():
                rows.setdefault(run, []).extend(self._new(path, self._prefix(run) + name))
            for run, found in rows.items():
                points = self._points.setdefault(run, Points())
                for row in sorted(found, key=lambda row: row.time):
                    yield from points.add(row.name, row.value, row.step, row.time / 1000)
            moved = any(rows.values())
        for points in self._points.values():
            yield from points.flush(self.settled_time)

    def close(self) -> None:
        """Forget everything; no file is open."""
        self._folder = None
        self._ends.clear()

    def _metrics(self) -> Iterator[tuple[str, str, str]]:
        """Yield of each metric its run's folder, its name and its file."""
        for experiment in _folders(self._folder):
            for run in _folders(experiment):
                top = os.path.join(run, "metrics")
                for folder, _, files in os.walk(top):
                    for file in files:
                        path = os.path.join(folder, file)
                        yield run, os.path.relpath(path, top).replace(os.sep, "/"), path

    def _new(self, path: str, name: str) -> Iterator[_Row]:
        """Yield the whole lines behind what was read of a file, a megabyte at the most."""
        end = self._ends.get(path, 0)
        try:
            with open(path, "rb") as file:
                if os.fstat(file.fileno()).st_size <= end:
                    return
                file.seek(end)
                lines, newline, _ = file.read(_AT_ONCE).rpartition(b"\n")
        except FileNotFoundError:  # the run was deleted
            return
        self._ends[path] = end + len(lines) + len(newline)
        for line in lines.splitlines():
            try:
                time, value, step = line.split()[:3]
                yield _Row(int(time), name, float(value), int(step))
            except ValueError:
                continue

    def _prefix(self, run: str) -> str:
        if run not in self._prefixes:
            is_nested = _tag(run, "mlflow.parentRunId") is not None
            self._prefixes[run] = f"{_tag(run, 'mlflow.runName') or Path(run).name}/" if is_nested else ""
        return self._prefixes[run]


def _folders(folder: str | Path | None) -> list[str]:
    try:
        entries = [] if folder is None else list(os.scandir(folder))
    except OSError:
        return []
    return sorted(entry.path for entry in entries if not entry.name.startswith(".") and entry.is_dir())


def _tag(run: str, name: str) -> str | None:
    try:
        return Path(run, "tags", name).read_text()
    except OSError:
        return None
