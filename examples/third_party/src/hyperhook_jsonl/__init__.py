"""A hyperhook tracker that writes one line of JSON per logged point."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from hyperhook import Scalar, Tracker, TrialRecord, hookimpl


class JsonLines(Tracker):
    """Writes ``<folder>/<trial name>.jsonl``; `resume` cuts the file behind what was confirmed, so nothing is twice."""

    def __init__(self, folder: str = "jsonl") -> None:
        self.folder = Path(folder)

    @hookimpl
    def trial_started(self, trial: TrialRecord) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file(trial).write_text(json.dumps({"trial": trial.name, "params": dict(trial.params)}) + "\n")

    @hookimpl
    def params_logged(self, trial: TrialRecord, params: Mapping[str, Scalar]) -> None:
        with self._file(trial).open("a") as file:
            file.write(json.dumps({"params": dict(params)}) + "\n")

    @hookimpl
    def metrics_logged(self, trial: TrialRecord, metrics: Mapping[str, float], step: int, epoch: int | None) -> None:
        with self._file(trial).open("a") as file:
            for name, value in metrics.items():
                file.write(json.dumps({"name": name, "value": value, "step": step, "epoch": epoch}) + "\n")

    @hookimpl
    def trial_finished(self, trial: TrialRecord) -> None:
        with self._file(trial).open("a") as file:
            file.write(json.dumps({"state": trial.state, "value": trial.value, "step": trial.step}) + "\n")

    def flush(self, trial: TrialRecord) -> Mapping[str, Scalar]:
        return {"size": self._file(trial).stat().st_size}

    def resume(self, trial: TrialRecord, state: Mapping[str, Scalar]) -> bool:
        if not self._file(trial).exists():
            return False
        os.truncate(self._file(trial), int(state["size"] or 0))
        return True

    def _file(self, trial: TrialRecord) -> Path:
        return self.folder / f"{trial.name.replace('/', '_')}.jsonl"
