"""The objective: a metric, a direction, and how a trial's curve becomes one value.

Inside, everything is minimised: `Objective.loss` is the one place where the sign flips.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, SupportsFloat

from hyperhook.errors import NotFiniteError, ObjectiveError

__all__ = ["Curve", "Direction", "Maximize", "Minimize", "Objective", "Point", "Reduce", "as_value"]

Direction = Literal["maximize", "minimize"]
Reduce = Literal["best", "last"]


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a metric, with the step (0-based) and epoch at which it was logged.

    `stderr` is the value's standard error, in its unit, from 0; None where nobody gave one.
    """

    value: float
    step: int | None = None
    epoch: int | None = None
    stderr: float | None = None


@dataclass(frozen=True, slots=True)
class Objective:
    """What a study searches for; `Maximize` and `Minimize` build one.

    Args:
        metric: Name of the metric, as the trainer logs it.
        direction: ``"maximize"`` or ``"minimize"``.
        reduce: ``"best"`` takes the best finite point of the trial's curve (the earliest, if several are equal),
            ``"last"`` the last point.

    Raises:
        ObjectiveError: The metric has no name, or the direction or the reduction is none of these.

    Example:
        >>> Maximize("val_acc").loss(0.9)
        -0.9
    """

    metric: str
    direction: Direction
    reduce: Reduce = "best"

    def __post_init__(self) -> None:
        if not isinstance(self.metric, str) or not self.metric:
            raise ObjectiveError(f"objective: expected the name of a metric, got {self.metric!r}")
        if self.direction not in ("maximize", "minimize"):
            raise ObjectiveError(f"objective: direction must be 'maximize' or 'minimize', got {self.direction!r}")
        if self.reduce not in ("best", "last"):
            raise ObjectiveError(f"objective: reduce must be 'best' or 'last', got {self.reduce!r}")

    def loss(self, value: float) -> float:
        """Return `value` so that less is better."""
        return -value if self.direction == "maximize" else value

    def is_better(self, value: float, other: float) -> bool:
        """Tell whether `value` is strictly better than `other`."""
        return self.loss(value) < self.loss(other)


def Maximize(metric: str, *, reduce: Reduce = "best") -> Objective:
    """Return the objective to make `metric` as large as possible.

    Args:
        metric: Name of the metric, as the trainer logs it.
        reduce: How a trial's curve becomes one value: ``"best"`` or ``"last"``.

    Example:
        >>> Maximize("val_acc", reduce="last").direction
        'maximize'
    """
    return Objective(metric, "maximize", reduce)


def Minimize(metric: str, *, reduce: Reduce = "best") -> Objective:
    """Return the objective to make `metric` as small as possible.

    Args:
        metric: Name of the metric, as the trainer logs it.
        reduce: How a trial's curve becomes one value: ``"best"`` or ``"last"``.

    Example:
        >>> Minimize("val_loss").loss(0.25)
        0.25
    """
    return Objective(metric, "minimize", reduce)


@dataclass(slots=True)
class Curve:
    """The objective's points of one trial, reduced as they come: constant memory, whatever the trial's length.

    Args:
        objective: What to reduce; None collects only the names of the metrics.
    """

    objective: Objective | None
    names: dict[str, None] = field(default_factory=dict)
    count: int = 0
    best: Point | None = None
    _last: tuple[float, int | None, int | None, float | None] | None = None

    @property
    def last(self) -> Point | None:
        """The last point, whatever its value; None before the first."""
        return None if self._last is None else Point(*self._last)

    def add(
        self,
        metrics: Mapping[str, float],
        step: int | None,
        epoch: int | None,
        stderr: Mapping[str, float] | None = None,
    ) -> None:
        """Take in the metrics of one call of `Trial.log`, and their standard errors."""
        if not metrics.keys() <= self.names.keys():
            self.names.update(dict.fromkeys(metrics))
        value = None if self.objective is None else metrics.get(self.objective.metric)
        if self.objective is None or value is None:
            return
        self.count += 1
        error = None if stderr is None else stderr.get(self.objective.metric)
        self._last = value, step, epoch, error  # a point at each call would cost the caller more
        if math.isfinite(value) and (self.best is None or self.objective.is_better(value, self.best.value)):
            self.best = Point(value, step, epoch, error)

    def reduced(self) -> Point:
        """Return the trial's value.

        Raises:
            ObjectiveError: The metric was never logged.
            NotFiniteError: Its value is NaN or infinite.
        """
        if self.objective is None:
            raise ObjectiveError("the study has no objective; give it one: objective=hh.Maximize('val_acc')")
        metric = self.objective.metric
        if (last := self.last) is None:
            logged = ", ".join(sorted(self.names)) or "nothing"
            raise ObjectiveError(
                f"metric {metric!r} was never logged; logged so far: {logged}; "
                "log it, or name one of these in the objective"
            )
        point = self.best if self.objective.reduce == "best" else last
        if point is None or not math.isfinite(point.value):
            where = "at its last point" if self.objective.reduce == "last" else f"at all of its {self.count} points"
            raise NotFiniteError(
                f"metric {metric!r} was {last.value} {where} (last at step {last.step}); "
                "expected a finite number: the training diverged"
            )
        return point

    def point_of(self, value: float) -> Point:
        """Return a value that the training function gave, at the step it stood at: the point of the curve that has it.

        Where neither the best nor the last point has it, it stands at the end of the curve, its error unknown.
        """
        last = self.last
        for point in (self.best, last):
            if point is not None and point.value == value:
                return point
        return Point(value, last.step, last.epoch) if last else Point(value)


def as_value(value: object) -> float:
    """Return what a training function gave as its value.

    Raises:
        ObjectiveError: It is not one number.
        NotFiniteError: It is NaN or infinite.
    """
    if isinstance(value, str | bytes | bool) or not isinstance(value, SupportsFloat):
        raise ObjectiveError(
            f"the training function returned {value!r} ({type(value).__name__}), expected a number, or None to take "
            "the metric of the objective"
        )
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ObjectiveError(
            f"the training function returned a {type(value).__name__} that is not one number ({error})"
        ) from None
    if not math.isfinite(number):
        raise NotFiniteError(
            f"the training function returned {number}, expected a finite number: the training diverged"
        )
    return number
