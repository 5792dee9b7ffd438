"""Median and percentile: compared with complete trials, where they stood at the same point."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

import hyperhook as hh
from hyperhook import TrialState
from hyperhook_plugins.median import Median, Percentile


def study_of(
    own: Sequence[tuple[int, float]],
    *others: Sequence[tuple[int, float]],
    state: TrialState = TrialState.COMPLETE,
    direction: str = "minimize",
) -> hh.StudyRecord:
    """A study whose first trial runs and whose others ended; each has its (epoch from 0, value) points."""
    states = [TrialState.RUNNING, *[state] * len(others)]
    trials = tuple(
        hh.TrialRecord(
            f"t{n}",
            n,
            "s",
            state=ended,
            curve=tuple(hh.CurvePoint(v, 10 * e, e, 9 * n + i) for i, (e, v) in enumerate(curve)),
        )
        for n, (ended, curve) in enumerate(zip(states, (own, *others), strict=True))
    )
    return hh.StudyRecord("s", hh.Space({}), hh.Objective("y", direction), trials=trials)  # type: ignore[arg-type]


def flat(*values: float) -> list[list[tuple[int, float]]]:
    return [[(epoch, value) for epoch in range(3)] for value in values]


def stops(pruner: Percentile, study: hh.StudyRecord) -> bool | None:
    return pruner.should_stop(study, study.trials[0])


@pytest.mark.parametrize(("value", "answer"), [(2.9, None), (3.0, None), (3.1, True), (math.nan, True)])
def test_what_is_worse_than_the_median_stops(value: float, answer: bool | None) -> None:
    others = flat(1.0, 2.0, 3.0, 4.0, math.inf)
    assert stops(Median(), study_of([(1, value)], *others)) is answer
    mirrored = [[(epoch, -value) for epoch, value in curve] for curve in others]
    assert stops(Median(), study_of([(1, -value)], *mirrored, direction="maximize")) is answer


@pytest.mark.parametrize(("percentile", "bar"), [(25.0, 2.0), (50, 3.0), (80, 5.0), (1, 1.0)])
def test_the_percentile_says_how_many_may_be_better(percentile: float, bar: float) -> None:
    others = flat(1.0, 2.0, 3.0, 4.0, 5.0)
    pruner = Percentile(percentile)
    assert stops(pruner, study_of([(1, bar)], *others)) is None
    assert stops(pruner, study_of([(1, bar + 0.5)], *others)) is True


def test_others_are_taken_where_they_stood_then() -> None:
    late = [[(0, 9.0), (4, 1.0)]] * 5
    assert stops(Median(), study_of([(3, 8.0)], *late)) is None
    assert stops(Median(), study_of([(4, 8.0)], *late)) is True
    assert stops(Median(), study_of([(9, 8.0)], *late)) is True  # longer than theirs
    assert stops(Median(), study_of([(0, 8.0)], *[[(1, 1.0)]] * 5)) is None  # nobody has a value so early


@pytest.mark.parametrize("state", [state for state in TrialState if state is not TrialState.COMPLETE])
def test_only_complete_trials_are_compared_with(state: TrialState) -> None:
    assert stops(Median(), study_of([(1, 9.0)], *flat(1.0, 2.0, 3.0, 4.0, 5.0), state=state)) is None


def test_it_waits_for_trials_and_for_the_warm_up() -> None:
    others = flat(*range(4))
    assert stops(Median(startup_trials=4), study_of([(1, 9.0)], *others)) is True
    assert stops(Median(), study_of([(1, 9.0)], *others)) is None
    assert stops(Median(startup_trials=4, warmup_steps=2), study_of([(1, 9.0)], *others)) is None
    assert stops(Median(startup_trials=4, warmup_steps=2), study_of([(2, 9.0)], *others)) is True
    assert stops(Median(startup_trials=4, warmup_steps=20, unit="step"), study_of([(1, 9.0)], *others)) is None
    assert stops(Median(startup_trials=4, warmup_steps=20, unit="step"), study_of([(2, 9.0)], *others)) is True


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Percentile(0), "Percentile: percentile must be a number from 1 and below 100, such as 25, got 0"),
        (lambda: Percentile(0.25), "such as 25, got 0.25"),
        (lambda: Percentile(100.0), "such as 25, got 100.0"),
        (lambda: Percentile(math.nan), "such as 25, got nan"),
        (lambda: Percentile("25"), "such as 25, got '25'"),  # type: ignore[arg-type]
        (lambda: Median(startup_trials=0), "Median: startup_trials must be an int from 1, got 0"),
        (lambda: Median(warmup_steps=-1), "Median: warmup_steps must be an int from 0, got -1"),
        (lambda: Median(unit="s"), "Median: unit must be 'epoch' or 'step', got 's'"),  # type: ignore[arg-type]
    ],
)
def test_options_that_cannot_be_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
