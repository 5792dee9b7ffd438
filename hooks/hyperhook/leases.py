"""Who holds the trials of a store that run: a worker that says nothing for longer than its lease may lose its trial."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hyperhook.database import Database
from hyperhook.records import TrialRecord, TrialState
from hyperhook.tables import trial_of
from hyperhook.turns import Turns

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row, Select

__all__ = ["Holder", "Holding", "Leases", "held_by"]


@dataclass(frozen=True, slots=True)
class Holder:
    """Who is to run a trial.

    Attributes:
        worker: A token of this run of the trial, unique everywhere: what it reports counts while the trial has it.
        place: Where its lock and its journal lie; see `Workspace.place`.
        lease_seconds: How long the worker counts as alive without a word from it, in seconds.
    """

    worker: str
    place: str
    lease_seconds: float


@dataclass(frozen=True, slots=True)
class Holding:
    """A trial and who runs it.

    Attributes:
        trial: The trial.
        worker: The token of its run; None where an older version, or nobody, runs it.
        place: Where its lock and its journal lie; None likewise.
        renewed: When the worker said last that it lives, by the clock of the store.
        lease_seconds: How long that holds.
        has_lapsed: Whether that was longer ago, by the clock of the store.
    """

    trial: TrialRecord
    worker: str | None
    place: str | None
    renewed: float | None
    lease_seconds: float | None
    has_lapsed: bool


class Leases(Turns):
    """The part of a `Store` that knows who holds a trial."""

    def renew(self, trial_id: str, worker: str) -> bool:
        """Say that a worker lives; tell whether the trial is still its own. Nobody's turn is waited for."""
        trials = self._tables.trials
        mine = (trials.c.id == trial_id) & (trials.c.worker == worker) & (trials.c.state == TrialState.RUNNING.value)
        renewed = trials.update().where(mine).values(renewed=self._database.now())
        return self._database.write(lambda connection: connection.execute(renewed).rowcount > 0, 0.0)

    def holdings(self, study: str) -> list[Holding]:
        """Return the RUNNING trials of a study, and who holds each."""
        trials = self._tables.trials
        where = (trials.c.study == study) & (trials.c.state == TrialState.RUNNING.value)
        wanted = self._with_time().where(where)
        return self._database.read(lambda connection: [_holding(row) for row in connection.execute(wanted)])

    def holding(self, trial_id: str) -> Holding | None:
        """Return a trial and who held it last; None where there is none of that id."""
        wanted = self._with_time().where(self._tables.trials.c.id == trial_id)
        row = self._database.read(lambda connection: connection.execute(wanted).one_or_none())
        return None if row is None else _holding(row)

    def _with_time(self) -> Select[Any]:
        from sqlalchemy import select

        return select(self._tables.trials, self._database.now().label("now"))

    def lose(self, holding: Holding, error: str, *, lapsed: bool = False) -> TrialRecord | None:
        """Take a RUNNING trial from a worker that is gone: queue it again as often as its study says, else kill it.

        Args:
            holding: The trial, and who was seen to run it.
            error: What became of the worker, in one line.
            lapsed: Only where the worker has not said meanwhile that it lives.

        Returns:
            The trial, QUEUED or KILLED; None where it is that worker's no more, or the worker lives.
        """

        def work(connection: Connection) -> TrialRecord | None:
            row = self._turn_of(connection, holding.trial.id)
            if row is None or row.state != TrialState.RUNNING or row.worker != holding.worker:
                return None
            if lapsed and row.renewed != holding.renewed:
                return None
            study = self._take_turn(connection, row.study)
            lost = row.lost or 0
            if study is not None and lost < (study.max_retries or 0):
                return self._change(
                    connection, row, state=TrialState.QUEUED.value, lost=lost + 1, **held_by(None, self._database)
                )
            finished = max(time.time(), row.started_time)
            killed = {"error": error, "finished_time": finished, "worker": None}
            return self._change(connection, row, state=TrialState.KILLED.value, **killed)

        return self._database.write(work)


def held_by(holder: Holder | None, database: Database) -> dict[str, Any]:
    """Return what a trial's row says of its holder."""
    if holder is None:
        return dict.fromkeys(("worker", "place", "renewed", "lease_seconds"))
    return {
        "worker": holder.worker,
        "place": holder.place,
        "renewed": database.now(),
        "lease_seconds": holder.lease_seconds,
    }


def _holding(row: Row[Any]) -> Holding:
    lapsed = row.renewed is not None and abs(row.now - row.renewed) > row.lease_seconds  # also: a clock was set back
    return Holding(trial_of(row), row.worker, row.place, row.renewed, row.lease_seconds, lapsed)
