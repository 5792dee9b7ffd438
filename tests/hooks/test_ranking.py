"""The ranking of trials: by losses, feasibility and Pareto layers, and what tells nothing behind."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

import hyperhook as hh
from hyperhook.ranking import ranked
from hyperhook.records import StudyRecord, TrialRecord, TrialState
from hyperhook.testing.histories import outcomes, trials_of
from hyperhook.testing.spaces import LINE


def trial(number: int, value: float | None, state: TrialState = TrialState.COMPLETE, **metrics: float) -> TrialRecord:
    return TrialRecord(f"t{number}", number, "s", {"x": 0.0}, state, value, metrics=metrics)


def numbers(study: StudyRecord, *trials: TrialRecord) -> tuple[list[int], list[int]]:
    known, silent = ranked(study, trials)
    return [t.number for t in known], [t.number for t in silent]


def test_the_best_comes_first_in_either_direction() -> None:
    trials = (trial(0, 2.0), trial(1, 1.0), trial(2, 3.0, TrialState.PRUNED), trial(3, 1.0))
    assert numbers(StudyRecord("s", LINE, hh.Minimize("m")), *trials) == ([1, 3, 0, 2], [])
    assert numbers(StudyRecord("s", LINE, hh.Maximize("m")), *trials) == ([2, 0, 1, 3], [])


def test_what_tells_nothing_stands_apart() -> None:
    trials = (trial(0, math.nan), trial(1, None, TrialState.FAILED), trial(2, 1.0), trial(3, None), trial(4, math.inf))
    assert numbers(StudyRecord("s", LINE, hh.Minimize("m")), *trials) == ([2], [0, 1, 3, 4])
    assert numbers(StudyRecord("s", LINE), *trials) == ([], [0, 1, 2, 3, 4])


def test_what_is_feasible_comes_before_what_is_not() -> None:
    study = StudyRecord("s", LINE, hh.Minimize("m"), constraints=(hh.Constraint("ms", "<=", 10.0),))
    trials = (trial(0, 1.0, ms=30), trial(1, 2.0, ms=20), trial(2, 9.0, ms=5), trial(3, 8.0, ms=10), trial(4, 0.0))
    assert numbers(study, *trials) == ([3, 2, 1, 0, 4], [])


def test_several_objectives_are_ranked_layer_by_layer() -> None:
    study = StudyRecord("s", LINE, hh.Minimize("m"), further=(hh.Maximize("acc"),))
    trials = [trial(n, m, acc=acc) for n, (m, acc) in enumerate([(3, 1), (1, 1), (2, 2), (2, 1), (3, 3), (4, 0)])]
    assert numbers(study, *trials, trial(6, 1.0)) == ([1, 2, 4, 3, 0, 5], [6])


@given(outcomes(), st.randoms(use_true_random=False))
def test_every_trial_is_there_once_whatever_the_order(history: list[object], shuffle: object) -> None:
    trials = list(trials_of(LINE, history))  # type: ignore[arg-type]
    study = StudyRecord("s", LINE, hh.Minimize("m"))
    known, silent = ranked(study, trials)
    assert sorted(t.number for t in (*known, *silent)) == [t.number for t in trials]
    shuffle.shuffle(trials)  # type: ignore[attr-defined]
    assert ranked(study, trials) == (known, silent)
    losses = [study.loss(t) or 0.0 for t in known]
    assert losses == sorted(losses)
