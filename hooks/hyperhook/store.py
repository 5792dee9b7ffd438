"""The store: what workers must agree on, in an SQL database. Studies, the trials' states, the objective's values.

SQLAlchemy is imported when a store is opened, so that ``import hyperhook`` stays light.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hyperhook.address import Address
from hyperhook.claims import Claims
from hyperhook.database import PATIENCE_SECONDS, Database
from hyperhook.ends import Ends
from hyperhook.known import Known
from hyperhook.leases import Leases
from hyperhook.meeting import Meeting
from hyperhook.migration import prepare
from hyperhook.points import Points
from hyperhook.suggestions import Suggestions
from hyperhook.tables import define_tables

__all__ = ["Store"]


class Store(Points, Claims, Ends, Leases, Meeting, Suggestions):
    """A database that workers share.

    A transaction whose answer was lost, as its connection broke, is run again: none does anything twice.

    Args:
        address: Where it is; a path for an SQLite file, made where it is missing.
        patience_seconds: How long a database that does not answer is waited for.

    Raises:
        StoreError: It cannot be opened, is no store, or one of a newer version. An older one is brought up to date.
        MissingLibraryError: It is on PostgreSQL, and psycopg is not installed.

    Example:
        >>> Store(Path("hyperhook.db")).study_names()  # doctest: +SKIP
        []
    """

    def __init__(self, address: Address | Path, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self.address = address if isinstance(address, Address) else Address(address)
        self._patience_seconds = patience_seconds
        self._tables = define_tables()
        self._database = Database(self.address, patience_seconds)
        self._known: dict[str, Known] = {}
        self._served: dict[str, bool] = {}
        prepare(self._database, self._tables)
        self.close = self._database.hold_open()
        """Let go of the database; a store that is used again after it is slower, and right."""

    @property
    def is_shared(self) -> bool:
        """Whether other machines may use it, too."""
        return self._database.is_shared

    def __getstate__(self) -> dict[str, Any]:
        return {"address": self.address, "patience_seconds": self._patience_seconds}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]
