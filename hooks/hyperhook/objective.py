"""The objective: a metric, a direction, and which point of a trial's curve is its value.

Inside, everything is minimised: `Objective.loss` is the one place where the sign flips.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, SupportsFloat

from hyperhook.errors import NotFiniteError, ObjectiveError

__all__ = [
    "CurvePoint",
    "Direction",
    "Maximize",
    "Minimize",
    "Objective",
    "Point",
    "Reduce",
    "Unit",
    "as_objectives",
    "as_value",
]

Direction = Literal["maximize", "minimize"]
Reduce = Literal["best", "last"]
Unit = Literal["epoch", "step"]


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a metric, with the step (0-based) and epoch at which it was logged.

    `stderr` is the value's standard error, in its unit, from 0; None where nobody gave one. `metrics` are the values of
    what else the study judges trials by, there: those logged at that step, else those logged last.
    """

    value: float
    step: int | None = None
    epoch: int | None = None
    stderr: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)


class CurvePoint(NamedTuple):
    """Where a trial stood when pruners were asked about it, as the store keeps it.

    `value` is what the trial would have ended with there: its best value so far, or with ``reduce="last"`` its last;
    where the last was not finite, that. `epoch` is the trainer's, from 0; where it gave none, the number of points
    before this one. `order` numbers the points of all trials as they came: less is earlier.
    """

    value: float
    step: int
    epoch: int
    order: int

    def done(self, unit: Unit = "epoch") -> int:
        """Return how many epochs, or steps, the trial had behind it, from 1: that of its index counts as done."""
        return (self.epoch if unit == "epoch" else self.step) + 1


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


def as_objectives(objective: object) -> tuple[Objective, ...]:
    """Return the objectives that a user gave: none, one, or several of different metrics.

    Raises:
        ObjectiveError: They are no objectives, an empty list, or two of them have the same metric.

    Example:
        >>> [objective.metric for objective in as_objectives([Maximize("auc"), Minimize("latency_ms")])]
        ['auc', 'latency_ms']
    """
    if objective is None:
        return ()
    goals: list[Objective] = []
    for goal in objective if isinstance(objective, list | tuple) else [objective]:
        if not isinstance(goal, Objective):
            raise ObjectiveError(f"objective: expected hh.Maximize(…) or hh.Minimize(…), got {goal!r}")
        if any(goal.metric == other.metric for other in goals):
            raise ObjectiveError(
                f"objective: expected different metrics, got {goal.metric!r} twice; leave one of them out"
            )
        goals.append(goal)
    if not goals:
        raise ObjectiveError("objective: expected at least one in the list, got none; leave it out for a group of runs")
    return tuple(goals)


def by_metric(value: object, objectives: Sequence[Objective]) -> object:
    """Return what a training function gave, values of several objectives in a list or tuple by their metrics.

    Raises:
        ObjectiveError: It has more values, or fewer, than there are objectives.

    Example:
        >>> by_metric((0.9, 12.0), as_objectives([Maximize("auc"), Minimize("latency_ms")]))
        {'auc': 0.9, 'latency_ms': 12.0}
    """
    if not isinstance(value, list | tuple) or len(objectives) < 2:
        return value
    metrics = [objective.metric for objective in objectives]
    if len(value) != len(metrics):
        raise ObjectiveError(
            f"the training function returned {len(value)} values, expected {len(metrics)}: {', '.join(metrics)}"
        )
    return dict(zip(metrics, value, strict=True))


def as_value(value: object, metric: str | None = None) -> float:
    """Return what a training function gave as its value.

    Args:
        value: What it gave.
        metric: The metric that it gave the value for; None where it gave one number.

    Raises:
        ObjectiveError: It is not one number.
        NotFiniteError: It is NaN or infinite.
    """
    where = "" if metric is None else f" for {metric!r}"
    if isinstance(value, str | bytes | bool) or not isinstance(value, SupportsFloat):
        raise ObjectiveError(
            f"the training function returned {value!r} ({type(value).__name__}){where}, expected a number, or None "
            "to take the metric of the objective"
        )
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ObjectiveError(
            f"the training function returned a {type(value).__name__}{where} that is not one number ({error})"
        ) from None
    if not math.isfinite(number):
        raise NotFiniteError(
            f"the training function returned {number}{where}, expected a finite number: the training diverged"
        )
    return number
