"""Suggestions that wait in a store: chosen ahead by one process, taken by the workers of a study.

They are no trials yet: they have no number, count against no budget, and are gone when they are withdrawn.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hyperhook.parameters import Params
from hyperhook.turns import Turns

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Row, Select

__all__ = ["Suggestion", "Suggestions", "Supply"]

_END_SECONDS = 5.0
"""How long a process that ends waits for a database that does not answer."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Params that wait for a worker.

    Attributes:
        id: Grows with each suggestion of the store: the lowest goes first.
        params: The params.
        known: The number behind all trials that they were chosen by.
    """

    id: int
    params: Params
    known: int


@dataclass(frozen=True, slots=True)
class Supply:
    """What a worker may expect.

    Attributes:
        waiting: How many suggestions wait.
        is_served: Whether a process lives that chooses more.
    """

    waiting: int = 0
    is_served: bool = False


class Suggestions(Turns):
    """The part of a `Store` that knows what was suggested ahead, and by whom.

    Who suggests says again and again that it lives, as a worker does of its trial (`leases`).
    """

    _served: dict[str, bool]

    def supply(self, study: str) -> Supply:
        """Return what a worker may expect; the database is not asked where nobody suggested ahead, as last read."""
        from sqlalchemy import func, select

        if not self._served.get(study, False):
            return Supply()
        studies, suggestions = self._tables.studies, self._tables.suggestions
        waiting = select(func.count()).where(suggestions.c.study == study).scalar_subquery()
        wanted = self._serving(waiting.label("waiting")).where(studies.c.name == study)

        def work(connection: Connection) -> Supply:
            row = connection.execute(wanted).one_or_none()
            return Supply() if row is None else Supply(row.waiting, _lives(row))

        return self._database.read(work)

    def serve(self, study: str, server: str, seconds: float) -> bool:
        """Make a process the one that suggests ahead.

        Args:
            study: Name of the study.
            server: A token of the process, unique everywhere.
            seconds: How long it counts as alive without a word from it.

        Returns:
            Whether it is; another one that lives stays.
        """
        studies = self._tables.studies
        values = {"ahead": server, "ahead_renewed": self._database.now(), "ahead_seconds": seconds}

        def work(connection: Connection) -> bool:
            self._take_turn(connection, study)
            row = connection.execute(self._serving().where(studies.c.name == study)).one_or_none()
            if row is None or (_lives(row) and row.ahead != server):
                return False
            connection.execute(studies.update().where(studies.c.name == study).values(values))
            return True

        return self._database.write(work)

    def renew_serving(self, study: str, server: str) -> bool:
        """Say that the process lives; tell whether it is still the one. Nobody's turn is waited for."""
        renewed = self._tables.studies.update().where(self._is_server(study, server))
        renewed = renewed.values(ahead_renewed=self._database.now())
        return self._database.write(lambda connection: connection.execute(renewed).rowcount > 0, 0.0)

    def waiting(self, study: str) -> tuple[Suggestion, ...]:
        """Return the suggestions that wait, the first to go first."""
        suggestions = self._tables.suggestions
        wanted = suggestions.select().where(suggestions.c.study == study).order_by(suggestions.c.id)
        rows = self._database.read(lambda connection: connection.execute(wanted).all())
        return tuple(Suggestion(row.id, json.loads(row.params), row.known) for row in rows)

    def offer(
        self,
        study: str,
        server: str,
        batch: str,
        params: Sequence[Params],
        known: int,
        *,
        instead_of: Iterable[Suggestion] = (),
    ) -> int | None:
        """Add suggestions, atomically.

        Args:
            study: Name of the study.
            server: Who suggests.
            batch: A token of this call, unique everywhere.
            params: What is suggested, in the order in which it is to be taken.
            known: See `Suggestion`.
            instead_of: Those that it replaces, as far as nobody has taken them.

        Returns:
            How many it replaced; None where the process is not the one that suggests ahead any more.
        """
        studies, suggestions = self._tables.studies, self._tables.suggestions
        rows = [{"study": study, "params": json.dumps(dict(each)), "known": known} for each in params]
        old = [suggestion.id for suggestion in instead_of]

        def work(connection: Connection) -> int | None:
            row = self._take_turn(connection, study)
            if row is None or row.ahead != server:
                return None
            if row.ahead_batch == batch:
                return 0  # this very call added them
            connection.execute(studies.update().where(studies.c.name == study).values(ahead_batch=batch))
            gone = connection.execute(suggestions.delete().where(suggestions.c.id.in_(old))).rowcount if old else 0
            if rows:
                connection.execute(suggestions.insert(), rows)
            return int(gone)

        return self._database.write(work)

    def withdraw(self, study: str, server: str) -> int:
        """Take back the suggestions that nobody took, and end the serving, atomically.

        Returns:
            How many were taken back; none where the process was not the one any more.
        """
        studies, suggestions = self._tables.studies, self._tables.suggestions
        ended = dict.fromkeys(("ahead", "ahead_renewed", "ahead_seconds", "ahead_batch"))

        def work(connection: Connection) -> int:
            row = self._take_turn(connection, study)
            if row is None or row.ahead != server:
                return 0
            connection.execute(studies.update().where(studies.c.name == study).values(**ended))
            return int(connection.execute(suggestions.delete().where(suggestions.c.study == study)).rowcount)

        return self._database.write(work, _END_SECONDS)

    def _is_server(self, study: str, server: str) -> ColumnElement[bool]:
        studies = self._tables.studies
        return (studies.c.name == study) & (studies.c.ahead == server)

    def _serving(self, *more: Any) -> Select[Any]:
        """Return the columns that say who serves, and the time."""
        from sqlalchemy import select

        studies, now = self._tables.studies, self._database.now().label("now")
        return select(studies.c.ahead, studies.c.ahead_renewed, studies.c.ahead_seconds, now, *more)


def _lives(row: Row[Any]) -> bool:
    """Tell whether the process has said so lately; a clock that was set back counts as lately not."""
    return row.ahead is not None and abs(row.now - row.ahead_renewed) <= row.ahead_seconds
