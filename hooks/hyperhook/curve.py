"""The curve of a trial: how the points that it logs become what it is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hyperhook.errors import NotFiniteError, ObjectiveError
from hyperhook.objective import Objective, Point, as_value

__all__ = ["Curve"]


@dataclass(slots=True)
class Curve:
    """The objective's points of one trial, reduced as they come: constant memory, whatever the trial's length.

    Args:
        objective: What to reduce; None collects only the names of the metrics.
        watched: What else a trial is judged by: each point has the values of these metrics beside it.
    """

    objective: Objective | None
    watched: tuple[str, ...] = ()
    names: dict[str, None] = field(default_factory=dict)
    count: int = 0
    _best: Point | None = None
    _last: tuple[float, int | None, int | None, float | None] | None = None
    _step: int | None = None
    _here: dict[str, float] = field(default_factory=dict)
    """The watched metrics at `_step`; likewise at the step of the best point and at that of the last."""
    _at_best: dict[str, float] = field(default_factory=dict)
    _at_last: dict[str, float] = field(default_factory=dict)
    _latest: dict[str, float] = field(default_factory=dict)

    @property
    def best(self) -> Point | None:
        """The best finite point; None before the first."""
        return None if self._best is None else self._with_others(self._best, self._at_best)

    @property
    def last(self) -> Point | None:
        """The last point, whatever its value; None before the first."""
        return None if self._last is None else self._with_others(Point(*self._last), self._at_last)

    @property
    def so_far(self) -> Point | None:
        """The point that the trial would end with now; None before there is one."""
        return self.best if self.objective and self.objective.reduce == "best" else self.last

    @property
    def standing(self) -> Point | None:
        """What the trial is worth, at the step and epoch of the last point; None before the first.

        Where the last point is not finite, that is what it is worth.
        """
        if self._last is None:
            return None
        value, step, epoch, _ = self._last
        worth = self.so_far if math.isfinite(value) else None
        return Point(value if worth is None else worth.value, step, epoch)

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
        if self.watched:
            self._watch(metrics, step)
        value = None if self.objective is None else metrics.get(self.objective.metric)
        if self.objective is None or value is None:
            return
        self.count += 1
        error = None if stderr is None else stderr.get(self.objective.metric)
        self._last = value, step, epoch, error  # a point at each call would cost the caller more
        self._at_last = self._here
        if math.isfinite(value) and (self._best is None or self.objective.is_better(value, self._best.value)):
            self._best = Point(value, step, epoch, error)
            self._at_best = self._here

    def reduced(self) -> Point:
        """Return the trial's value.

        Raises:
            ObjectiveError: The metric was never logged.
            NotFiniteError: Its value is NaN or infinite.
        """
        if self.objective is None:
            raise ObjectiveError("the study has no objective; give it one: objective=hh.Maximize('val_acc')")
        metric = self.objective.metric
        if self._last is None:
            raise self._never_logged(metric, "in the objective")
        point = self.so_far
        if point is None or not math.isfinite(point.value):
            where = "at its last point" if self.objective.reduce == "last" else f"at all of its {self.count} points"
            raise NotFiniteError(
                f"metric {metric!r} was {self._last[0]} {where} (last at step {self._last[1]}); "
                "expected a finite number: the training diverged"
            )
        return point

    def require(self) -> None:
        """Insist on the objective's metric, where metrics were logged.

        Raises:
            ObjectiveError: It is not among them.
        """
        if self.objective is not None and self.names and self._last is None:
            raise self._never_logged(self.objective.metric, "in the objective")

    def point_of(self, value: float) -> Point:
        """Return a value that the training function gave, at the step it stood at: the point of the curve that has it.

        Where neither the best nor the last point has it, it stands at the end of the curve, its error unknown.
        """
        last = self.last
        for point in (self.best, last):
            if point is not None and point.value == value:
                return point
        if last is not None:
            return replace(last, value=value, stderr=None, metrics=self._others(value, self._at_last))
        return Point(value, metrics=self._others(value, {}))

    def told(self, value: object) -> Point:
        """Return what a training function gave as a point: the objective's value, or values by their metrics.

        Of a mapping, the objective and the watched metrics are taken; what it lacks of them is what was logged.

        Raises:
            ObjectiveError: A value is not one number, or the objective's is neither there nor was it ever logged.
            NotFiniteError: A value is NaN or infinite.
        """
        if self.objective is None or not isinstance(value, Mapping):
            return self.point_of(as_value(value))
        given = {name: as_value(value[name], name) for name in (self.objective.metric, *self.watched) if name in value}
        if self.objective.metric not in given and self._last is None:
            raise self._never_logged(self.objective.metric, "in the objective", value)
        own = given.get(self.objective.metric)
        point = self.reduced() if own is None else self.point_of(own)
        others = {name: number for name, number in given.items() if name in self.watched}
        return replace(point, metrics={**point.metrics, **others})

    def check(self, point: Point, told: object = None) -> Point:
        """Return a point that a trial may complete with: it has all of the watched metrics.

        Args:
            point: The point.
            told: What the training function gave.

        Raises:
            ObjectiveError: One was never logged.
            NotFiniteError: One is NaN or infinite.
        """
        for name in self.watched:
            if name in point.metrics:
                continue
            if name not in self._latest:
                raise self._never_logged(name, "instead", told)
            raise NotFiniteError(
                f"metric {name!r} was no finite number where the trial has its value (step {point.step}); "
                "expected one: the training diverged"
            )
        return point

    def _watch(self, metrics: Mapping[str, float], step: int | None) -> None:
        if step != self._step:
            self._step = step
            if self._best is not None and self._best.step == step:
                self._here = self._at_best
            else:
                self._here = self._at_last if self._last is not None and self._last[1] == step else {}
        for name in self.watched:
            if name in metrics:
                self._here[name] = self._latest[name] = metrics[name]

    def _with_others(self, point: Point, there: Mapping[str, float]) -> Point:
        return replace(point, metrics=self._others(point.value, there)) if self.watched else point

    def _others(self, value: float, there: Mapping[str, float]) -> dict[str, float]:
        """Return the watched metrics beside a value: those of its step, else those logged last, where finite."""
        found = {name: there.get(name, self._latest.get(name, math.nan)) for name in self.watched}
        if self.objective is not None and self.objective.metric in found:
            found[self.objective.metric] = value
        return {name: number for name, number in found.items() if math.isfinite(number)}

    def _never_logged(self, metric: str, where: str, told: object = None) -> ObjectiveError:
        logged = ", ".join(sorted(self.names))
        mend = f"log it, or name one of these {where}" if logged else "log it"
        also = f"; returned: {', '.join(map(str, told)) or 'nothing'}" if isinstance(told, Mapping) else ""
        return ObjectiveError(f"metric {metric!r} was never logged; logged so far: {logged or 'nothing'}{also}; {mend}")
