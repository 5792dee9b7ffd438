"""What trials of a store ask for as they go, where the study's space grows with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hyperhook.errors import StoreError
from hyperhook.growth import grown
from hyperhook.parameters import Parameter, Scalar
from hyperhook.records import TrialState
from hyperhook.tables import study_of
from hyperhook.turns import Turns

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Meeting"]


class Meeting(Turns):
    """The part of a `Store` that keeps what define-by-run trials meet."""

    def meet(self, trial_id: str, name: str, asked: Parameter, value: Scalar, worker: str | None = None) -> None:
        """Keep a param that a RUNNING trial asked for, and the parameter in its study's space, atomically.

        Args:
            trial_id: The trial's id.
            name: What the parameter is called.
            asked: The parameter, as the trial asked for it.
            value: The value that it got.
            worker: Whose trial it must be, for its params to change; None for anybody's.

        Raises:
            SpaceError: Another trial asked for it in a way that does not go together with this one.
            StoreError: There is no such trial.
        """
        studies = self._tables.studies

        def work(connection: Connection) -> None:
            row = self._turn_of(connection, trial_id)
            if row is None:
                raise StoreError(f"store {self._database.address} has no trial {trial_id!r}; was its home replaced?")
            of_study = studies.c.name == row.study
            study = study_of(connection.execute(studies.select().where(of_study)).one())
            space = grown(study.space, name, asked)
            if space != study.space:
                connection.execute(studies.update().where(of_study).values(space=json.dumps(space.to_json())))
            if row.state == TrialState.RUNNING and worker in (None, row.worker):
                self._change(connection, row, params=json.dumps({**json.loads(row.params), name: value}))

        self._database.write(work)
