"""Where a store is: an SQLite file or a PostgreSQL server. Its password is used, and never shown."""

from __future__ import annotations

import os
from multiprocessing.context import get_spawning_popen
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hyperhook.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import URL

__all__ = ["VARIABLE", "Address"]

VARIABLE = "HYPERHOOK_STORAGE"
"""The environment variable with the URL of the store, where `Study` is given none."""

_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")
_EXPECTED = "expected postgresql+psycopg://user:password@host/database or sqlite:////absolute/path.db"


class Address:
    """The URL of a store.

    Its text and its pickle are without the password. Only a process that is being spawned (`multiprocessing`) is handed
    it; any other that unpickles one finds it in `VARIABLE`, or where libpq looks: ``PGPASSWORD``, ``~/.pgpass``.

    Args:
        url: ``postgresql+psycopg://…`` (``postgresql://`` means the same) or ``sqlite:///path``, or the path of an
            SQLite file.

    Raises:
        StoreError: It is no such URL.

    Example:
        >>> Address("postgresql://me:secret@db.example.org/tuning")
        Address('postgresql+psycopg://me:***@db.example.org/tuning')
    """

    _known: ClassVar[dict[str, URL]] = {}

    def __init__(self, url: str | Path) -> None:
        self.url = _file(url) if isinstance(url, Path) else _parsed(url)
        self._known[self.bare] = self.url

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    def __str__(self) -> str:
        return str(self.file) if self.file else _without_secrets(self.url).render_as_string(hide_password=True)

    @property
    def file(self) -> Path | None:
        """The SQLite file; None for a server."""
        return Path(self.url.database or "") if self.url.get_backend_name() == "sqlite" else None

    @property
    def secret(self) -> str:
        """The whole URL, its password included: for a pipe to a process of our own, and nothing else."""
        return self.url.render_as_string(hide_password=False)

    @property
    def bare(self) -> str:
        """The URL without what is secret in it, for everybody to see."""
        return _without_secrets(self.url)._replace(password=None).render_as_string()

    @classmethod
    def chosen(cls, storage: str | Path | Address | None, default: Path) -> Address:
        """Return the address that was given, else that of `VARIABLE`, else that of a file."""
        if isinstance(storage, Address):
            return storage
        return cls(storage or os.environ.get(VARIABLE) or default)

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.secret if get_spawning_popen() is not None else self.bare}

    def __setstate__(self, state: dict[str, Any]) -> None:
        url = _parsed(state["url"])
        if os.environ.get(VARIABLE):
            Address(os.environ[VARIABLE])
        self.url = url
        self.url = self._known.get(self.bare, url) if url.password is None else url


def _parsed(text: str) -> URL:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    if "://" not in text:
        raise StoreError(f"storage: {_EXPECTED}, got a text without '://'")
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # whose message may hold a part of the password
        raise StoreError(
            f"storage: the URL that begins with {text.split('://')[0]!r} cannot be read; {_EXPECTED}, with any of "
            "'@:/?#%' in the password written as %40, %3A, %2F, %3F, %23, %25"
        ) from None
    if url.drivername in _POSTGRES:
        given = url.query.get("password")
        url = url.set(drivername="postgresql+psycopg").difference_update_query(["password"])
        return url.set(password=given) if isinstance(given, str) else url
    if url.drivername.split("+")[0] != "sqlite" or url.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise StoreError(f"storage: {_EXPECTED}, got {url.drivername!r}")
    if not url.database or url.database == ":memory:" or url.query:
        raise StoreError("storage: an SQLite store is a file that workers share: sqlite:///path, and nothing behind it")
    return _file(Path(url.database))


def _file(path: Path) -> URL:
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(path.absolute()))


def _without_secrets(url: URL) -> URL:
    return url.difference_update_query([name for name in url.query if "password" in name.lower()])
