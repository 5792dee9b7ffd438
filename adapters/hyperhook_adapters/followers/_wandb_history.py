"""What a W&B run logged: the records of its file, as readings."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from hyperhook.follower import Reading
from hyperhook.points import as_index

__all__ = ["History"]

_STEP, _TIME, _EPOCH = "_step", "_timestamp", "epoch"
_ITS_OWN = re.compile(r"_(?:step|timestamp|runtime|wandb)(?:\..*)?")
_ROUGH = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


class History:
    """Turns the records of one run into readings.

    A row of the history is a reading at its ``_step``, and its column ``epoch`` is the epoch. Where the script named
    another step metric for some columns (``define_metric("val/*", step_metric="updates")``), they are a reading of
    their own, at that metric's value; a step metric that is called ``epoch``, or ends in ``/epoch``, is the epoch
    instead. Nested values have their names joined by dots, as W&B shows them. What is no number is passed over, and so
    are media. Values that were put into the summary and are in no row are one reading at the run's end.
    """

    def __init__(self) -> None:
        self._axes: dict[str, str] = {}
        """The step metric of each name, or pattern of names; what was defined last counts."""
        self._axis_of: dict[str, str | None] = {}
        self._logged: set[str] = set()
        self._summary: dict[str, float] = {}
        self._step = 0
        self._time: float | None = None

    def take(self, record: Any) -> Iterator[Reading]:
        """Yield what a record reports."""
        kind = record.WhichOneof("record_type")
        if kind == "history":
            yield from self._row(_numbers(record.history.item), record.history.step.num)
        elif kind == "metric":
            self._define(record.metric)
        elif kind == "summary":
            self._summary |= _numbers(record.summary.update)
        elif kind == "exit":
            yield from self._end()

    def _row(self, row: dict[str, float], step: int) -> Iterator[Reading]:
        step = as_index(row.get(_STEP, step)) or 0
        self._time = row.get(_TIME)
        self._step = step
        epoch = as_index(row.get(_EPOCH))
        found: dict[tuple[int, int | None], dict[str, float]] = {(step, epoch): {}}
        for name, value in sorted(row.items()):
            if _ITS_OWN.fullmatch(name) or (name == _EPOCH and epoch is not None):
                continue
            self._logged.add(name)
            axis = self._axis(name)
            place = as_index(row.get(axis)) if axis is not None and axis != _STEP else None
            if axis is None or place is None:
                found.setdefault((step, epoch), {})[name] = value
            elif axis.rpartition("/")[2] == _EPOCH:
                found.setdefault((step, place), {})[name] = value
            else:
                found.setdefault((place, epoch), {})[name] = value
        for (place, there), metrics in found.items():
            if metrics:
                yield Reading(metrics, place, there, self._time)

    def _define(self, metric: Any) -> None:
        if metric.step_metric:
            name = metric.glob_name or metric.name.replace("\\.", ".")
            self._axes.pop(name, None)
            self._axes[name] = metric.step_metric
            self._axis_of.clear()

    def _axis(self, name: str) -> str | None:
        if name not in self._axis_of:
            named = [axis for pattern, axis in self._axes.items() if fnmatch.fnmatchcase(name, pattern)]
            self._axis_of[name] = self._axes.get(name) or (named[-1] if named else None)
        return self._axis_of[name]

    def _end(self) -> Iterator[Reading]:
        only = {n: v for n, v in self._summary.items() if n not in self._logged and not _ITS_OWN.fullmatch(n)}
        epoch = as_index(only.pop(_EPOCH, None))
        if only:
            yield Reading(only, self._step, epoch, self._time)
        self._summary.clear()


def _numbers(items: Sequence[Any]) -> dict[str, float]:
    """Return the numbers of some items, without those of images, histograms and other media."""
    found: dict[str, float] = {}
    media: list[str] = []
    for item in items:
        path = [*item.nested_key] or [item.key]
        if path[-1] == "_type":
            media.append("".join(f"{part}." for part in path[:-1]))
        elif item.value_json:
            try:
                _collect(json.loads(item.value_json), ".".join(path), found)
            except (ValueError, RecursionError):
                continue
    if media:
        found = {name: value for name, value in found.items() if not name.startswith(tuple(media))}
    return found


def _collect(value: object, name: str, found: dict[str, float]) -> None:
    if isinstance(value, dict):
        if "_type" not in value:
            for key, inner in value.items():
                _collect(inner, f"{name}.{key}", found)
    elif isinstance(value, str):
        if value in _ROUGH:
            found[name] = _ROUGH[value]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            found[name] = float(value)
        except OverflowError:  # an int beyond any float
            return
