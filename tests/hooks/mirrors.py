"""Trackers that write what they hear into a folder: importable by a forwarder, and read back without any library."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hyperhook import Scalar, StudyRecord, Tracker, TrialRecord, hookimpl


class Mirror(Tracker):
    """One line an event, in a file for each trial; `resume` cuts the file where the last confirmed batch ended."""

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder or os.environ["MIRROR_FOLDER"])

    def _write(self, file: str, mode: str = "a", **facts: Any) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / f"{file}.jsonl", mode) as out:
            out.write(json.dumps(facts) + "\n")

    @hookimpl
    def study_started(self, study: StudyRecord) -> None:
        self._write("study", hook="study_started", study=study.name)

    @hookimpl
    def study_finished(self, study: StudyRecord) -> None:
        self._write("study", hook="study_finished", study=study.name)

    @hookimpl
    def trial_started(self, trial: TrialRecord) -> None:
        self._write(trial.id, "w", hook="trial_started", number=trial.number, params=dict(trial.params))

    @hookimpl
    def params_logged(self, trial: TrialRecord, params: Mapping[str, Scalar]) -> None:
        self._write(trial.id, hook="params_logged", params=dict(params))

    @hookimpl
    def metrics_logged(self, trial: TrialRecord, metrics: Mapping[str, float], step: int) -> None:
        self._write(trial.id, hook="metrics_logged", metrics=dict(metrics), step=step)

    @hookimpl
    def trial_finished(self, trial: TrialRecord) -> None:
        self._write(trial.id, hook="trial_finished", state=trial.state, value=trial.value)

    def flush(self, trial: TrialRecord) -> Mapping[str, Scalar]:
        return {"size": (self.folder / f"{trial.id}.jsonl").stat().st_size}

    def resume(self, trial: TrialRecord, state: Mapping[str, Scalar]) -> bool:
        size = state["size"]
        assert isinstance(size, int)
        os.truncate(self.folder / f"{trial.id}.jsonl", size)
        return True


class Forgetful(Mirror):
    """Cannot go on in the middle: wants everything again."""

    def resume(self, trial: TrialRecord, state: Mapping[str, Scalar]) -> bool:
        return False


class Down(Mirror):
    """Raises while there is a file ``down`` in its folder."""

    @hookimpl
    def metrics_logged(self, trial: TrialRecord, metrics: Mapping[str, float], step: int) -> None:
        if (self.folder / "down").exists():
            raise ConnectionError("the server is down")
        super().metrics_logged(trial, metrics, step)


class Slow(Mirror):
    """Takes its time for each batch."""

    def flush(self, trial: TrialRecord) -> Mapping[str, Scalar]:
        time.sleep(0.05)
        return super().flush(trial)


class Picky(Mirror):
    """Refuses one value, in the hook that hears it."""

    @hookimpl
    def metrics_logged(self, trial: TrialRecord, metrics: Mapping[str, float], step: int) -> None:
        super().metrics_logged(trial, metrics, step)
        if 0.2 in metrics.values():
            raise ValueError("0.2 is no number that I know")


class PickyLater(Mirror):
    """Refuses one value, when its batch is flushed."""

    refused = False

    @hookimpl
    def metrics_logged(self, trial: TrialRecord, metrics: Mapping[str, float], step: int) -> None:
        super().metrics_logged(trial, metrics, step)
        self.refused = self.refused or 0.2 in metrics.values()

    def flush(self, trial: TrialRecord) -> Mapping[str, Scalar]:
        if self.refused:
            self.refused = False
            raise ValueError("0.2 is no number that I know")
        return super().flush(trial)


class PickyForgetful(Picky, Forgetful):
    """Refuses one value, and cannot go on in the middle."""


class Hanging(Mirror):
    """Never comes back from a metric while there is a file ``hang`` in its folder."""

    @hookimpl
    def metrics_logged(self, trial: TrialRecord, metrics: Mapping[str, float], step: int) -> None:
        while (self.folder / "hang").exists():
            time.sleep(0.01)
        super().metrics_logged(trial, metrics, step)


class Unpicklable(Mirror):
    """Holds what no other process can have."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.connection = lambda: None


def rows(folder: Path) -> list[list[dict[str, Any]]]:
    """What a mirror holds of each trial, by number."""
    files = [file for file in folder.glob("*.jsonl") if file.stem != "study"]
    whole = ([line for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")] for file in files)
    trials = [list(map(json.loads, lines)) for lines in whole if lines]  # one may be just being written
    return sorted(trials, key=lambda trial: int(trial[0]["number"]))


def points(folder: Path) -> Counter[tuple[int, str, int, float]]:
    """How often each (trial number, name, step, value) is there."""
    return Counter(
        (trial[0]["number"], name, row["step"], value)
        for trial in rows(folder)
        for row in trial
        if row["hook"] == "metrics_logged"
        for name, value in row["metrics"].items()
    )


def states(folder: Path) -> list[str]:
    """How each trial ended, by number; those that have not are left out."""
    return [row["state"] for trial in rows(folder) for row in trial if row["hook"] == "trial_finished"]
