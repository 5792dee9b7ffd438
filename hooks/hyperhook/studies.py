"""The studies of a store: opened, listed, read with their trials."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hyperhook.constraint import Constraint
from hyperhook.errors import ObjectiveError, StudyError, StudyMismatchError
from hyperhook.known import Known
from hyperhook.objective import Objective
from hyperhook.records import StudyRecord, TrialRecord, TrialState
from hyperhook.space import Space
from hyperhook.tables import study_of, study_values, trial_of
from hyperhook.turns import Turns

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

__all__ = ["Studies"]


class Studies(Turns):
    """The part of a `Store` that knows studies."""

    _known: dict[str, Known]
    _served: dict[str, bool]

    def open_study(
        self,
        name: str,
        space: Space | None = None,
        objective: Objective | None = None,
        seed: int | None = None,
        *,
        constraints: tuple[Constraint, ...] | None = None,
        further: tuple[Objective, ...] = (),
        max_retries: int | None = None,
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
            max_retries: How often a trial whose worker died is queued again; None takes over what is stored, or is 0 in
                a new study.

        Returns:
            The study without its trials.

        Raises:
            StudyMismatchError: The study exists with another space or objective, or with other constraints.
            ObjectiveError: There are constraints and no objective.
            StudyError: Its name, or a metric's, holds what no database keeps.
        """
        for kept in (name, objective.metric if objective else ""):
            _check_text(kept)

        def work(connection: Connection) -> StudyRecord:
            studies = self._tables.studies
            row = connection.execute(studies.select().where(studies.c.name == name).with_for_update()).one_or_none()
            if row is None:
                made = StudyRecord(
                    name,
                    Space({}) if space is None else space,
                    objective,
                    seed,
                    constraints=constraints or (),
                    further=further,
                    grows=space is None,
                    max_retries=max_retries or 0,
                )
                _check_goals(made)
                if self._add(connection, made):
                    return made
                return work(connection)  # another worker was faster
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
                grows=found.grows,
                max_retries=found.max_retries if max_retries is None else max_retries,
            )
            _check_goals(merged)
            connection.execute(studies.update().where(studies.c.name == name).values(**study_values(merged)))
            return merged

        return self._database.write(work)

    def _add(self, connection: Connection, study: StudyRecord) -> bool:
        """Add a study; tell whether there was none of its name."""
        from sqlalchemy.exc import IntegrityError

        studies = self._tables.studies
        row = {"name": study.name, "created_time": time.time(), **study_values(study)}
        try:
            with connection.begin_nested():
                connection.execute(studies.insert().values(**row))
        except IntegrityError:
            return False
        return True

    def _has_values(self, connection: Connection, study: str) -> bool:
        trials = self._tables.trials
        valued = trials.select().where(trials.c.study == study, trials.c.value.is_not(None)).limit(1)
        return connection.execute(valued).first() is not None

    def study(self, name: str, *, patience_seconds: float | None = None) -> StudyRecord:
        """Return a study with all its trials and their curves; what this process has read before is not read again.

        Args:
            name: Name of the study.
            patience_seconds: How long to wait for a database that does not answer; by default as long as ever.

        Raises:
            StudyError: There is no study of that name.
        """
        from sqlalchemy import select

        studies, trials, points = self._tables.studies, self._tables.trials, self._tables.points

        known = self._known.get(name, Known(name))

        def work(connection: Connection) -> tuple[Row[Any], Sequence[Any], Sequence[Any]]:
            row = connection.execute(studies.select().where(studies.c.name == name)).one_or_none()
            if row is None:
                names = [n for (n,) in connection.execute(select(studies.c.name))]
                raise StudyError(f"there is no study {name!r} here; there are: {', '.join(sorted(names)) or 'none'}")
            grown = (
                select(points.c.id, trials.c.number, points.c.value, points.c.step, points.c.epoch)
                .join(trials, trials.c.id == points.c.trial)
                .where(points.c.study == name, points.c.id > known.point)
                .order_by(points.c.id)
            )
            changed = trials.select().where(trials.c.study == name)
            if known.change is not None:
                changed = changed.where(trials.c.changed > known.change)
            return row, connection.execute(grown).all(), connection.execute(changed).all()

        row, grown, changed = self._database.read(work, patience_seconds)
        known = self._known[name] = known.after(grown, changed)
        self._served[name] = row.ahead is not None
        return replace(study_of(row), trials=known.trials)

    def queued(self, name: str) -> tuple[TrialRecord, ...]:
        """Return the QUEUED trials of a study by number, in the order in which they are to begin: as last read."""
        known = self._known.get(name)
        return () if known is None else known.queued

    def stop(self, name: str, reason: str | None) -> None:
        """Let no further trial begin; None lets them begin again.

        Raises:
            StudyError: There is no study of that name.
        """
        studies = self._tables.studies
        changed = studies.update().where(studies.c.name == name).values(stopped=reason)
        if not self._database.write(lambda connection: connection.execute(changed).rowcount):
            raise StudyError(f"there is no study {name!r} here")

    def delete(self, name: str) -> tuple[TrialRecord, ...]:
        """Delete a study with its trials, which are returned, atomically.

        Raises:
            StudyError: There is no study of that name, or a worker runs a trial of it.
        """
        studies, trials, points = self._tables.studies, self._tables.trials, self._tables.points

        def work(connection: Connection) -> tuple[TrialRecord, ...]:
            if self._take_turn(connection, name) is None:
                raise StudyError(f"there is no study {name!r} here")
            found = connection.execute(trials.select().where(trials.c.study == name).order_by(trials.c.number)).all()
            running = [trial_of(row).name for row in found if row.state == TrialState.RUNNING]
            if running:
                raise StudyError(f"study {name!r} has trials that run: {', '.join(running)}; wait for their end")
            for table in (points, trials):
                connection.execute(table.delete().where(table.c.study == name))
            connection.execute(studies.delete().where(studies.c.name == name))
            return tuple(map(trial_of, found))

        deleted = self._database.write(work)
        self._known.pop(name, None)
        return deleted

    def keep_sweep(self, name: str, sweep: str) -> None:
        """Keep what the agents of a study go by; see `sweep.order.Order`."""
        studies = self._tables.studies
        changed = studies.update().where(studies.c.name == name).values(sweep=sweep)
        self._database.write(lambda connection: connection.execute(changed))

    def sweep(self, name: str) -> str | None:
        """Return what the agents of a study go by; None where it came from no sweep file, or is not there."""
        studies = self._tables.studies
        wanted = studies.select().where(studies.c.name == name)

        def work(connection: Connection) -> str | None:
            row = connection.execute(wanted).one_or_none()
            return None if row is None else row.sweep

        return self._database.read(work)

    def study_names(self) -> list[str]:
        """Return the names of all studies, the oldest first."""
        studies = self._tables.studies
        ordered = studies.select().order_by(studies.c.created_time, studies.c.name)
        return self._database.read(lambda connection: [row.name for row in connection.execute(ordered)])


def _check_text(name: str) -> None:
    if "\0" in name:
        raise StudyError(f"study: the name {name!r} holds a NUL character, which no database keeps; leave it out")


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
