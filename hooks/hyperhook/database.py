"""The database beneath a store: its engine, its transactions, its clock; what happens while it does not answer.

SQLAlchemy is imported when a database is opened, so that ``import hyperhook`` stays light.
"""

from __future__ import annotations

import logging
import os
import random
import re
import sqlite3
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hyperhook.address import Address
from hyperhook.errors import MissingLibraryError, StoreError
from hyperhook.mounts import network_file_system

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Engine
    from sqlalchemy.exc import DBAPIError

__all__ = ["PATIENCE_SECONDS", "Database"]

log = logging.getLogger("hyperhook")

PATIENCE_SECONDS = 600.0
"""How long a transaction is tried again while the database does not answer: a server's restart, a long backup."""
_OPENING_SECONDS = 30.0
"""Likewise when a store is opened, where only a server that is full, or starts, is waited for."""
_BUSY_TIMEOUT_SECONDS = 30
_FIRST_PAUSE_SECONDS, _LAST_PAUSE_SECONDS = 0.05, 5.0

_PASSING = re.compile(r"08...|40001|40P01|53300|55P03|57P0[1235]|25P03")
"""The codes of errors that pass: lost connections, deadlocks, a full or stopping server, a session ended for idling."""
_SESSION = (
    "SET application_name = 'hyperhook'",
    "SET idle_in_transaction_session_timeout = '20s'",  # a process that is stopped in a transaction holds up all others
    "SET client_encoding = 'UTF8'",
)
_CONNECT = {
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 40_000,  # ms
}

Result = TypeVar("Result")


class Database:
    """Runs transactions that may be tried again: each must change nothing when it has been done already.

    Args:
        address: Where it is.
        patience_seconds: How long one is tried again while the database does not answer.

    Raises:
        MissingLibraryError: It is on PostgreSQL, and psycopg is not installed.
        StoreError: It is an SQLite file on a network file system.
    """

    def __init__(self, address: Address, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self.address = address
        self._patience_seconds = patience_seconds
        self._engine = _postgres(address) if address.file is None else _sqlite(address.file)
        self._let_go = weakref.finalize(self, _dispose, self._engine, os.getpid())
        self._is_open = False

    @property
    def is_shared(self) -> bool:
        """Whether other machines may use it, too."""
        return self.address.file is None

    def hold_open(self) -> Callable[[], object]:
        """Keep the database open between transactions; return what lets go of it.

        On SQLite a transaction that is the last to close the file empties its log, and waits for the disk.
        """
        self._is_open = True
        if self.address.file is None:
            return self._let_go
        held = sqlite3.connect(self.address.file, timeout=_BUSY_TIMEOUT_SECONDS, check_same_thread=False)
        held.execute("SELECT count(*) FROM meta").fetchall()  # SQLite opens a file when it is first read
        return weakref.finalize(self, _close, held, os.getpid())

    def now(self) -> ColumnElement[float]:
        """The time in seconds since 1970 (UTC), for a statement: the server's, so that all machines agree."""
        from sqlalchemy import Float, cast, func, literal

        if self.address.file is None:
            return cast(func.extract("epoch", func.clock_timestamp()), Float)
        return literal(time.time(), Float)

    def read(self, work: Callable[[Connection], Result], patience_seconds: float | None = None) -> Result:
        """Run a transaction that only reads; it sees one moment.

        Args:
            work: What to do with the connection.
            patience_seconds: See the class.

        Raises:
            StoreError: The database cannot be used, or did not answer for that long.
        """
        return self._run(work, patience_seconds, {"hyperhook_write": False, **self._reading})

    def write(self, work: Callable[[Connection], Result], patience_seconds: float | None = None) -> Result:
        """Run a transaction; where its end is not known, as after a lost connection, it is run again.

        Args:
            work: What to do with the connection; changes nothing where it has been done.
            patience_seconds: See the class.

        Raises:
            StoreError: See `read`.
        """
        return self._run(work, patience_seconds, {"hyperhook_write": True})

    @property
    def _reading(self) -> dict[str, str]:
        return {"isolation_level": "REPEATABLE READ"} if self.is_shared else {}

    def _run(
        self, work: Callable[[Connection], Result], patience_seconds: float | None, options: dict[str, Any]
    ) -> Result:
        from sqlalchemy.exc import DBAPIError

        patience = self._patience_seconds if patience_seconds is None else patience_seconds
        began, pause, waits = time.monotonic(), 0.0, False
        while True:
            try:
                with self._engine.connect().execution_options(**options) as connection, connection.begin():
                    result = work(connection)
                break
            except DBAPIError as error:
                if not self._passes(error):
                    raise self._refusal(error) from None
                left = began + (patience if self._is_open else _OPENING_SECONDS) - time.monotonic()
                if left <= 0 and (pause or not self.is_shared):  # a connection that lay idle may be stale: once more
                    raise self._refusal(error) from None
                if not waits and time.monotonic() - began > 1.0:
                    waits = True
                    log.warning(
                        "store %s does not answer (%s); it is tried again, for up to %.0f s", self, _brief(error), left
                    )
                time.sleep(min(pause * random.uniform(0.5, 1.0), max(left, 0.0)))
                pause = min(max(2 * pause, _FIRST_PAUSE_SECONDS), _LAST_PAUSE_SECONDS)
        if waits:
            log.warning("store %s answers again, after %.0f s", self, time.monotonic() - began)
        return result

    def _passes(self, error: DBAPIError) -> bool:
        """Tell whether to try again."""
        text = str(error.orig)
        if self.address.file is not None:
            return "is locked" in text or "is busy" in text
        code = getattr(error.orig, "sqlstate", None)
        if code is not None:
            return _PASSING.fullmatch(code) is not None
        if not self._is_open:  # refused at the first attempt: only what says that it passes
            return any(word in text for word in ("too many clients", "remaining connection slots", "is starting up"))
        return type(error).__name__ in ("OperationalError", "InterfaceError") or error.connection_invalidated

    def _refusal(self, error: DBAPIError) -> StoreError:
        from sqlalchemy.exc import OperationalError

        if isinstance(error, OperationalError) or self.address.file is None:
            return StoreError(f"store {str(self)!r} cannot be used: {_brief(error)}")
        return StoreError(
            f"store {str(self)!r} is not a database that hyperhook wrote: {error.orig}; "
            "move the file away, or choose another home"
        )

    def __str__(self) -> str:
        return str(self.address)


def _brief(error: DBAPIError) -> str:
    return " ".join(str(error.orig).split())


_inherited: list[object] = []  # of a parent process: kept, since closing them is not ours


def _close(held: sqlite3.Connection, pid: int) -> None:
    if os.getpid() == pid:
        held.close()
    else:
        _inherited.append(held)


def _dispose(engine: Engine, pid: int) -> None:
    if os.getpid() == pid:
        engine.dispose()
    else:
        _inherited.append(engine)


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def _after_fork() -> None:
    """Leave the parent's connections to it."""
    for engine in _engines:
        _inherited.append(engine.pool)
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_after_fork)


def _postgres(address: Address) -> Engine:
    """Return an engine that keeps one connection, and opens more where threads need them at the same time."""
    from sqlalchemy import create_engine, event

    try:
        engine = create_engine(
            address.url, pool_size=1, max_overflow=-1, connect_args=dict(_CONNECT) | _options(address)
        )
    except ModuleNotFoundError as error:
        raise MissingLibraryError(
            f"storage {str(address)!r} needs {error.name!r}, not installed here: pip install 'hyperhook[postgres]'"
        ) from None

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: object) -> None:
        before, connection.autocommit = connection.autocommit, True
        for statement in _SESSION:
            connection.execute(statement)
        connection.autocommit = before

    _engines.add(engine)
    return engine


def _options(address: Address) -> dict[str, Any]:
    """Return what the URL says of the connection, which goes before what we would say."""
    return {name: value for name, value in address.url.query.items() if name in _CONNECT}


def _sqlite(path: Path) -> Engine:
    """Return an engine that is safe under fork and threads (no pool), whose writers take turns."""
    from sqlalchemy import URL, create_engine, event
    from sqlalchemy.pool import NullPool

    kind = network_file_system(path.resolve())
    if kind is not None:
        raise StoreError(
            f"store {str(path)!r} lies on a network file system ({kind}), where SQLite loses or mixes up what several "
            "workers write; share a PostgreSQL (storage='postgresql+psycopg://…' or HYPERHOOK_STORAGE), or choose a "
            "home on a local disk by home=… or HYPERHOOK_HOME"
        )
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": _BUSY_TIMEOUT_SECONDS})

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself: `begun` does
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        write = connection.get_execution_options().get("hyperhook_write", True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine
