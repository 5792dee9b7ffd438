"""Learning curves to try a pruner on: a strategy that draws trials whose points came in any order."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import strategies as st

from hyperhook.objective import CurvePoint, Point
from hyperhook.records import TrialRecord, TrialState

__all__ = ["Course", "courses", "trials_with"]

_VALUES = st.sampled_from([0.0, 1.0, 2.0, 3.0]) | st.floats(-9.0, 9.0)
_ROUGH = st.sampled_from([math.nan, math.inf, -math.inf, 1.7e308, -1.7e308, 5e-324])


class Course(NamedTuple):
    """How a trial went: its state, and for each point how many epochs it is behind the one before, and its value."""

    state: TrialState
    points: tuple[tuple[int, float], ...]


def courses(*, finite: bool = False, points: int = 8) -> st.SearchStrategy[Course]:
    """Draw how a trial went; many values are equal, some epochs are leapt over.

    Args:
        finite: Draw values that are finite, and not extreme.
        points: How many points there are at the most.
    """
    value = _VALUES if finite else _VALUES | _ROUGH
    leaps = st.sampled_from([1, 1, 1, 2, 3, 30])
    curve = st.lists(st.tuples(leaps, value), max_size=points).map(tuple)
    return st.builds(Course, st.sampled_from(TrialState), curve)


def trials_with(ways: Sequence[Course], seed: int) -> tuple[TrialRecord, ...]:
    """Return trials that went these ways, each point at the step of its epoch.

    Args:
        ways: How each went.
        seed: Chooses the order in which the points of all of them came.
    """
    turns = [number for number, way in enumerate(ways) for _ in way.points]
    random.Random(seed).shuffle(turns)
    curves: list[list[CurvePoint]] = [[] for _ in ways]
    for order, number in enumerate(turns, 1):
        curve = curves[number]
        leap, value = ways[number].points[len(curve)]
        epoch = (curve[-1].epoch if curve else -1) + leap
        curve.append(CurvePoint(value, epoch, epoch, order))
    return tuple(
        _record(number, way.state, curve) for number, (way, curve) in enumerate(zip(ways, curves, strict=True))
    )


def _record(number: int, state: TrialState, curve: Sequence[CurvePoint]) -> TrialRecord:
    trial = TrialRecord(f"contract-{number}", number, "contract", state=state, curve=tuple(curve))
    has_value = curve and state in (TrialState.COMPLETE, TrialState.PRUNED) and math.isfinite(curve[-1].value)
    return trial.at(Point(*curve[-1][:3])) if has_value else trial
