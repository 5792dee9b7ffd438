"""The plainest way to report metrics: a line of JSON on standard output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeGuard

from hyperhook.follower import Follower, Reading
from hyperhook.scalars import is_number

__all__ = ["Stdout"]

_WHERE = ("step", "epoch", "time")
_LARGEST = 2**63


class Stdout(Follower):
    """Reads lines such as ``{"hyperhook": {"loss": 0.3, "step": 4, "epoch": 1}}``.

    The numbers in the object are metrics, but for ``step``, ``epoch`` and ``time``; what is no number is passed over.
    Without a step it is the one behind the last.

    Args:
        any_object: Take every line that is a JSON object with numbers, as in ``{"loss": 0.3}``.

    Example:
        >>> list(Stdout().read_line('{"hyperhook": {"loss": 0.3, "step": 4}}'))
        [Reading(metrics={'loss': 0.3}, step=4, epoch=None, time=None)]
    """

    def __init__(self, *, any_object: bool = False) -> None:
        self._any_object = any_object
        self._next_step = 0

    def read_line(self, line: str) -> Iterator[Reading]:
        """Yield what a line reports, if it does."""
        found = self._object(line)
        metrics = {name: float(v) for name, v in found.items() if name and name not in _WHERE and _is_number(v)}
        if not metrics:
            return
        step = _count(found.get("step"))
        step = self._next_step if step is None else step
        self._next_step = step + 1
        time = found.get("time")
        yield Reading(metrics, step, _count(found.get("epoch")), float(time) if _is_number(time) else None)

    def _object(self, line: str) -> dict[str, Any]:
        if not line.lstrip().startswith("{"):
            return {}
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            return {}
        own = found.get("hyperhook", found if self._any_object else None)
        return own if isinstance(own, dict) else {}


def _is_number(value: Any) -> TypeGuard[float]:
    return is_number(value) and (isinstance(value, float) or abs(value) < _LARGEST)


def _count(value: object) -> int | None:
    return int(value) if _is_number(value) and 0 <= value < _LARGEST and float(value).is_integer() else None
