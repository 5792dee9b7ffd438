"""What a process has read of a study's trials, so that the next reading brings only what changed since."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from hyperhook.objective import CurvePoint
from hyperhook.records import TrialRecord, TrialState
from hyperhook.tables import trial_of

if TYPE_CHECKING:
    from sqlalchemy import Row

__all__ = ["Known"]

_number = attrgetter("number")


@dataclass(frozen=True, slots=True)
class Known:
    """The trials of one study with their curves, as far as they were read; never changed, so that threads may share it.

    Attributes:
        study: Name of the study.
        change: The last change of a trial that was read (see `tables`); None where nothing was read yet.
        point: The id of the last point that was read.
        trials: The trials, by number.
        queue: The numbers of those that are QUEUED.
    """

    study: str
    change: int | None = None
    point: int = 0
    trials: tuple[TrialRecord, ...] = ()
    queue: frozenset[int] = frozenset()

    @property
    def queued(self) -> tuple[TrialRecord, ...]:
        """The trials that are QUEUED, by number."""
        places = (bisect_left(self.trials, number, key=_number) for number in sorted(self.queue))
        return tuple(self.trials[place] for place in places)

    def after(self, points: Sequence[Sequence[Any]], rows: Iterable[Row[Any]]) -> Known:
        """Return what is known behind these rows; it costs what they are, and one copy of the list of trials.

        Args:
            points: Of the study's points behind `point`, in order: id, the trial's number, value, step, epoch.
            rows: The rows of the study's trials behind `change`.
        """
        rows = sorted(rows, key=_number)
        if not rows and not points:
            return self if self.change is not None else replace(self, change=0)
        change, point, trials = self.change or 0, self.point, list(self.trials)
        queue = set(self.queue)
        for row in rows:
            (queue.add if row.state == TrialState.QUEUED else queue.discard)(row.number)
            change = max(change, row.changed or 0)  # an older version that still runs knows no changes
            place = bisect_left(trials, row.number, key=_number)
            if place < len(trials) and trials[place].number == row.number:
                trials[place] = replace(trial_of(row), curve=trials[place].curve)
            else:
                trials.insert(place, trial_of(row))
        curves: dict[int, list[CurvePoint]] = {}
        for point, number, value, step, epoch in points:
            place = bisect_left(trials, number, key=_number)
            curve = curves.get(place)
            if curve is None:
                curve = curves[place] = list(trials[place].curve)
            value = math.nan if value is None else value
            curve.append(CurvePoint(value, step, len(curve) if epoch is None else epoch, point))
        for place, grown in curves.items():
            trials[place] = replace(trials[place], curve=tuple(grown))
        return Known(self.study, change, point, tuple(trials), frozenset(queue))
