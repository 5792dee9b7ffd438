"""Where the trials of a store stand, for the pruners."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hyperhook.errors import StoreError
from hyperhook.objective import Point
from hyperhook.records import StudyRecord, TrialState
from hyperhook.studies import Studies
from hyperhook.tables import stored

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Points"]


class Points(Studies):
    """The part of a `Store` that keeps the trials' curves."""

    def report(self, trial_id: str, point: Point | None, worker: str | None = None) -> StudyRecord:
        """Keep where a RUNNING trial stands, for the pruners; return its study as it stands then.

        What is kept is never changed: a point at a step that the trial had reported before is passed over, and so is
        one of a trial that ended, or is another worker's by now. A database that does not answer is not waited for.

        Args:
            trial_id: The trial's id.
            point: Where it stands; None before its first point.
            worker: Who reports it; None counts always.

        Raises:
            StoreError: There is no such trial.
        """
        points = self._tables.points

        def keep(connection: Connection) -> str | None:
            row = self._row(connection, trial_id) if point is None else self._turn_of(connection, trial_id)
            if row is None or point is None or row.state != TrialState.RUNNING or worker not in (None, row.worker):
                return None if row is None else row.study
            step = stored(point.step)
            there = points.select().where(points.c.trial == trial_id, points.c.step == step)
            if connection.execute(there).first() is None:
                value = None if math.isnan(point.value) else point.value
                made = {"value": value, "step": step, "epoch": stored(point.epoch)}
                connection.execute(points.insert().values(study=row.study, trial=trial_id, **made))
            return str(row.study)

        run = self._database.read if point is None else self._database.write
        study = run(keep, 0.0)
        if study is None:
            raise StoreError(f"store {str(self._database)!r} has no trial {trial_id!r}; was its home replaced?")
        return self.study(study, patience_seconds=0.0)
