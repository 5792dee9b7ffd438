"""The contract for pruners: a right one passes, and each way to be wrong is found."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import Phase, find, settings

import hyperhook as hh
from hyperhook.errors import HookError
from hyperhook.testing import PrunerContract
from hyperhook.testing.curves import Course, courses, trials_with


class BehindMost:
    """Stops a trial that is behind most others, whatever their epochs."""

    def losses(self, study: hh.StudyRecord, trial: hh.TrialRecord) -> list[float]:
        return [study.loss_at(other.curve[-1]) for other in study.trials if other.curve and other.id != trial.id]

    def own(self, study: hh.StudyRecord, trial: hh.TrialRecord) -> float:
        return study.loss_at(trial.curve[-1])

    @hh.hookimpl
    def should_stop(self, study: hh.StudyRecord, trial: hh.TrialRecord) -> bool | None:
        if not trial.curve:
            return None
        losses = self.losses(study, trial)
        return True if 2 * sum(loss < self.own(study, trial) for loss in losses) > len(losses) else None


class Contract(PrunerContract):
    pruner: ClassVar[Callable[[], object]] = BehindMost

    def make(self) -> object:
        return type(self).pruner()


class TestARightOne(Contract):
    examples = 40


class ByNumber(BehindMost):
    @hh.hookimpl
    def should_stop(self, study: hh.StudyRecord, trial: hh.TrialRecord) -> bool | None:
        return super().should_stop(study, trial) if trial.number % 2 else None


class TestOneThatGoesByNumber(Contract):
    pruner = ByNumber
    by_number = True
    examples = 20


class TakesTheValue(BehindMost):
    def losses(self, study: hh.StudyRecord, trial: hh.TrialRecord) -> list[float]:
        return [other.curve[-1].value for other in study.trials if other.curve and other.id != trial.id]

    def own(self, study: hh.StudyRecord, trial: hh.TrialRecord) -> float:
        return trial.curve[-1].value


class RaisesOnNan(BehindMost):
    def own(self, study: hh.StudyRecord, trial: hh.TrialRecord) -> float:
        return float(round(trial.curve[-1].value))


class RaisesOnEmptyCurves(BehindMost):
    def losses(self, study: hh.StudyRecord, trial: hh.TrialRecord) -> list[float]:
        return [study.loss_at(other.curve[-1]) for other in study.trials]


class StopsWithoutAPoint(BehindMost):
    @hh.hookimpl
    def should_stop(self, study: hh.StudyRecord, trial: hh.TrialRecord) -> bool | None:
        return super().should_stop(study, trial) if trial.curve else len(study.trials) > 3


class Impatient(BehindMost):
    @hh.hookimpl
    def should_stop(self, study: hh.StudyRecord, trial: hh.TrialRecord) -> bool | None:
        return len(trial.curve) > 4


class Remembers(BehindMost):
    def __init__(self) -> None:
        self.asked = 0

    @hh.hookimpl
    def should_stop(self, study: hh.StudyRecord, trial: hh.TrialRecord) -> bool | None:
        self.asked += bool(trial.curve)
        return self.asked > 3


class HoldsAFile(BehindMost):
    def __init__(self) -> None:
        self.file = open(__file__)

    def __del__(self) -> None:
        self.file.close()


class AnswersInWords(BehindMost):
    @hh.hookimpl
    def should_stop(self, study: hh.StudyRecord, trial: hh.TrialRecord) -> bool | None:
        return "stop"  # type: ignore[return-value]


class NoHook:
    def should_stop(self) -> bool:
        return True


ANY = "test_any_curves_get_an_answer"
SAME = "test_the_same_study_gets_the_same_answer"


@pytest.mark.parametrize(
    ("broken", "method", "message"),
    [
        (TakesTheValue, "test_both_directions_are_one", "maximising the negative .*; take study.loss_at"),
        (RaisesOnNan, ANY, "cannot convert float"),
        (RaisesOnEmptyCurves, ANY, "tuple index out of range"),
        (StopsWithoutAPoint, "test_a_trial_without_a_point_goes_on", "answer None"),
        (Impatient, "test_the_only_trial_goes_on", "the only trial was stopped: .*; set judges_alone = True"),
        (ByNumber, "test_which_trial_is_which_does_not_matter", "in another order .*; set by_number = True"),
        (Remembers, SAME, "of (the same one|a fresh one) .*; keep nothing between calls"),
        (Remembers, "test_another_process_with_the_same_store_agrees", "one process answers True, another False"),
        (HoldsAFile, SAME, "cannot pickle"),
        (AnswersInWords, ANY, "should_stop answered 'stop', expected a bool or None"),
        (NoHook, ANY, "has no hook method"),
    ],
)
def test_a_wrong_one_is_found(tmp_path: Path, broken: Callable[[], object], method: str, message: str) -> None:
    check = getattr(type("Broken", (Contract,), {"pruner": broken})(), method)
    with pytest.raises((AssertionError, ValueError, OverflowError, IndexError, TypeError, HookError), match=message):
        check(**({"tmp_path": tmp_path} if inspect.signature(check).parameters else {}))


def test_every_method_says_what_must_hold() -> None:
    methods = [value for name, value in vars(PrunerContract).items() if name.startswith("test_")]
    assert len(methods) >= 7
    assert all(inspect.getdoc(method) for method in methods)


KINDS: dict[str, Callable[[Course], bool]] = {
    "none": lambda way: not way.points,
    "leaps": lambda way: any(leap > 3 for leap, _ in way.points),
    "NaN": lambda way: any(math.isnan(value) for _, value in way.points),
    "infinite": lambda way: any(math.isinf(value) for _, value in way.points),
    "equal": lambda way: len({value for _, value in way.points}) < len(way.points) > 3,
    "pruned": lambda way: way.state is hh.TrialState.PRUNED,
}


@pytest.mark.parametrize("kind", KINDS)
def test_curves_of_every_kind_are_drawn(kind: str) -> None:
    assert find(courses(), KINDS[kind], settings=settings(max_examples=1000, phases=[Phase.generate]))


def test_points_come_in_an_order_of_all_trials() -> None:
    ways = [Course(hh.TrialState.COMPLETE, ((1, 0.5), (2, 0.25))), Course(hh.TrialState.FAILED, ((3, 1.0),))]
    trials = trials_with(ways, 1)
    assert sorted(point.order for trial in trials for point in trial.curve) == [1, 2, 3]
    assert [[point.epoch for point in trial.curve] for trial in trials] == [[0, 2], [2]]
    assert [trial.value for trial in trials] == [0.25, None]
