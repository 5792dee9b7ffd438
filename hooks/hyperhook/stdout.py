"""The plainest way to report metrics: a line of JSON on standard output."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from hyperhook.follower import Follower, Reading
from hyperhook.points import as_index

__all__ = ["Stdout"]

_KEY = "hyperhook"
_LONGEST_LINE = 1_000_000
"""Characters of a line; a longer one is no report."""
_DEEPEST = 20
_STEPS, _EPOCH, _TIMES = ("step", "_step", "global_step"), "epoch", ("time", "_timestamp")
_ROUGH = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


class Stdout(Follower):
    """Reads lines such as ``{"hyperhook": {"loss": 0.3, "step": 4, "epoch": 1}}``.

    The numbers in the object are metrics, those in an object inside it below its name and a dot. ``step`` (or
    ``_step``, ``global_step``), ``epoch`` and ``time`` (or ``_timestamp``) say where they stand; without a step it is
    the one behind the last. What is no number is passed over, and so is every line that is no such object, or longer
    than a million characters. NaN and the infinities are written as Python does, bare or as strings.

    Args:
        any_object: Take every line that is a JSON object with numbers, as in ``{"loss": 0.3, "step": 4}``, and not only
            what stands under ``hyperhook``.

    Example:
        >>> list(Stdout().read_line('{"hyperhook": {"loss": 0.3, "step": 4}}'))
        [Reading(metrics={'loss': 0.3}, step=4, epoch=None, time=None)]
    """

    def __init__(self, *, any_object: bool = True) -> None:
        self._any_object = any_object
        self._next_step = 0

    def read_line(self, line: str) -> Iterator[Reading]:
        """Yield what a line reports, if it does."""
        found = self._object(line)
        step, epoch = _first(found, _STEPS), as_index(found.get(_EPOCH))
        metrics = dict(_numbers({name: value for name, value in found.items() if not _is_place(name, value)}))
        if not metrics:
            return
        step = self._next_step if step is None else step
        self._next_step = step + 1
        yield Reading(metrics, step, epoch, _time(found))

    def _object(self, line: str) -> Mapping[str, object]:
        if len(line) > _LONGEST_LINE or not line.lstrip().startswith("{"):
            return {}
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            return {}
        own = found.get(_KEY, found if self._any_object else None)
        return own if isinstance(own, dict) else {}


def _is_place(name: str, value: object) -> bool:
    return name in (*_STEPS, _EPOCH, *_TIMES) and as_index(value) is not None


def _first(found: Mapping[str, object], names: tuple[str, ...]) -> int | None:
    return next((index for name in names if (index := as_index(found.get(name))) is not None), None)


def _time(found: Mapping[str, object]) -> float | None:
    times = (found.get(name) for name in _TIMES)
    return next((float(time) for time in times if isinstance(time, int | float) and as_index(time) is not None), None)


def _numbers(found: Mapping[str, object], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, float]]:
    for name, value in found.items():
        if isinstance(value, dict):
            if depth < _DEEPEST:
                yield from _numbers(value, f"{prefix}{name}.", depth + 1)
        elif isinstance(value, str):
            if value in _ROUGH and prefix + name:
                yield prefix + name, _ROUGH[value]
        elif isinstance(value, int | float) and not isinstance(value, bool) and prefix + name:
            try:
                yield prefix + name, float(value)
            except OverflowError:  # an int beyond any float
                continue
