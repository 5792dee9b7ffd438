"""How trials of a store end, or go back into the queue."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from hyperhook.events import text
from hyperhook.leases import held_by
from hyperhook.objective import Point
from hyperhook.records import TrialRecord, TrialState
from hyperhook.tables import stored, trial_of
from hyperhook.turns import Turns

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Ends"]


class Ends(Turns):
    """The part of a `Store` that ends trials, and tells how they ended."""

    def finish(
        self,
        trial_id: str,
        state: TrialState,
        point: Point | None,
        error: str | None,
        worker: str | None = None,
        *,
        epochs: int | None = None,
    ) -> TrialRecord | None:
        """End a RUNNING trial, atomically.

        Args:
            trial_id: The trial's id.
            state: How it ended.
            point: Its value, if it has one.
            error: Why it failed or was killed, in one line; what a database cannot hold is escaped.
            worker: Who ends it: it counts only if the trial is still this one's. None counts always.
            epochs: How many epochs it trained, if it told any.

        Returns:
            The trial as it ended; None where it had ended before, or is another worker's by now, so that this ending
            does not count.
        """

        def work(connection: Connection) -> TrialRecord | None:
            row = self._turn_of(connection, trial_id)
            if row is None or (worker is not None and row.worker != worker):
                return None
            if row.state != TrialState.RUNNING:
                return trial_of(row) if worker is not None and row.state == state else None  # this very call ended it
            ended = {
                "value": point.value if point else None,
                "step": stored(point.step) if point else None,
                "epoch": stored(point.epoch) if point else None,
                "error": None if error is None else text(error).replace("\0", "\\x00"),
                "stderr": point.stderr if point else None,
                "metrics": json.dumps(dict(point.metrics)) if point and point.metrics else None,
                "epochs": stored(epochs),
                "finished_time": max(time.time(), row.started_time),  # a clock may be set back
            }
            return self._change(connection, row, state=state.value, **ended)

        return self._database.write(work)

    def requeue(
        self, trial_id: str, worker: str | None, *, patience_seconds: float | None = None
    ) -> TrialRecord | None:
        """Put a RUNNING trial back into the queue, atomically.

        Args:
            trial_id: The trial's id.
            worker: Whose trial it must be.
            patience_seconds: How long to wait for a database that does not answer; by default as long as ever.

        Returns:
            The QUEUED trial; None where it is not this worker's any more.
        """

        def work(connection: Connection) -> TrialRecord | None:
            row = self._turn_of(connection, trial_id)
            if row is None or row.state != TrialState.RUNNING or row.worker != worker:
                return None
            return self._change(connection, row, state=TrialState.QUEUED.value, **held_by(None, self._database))

        return self._database.write(work, patience_seconds)

    def trial(self, trial_id: str) -> TrialRecord | None:
        """Return a trial; None where there is none of that id."""
        row = self._database.read(lambda connection: self._row(connection, trial_id))
        return None if row is None else trial_of(row)

    def latest_ends(self, study: str, count: int) -> list[TrialRecord]:
        """Return the trials that ended last of those that ended by themselves, the latest first.

        Args:
            study: Name of the study.
            count: How many, at the most.
        """
        trials = self._tables.trials
        ends = [state.value for state in TrialState if state.ended_by_itself]
        ended = trials.select().where(trials.c.study == study, trials.c.state.in_(ends))
        latest = ended.order_by(trials.c.changed.desc()).limit(count)
        return self._database.read(lambda connection: [trial_of(row) for row in connection.execute(latest)])
