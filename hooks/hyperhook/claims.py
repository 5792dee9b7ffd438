"""How trials of a store begin: queued, claimed, started, gone on with; each by one worker."""

from __future__ import annotations

import json
import time
from itertools import count
from typing import TYPE_CHECKING, Any

from hyperhook.given import holds
from hyperhook.leases import Holder, held_by
from hyperhook.parameters import Params
from hyperhook.records import TrialRecord, TrialState
from hyperhook.tables import change, trial_of
from hyperhook.turns import Turns

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

__all__ = ["Claims"]


class Claims(Turns):
    """The part of a `Store` that begins trials."""

    def claim(
        self,
        study: str,
        trial_id: str,
        params: Params,
        *,
        proposed: Params | None = None,
        known: int | None = None,
        budget: int | None = None,
        launch: str | None = None,
        holder: Holder | None = None,
    ) -> TrialRecord | None:
        """Start a trial, atomically.

        Args:
            study: Name of the study.
            trial_id: The new trial's id.
            params: Its params.
            proposed: What it is answered when it asks for params, where the space grows; see `TrialRecord`.
            known: Claim nothing where a trial of this number or a later one has the same params: another worker was
                given them at the same time. None claims always.
            budget: Claim nothing where this many trials have ended by themselves or are RUNNING; None claims always.
            launch: What other ranks of a distributed run find the trial by.
            holder: Who runs it; None for somebody whose lease never runs out.

        Returns:
            The RUNNING trial; None where the budget is used up, or another worker came first.
        """
        tries = count()

        def work(connection: Connection) -> TrialRecord | None:
            self._take_turn(connection, study)
            done = self._row(connection, trial_id) if next(tries) else None
            if done is not None:
                return trial_of(done)
            number = self._next_number(connection, study)
            if self._is_used_up(connection, study, budget, number):
                return None
            wanted = params if proposed is None else proposed
            if known is not None and wanted and self._was_given(connection, study, wanted, known):
                return None
            held = {"launch": launch, "begun": 1, **held_by(holder, self._database)}
            return self._insert(connection, study, number, trial_id, params, TrialState.RUNNING, held, proposed)

        return self._database.write(work)

    def take(
        self,
        study: str,
        trial_id: str,
        *,
        budget: int | None = None,
        launch: str | None = None,
        holder: Holder | None = None,
    ) -> TrialRecord | None:
        """Start a trial with the first suggestion that waits, atomically; see `suggestions`.

        One whose params another trial was given since it was chosen, as where a user queued them, is dropped.

        Args:
            study: Name of the study.
            trial_id: The new trial's id.
            budget: See `claim`.
            launch: See `claim`.
            holder: See `claim`.

        Returns:
            The RUNNING trial; None where the budget is used up, or none waits.
        """
        suggestions, tries = self._tables.suggestions, count()
        first = suggestions.select().where(suggestions.c.study == study).order_by(suggestions.c.id).limit(1)

        def work(connection: Connection) -> TrialRecord | None:
            self._take_turn(connection, study)
            done = self._row(connection, trial_id) if next(tries) else None
            if done is not None:
                return trial_of(done)
            number = self._next_number(connection, study)
            if self._is_used_up(connection, study, budget, number):
                return None
            while (row := connection.execute(first).one_or_none()) is not None:
                connection.execute(suggestions.delete().where(suggestions.c.id == row.id))
                params = json.loads(row.params)
                if not self._was_given(connection, study, params, row.known):
                    held = {"launch": launch, "begun": 1, **held_by(holder, self._database)}
                    return self._insert(connection, study, number, trial_id, params, TrialState.RUNNING, held)
            return None

        return self._database.write(work)

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
        trials, tries = self._tables.trials, count()
        lost = [TrialState.FAILED.value, TrialState.KILLED.value]

        def work(connection: Connection) -> TrialRecord:
            self._take_turn(connection, study)
            done = self._row(connection, trial_id) if next(tries) else None
            if done is not None:
                return trial_of(done)
            if unless is not None:
                kept = trials.select().where(trials.c.study == study, trials.c.state.not_in(lost))
                for row in connection.execute(kept.order_by(trials.c.number)):
                    if holds(_all_params(found := trial_of(row)), unless):
                        return found
            number = self._next_number(connection, study)
            return self._insert(connection, study, number, trial_id, params, TrialState.QUEUED, {})

        return self._database.write(work)

    def start(
        self,
        trial: TrialRecord,
        *,
        proposed: Params | None = None,
        budget: int | None = None,
        launch: str | None = None,
        holder: Holder | None = None,
    ) -> TrialRecord | None:
        """Make a QUEUED trial a RUNNING one, atomically. One that ran before keeps the time when it began.

        Args:
            trial: The trial.
            proposed: See `claim`; the trial then has no params until it asks for them.
            budget: See `claim`.
            launch: See `claim`.
            holder: See `claim`.

        Returns:
            The RUNNING trial; None where the budget is used up, or another worker came first.
        """

        def work(connection: Connection) -> TrialRecord | None:
            self._take_turn(connection, trial.study)
            row = self._row(connection, trial.id)
            if row is None or row.state != TrialState.QUEUED:
                return self._done(row, holder)
            if self._is_used_up(connection, trial.study, budget, self._next_number(connection, trial.study)):
                return None
            began = row.started_time if row.begun else time.time()
            values = {
                "started_time": began,
                "launch": launch,
                "begun": (row.begun or 0) + 1,
                **held_by(holder, self._database),
            }
            if proposed is not None:
                values |= {"params": "{}", "proposed": json.dumps(dict(proposed))}
            return self._change(connection, row, state=TrialState.RUNNING.value, **values)

        return self._database.write(work)

    def reopen(self, trial_id: str, holder: Holder | None = None) -> TrialRecord | None:
        """Make a trial that ended a RUNNING one again, atomically.

        Returns:
            The trial, without value and error; None where it runs, or was never there.
        """
        blank = dict.fromkeys(("value", "step", "epoch", "error", "finished_time", "stderr", "metrics", "epochs"))

        def work(connection: Connection) -> TrialRecord | None:
            row = self._turn_of(connection, trial_id)
            if row is None or not TrialState(row.state).is_finished:
                return self._done(row, holder)
            values = {"begun": (row.begun or 1) + 1, **blank, **held_by(holder, self._database)}
            return self._change(connection, row, state=TrialState.RUNNING.value, **values)

        return self._database.write(work)

    def launched(self, launch: str) -> TrialRecord | None:
        """Return the trial that a leading rank started under this mark; None where it has not yet."""
        trials = self._tables.trials
        wanted = trials.select().where(trials.c.launch == launch)
        row = self._database.read(lambda connection: connection.execute(wanted).one_or_none())
        return None if row is None else trial_of(row)

    def _done(self, row: Row[Any] | None, holder: Holder | None) -> TrialRecord | None:
        """Return the trial where this worker has it already: it was told nothing, since the connection broke."""
        return trial_of(row) if row is not None and holder is not None and row.worker == holder.worker else None

    def _was_given(self, connection: Connection, study: str, params: Params, known: int) -> bool:
        """Tell whether a trial of this number or a later one has the same params."""
        trials = self._tables.trials
        newer = trials.select().where(trials.c.study == study, trials.c.number >= known)
        return any(holds(_all_params(trial_of(row)), params) for row in connection.execute(newer))

    def _next_number(self, connection: Connection, study: str) -> int:
        from sqlalchemy import func, select

        trials = self._tables.trials
        last = connection.execute(select(func.max(trials.c.number)).where(trials.c.study == study)).scalar()
        return 0 if last is None else last + 1

    def _is_used_up(self, connection: Connection, study: str, budget: int | None, begun: int) -> bool:
        """Tell whether a study has no trial left to give; where it had fewer than that at all, without counting."""
        from sqlalchemy import func, select

        if budget is None or begun < budget:
            return False
        trials = self._tables.trials
        counted = [TrialState.RUNNING, *(state for state in TrialState if state.ended_by_itself)]
        used = select(func.count()).where(trials.c.study == study, trials.c.state.in_(counted))
        return bool(connection.execute(used).scalar_one() >= budget)

    def _insert(
        self,
        connection: Connection,
        study: str,
        number: int,
        trial_id: str,
        params: Params,
        state: TrialState,
        more: dict[str, Any],
        proposed: Params | None = None,
    ) -> TrialRecord:
        trial = TrialRecord(trial_id, number, study, dict(params), state, started_time=time.time(), proposed=proposed)
        values = {
            "id": trial.id,
            "study": study,
            "number": trial.number,
            "params": json.dumps(trial.params),
            "proposed": None if proposed is None else json.dumps(dict(proposed)),
            "state": trial.state.value,
            "started_time": trial.started_time,
            "changed": change(self._tables, study),
            **more,
        }
        connection.execute(self._tables.trials.insert().values(**values))
        return trial


def _all_params(trial: TrialRecord) -> Params:
    """Return the params of a trial, and what is proposed to it."""
    return {**(trial.proposed or {}), **trial.params}
