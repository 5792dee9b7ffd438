"""How a store comes to the tables of this version: made where there are none, brought up to date where older."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyperhook.database import Database
from hyperhook.errors import StoreError
from hyperhook.tables import SCHEMA, Tables

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["prepare"]

_LOCK = 0x68797065  # of PostgreSQL, where two processes must not make the same table at the same time


def prepare(database: Database, tables: Tables) -> None:
    """Make the tables, or bring an older store up to `SCHEMA`, in one transaction: what came since are columns.

    Raises:
        StoreError: The store is of a newer version.
    """
    if database.read(lambda connection: _is_ready(connection, tables)):
        return
    database.write(lambda connection: _prepare(connection, database, tables))


def _is_ready(connection: Connection, tables: Tables) -> bool:
    from sqlalchemy import inspect

    there = inspect(connection).has_table(tables.meta.name)
    return there and connection.execute(tables.meta.select()).scalar() == SCHEMA


def _prepare(connection: Connection, database: Database, tables: Tables) -> None:
    if database.is_shared:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    tables.meta.create(connection, checkfirst=True)
    found = connection.execute(tables.meta.select()).scalar()
    if found is not None and found > SCHEMA:
        raise StoreError(
            f"store {str(database)!r} has schema {found}, this hyperhook expects {SCHEMA} at the most; "
            "use the version of hyperhook that wrote it, or another home"
        )
    if found is None:
        tables.meta.metadata.create_all(connection)
        connection.execute(tables.meta.insert().values(schema_version=SCHEMA))
    elif found < SCHEMA:
        _migrate(connection, tables)


def _migrate(connection: Connection, tables: Tables) -> None:
    from sqlalchemy import inspect

    for table in (tables.studies, tables.trials, tables.points, tables.suggestions):
        table.create(connection, checkfirst=True)
        there = {column["name"] for column in inspect(connection).get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                kind = column.type.compile(connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}")
        for index in table.indexes:
            index.create(connection, checkfirst=True)
    connection.exec_driver_sql("DROP INDEX IF EXISTS trials_by_change")
    connection.execute(tables.trials.update().where(tables.trials.c.changed.is_(None)).values(changed=0))
    connection.execute(tables.meta.update().values(schema_version=SCHEMA))
