"""The parts of a trial, its folds or its repeats: kept apart in the journal, and one value out of all of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from hyperhook.curve import Curve
from hyperhook.events import ArtifactLogged, ArtifactRemoved, Event, MetricsLogged
from hyperhook.objective import Objective, Point
from hyperhook.parameters import Parameter, Scalar
from hyperhook.records import TrialRecord
from hyperhook.sink import Sink

__all__ = ["PartSink", "Parts"]

Value = TypeVar("Value")


@dataclass(slots=True)
class Parts:
    """What the parts of one trial came to.

    Args:
        objective: What they are judged by; None for a group of runs.
        watched: The metrics that count beside it.
    """

    objective: Objective | None
    watched: tuple[str, ...] = ()
    _values: dict[str, list[float]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many parts have ended with a value."""
        return max(map(len, self._values.values()), default=0)

    @property
    def means(self) -> dict[str, float]:
        """The mean of each metric over the parts so far."""
        return {name: statistics.fmean(values) for name, values in self._values.items()}

    @property
    def stderrs(self) -> dict[str, float]:
        """The standard error of each mean: the parts' deviation over the root of their number; of one part, none."""
        return {
            name: statistics.stdev(values) / math.sqrt(len(values))
            for name, values in self._values.items()
            if len(values) > 1
        }

    @property
    def estimate(self) -> Point | None:
        """The mean of the objective's metric, its standard error, and the means of what counts beside it."""
        if self.objective is None or self.objective.metric not in self._values:
            return None
        means, metric = self.means, self.objective.metric
        others = {name: means[name] for name in self.watched if name in means}
        return Point(means[metric], self.count - 1, None, self.stderrs.get(metric), others)

    def add(self, point: Point) -> None:
        """Take in what a part came to."""
        if self.objective is not None:
            for name, value in {**point.metrics, self.objective.metric: point.value}.items():
                self._values.setdefault(name, []).append(value)


class PartSink:
    """Where the events of one part go: to those of its trial, its metrics and files under the part's name.

    Args:
        sink: The trial's own.
        name: The part's name, such as ``"fold-0"``.
        recorded: The last step of each metric that the trial had before it was resumed: to there nothing is doubled.
    """

    def __init__(self, sink: Sink, name: str, recorded: Mapping[str, int]) -> None:
        self._sink = sink
        self._name = name
        self._recorded = recorded

    def emit(self, trial: TrialRecord, event: Event) -> None:
        """Journal an event under the part's name."""
        if isinstance(event, MetricsLogged):
            step, metrics = event.step, self._named(event.metrics)
            metrics = {name: value for name, value in metrics.items() if self._recorded.get(name, -1) < step}
            if not metrics:
                return
            stderr = None if event.stderr is None else self._named(event.stderr)
            event = msgspec.structs.replace(event, metrics=metrics, stderr=stderr)
        elif isinstance(event, ArtifactLogged | ArtifactRemoved):
            name, place = f"{self._name}/{event.name}", f"{self._name}/{event.place}"
            event = msgspec.structs.replace(event, name=name, place=place)
        self._sink.emit(trial, event)

    def _named(self, values: Mapping[str, Value]) -> dict[str, Value]:
        return {f"{self._name}/{name}": value for name, value in values.items()}

    def store(self, place: str, write: Callable[[Path], None]) -> Path | None:
        """Write a file below the part's folder."""
        return self._sink.store(f"{self._name}/{place}", write)

    def discard(self, place: str) -> Path | None:
        """Delete a file below the part's folder."""
        return self._sink.discard(f"{self._name}/{place}")

    @property
    def is_lost(self) -> bool:
        """Whether the trial is another process's by now, or was ended by one."""
        return self._sink.is_lost

    def meet(self, trial: TrialRecord, name: str, asked: Parameter) -> Scalar:
        """Return the value of a parameter that the trial asks for: all parts have the same."""
        return self._sink.meet(trial, name, asked)

    def should_stop(self, trial: TrialRecord, curve: Curve, *, expects: bool) -> bool:
        """Go on: pruners judge the mean, between two parts."""
        return False
