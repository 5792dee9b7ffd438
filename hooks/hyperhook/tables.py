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
    from sqlalchemy import ColumnElement, Row, Table
    from sqlalchemy.sql.selectable import NamedFromClause

__all__ = ["SCHEMA", "Tables", "change", "define_tables", "stored", "study_of", "study_values", "trial_of"]

SCHEMA = 6
"""The version of the tables; it grows with every column. An older store is brought up to it, a newer one is refused."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one store."""

    meta: Table
    studies: Table
    trials: Table
    points: Table
    suggestions: Table
    others: NamedFromClause[Any]
    """The trials beside those that a statement is about."""


def define_tables() -> Tables:
    """Return the tables as this version has them."""
    from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

    big = BigInteger().with_variant(Integer, "sqlite")  # whose integers have 64 bits, and count by themselves
    metadata = MetaData()
    meta = Table("meta", metadata, Column("schema_version", Integer, primary_key=True))
    studies = Table(
        "studies",
        metadata,
        Column("name", Text, primary_key=True),
        Column("space", Text, nullable=False),
        Column("metric", Text),
        Column("direction", String(16)),
        Column("reduce", String(16)),
        Column("seed", big),
        Column("created_time", Float, nullable=False),
        Column("constraints", Text),
        Column("further", Text),
        Column("grows", Integer),
        Column("max_retries", Integer),
        Column("stopped", Text),
        Column("sweep", Text),
        Column("ahead", String(64)),  # who suggests ahead, by a token; see `suggestions`
        Column("ahead_renewed", Float),  # when that process said last that it lives, by the clock of the store
        Column("ahead_seconds", Float),  # how long that holds
        Column("ahead_batch", String(64)),  # what it suggested last, so that it is not added twice
    )
    trials = Table(
        "trials",
        metadata,
        Column("id", String(64), primary_key=True),
        Column("study", Text, nullable=False),
        Column("number", Integer, nullable=False),
        Column("params", Text, nullable=False),
        Column("state", String(16), nullable=False),
        Column("value", Float),
        Column("step", big),
        Column("epoch", big),
        Column("error", Text),
        Column("started_time", Float, nullable=False),
        Column("finished_time", Float),
        Column("launch", String(64)),
        Column("stderr", Float),
        Column("metrics", Text),
        Column("epochs", big),
        Column("proposed", Text),
        Column("changed", big),  # counts the changes of a study's trials, so that a reader reads no more than those
        Column("worker", String(64)),  # who runs it, by a token of this run; it stays when the trial has ended
        Column("place", Text),  # where its lock and its journal lie
        Column("renewed", Float),  # when the worker said last that it lives, by the clock of the store
        Column("lease_seconds", Float),  # how long that holds
        Column("lost", Integer),  # how often its worker died, so that it was queued again
        Column("begun", Integer),  # how often it began
        UniqueConstraint("study", "number"),
        Index("trials_by_state", "study", "state"),
        Index("trials_by_launch", "launch"),
        Index("trials_by_study_and_change", "study", "changed"),
    )
    points = Table(
        "points",
        metadata,
        Column("id", big, primary_key=True, autoincrement=True),
        Column("study", Text, nullable=False),
        Column("trial", String(64), nullable=False),
        Column("value", Float),  # empty: NaN, which SQLite has no other way to keep
        Column("step", big, nullable=False),
        Column("epoch", big),
        UniqueConstraint("trial", "step"),
        Index("points_by_study", "study", "id"),
        sqlite_autoincrement=True,
    )
    suggestions = Table(
        "suggestions",
        metadata,
        Column("id", big, primary_key=True, autoincrement=True),
        Column("study", Text, nullable=False),
        Column("params", Text, nullable=False),
        Column("known", Integer, nullable=False),  # the number behind all trials that it was chosen by
        Index("suggestions_by_study", "study", "id"),
        sqlite_autoincrement=True,
    )
    return Tables(meta, studies, trials, points, suggestions, trials.alias())


def change(tables: Tables, study: str) -> ColumnElement[int]:
    """Return the number of a study's next change, for a statement."""
    from sqlalchemy import func, select

    known = tables.others
    return select(func.coalesce(func.max(known.c.changed), 0) + 1).where(known.c.study == study).scalar_subquery()


def study_of(row: Row[Any]) -> StudyRecord:
    """Return the study of a row, without its trials."""
    objective = None if row.metric is None else Objective(row.metric, row.direction, row.reduce)
    constraints = tuple(Constraint(*found) for found in json.loads(row.constraints or "[]"))
    further = tuple(Objective(*found) for found in json.loads(row.further or "[]"))
    space = Space.from_json(json.loads(row.space))
    grows = not space if row.grows is None else bool(row.grows)  # older studies without a space know nothing of it
    return StudyRecord(
        row.name,
        space,
        objective,
        row.seed,
        constraints=constraints,
        further=further,
        grows=grows,
        max_retries=row.max_retries or 0,
        stopped=row.stopped,
    )


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
        "grows": int(study.grows),
        "max_retries": study.max_retries,
    }


def trial_of(row: Any) -> TrialRecord:
    """Return the trial of a row, or of what has its columns."""
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
        epochs=row.epochs,
        proposed=None if row.proposed is None else json.loads(row.proposed),
    )


def stored(number: int | None) -> int | None:
    """Return a step or an epoch as 64 bits can hold it: the largest that they can, where they cannot."""
    return number if number is None else min(number, 2**63 - 1)
