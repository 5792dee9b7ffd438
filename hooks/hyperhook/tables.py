"""The store's tables: their columns, and how their rows become records.

SQLAlchemy is imported when they are defined, so that ``import hyperhook`` stays light.
"""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

from hyperhook.constraint import Constraint
from hyperhook.objective import Objective
from hyperhook.records import StudyRecord, TrialRecord, TrialState
from hyperhook.space import Space

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row, Table

__all__ = ["SCHEMA", "Tables", "define_tables", "migrate", "study_of", "study_values", "trial_of"]

SCHEMA = 6
"""The version of the tables; it grows with every column. An older store is brought up to it, a newer one is refused."""

_CHANGE = "(SELECT coalesce(max(changed), 0) + 1 FROM trials)"
"""Counts the changes of all trials, so that a reader needs to read those only that are behind its last reading."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one store."""

    meta: Table
    studies: Table
    trials: Table
    points: Table


def define_tables() -> Tables:
    """Return the tables as this version has them."""
    from sqlalchemy import Column, Float, Index, Integer, MetaData, String, Table, Text, UniqueConstraint, text

    metadata = MetaData()
    meta = Table("meta", metadata, Column("schema_version", Integer, primary_key=True))
    studies = Table(
        "studies",
        metadata,
        Column("name", String(255), primary_key=True),
        Column("space", Text, nullable=False),
        Column("metric", Text),
        Column("direction", String(16)),
        Column("reduce", String(16)),
        Column("seed", Integer),
        Column("created_time", Float, nullable=False),
        Column("constraints", Text),
        Column("further", Text),
        Column("sweep", Text),
    )
    trials = Table(
        "trials",
        metadata,
        Column("id", String(64), primary_key=True),
        Column("study", String(255), nullable=False),
        Column("number", Integer, nullable=False),
        Column("params", Text, nullable=False),
        Column("state", String(16), nullable=False),
        Column("value", Float),
        Column("step", Integer),
        Column("epoch", Integer),
        Column("error", Text),
        Column("started_time", Float, nullable=False),
        Column("finished_time", Float),
        Column("launch", String(64)),
        Column("stderr", Float),
        Column("metrics", Text),
        Column("changed", Integer, default=text(_CHANGE), onupdate=text(_CHANGE)),
        UniqueConstraint("study", "number"),
        Index("trials_by_state", "study", "state"),
        Index("trials_by_launch", "launch"),
        Index("trials_by_change", "changed"),
    )
    points = Table(
        "points",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("study", String(255), nullable=False),
        Column("trial", String(64), nullable=False),
        Column("value", Float),  # empty: NaN, which SQLite has no other way to keep
        Column("step", Integer, nullable=False),
        Column("epoch", Integer),
        UniqueConstraint("trial", "step"),
        Index("points_by_study", "study", "id"),
        sqlite_autoincrement=True,
    )
    return Tables(meta, studies, trials, points)


def migrate(connection: Connection, tables: Tables) -> None:
    """Bring an older store, which has all tables already, up to `SCHEMA`: what came since are columns."""
    from sqlalchemy import inspect

    for table in (tables.studies, tables.trials):
        there = {column["name"] for column in inspect(connection).get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                kind = column.type.compile(connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}")
    trials = tables.trials
    connection.execute(trials.update().where(trials.c.changed.is_(None)).values(changed=0))
    next(index for index in trials.indexes if index.name == "trials_by_change").create(connection, checkfirst=True)
    connection.execute(tables.meta.update().values(schema_version=SCHEMA))


def study_of(row: Row[Any]) -> StudyRecord:
    """Return the study of a row, without its trials."""
    objective = None if row.metric is None else Objective(row.metric, row.direction, row.reduce)
    constraints = tuple(Constraint(*found) for found in json.loads(row.constraints or "[]"))
    further = tuple(Objective(*found) for found in json.loads(row.further or "[]"))
    space = Space.from_json(json.loads(row.space))
    return StudyRecord(row.name, space, objective, row.seed, constraints=constraints, further=further)


def study_values(study: StudyRecord) -> dict[str, object]:
    """Return what a study's row holds that may change."""
    objective = study.objective
    return {
        "space": json.dumps(study.space.to_json()),
        "metric": objective.metric if objective else None,
        "direction": objective.direction if objective else None,
        "reduce": objective.reduce if objective else None,
        "seed": study.seed,
        "constraints": json.dumps([astuple(c) for c in study.constraints]) if study.constraints else None,
        "further": json.dumps([astuple(objective) for objective in study.further]) if study.further else None,
    }


def trial_of(row: Row[Any]) -> TrialRecord:
    """Return the trial of a row."""
    return TrialRecord(
        id=row.id,
        number=row.number,
        study=row.study,
        params=json.loads(row.params),
        state=TrialState(row.state),
        value=row.value,
        step=row.step,
        epoch=row.epoch,
        error=row.error,
        started_time=row.started_time,
        finished_time=row.finished_time,
        stderr=row.stderr,
        metrics=json.loads(row.metrics) if row.metrics else {},
    )
