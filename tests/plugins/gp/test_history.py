"""What trials of each kind tell the optimizer."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from hyperhook import (
    Constraint,
    CurvePoint,
    Int,
    Maximize,
    Minimize,
    Objective,
    Space,
    StudyRecord,
    TrialRecord,
    TrialState,
)
from hyperhook.untried import key_of
from hyperhook_plugins.gp.history import history_of

SPACE = Space({"n": Int(0, 99)})


def study_of(*ends: tuple[TrialState, float | None], objective: Objective | None = None) -> StudyRecord:
    trials = tuple(TrialRecord(f"t{i}", i, "s", {"n": i}, state, value) for i, (state, value) in enumerate(ends))
    return StudyRecord("s", SPACE, objective or Minimize("loss"), 0, trials)


def test_failed_and_diverged_trials_are_as_bad_as_the_worst() -> None:
    history = history_of(
        study_of(
            (TrialState.COMPLETE, 1.0),
            (TrialState.FAILED, None),
            (TrialState.COMPLETE, 4.0),
            (TrialState.COMPLETE, math.nan),
            (TrialState.COMPLETE, math.inf),
            (TrialState.COMPLETE, -math.inf),
            (TrialState.PRUNED, 3.0),
            (TrialState.PRUNED, None),
        )
    )
    assert history.losses == (1.0, 4.0, 4.0, 4.0, 4.0, 4.0, 3.0, 4.0)
    assert history.failed == history.infeasible == {1, 3, 4, 5}  # a trial that was stopped early did not fail
    assert history.feasible == (0, 2, 6, 7)
    assert [params["n"] for params in history.tried] == list(range(8))


def test_killed_trials_tell_nothing_and_running_ones_are_pending() -> None:
    history = history_of(
        study_of(
            (TrialState.KILLED, 0.0),
            (TrialState.RUNNING, None),
            (TrialState.QUEUED, None),
            (TrialState.COMPLETE, 2.0),
        )
    )
    assert history.losses == (2.0,)
    assert history.pending == ({"n": 1}, {"n": 2})
    assert history.seen == {key_of({"n": n}) for n in (1, 2, 3)}


def test_what_is_maximised_counts_downwards() -> None:
    ends = [(TrialState.COMPLETE, 0.2), (TrialState.COMPLETE, 0.9), (TrialState.FAILED, None)]
    assert history_of(study_of(*ends, objective=Maximize("acc"))).losses == (-0.2, -0.9, -0.2)


@pytest.mark.parametrize("value", [None, math.nan])
def test_where_nothing_is_finite_there_are_no_losses(value: float | None) -> None:
    history = history_of(study_of((TrialState.FAILED, None), (TrialState.COMPLETE, value)))
    assert history.losses == ()
    assert len(history.tried) == 2


def test_without_an_objective_there_are_no_losses() -> None:
    study = StudyRecord("s", SPACE, trials=(TrialRecord("t", 0, "s", {"n": 0}, TrialState.COMPLETE, 1.0),))
    assert history_of(study).losses == ()


def test_what_failed_is_not_feasible_whatever_the_others_came_to() -> None:
    trials = (
        TrialRecord("t0", 0, "s", {"n": 0}, TrialState.COMPLETE, 1.0, metrics={"ms": 3.0}),
        TrialRecord("t1", 1, "s", {"n": 1}, TrialState.FAILED, None),
        TrialRecord("t2", 2, "s", {"n": 2}, TrialState.FAILED, None, metrics={"ms": 2.0}),
        TrialRecord("t3", 3, "s", {"n": 3}, TrialState.COMPLETE, 2.0, metrics={"ms": 9.0}),
    )
    bounds = (Constraint("ms", "<=", 5.0), Constraint("never", "<=", 5.0))
    history = history_of(StudyRecord("s", SPACE, Minimize("loss"), 0, trials, constraints=bounds[:1]))
    assert history.violations == ((-2.0, None, -3.0, 4.0),)
    assert (history.failed, history.infeasible, history.feasible) == ({1, 2}, {1, 2, 3}, (0,))
    both = history_of(StudyRecord("s", SPACE, Minimize("loss"), 0, trials, constraints=bounds))
    assert both.violations == history.violations  # of the other one nothing is known yet


def test_a_trial_that_diverged_by_one_objective_failed_by_all() -> None:
    trials = tuple(
        TrialRecord(f"t{i}", i, "s", {"n": i}, TrialState.COMPLETE, float(i), metrics={"late": late})
        for i, late in enumerate((5.0, math.nan, 7.0, math.inf))
    )
    history = history_of(StudyRecord("s", SPACE, Minimize("loss"), 0, trials, further=(Minimize("late"),)))
    assert history.failed == {1, 3}
    assert (history.losses, history.further) == ((0.0, 2.0, 2.0, 2.0), ((5.0, 7.0, 7.0, 7.0),))


def curved(number: int, state: TrialState, losses: list[float]) -> TrialRecord:
    """A trial that logged these losses, one an epoch, and ended with the least."""
    curve = tuple(CurvePoint(loss, epoch, epoch, 100 * number + epoch) for epoch, loss in enumerate(losses))
    return TrialRecord(f"t{number}", number, "s", {"x": number}, state, min(losses), curve=curve)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_trial_that_was_stopped_counts_with_what_it_would_have_come_to(sign: float) -> None:
    whole = [curved(n, TrialState.COMPLETE, losses) for n, losses in enumerate([[9, 5, 1], [8, 5, 3], [7, 5, 2]])]
    stopped = [curved(3, TrialState.PRUNED, [10.0]), curved(4, TrialState.PRUNED, [9.0, 8.0])]
    late = [curved(5, TrialState.PRUNED, [6.0, 5.0, 4.0])]
    trials = [*whole, *stopped, *late]
    if sign < 0:
        trials = [
            replace(t, value=-(t.value or 0), curve=tuple(p._replace(value=-p.value) for p in t.curve)) for t in trials
        ]
    objective = Minimize("loss") if sign > 0 else Maximize("loss")

    def losses(*chosen: TrialRecord) -> tuple[float, ...]:
        return history_of(StudyRecord("s", Space({"x": Int(0, 9)}), objective, trials=chosen)).losses

    assert losses(*trials) == (1, 3, 2, 10 - 5, 8 - 3, 4)  # medians of 8, 5, 5 and of 4, 2, 3
    assert losses(*trials[:2], *trials[3:]) == (1, 3, 10, 8, 4)  # two complete trials tell nothing
    assert losses(*(replace(t, curve=()) for t in trials)) == (1, 3, 2, 10, 8, 4)
    diverged = replace(trials[0], curve=tuple(p._replace(value=math.nan) for p in trials[0].curve))
    assert losses(diverged, *trials[1:]) == (1, 3, 2, 10, 8, 4)
