"""Constraints: what a trial must come to, whatever else it is worth."""

from __future__ import annotations

import numbers
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from hyperhook.errors import ObjectiveError

__all__ = ["Constraint", "Relation", "as_constraints"]

Relation = Literal["<=", ">="]

_MOST = sys.float_info.max


@dataclass(frozen=True, slots=True)
class Constraint:
    """A bound on a metric; ``Study(constraints={"latency_ms": ("<=", 20)})`` makes one.

    Args:
        metric: Name of the metric, as the trainer logs it.
        relation: ``"<="`` or ``">="``.
        bound: What the metric may be at the most, or must be at the least: a finite number in the metric's unit.

    Raises:
        ObjectiveError: The metric has no name, the relation is none of these, or the bound no finite number.

    Example:
        >>> Constraint("latency_ms", "<=", 20.0).violation(23.5)
        3.5
    """

    metric: str
    relation: Relation
    bound: float

    def __post_init__(self) -> None:
        if not isinstance(self.metric, str) or not self.metric:
            raise ObjectiveError(f"constraint: expected the name of a metric, got {self.metric!r}")
        if self.relation not in ("<=", ">="):
            raise ObjectiveError(
                f"constraint: expected '<=' or '>=' between {self.metric!r} and its bound, got {self.relation!r}"
            )
        if isinstance(self.bound, bool) or not isinstance(self.bound, int | float) or not abs(self.bound) <= _MOST:
            raise ObjectiveError(
                f"constraint: expected a finite number as bound of {self.metric!r}, got {self.bound!r}"
            )

    def __str__(self) -> str:
        return f"{self.metric} {self.relation} {self.bound:g}"

    def violation(self, value: float) -> float:
        """Return how far a value is outside, in the metric's own unit: 0 or less where the constraint is met."""
        violation = value - self.bound if self.relation == "<=" else self.bound - value
        return max(-_MOST, min(_MOST, violation))

    def excess(self, value: float) -> float:
        """Return how far a value is outside as a part of the bound, so that metrics compare: 0 where it is met.

        A bound of 0 has no parts: the excess is then the violation.
        """
        return max(0.0, self.violation(value)) / (abs(self.bound) or 1.0)


def as_constraints(constraints: object) -> tuple[Constraint, ...]:
    """Return the constraints that a user gave.

    Raises:
        ObjectiveError: They are no metrics with a relation and a bound, or one cannot be.

    Example:
        >>> as_constraints({"auc": (">=", 0.8)})
        (Constraint(metric='auc', relation='>=', bound=0.8),)
    """
    if not isinstance(constraints, Mapping):
        raise ObjectiveError(f"constraints: expected metrics with bounds, {_EXAMPLE}, got {constraints!r}")
    return tuple(_constraint(metric, bound) for metric, bound in constraints.items())


_EXAMPLE = "as in {'latency_ms': ('<=', 20)}"


def _constraint(metric: str, bound: object) -> Constraint:
    if not isinstance(bound, tuple | list) or len(bound) != 2:
        raise ObjectiveError(f"constraint: expected a relation and a bound for {metric!r}, {_EXAMPLE}, got {bound!r}")
    return Constraint(metric, bound[0], _as_number(bound[1]))


def _as_number(bound: object) -> Any:
    """Return a number of whatever library as a float; what is none goes on to where it is refused."""
    if isinstance(bound, numbers.Real) and not isinstance(bound, bool):
        with suppress(OverflowError):
            return float(bound)
    return bound
