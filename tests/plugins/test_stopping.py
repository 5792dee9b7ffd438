"""Budget, Target and NoImprovement: a study ends by what its records hold."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook_plugins.budget import Budget
from hyperhook_plugins.no_improvement import NoImprovement
from hyperhook_plugins.target import Target

STATES = {"C": hh.TrialState.COMPLETE, "P": hh.TrialState.PRUNED, "F": hh.TrialState.FAILED}
STATES |= {"K": hh.TrialState.KILLED, "R": hh.TrialState.RUNNING, "Q": hh.TrialState.QUEUED}


def study(*trials: hh.TrialRecord, objective: hh.Objective | None = None) -> hh.StudyRecord:
    return hh.StudyRecord("s", hh.Space({}), objective or hh.Minimize("y"), trials=trials)


def ended(values: list[float | None], states: str = "", order: list[int] | None = None) -> list[hh.TrialRecord]:
    """Trials that ended one after the other, or in another order."""
    states, order = states or "C" * len(values), order or list(range(len(values)))
    return [
        hh.TrialRecord(str(n), n, "s", {}, STATES[states[n]], value, started_time=0.0, finished_time=order[n] + 1.0)
        for n, value in enumerate(values)
    ]


def test_a_budget_of_trials_counts_what_ended_by_itself_and_what_runs() -> None:
    trials = ended([1.0] * 6, "CPFKRQ")
    assert Budget(trials=5).should_end(study(*trials)) is None
    assert Budget(trials=4).should_end(study(*trials)) == "the budget of 4 trials is used up"


def test_a_budget_of_seconds_adds_up_durations_whoever_spent_them() -> None:
    now = time.time()
    trials = [
        hh.TrialRecord("a", 0, "s", {}, STATES["C"], 1.0, started_time=100.0, finished_time=130.0),
        hh.TrialRecord("b", 1, "s", {}, STATES["K"], None, started_time=100.0, finished_time=120.0),
        hh.TrialRecord("c", 2, "s", {}, STATES["Q"], None, started_time=0.0),
    ]
    assert Budget(seconds=50.5).should_end(study(*trials)) is None
    assert Budget(seconds=50).should_end(study(*trials)) == "the budget of 50 seconds is used up: its trials took 50"
    running = hh.TrialRecord("d", 3, "s", {}, STATES["R"], started_time=now - 1000.0)
    assert Budget(seconds=1000).should_end(study(*trials, running)) is not None
    ahead = hh.TrialRecord("e", 4, "s", {}, STATES["R"], started_time=now + 1000.0)  # another machine's clock
    assert Budget(seconds=50.5).should_end(study(*trials, ahead)) is None


def test_a_budget_of_epochs_adds_up_what_was_trained() -> None:
    curve = tuple(hh.CurvePoint(1.0, epoch, epoch, epoch) for epoch in range(3))
    trials = [
        hh.TrialRecord("a", 0, "s", {}, STATES["C"], 1.0, epoch=0, epochs=7),
        hh.TrialRecord("b", 1, "s", {}, STATES["R"], curve=curve),
        hh.TrialRecord("c", 2, "s", {}, STATES["R"]),
    ]
    assert Budget(epochs=11).should_end(study(*trials)) is None
    assert Budget(epochs=10).should_end(study(*trials)) == "the budget of 10 epochs is used up: its trials took 10"


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_target_is_reached_by_a_complete_trial_alone(direction: str) -> None:
    sign = 1.0 if direction == "minimize" else -1.0
    goal = hh.Objective("y", direction)  # type: ignore[arg-type]
    early = ended([sign * 3, sign * 0.1], "CP")
    assert Target(sign * 0.5).should_end(study(*early, objective=goal)) is None
    reached = ended([sign * 3, sign * 0.5])
    reason = f"trial s-1 reached the target: y is {sign * 0.5:g}, expected {sign * 0.5:g}"
    assert Target(sign * 0.5).should_end(study(*reached, objective=goal)) == reason
    assert Target(sign * 0.4).should_end(study(*reached, objective=goal)) is None
    assert Target(0.5).should_end(study()) is None


def test_a_target_must_be_reached_within_the_constraints() -> None:
    bound = hh.Constraint("ms", "<=", 1.0)
    trials = [hh.TrialRecord("a", 0, "s", {}, STATES["C"], 0.0, metrics={"ms": 2.0})]
    record = hh.StudyRecord("s", hh.Space({}), hh.Minimize("y"), trials=tuple(trials), constraints=(bound,))
    assert Target(0.5).should_end(record) is None
    assert NoImprovement(1).should_end(record) == "nothing better in the last 1 trials"


@pytest.mark.parametrize(
    ("values", "states", "trials", "ends"),
    [
        ([3.0, 2.0, 1.0], "CCC", 1, False),
        ([1.0, 2.0, 3.0], "CCC", 2, True),
        ([1.0, 2.0, 3.0], "CCC", 3, False),
        ([1.0, 1.0], "CC", 1, True),
        ([1.0, 0.5, None], "CPF", 2, True),
        ([1.0, None, None, None], "CKRQ", 1, False),
        ([None, None], "FF", 2, True),
        ([1.0, math.nan], "CC", 1, True),
        ([], "", 1, False),
    ],
)
def test_no_improvement_counts_what_ended_since_the_best(
    values: list[float | None], states: str, trials: int, ends: bool
) -> None:
    assert (NoImprovement(trials).should_end(study(*ended(values, states))) is not None) == ends
    mirrored = [None if value is None else -value for value in values]
    up = study(*ended(mirrored, states), objective=hh.Maximize("y"))
    assert (NoImprovement(trials).should_end(up) is not None) == ends


def test_no_improvement_goes_by_the_order_of_the_ends_and_by_a_margin() -> None:
    assert NoImprovement(2).should_end(study(*ended([1.0, 2.0, 3.0], order=[2, 0, 1]))) is None
    small = study(*ended([1.0, 0.9, 0.8, 0.7]))
    assert NoImprovement(3, min_delta=0.5).should_end(small) == "nothing better by more than 0.5 in the last 3 trials"
    assert NoImprovement(3, min_delta=0.15).should_end(small) is None  # 0.8 is better than 1.0 by more


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Budget(), "expected a bound, got none"),
        (lambda: Budget(trials=0), "trials must be an int from 1, got 0"),
        (lambda: Budget(epochs=1.5), "epochs must be an int from 1"),  # type: ignore[arg-type]
        (lambda: Budget(seconds=0), "seconds must be a finite number above 0"),
        (lambda: Budget(seconds=math.inf), "seconds must be a finite number above 0"),
        (lambda: Target(math.nan), "value must be a finite number"),
        (lambda: Target("high"), "value must be a finite number"),  # type: ignore[arg-type]
        (lambda: NoImprovement(0), "trials must be an int from 1"),
        (lambda: NoImprovement(True), "trials must be an int from 1"),
        (lambda: NoImprovement(min_delta=-1.0), "min_delta must be a finite number from 0"),
    ],
)
def test_wrong_options_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("plugin", [Target(1.0), NoImprovement(3)])
@pytest.mark.parametrize("objective", [None, [hh.Minimize("a"), hh.Minimize("b")]])
def test_they_need_one_objective(plugin: object, objective: list[hh.Objective] | None, tmp_path: Path) -> None:
    made = hh.Study("s", {"x": hh.Float(0, 1)}, objective, plugins=[plugin], home=tmp_path)
    with made, pytest.raises(hh.HyperhookError, match="expected one"):
        made.ask()


@pytest.mark.parametrize(
    ("plugin", "trials", "reason"),
    [
        (Budget(trials=4), 4, "the budget of 4 trials is used up"),
        (Budget(epochs=6), 3, "the budget of 6 epochs is used up: its trials took 6"),
        (Target(-2.0), 3, "trial s-2 reached the target: y is -2, expected -2"),
    ],
)
def test_a_study_ends_and_ends_again_when_it_is_opened_again(
    plugin: object, trials: int, reason: str, tmp_path: Path
) -> None:
    def train(trial: hh.Trial) -> None:
        for epoch in range(2):
            trial.log({"y": 5.0 - epoch}, epoch=epoch)
        trial.log({"y": -float(trial.number)}, epoch=1)

    for _ in range(2):
        with hh.Study("s", {"x": hh.Float(0, 1)}, hh.Minimize("y"), plugins=[plugin], home=tmp_path) as made:
            made.run(train, trials=20, progress=False)
            assert (len(made.trials), made.ended) == (trials, reason)
            assert [trial.epochs for trial in made.trials] == [2] * trials
