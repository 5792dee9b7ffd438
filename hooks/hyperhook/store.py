"""The store: what workers must agree on, in an SQL database. Studies, the trials' states, the objective's values.

SQLAlchemy is imported when a store is opened, so that ``import hyperhook`` stays light.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperhook.constraint import Constraint
from hyperhook.errors import ObjectiveError, StoreError, StudyError, StudyMismatchError
from hyperhook.given import holds
from hyperhook.known import Known
from hyperhook.objective import Objective, Point
from hyperhook.parameters import Params
from hyperhook.records import StudyRecord, TrialRecord, TrialState
from hyperhook.space import Space
from hyperhook.tables import SCHEMA, define_tables, migrate, study_of, study_values, trial_of

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = ["Store"]

_BUSY_TIMEOUT_SECONDS = 30


class Store:
    """The database of one home.

    Args:
        path: The SQLite file; made where it is missing.

    Raises:
        StoreError: It cannot be opened, is no store, or one of a newer version. An older one is brought up to date.

    Example:
        >>> Store(Path("hyperhook.db")).study_names()  # doctest: +SKIP
        []
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tables = define_tables()
        self._engine = _sqlite(path)
        self._known: dict[str, Known] = {}
        with self._transaction() as connection:
            self._tables.meta.metadata.create_all(connection)
            found = connection.execute(self._tables.meta.select()).scalar()
            if found is None:
                connection.execute(self._tables.meta.insert().values(schema_version=SCHEMA))
            elif found > SCHEMA:
                raise StoreError(
                    f"store {str(path)!r} has schema {found}, this hyperhook expects {SCHEMA} at the most; "
                    "use the version of hyperhook that wrote it, or another home"
                )
            elif found < SCHEMA:
                migrate(connection, self._tables)
        self.close = weakref.finalize(self, _close, _hold_open(path), os.getpid())
        """Let go of the database; a store that is used again after it is slower, and right."""

    @contextmanager
    def _transaction(self, *, write: bool = True) -> Iterator[Connection]:
        from sqlalchemy.exc import DatabaseError, OperationalError

        try:
            with self._engine.connect().execution_options(hyperhook_write=write) as connection, connection.begin():
                yield connection
        except OperationalError as error:
            raise StoreError(f"store {str(self._path)!r} cannot be used: {error.orig}") from error
        except DatabaseError as error:
            raise StoreError(
                f"store {str(self._path)!r} is not a database that hyperhook wrote: {error.orig}; "
                "move the file away, or choose another home"
            ) from error

    def open_study(
        self,
        name: str,
        space: Space | None = None,
        objective: Objective | None = None,
        seed: int | None = None,
        *,
        constraints: tuple[Constraint, ...] | None = None,
        further: tuple[Objective, ...] = (),
    ) -> StudyRecord:
        """Create a study, or go on with the one of that name.

        A study that has no value yet takes over a new objective and new constraints, so that a misspelled metric can be
        mended.

        Args:
            name: Name of the study.
            space: What may vary; None takes over the stored one, or is empty in a new study.
            objective: What to search for; None takes over the stored one, or is none in a new study.
            seed: Seed of the search; None takes over the stored one.
            constraints: What a trial must come to; None takes over the stored ones, or is none in a new study.
            further: What else to search for beside the objective; without that, what is stored.

        Returns:
            The study without its trials.

        Raises:
            StudyMismatchError: The study exists with another space or objective, or with other constraints.
            ObjectiveError: There are constraints and no objective.
        """
        studies = self._tables.studies
        with self._transaction() as connection:
            row = connection.execute(studies.select().where(studies.c.name == name)).one_or_none()
            if row is None:
                made = StudyRecord(
                    name,
                    Space({}) if space is None else space,
                    objective,
                    seed,
                    constraints=constraints or (),
                    further=further,
                )
                _check_goals(made)
                connection.execute(studies.insert().values(name=name, created_time=time.time(), **study_values(made)))
                return made
            found = study_of(row)
            if space is not None and found.space != space:
                raise StudyMismatchError(_space_difference(name, found.space, space))
            wanted = found.objectives if objective is None else (objective, *further)
            if wanted != found.objectives and self._has_values(connection, name):
                raise StudyMismatchError(
                    f"study {name!r} exists with the objective {_listed(found.objectives)}, got {_listed(wanted)}; "
                    "give this search another name"
                )
            if constraints is not None and set(constraints) != set(found.constraints):
                if self._has_values(connection, name):
                    raise StudyMismatchError(
                        f"study {name!r} exists with the constraints {_listed(found.constraints)}, "
                        f"got {_listed(constraints)}; give this search another name"
                    )
            merged = StudyRecord(
                name,
                found.space if space is None else space,
                wanted[0] if wanted else None,
                found.seed if seed is None else seed,
                constraints=found.constraints if constraints is None else constraints,
                further=wanted[1:],
            )
            _check_goals(merged)
            connection.execute(studies.update().where(studies.c.name == name).values(**study_values(merged)))
            return merged

    def _has_values(self, connection: Connection, study: str) -> bool:
        trials = self._tables.trials
        valued = trials.select().where(trials.c.study == study, trials.c.value.is_not(None)).limit(1)
        return connection.execute(valued).first() is not None

    def study(self, name: str) -> StudyRecord:
        """Return a study with all its trials and their curves; what this process has read before is not read again.

        Raises:
            StudyError: There is no study of that name.
        """
        studies, trials, points = self._tables.studies, self._tables.trials, self._tables.points
        known = self._known.get(name, Known(name))
        with self._transaction(write=False) as connection:
            row = connection.execute(studies.select().where(studies.c.name == name)).one_or_none()
            if row is None:
                names = [n for (n,) in connection.execute(studies.select().with_only_columns(studies.c.name))]
                raise StudyError(f"there is no study {name!r} here; there are: {', '.join(sorted(names)) or 'none'}")
            grown = points.select().where(points.c.study == name, points.c.id > known.point).order_by(points.c.id)
            is_new = trials.c.study == name if known.change is None else trials.c.changed > known.change
            known = known.after(connection.execute(grown).all(), connection.execute(trials.select().where(is_new)))
            self._known[name] = known
            return replace(study_of(row), trials=known.trials)

    def keep_sweep(self, name: str, sweep: str) -> None:
        """Keep what the agents of a study go by; see `sweep.order.Order`."""
        studies = self._tables.studies
        with self._transaction() as connection:
            connection.execute(studies.update().where(studies.c.name == name).values(sweep=sweep))

    def sweep(self, name: str) -> str | None:
        """Return what the agents of a study go by; None where it came from no sweep file, or is not there."""
        studies = self._tables.studies
        with self._transaction(write=False) as connection:
            row = connection.execute(studies.select().where(studies.c.name == name)).one_or_none()
            return None if row is None else row.sweep

    def study_names(self) -> list[str]:
        """Return the names of all studies, the oldest first."""
        studies = self._tables.studies
        with self._transaction(write=False) as connection:
            rows = connection.execute(studies.select().order_by(studies.c.created_time, studies.c.name))
            return [row.name for row in rows]

    def claim(
        self,
        study: str,
        trial_id: str,
        params: Params,
        *,
        known: int | None = None,
        budget: int | None = None,
        launch: str | None = None,
    ) -> TrialRecord | None:
        """Start a trial, atomically.

        Args:
            study: Name of the study.
            trial_id: The new trial's id.
            params: Its params.
            known: Claim nothing where a trial of this number or a later one has the same params: another worker was
                given them at the same time. None claims always.
            budget: Claim nothing where this many trials have ended by themselves or are RUNNING; None claims always.
            launch: What other ranks of a distributed run find the trial by.

        Returns:
            The RUNNING trial; None where the budget is used up, or another worker came first.
        """
        trials = self._tables.trials
        with self._transaction() as connection:
            if self._is_used_up(connection, study, budget):
                return None
            if known is not None:
                newer = trials.select().where(trials.c.study == study, trials.c.number >= known)
                if any(holds(json.loads(row.params), params) for row in connection.execute(newer)):
                    return None
            return self._insert(connection, study, trial_id, params, TrialState.RUNNING, launch)

    def enqueue(self, study: str, trial_id: str, params: Params, unless: Params | None = None) -> TrialRecord:
        """Add a QUEUED trial, atomically.

        Args:
            study: Name of the study.
            trial_id: The new trial's id.
            params: Its params.
            unless: Add nothing where a trial with all these values is queued, runs, or is COMPLETE or PRUNED; None
                adds always.

        Returns:
            The QUEUED trial, or the one that has the values already.
        """
        trials = self._tables.trials
        lost = [TrialState.FAILED.value, TrialState.KILLED.value]
        with self._transaction() as connection:
            if unless is not None:
                kept = trials.select().where(trials.c.study == study, trials.c.state.not_in(lost))
                for row in connection.execute(kept.order_by(trials.c.number)):
                    if holds(json.loads(row.params), unless):
                        return trial_of(row)
            return self._insert(connection, study, trial_id, params, TrialState.QUEUED, None)

    def start(self, trial: TrialRecord, *, budget: int | None = None, launch: str | None = None) -> TrialRecord | None:
        """Make a QUEUED trial a RUNNING one, atomically.

        Args:
            trial: The trial.
            budget: See `claim`.
            launch: See `claim`.

        Returns:
            The RUNNING trial; None where the budget is used up, or another worker came first.
        """
        trials = self._tables.trials
        with self._transaction() as connection:
            where = (trials.c.id == trial.id) & (trials.c.state == TrialState.QUEUED.value)
            begun = (
                trials.update()
                .where(where)
                .values(state=TrialState.RUNNING.value, started_time=time.time(), launch=launch)
            )
            if self._is_used_up(connection, trial.study, budget) or connection.execute(begun).rowcount == 0:
                return None
            return trial_of(connection.execute(trials.select().where(trials.c.id == trial.id)).one())

    def _is_used_up(self, connection: Connection, study: str, budget: int | None) -> bool:
        from sqlalchemy import func, select

        if budget is None:
            return False
        trials = self._tables.trials
        counted = [TrialState.RUNNING, *(state for state in TrialState if state.ended_by_itself)]
        used = select(func.count()).where(trials.c.study == study, trials.c.state.in_(counted))
        return connection.execute(used).scalar_one() >= budget

    def _insert(
        self,
        connection: Connection,
        study: str,
        trial_id: str,
        params: Params,
        state: TrialState,
        launch: str | None,
    ) -> TrialRecord:
        """Add a trial with the next number."""
        from sqlalchemy import func, select

        trials = self._tables.trials
        last = connection.execute(select(func.max(trials.c.number)).where(trials.c.study == study)).scalar()
        number = 0 if last is None else last + 1
        trial = TrialRecord(trial_id, number, study, dict(params), state, started_time=time.time())
        connection.execute(
            trials.insert().values(
                id=trial.id,
                study=study,
                number=trial.number,
                params=json.dumps(trial.params),
                state=trial.state.value,
                started_time=trial.started_time,
                launch=launch,
            )
        )
        return trial

    def report(self, trial_id: str, point: Point | None) -> StudyRecord:
        """Keep where a RUNNING trial stands, for the pruners; return its study as it stands then.

        What is kept is never changed: a point at a step that the trial had reported before is passed over, and so is
        one of a trial that ended, such as by another process. The ids of points grow in the order in which they come
        to be seen, since writers take turns.

        Args:
            trial_id: The trial's id.
            point: Where it stands; None before its first point.

        Raises:
            StoreError: There is no such trial.
        """
        trials, points = self._tables.trials, self._tables.points
        with self._transaction(write=point is not None) as connection:
            trial = connection.execute(trials.select().where(trials.c.id == trial_id)).one_or_none()
            if trial is None:
                raise StoreError(f"store {str(self._path)!r} has no trial {trial_id!r}; was its home replaced?")
            if point is not None and trial.state == TrialState.RUNNING:
                there = points.select().where(points.c.trial == trial_id, points.c.step == point.step)
                if connection.execute(there).first() is None:
                    value = None if math.isnan(point.value) else point.value
                    made = {"value": value, "step": point.step, "epoch": point.epoch}
                    connection.execute(points.insert().values(study=trial.study, trial=trial_id, **made))
        return self.study(trial.study)

    def finish(self, trial_id: str, state: TrialState, point: Point | None, error: str | None) -> TrialRecord | None:
        """End a RUNNING trial, atomically.

        Returns:
            The trial as it ended; None where it had ended before, so that this ending does not count.
        """
        trials = self._tables.trials
        ended = {
            "state": state.value,
            "value": point.value if point else None,
            "step": point.step if point else None,
            "epoch": point.epoch if point else None,
            "error": error,
            "stderr": point.stderr if point else None,
            "metrics": json.dumps(dict(point.metrics)) if point and point.metrics else None,
        }
        with self._transaction() as connection:
            where = (trials.c.id == trial_id) & (trials.c.state == TrialState.RUNNING.value)
            running = connection.execute(trials.select().where(where)).one_or_none()
            if running is None:
                return None
            ended["finished_time"] = max(time.time(), running.started_time)  # a clock may be set back
            if connection.execute(trials.update().where(where).values(**ended)).rowcount == 0:
                return None
            return trial_of(connection.execute(trials.select().where(trials.c.id == trial_id)).one())

    def reopen(self, trial_id: str) -> TrialRecord | None:
        """Make a trial that ended a RUNNING one again, atomically.

        Returns:
            The trial, without value and error; None where it runs, or was never there.
        """
        trials = self._tables.trials
        ends = [state.value for state in TrialState if state.is_finished]
        blank = dict.fromkeys(("value", "step", "epoch", "error", "finished_time", "stderr", "metrics"))
        with self._transaction() as connection:
            where = (trials.c.id == trial_id) & trials.c.state.in_(ends)
            again = trials.update().where(where).values(state=TrialState.RUNNING.value, **blank)
            if connection.execute(again).rowcount == 0:
                return None
            return trial_of(connection.execute(trials.select().where(trials.c.id == trial_id)).one())

    def trial(self, trial_id: str) -> TrialRecord | None:
        """Return a trial; None where there is none of that id."""
        trials = self._tables.trials
        with self._transaction(write=False) as connection:
            row = connection.execute(trials.select().where(trials.c.id == trial_id)).one_or_none()
            return None if row is None else trial_of(row)

    def running(self, study: str) -> list[TrialRecord]:
        """Return the trials of a study that are RUNNING."""
        trials = self._tables.trials
        with self._transaction(write=False) as connection:
            where = (trials.c.study == study) & (trials.c.state == TrialState.RUNNING.value)
            return [trial_of(row) for row in connection.execute(trials.select().where(where))]

    def launched(self, launch: str) -> TrialRecord | None:
        """Return the trial that a leading rank started under this mark; None where it has not yet."""
        trials = self._tables.trials
        with self._transaction(write=False) as connection:
            row = connection.execute(trials.select().where(trials.c.launch == launch)).one_or_none()
            return None if row is None else trial_of(row)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self._path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]


_inherited: list[sqlite3.Connection] = []  # of a parent process: kept, since closing them is not ours


def _hold_open(path: Path) -> sqlite3.Connection:
    """Keep transactions from being the last to close the database: that empties its log, and waits for the disk."""
    held = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_SECONDS, check_same_thread=False)
    held.execute("SELECT count(*) FROM meta").fetchall()  # SQLite opens a file when it is first read
    return held


def _close(held: sqlite3.Connection, pid: int) -> None:
    if os.getpid() == pid:
        held.close()
    else:
        _inherited.append(held)


def _sqlite(path: Path) -> Engine:
    """Return an engine that is safe under fork and threads (no pool), whose writers take turns."""
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool

    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool, connect_args={"timeout": _BUSY_TIMEOUT_SECONDS})

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


def _check_goals(study: StudyRecord) -> None:
    if study.constraints and study.objective is None:
        raise ObjectiveError(
            f"study {study.name!r} has the constraints {_listed(study.constraints)} and no objective; "
            "give it one to search for: objective=hh.Maximize('val_acc')"
        )


def _listed(goals: Iterable[Constraint | Objective]) -> str:
    return ", ".join(map(str, goals)) or "none"


def _space_difference(study: str, found: Space, wanted: Space) -> str:
    names = [*found, *(name for name in wanted if name not in found)]
    for name in names:
        there, here = found.get(name), wanted.get(name)
        if there != here or found.condition(name) != wanted.condition(name):
            return (
                f"study {study!r} exists with another space: {name!r} is {there or 'not in it'} there, "
                f"{here or 'not in it'} here; give this search another name, or go on with the old space"
            )
    return f"study {study!r} exists with another space; give this search another name"
