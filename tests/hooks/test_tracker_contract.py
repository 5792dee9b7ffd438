"""The contract for trackers: a right one passes, and each way to be wrong is found."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook.testing import RecordedPoint, RecordedRun, TrackerContract


class Lines(hh.Tracker):
    """Writes a file of JSON lines for each trial, and cuts it back to what was confirmed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, trial: hh.TrialRecord) -> Path:
        return self.folder / f"{trial.id}.jsonl"

    def write(self, trial: hh.TrialRecord, *rows: object) -> None:
        with self.file(trial).open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)

    @hh.hookimpl
    def trial_started(self, trial: hh.TrialRecord) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file(trial).write_text("")
        self.write(trial, {"trial": trial.name, "params": dict(trial.params)})

    @hh.hookimpl
    def params_logged(self, trial: hh.TrialRecord, params: Mapping[str, hh.Scalar]) -> None:
        self.write(trial, {"params": dict(params)})

    @hh.hookimpl
    def metrics_logged(self, trial: hh.TrialRecord, metrics: Mapping[str, float], step: int, epoch: int | None) -> None:
        self.write(trial, *({"point": [name, step, epoch, value]} for name, value in metrics.items()))

    @hh.hookimpl
    def trial_finished(self, trial: hh.TrialRecord) -> None:
        self.write(trial, {"state": trial.state})

    def flush(self, trial: hh.TrialRecord) -> Mapping[str, hh.Scalar]:
        return {"size": self.file(trial).stat().st_size}

    def resume(self, trial: hh.TrialRecord, state: Mapping[str, hh.Scalar]) -> bool:
        os.truncate(self.file(trial), int(state["size"] or 0))
        return True


class Contract(TrackerContract):
    tracker: type[Lines] = Lines

    def make(self, folder: Path) -> hh.Tracker:
        return self.tracker(folder / "out")

    def read(self, folder: Path) -> Iterator[RecordedRun]:
        for file in (folder / "out").glob("*.jsonl"):
            rows = [json.loads(line) for line in file.read_text().splitlines()]
            yield RecordedRun(
                name=rows[0]["trial"],
                params={name: value for row in rows for name, value in row.get("params", {}).items()},
                points=[RecordedPoint(*row["point"]) for row in rows if "point" in row],
                state=next((row["state"] for row in reversed(rows) if "state" in row), ""),
            )


class TestARightOne(Contract):
    pass


class Doubles(Lines):
    def resume(self, trial: hh.TrialRecord, state: Mapping[str, hh.Scalar]) -> bool:
        return True  # forgets to cut


class Drops(Lines):
    """Takes a repeat for what it has: a set of points rather than what was confirmed."""

    @hh.hookimpl
    def metrics_logged(self, trial: hh.TrialRecord, metrics: Mapping[str, float], step: int, epoch: int | None) -> None:
        rows = [{"point": [name, step, epoch, value]} for name, value in metrics.items()]
        known = self.file(trial).read_text().splitlines()
        self.write(trial, *(row for row in rows if json.dumps(row) not in known))


class NeverBeginsAfresh(Lines):
    @hh.hookimpl
    def trial_started(self, trial: hh.TrialRecord) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write(trial, {"trial": trial.name, "params": dict(trial.params)})


class ForgetsTheEnd(Lines):
    @hh.hookimpl
    def trial_finished(self, trial: hh.TrialRecord) -> None:
        self.write(trial, {"state": "COMPLETE"})


class MixesUp(Lines):
    current: Path | None = None

    def file(self, trial: hh.TrialRecord) -> Path:
        self.current = self.current or self.folder / f"{trial.id}.jsonl"
        return self.current


class Rounds(Lines):
    @hh.hookimpl
    def metrics_logged(self, trial: hh.TrialRecord, metrics: Mapping[str, float], step: int, epoch: int | None) -> None:
        self.write(trial, *({"point": [name, step, epoch, round(value, 3)]} for name, value in metrics.items()))


class DropsLateParams(Lines):
    @hh.hookimpl
    def params_logged(self, trial: hh.TrialRecord) -> None: ...


class StaysAtHome(Lines):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.lock = __import__("threading").Lock()


class ClosesOnce(Lines):
    def close(self) -> None:
        del self.folder


class Refuses(Lines):
    @hh.hookimpl
    def metrics_logged(self, trial: hh.TrialRecord, metrics: Mapping[str, float], step: int, epoch: int | None) -> None:
        if any("@" in name for name in metrics):
            raise ValueError("bad name")
        super().metrics_logged(trial, metrics, step, epoch)


@pytest.mark.parametrize(
    ("broken", "method", "message"),
    [
        (Doubles, "test_a_crash_between_send_and_confirm_at_each_batch", "doubled, or never sent: "),
        (Doubles, "test_a_failure_that_the_process_survives", "doubled"),
        (Drops, "test_the_same_value_twice_at_one_step_is_two_points", "missing: 2 points, such as .'a', 7, 1"),
        (NeverBeginsAfresh, "test_everything_again_after_the_cursor_was_lost", "doubled"),
        (ForgetsTheEnd, "test_each_way_to_end", "contract-1: the state is 'COMPLETE', expected 'PRUNED'"),
        (MixesUp, "test_trials_that_interleave_and_come_out_of_order", "expected"),
        (Rounds, "test_a_trial_comes_back_equal_in_every_point", "missing"),
        (DropsLateParams, "test_params_that_are_logged_later", "expected .*'model/depth'"),
        (StaysAtHome, "test_it_travels_to_another_process", "cannot pickle"),
        (ClosesOnce, "test_it_may_be_closed_twice_and_unused", "folder"),
        (Refuses, "test_names_of_every_kind", "bad name"),
    ],
)
def test_a_wrong_one_is_found(tmp_path: Path, broken: type[Lines], method: str, message: str) -> None:
    contract = type("Broken", (Contract,), {"tracker": broken})()
    with pytest.raises((AssertionError, AttributeError, TypeError, ValueError), match=message):
        getattr(contract, method)(tmp_path)


def test_every_method_says_what_must_hold() -> None:
    methods = [value for name, value in vars(TrackerContract).items() if name.startswith("test_")]
    assert len(methods) >= 20
    assert all(inspect.getdoc(method) for method in methods)
