"""Points that come one by one, gathered into readings."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hyperhook.follower import Reading

__all__ = ["Points", "as_index"]

_EPOCH = "epoch"
_HIGHEST = 2**63 - 1


def as_index(number: object) -> int | None:
    """Return a step or an epoch as an int from 0, rounded down; None where it is none.

    Example:
        >>> as_index(2.5), as_index(-1), as_index("3")
        (2, None, None)
    """
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        return None
    return int(number) if 0 <= number <= _HIGHEST else None


class Points:
    """Gathers what follows each other at one step into a reading, each metric once.

    A metric called ``epoch`` is the reading's epoch. A step below 0 counts as 0. A program that gives no steps leaves
    them all at 0: so the n-th value of a metric that has stood at no other step stands at step n.

    Example:
        >>> points = Points()
        >>> list(points.add("loss", 0.5, step=3)), list(points.add("epoch", 1.0, step=3))
        ([], [])
        >>> list(points.flush())
        [Reading(metrics={'loss': 0.5}, step=3, epoch=1, time=None)]
    """

    def __init__(self) -> None:
        self._metrics: dict[str, float] = {}
        self._epoch: int | None = None
        self._step = 0
        self._time: float | None = None
        self._counted: dict[str, int | None] = {}
        """How many values of a metric stood at step 0; None once one stood elsewhere."""

    def add(self, name: str, value: float, step: int, time: float | None = None) -> Iterator[Reading]:
        """Take a point; yield the reading that it ends."""
        step = self._counted_step(name, max(0, min(step, _HIGHEST)))
        if step != self._step or name in self._metrics or (name == _EPOCH and self._epoch is not None):
            yield from self.flush()
        epoch = as_index(value) if name == _EPOCH else None
        if epoch is None:
            self._metrics[name] = value
        else:
            self._epoch = epoch
        self._step = step
        self._time = time if self._time is None else self._time

    def flush(self, until: float = math.inf) -> Iterator[Reading]:
        """Yield what is gathered, unless it began after a time: the rest of it may be on its way.

        Args:
            until: The time, in seconds since 1970 (UTC).
        """
        if self._time is not None and self._time > until:
            return
        if self._metrics:
            yield Reading(self._metrics, self._step, self._epoch, self._time)
        self._metrics, self._epoch, self._time = {}, None, None

    def _counted_step(self, name: str, step: int) -> int:
        count = self._counted.get(name, 0)
        if step or count is None:
            self._counted[name] = None
            return step
        self._counted[name] = count + 1
        return count
