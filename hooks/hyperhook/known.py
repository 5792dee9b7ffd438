"""What a process has read of a study's trials, so that the next reading brings only what changed since."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hyperhook.objective import CurvePoint
from hyperhook.records import TrialRecord
from hyperhook.tables import trial_of

if TYPE_CHECKING:
    from sqlalchemy import Row

__all__ = ["Known"]


@dataclass(frozen=True, slots=True)
class Known:
    """The trials of one study with their curves, as far as they were read; never changed, so that threads may share it.

    Attributes:
        study: Name of the study.
        change: The last change of a trial that was read (see `tables`); None where nothing was read yet.
        point: The id of the last point that was read.
    """

    study: str
    change: int | None = None
    point: int = 0
    _trials: Mapping[str, TrialRecord] = field(default_factory=dict)

    @property
    def trials(self) -> tuple[TrialRecord, ...]:
        """The trials, by number."""
        return tuple(sorted(self._trials.values(), key=lambda trial: trial.number))

    def after(self, points: Iterable[Sequence[Any]], trials: Iterable[Row[Any]]) -> Known:
        """Return what is known behind these rows.

        Args:
            points: The rows of the study's points behind `point`, in order; read first, so that each one's trial is
                there.
            trials: The rows of trials behind `change`, of other studies, too.
        """
        change, point, known = self.change or 0, self.point, dict(self._trials)
        for row in trials:
            change = max(change, row.changed or 0)  # an older version that still runs knows no changes
            if row.study == self.study:
                before = known.get(row.id)
                known[row.id] = replace(trial_of(row), curve=before.curve if before else ())
        curves: dict[str, list[CurvePoint]] = {}
        for point, _, trial, value, step, epoch in points:
            curve = curves.get(trial)
            if curve is None:
                curve = curves[trial] = list(known[trial].curve)
            number = math.nan if value is None else value
            curve.append(CurvePoint(number, step, len(curve) if epoch is None else epoch, point))
        for trial, grown in curves.items():
            known[trial] = replace(known[trial], curve=tuple(grown))
        return Known(self.study, change, point, known)
