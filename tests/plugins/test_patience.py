"""Patience: a trial that gets no better for some time is stopped, whatever others do."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

import hyperhook as hh
from hyperhook_plugins.patience import Patience


def stops(pruner: Patience, values: Sequence[float], direction: str = "minimize", gap: int = 1) -> int | None:
    """Behind how many epochs a trial with these values, one every `gap` epochs, is stopped."""
    curve: tuple[hh.CurvePoint, ...] = ()
    for index, value in enumerate(values):
        epoch = gap * (index + 1) - 1
        curve = (*curve, hh.CurvePoint(value, 10 * epoch, epoch, index + 1))
        trial = hh.TrialRecord("t", 0, "s", curve=curve)
        study = hh.StudyRecord("s", hh.Space({}), hh.Objective("y", direction), trials=(trial,))  # type: ignore[arg-type]
        if pruner.should_stop(study, trial):
            return epoch + 1
    return None


@pytest.mark.parametrize(
    ("values", "epochs"),
    [
        ([5.0, 4.0, 3.0, 2.0, 1.0, 0.0], None),
        ([5.0, 4.0, 4.0, 4.0, 3.0], None),
        ([5.0, 4.0, 4.0, 4.0, 4.0, 3.0], 5),
        ([1.0, 2.0, 3.0, 4.0], 4),
        ([math.nan, math.nan, math.nan, 1.0], None),
        ([math.nan] * 4, 4),
        ([1.0, math.nan, -math.inf, math.nan], 4),
        ([], None),
    ],
)
def test_it_counts_from_the_last_improvement(values: list[float], epochs: int | None) -> None:
    assert stops(Patience(3), values) == epochs
    assert stops(Patience(3), [-value for value in values], "maximize") == epochs


def test_small_improvements_may_count_for_none() -> None:
    values = [1.0, 0.9, 0.8, 0.7, 0.6]
    assert stops(Patience(3, min_improvement=0.5), values) == 4
    assert stops(Patience(3, min_improvement=0.15), values) is None


def test_epochs_or_steps_are_counted_not_points() -> None:
    assert stops(Patience(4), [1.0] * 9, gap=2) == 6
    assert stops(Patience(40, unit="step"), [1.0] * 9, gap=2) == 6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Patience(0), "Patience: steps must be an int from 1, got 0"),
        (lambda: Patience(2.5), "Patience: steps must be an int from 1, got 2.5"),  # type: ignore[arg-type]
        (lambda: Patience(min_improvement=-0.1), "min_improvement must be a finite number from 0, got -0.1"),
        (lambda: Patience(min_improvement=math.nan), "min_improvement must be a finite number from 0, got nan"),
        (lambda: Patience(unit="s"), "Patience: unit must be 'epoch' or 'step', got 's'"),  # type: ignore[arg-type]
    ],
)
def test_options_that_cannot_be_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
