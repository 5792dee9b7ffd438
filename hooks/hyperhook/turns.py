"""Writers of one study take turns: what they count grows in the order in which it comes to be seen."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from hyperhook.database import Database
from hyperhook.records import TrialRecord
from hyperhook.tables import Tables, change, trial_of

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

__all__ = ["Turns"]


class Turns:
    """What the parts of a `Store` share: its database, its tables, and the turns of those who write."""

    _database: Database
    _tables: Tables

    def _take_turn(self, connection: Connection, study: str) -> Row[Any] | None:
        """Wait until no other worker writes to a study; return its row.

        SQLite has one writer at a time anyway; PostgreSQL locks the row.
        """
        studies = self._tables.studies
        return connection.execute(studies.select().where(studies.c.name == study).with_for_update()).one_or_none()

    def _turn_of(self, connection: Connection, trial_id: str) -> Row[Any] | None:
        """Wait for the turn of a trial's study; return the trial's row as it stands then."""
        from sqlalchemy import select

        if self._database.is_shared:
            studies, trials = self._tables.studies, self._tables.trials
            its = select(trials.c.study).where(trials.c.id == trial_id).scalar_subquery()
            connection.execute(select(studies.c.name).where(studies.c.name == its).with_for_update())
        return self._row(connection, trial_id)

    def _row(self, connection: Connection, trial_id: str) -> Row[Any] | None:
        trials = self._tables.trials
        return connection.execute(trials.select().where(trials.c.id == trial_id)).one_or_none()

    def _change(self, connection: Connection, row: Row[Any], **values: Any) -> TrialRecord:
        """Change a trial, whose study's turn this is; return it as it stands then."""
        trials = self._tables.trials
        changed = trials.update().where(trials.c.id == row.id)
        connection.execute(changed.values(changed=change(self._tables, row.study), **values))
        return trial_of(SimpleNamespace(**{**row._mapping, **values}))
