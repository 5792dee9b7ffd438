"""`Target`: an end to a study that has found what was good enough."""

from __future__ import annotations

import math

from hyperhook import HyperhookError, StudyRecord, hookimpl

__all__ = ["Target"]


class Target:
    """End a study once a COMPLETE trial, one that meets all constraints, is this good.

    Args:
        value: The objective's value to reach, in its own unit and direction, finite.

    Raises:
        ValueError: The value is no finite number.

    Example:
        >>> study = hh.Study("s", space, hh.Maximize("val_acc"), plugins=["gp", Target(0.98)])  # doctest: +SKIP
    """

    def __init__(self, value: float) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"Target: value must be a finite number, got {value!r}")
        self.value = value

    @hookimpl
    def prepare(self, study: StudyRecord) -> None:
        """Refuse a study that has not one objective.

        Raises:
            HyperhookError: It has none, or several.
        """
        if len(study.objectives) != 1:
            raise HyperhookError(
                f"Target: study {study.name!r} has {len(study.objectives)} objectives, expected one to reach a value of"
            )

    @hookimpl
    def should_end(self, study: StudyRecord) -> str | None:
        """Answer which trial reached the value."""
        best = study.best
        loss = None if best is None or not study.is_feasible(best) else study.loss(best)
        if best is None or loss is None or study.objective is None or loss > study.objective.loss(self.value):
            return None
        metric = study.objective.metric
        return f"trial {best.name} reached the target: {metric} is {best.value:g}, expected {self.value:g}"
