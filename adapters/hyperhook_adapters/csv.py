"""CSV: a folder for each study that pandas or a spreadsheet opens; Parquet beside it, where pyarrow is installed.

::

    <folder>/<study>/trials.csv             one row for each trial
    <folder>/<study>/<trial name>.csv       one row for each point; only grows
    <folder>/<study>/<trial name>.parquet   the same points, with format="parquet", once the trial has ended
    <folder>/<study>/.trials/*.json         what `trials.csv` is made from: one file for each trial

What is written, and how:

- ``trials.csv``: trial, number, id, state, value, step, epoch, started_time, finished_time (ISO 8601, in UTC), error,
  note, each param as ``param.<name>``, each tag as ``tag.<name>`` and the datasets as ``dataset.<context>``: a JSON
  list of objects with ``name``, ``digest``, ``source`` and ``profile``. It is replaced as a whole, so a reader never
  sees half of it, and is rebuilt from the files of all trials under a lock, so that several forwarders can write into
  one folder.
- ``<trial name>.csv``: time (seconds since 1970, UTC), step, epoch, name, value, in the order of logging.
- A number is the shortest text that ``float`` reads back as the very same number; NaN and the infinities are ``nan``,
  ``inf`` and ``-inf``. pandas before 3.1 reads the last bit with ``read_csv(…, float_precision="round_trip")`` only.
- The files are those of RFC 4180 in UTF-8: lines end in CR LF; a name with a comma, a quote or a line's end is quoted.
- In file names, what is no ASCII letter, digit, space or one of ``_.-~`` stands as ``%`` and its UTF-8 bytes in
  hexadecimal, and so does a leading dot; a name that is too long is cut and ends in its hash. Where another home's
  trial has the name already, the trial's id is added.

Artifacts stay where they are.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import importlib.util
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TextIO, get_args
from urllib.parse import quote

from hyperhook import Dataset, HyperhookError, Scalar, Tracker, TrialRecord, hookimpl

__all__ = ["Csv"]

Format = Literal["csv", "parquet"]

_POINT_COLUMNS = ("time", "step", "epoch", "name", "value")
_TRIAL_COLUMNS = tuple("trial number id state value step epoch started_time finished_time error note".split())
_GROUPS = {"params": "param", "tags": "tag", "datasets": "dataset"}
"""What a row has under names of the user's, and what its columns begin with."""
_ROWS = ".trials"
_ROW_GROUP = 1 << 16
"""Points in a row group of a Parquet file: what is held in memory at once."""


@dataclass
class _Run:
    """A trial that is being written."""

    points: Path
    row: dict[str, Any]
    is_new: bool = False
    """Whether the row differs from its file."""
    file: TextIO | None = None

    def open(self) -> TextIO:
        """Return the file of points, open behind the last one."""
        if self.file is None:
            self.file = open(self.points, "a", encoding="utf-8", newline="")
        return self.file

    def close(self) -> None:
        """Close the file of points."""
        file, self.file = self.file, None
        if file is not None:
            file.close()


class Csv(Tracker):
    """Writes CSV files, and Parquet files beside them.

    A restarted forwarder cuts a trial's file back to what was confirmed and appends, so that no point is there twice.

    Args:
        folder: Where to; made where it is missing.
        format: ``"csv"``, or ``"parquet"`` for a Parquet file of each trial's points, too, written when it ends.

    Raises:
        HyperhookError: The format is neither of these, or pyarrow is not installed for ``"parquet"``.

    Example:
        >>> study = Study("digits", space, trackers=[Csv("results", format="parquet")])  # doctest: +SKIP
        >>> pandas.read_csv("results/digits/trials.csv")  # doctest: +SKIP
    """

    def __init__(self, folder: str | os.PathLike[str] = "csv", *, format: Format = "csv") -> None:  # noqa: A002
        if format not in get_args(Format):
            raise HyperhookError(f"Csv: format: expected 'csv' or 'parquet', got {format!r}")
        if format == "parquet" and importlib.util.find_spec("pyarrow") is None:
            raise HyperhookError(
                "Csv: format='parquet' needs 'pyarrow', not installed here: pip install 'hyperhook[parquet]'"
            )
        self._folder = Path(folder).absolute()
        self._format: Format = format
        self._runs: dict[str, _Run] = {}
        self._known: dict[str, tuple[tuple[int, int], dict[str, Any] | None]] = {}

    def options(self) -> Mapping[str, Scalar]:
        """Return the folder, as an absolute path, and the format."""
        return {"folder": str(self._folder), "format": self._format}

    @hookimpl
    def trial_started(self, trial: TrialRecord) -> None:
        """Begin the trial's file afresh."""
        self._drop(trial)
        folder = self._study_folder(trial)
        with _locked(folder):
            row_file = _row_file(folder, trial)
            run = self._runs[trial.id] = _Run(folder / f"{row_file.stem}.csv", {})
            run.row.update(_facts(trial), params=dict(trial.params))
            _replace(row_file, json.dumps(run.row))  # the name is taken
        run.is_new = True
        with open(run.points, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerow(_POINT_COLUMNS)

    @hookimpl
    def trial_resumed(self, trial: TrialRecord) -> None:
        """Keep that the trial runs again."""
        run = self._run(trial)
        run.row.update(_facts(trial))
        run.is_new = True

    @hookimpl
    def params_logged(self, trial: TrialRecord, params: Mapping[str, Scalar]) -> None:
        """Add to the trial's params."""
        run = self._run(trial)
        run.row["params"].update(params)
        run.is_new = True

    @hookimpl
    def metrics_logged(
        self, trial: TrialRecord, metrics: Mapping[str, float], step: int, epoch: int | None, time: float
    ) -> None:
        """Append a row for each metric."""
        rows = csv.writer(self._run(trial).open())
        rows.writerows((time, step, epoch, name, value) for name, value in metrics.items())

    @hookimpl
    def tags_logged(self, trial: TrialRecord, tags: Mapping[str, str]) -> None:
        """Add to the trial's tags."""
        run = self._run(trial)
        run.row.setdefault("tags", {}).update(tags)
        run.is_new = True

    @hookimpl
    def note_logged(self, trial: TrialRecord, note: str) -> None:
        """Keep the trial's note."""
        run = self._run(trial)
        run.row["note"] = note
        run.is_new = True

    @hookimpl
    def dataset_logged(self, trial: TrialRecord, dataset: Dataset) -> None:
        """Add to the trial's datasets, in place of one of that name and context."""
        run = self._run(trial)
        known = run.row.setdefault("datasets", {}).setdefault(dataset.context, {})
        known[dataset.name] = {"digest": dataset.digest, "source": dataset.source, "profile": dict(dataset.profile)}
        run.is_new = True

    @hookimpl
    def trial_finished(self, trial: TrialRecord) -> None:
        """Keep how the trial ended."""
        run = self._run(trial)
        run.row.update(_facts(trial))
        run.is_new = True

    def flush(self, trial: TrialRecord) -> Mapping[str, Scalar]:
        """Write everything; return the size of the trial's file."""
        run = self._run(trial)
        run.close()
        size = run.points.stat().st_size
        if trial.state.is_finished and self._format == "parquet":
            _write_parquet(run.points)
        if run.is_new:
            folder = run.points.parent
            with _locked(folder):
                _replace(_row_file(folder, trial), json.dumps(run.row))
                self._rebuild(folder)
            run.is_new = False
        if trial.state.is_finished:
            self._drop(trial)
        return {"size": size}

    def resume(self, trial: TrialRecord, state: Mapping[str, Scalar]) -> bool:
        """Cut the trial's file back to the size that was confirmed; False where it has gone or is shorter."""
        self._drop(trial)
        folder, size = self._study_folder(trial), state.get("size")
        with _locked(folder):
            row_file = _row_file(folder, trial)
            row = _load(row_file)
        points = folder / f"{row_file.stem}.csv"
        if row is None or not isinstance(size, int) or not points.exists() or points.stat().st_size < size:
            return False
        os.truncate(points, size)
        self._runs[trial.id] = _Run(points, row)
        return True

    def close(self) -> None:
        """Close every file."""
        for run in self._runs.values():
            with suppress(OSError):
                run.close()
        self._runs.clear()

    def _run(self, trial: TrialRecord) -> _Run:
        try:
            return self._runs[trial.id]
        except KeyError:
            raise HyperhookError(
                f"Csv: trial {trial.name!r} is not open here; expected trial_started or resume first"
            ) from None

    def _drop(self, trial: TrialRecord) -> None:
        run = self._runs.pop(trial.id, None)
        if run is not None:
            with suppress(OSError):  # what cannot be written now was not confirmed, and is sent again
                run.close()

    def _study_folder(self, trial: TrialRecord) -> Path:
        return self._folder / _file_name(trial.study)

    def _rebuild(self, folder: Path) -> None:
        """Write `trials.csv` anew; files of trials that have not changed since are not read again."""
        found = [self._row(entry) for entry in os.scandir(folder / _ROWS) if entry.name.endswith(".json")]
        rows = sorted((row for row in found if row is not None), key=lambda row: (row["number"], row["started_time"]))
        groups = [(of, list(dict.fromkeys(name for row in rows for name in row.get(of, ())))) for of in _GROUPS]
        beside = folder / _ROWS / "trials.new"
        with open(beside, "w", encoding="utf-8", newline="") as file:
            out = csv.writer(file)
            out.writerow((*_TRIAL_COLUMNS, *(f"{_GROUPS[of]}.{name}" for of, names in groups for name in names)))
            for row in rows:
                facts = (row.get(name) for name in _TRIAL_COLUMNS)
                more = (row.get(of, {}).get(name) for of, names in groups for name in names)
                out.writerow((*facts, *(_cell(value) for value in more)))
        os.replace(beside, folder / "trials.csv")

    def _row(self, entry: os.DirEntry[str]) -> dict[str, Any] | None:
        stat = entry.stat()
        version = (stat.st_ino, stat.st_mtime_ns)
        if self._known.get(entry.path, (None, None))[0] != version:
            self._known[entry.path] = version, _load(Path(entry.path))
        return self._known[entry.path][1]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other forwarders away from the rows of a study; the lock ends with the process."""
    rows = folder / _ROWS
    rows.mkdir(parents=True, exist_ok=True)
    with open(rows / "lock", "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _row_file(folder: Path, trial: TrialRecord) -> Path:
    """Return where a trial's row lies: below its name, unless another home's trial has that."""
    file = folder / _ROWS / f"{_file_name(trial.name)}.json"
    row = _load(file)
    return file if row is None or row["id"] == trial.id else file.with_name(f"{file.stem}-{trial.id}.json")


def _load(file: Path) -> dict[str, Any] | None:
    """Return a trial's row; None where there is none, or none that can be read after a power cut."""
    try:
        row = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return row if isinstance(row, dict) else None


def _replace(file: Path, content: str) -> None:
    beside = file.with_suffix(".new")
    beside.write_text(content, encoding="utf-8")
    os.replace(beside, file)


def _facts(trial: TrialRecord) -> dict[str, Any]:
    """Return what a row says of a trial, its params excepted."""
    return {
        "trial": trial.name,
        "number": trial.number,
        "id": trial.id,
        "state": str(trial.state),
        "value": trial.value,
        "step": trial.step,
        "epoch": trial.epoch,
        "started_time": _iso(trial.started_time),
        "finished_time": None if trial.finished_time is None else _iso(trial.finished_time),
        "error": trial.error,
    }


def _cell(value: Any) -> Any:
    """Return what a column of the user's holds; datasets, by name, are a list in JSON."""
    if not isinstance(value, dict):
        return value
    return json.dumps([{"name": name, **about} for name, about in value.items()], ensure_ascii=False)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


def _write_parquet(points: Path) -> None:
    """Write a trial's points beside its CSV file, a row group at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"time": pa.float64(), "step": pa.int64(), "epoch": pa.int64(), "name": pa.string(), "value": pa.float64()}
    schema = pa.schema([(name, kinds[name]) for name in _POINT_COLUMNS])
    beside = points.with_suffix(".parquet.new")
    with open(points, encoding="utf-8", newline="") as file, pq.ParquetWriter(beside, schema) as out:
        rows = csv.reader(file)
        next(rows)
        while block := list(islice(rows, _ROW_GROUP)):
            time, step, epoch, name, value = zip(*block, strict=True)
            columns = [
                list(map(float, time)),
                list(map(int, step)),
                [int(text) if text else None for text in epoch],
                list(name),
                list(map(float, value)),
            ]
            arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            out.write_batch(pa.record_batch(arrays, schema=schema))
    os.replace(beside, points.with_suffix(".parquet"))


def _file_name(name: str) -> str:
    safe = quote(name, safe=" ")
    if safe.startswith("."):
        safe = f"%2E{safe[1:]}"
    if len(safe) > 150:
        safe = f"{safe[:100]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return safe
