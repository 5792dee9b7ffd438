"""A home with its store: where trials begin and end, each exactly once."""

from __future__ import annotations

import logging
import secrets
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from hyperhook.address import Address
from hyperhook.database import PATIENCE_SECONDS
from hyperhook.errors import StoreError
from hyperhook.events import TrialFinished, TrialResumed, TrialStarted
from hyperhook.home import Home
from hyperhook.journal import Journal
from hyperhook.lease import Lease
from hyperhook.leases import Holder
from hyperhook.objective import Point
from hyperhook.parameters import Params
from hyperhook.reaper import JOURNAL, QUEUED_AGAIN, Reaper, as_ended
from hyperhook.records import TrialRecord, TrialState
from hyperhook.store import Store

__all__ = ["JOURNAL", "LEASE_SECONDS", "Begun", "Workspace"]

LEASE_SECONDS = 60.0
_REQUEUE_SECONDS = 5.0
"""How long a process that was told to end waits for a database that does not answer."""

log = logging.getLogger("hyperhook")


class Begun(NamedTuple):
    """A trial that this process runs from now on.

    Attributes:
        trial: The RUNNING trial.
        journal: Its journal.
        lease: The right to it.
        goes_on: Whether it ran before, and its journal is here.
    """

    trial: TrialRecord
    journal: Journal
    lease: Lease
    goes_on: bool


class Workspace:
    """Begins and ends trials, so that store, journal and outbox agree whatever dies in between.

    A trial holds a lock that dies with its process, and a lease in the store that tells other machines that it lives.
    It ends in the store first: whoever moves it out of RUNNING there has ended it. Its journal follows, and its lock
    goes last, so that `reap` finds what a crash left half done.

    Args:
        home: The home directory; made where it is missing.
        storage: Where the store is: a URL; by default ``HYPERHOOK_STORAGE``, else an SQLite file in the home.
        lease_seconds: How long a trial counts as alive without a word from its process, in seconds.
        patience_seconds: How long a store that does not answer is waited for, in seconds.

    Raises:
        StoreError: The home cannot be written, or its store cannot be used.
    """

    def __init__(
        self,
        home: Home,
        storage: str | Address | None = None,
        *,
        lease_seconds: float = LEASE_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        address = Address.chosen(storage, home.database)
        home.create()
        self.home = home
        self.store = Store(address, patience_seconds=patience_seconds)
        self._lease_seconds = lease_seconds
        self._reaper = Reaper(home, self.store, self.place)

    @property
    def place(self) -> str:
        """Where the locks of this home lie, so that it can be told whether they say anything about a trial.

        Locks of another machine say nothing here, even where it shares the directory. An SQLite file is on one machine.
        """
        path = str(self.home.path)
        return f"{socket.gethostname()}:{path}:{self.home.identity}" if self.store.is_shared else path

    def journal_path(self, trial_id: str) -> Path:
        """Where a trial's journal lies."""
        return self.home.trial(trial_id) / JOURNAL

    def begin(
        self,
        study: str,
        params: Params,
        trackers: Iterable[str],
        *,
        ahead: bool = False,
        queued: TrialRecord | None = None,
        proposed: Params | None = None,
        known: int | None = None,
        budget: int | None = None,
        launch: str | None = None,
    ) -> Begun | None:
        """Start a trial and its journal, and mark it as to be delivered.

        A queued trial that ran before goes on: in its journal, where that is here.

        Args:
            study: Name of the study.
            params: The trial's params.
            trackers: Names of the trackers that it is for.
            ahead: Take the first suggestion that waits instead of the params.
            queued: The QUEUED trial that is to start; None for a new one.
            proposed: See `Store.claim`.
            known: See `Store.claim`.
            budget: See `Store.claim`.
            launch: See `Store.claim`.

        Returns:
            What was begun; None where the budget is used up, or another worker came first.
        """
        trial_id = secrets.token_hex(8) if queued is None else queued.id
        alive = self.home.alive(trial_id)
        while not alive.acquire():
            time.sleep(0.001)  # a process that reaps looks at the new file, for a moment
            if queued is not None:
                return None  # or another worker starts it
        holder = self._holder()
        try:
            if ahead:
                trial = self.store.take(study, trial_id, budget=budget, launch=launch, holder=holder)
            elif queued is None:
                trial = self.store.claim(
                    study,
                    trial_id,
                    params,
                    proposed=proposed,
                    known=known,
                    budget=budget,
                    launch=launch,
                    holder=holder,
                )
            else:
                trial = self.store.start(queued, proposed=proposed, budget=budget, launch=launch, holder=holder)
        except BaseException:
            alive.release(remove=True)
            raise
        if trial is None:
            alive.release(remove=True)
            return None
        return self._enter(trial, holder, trackers)

    def resume(self, trial: TrialRecord, trackers: Iterable[str]) -> Begun | None:
        """Go on with a trial that ended, and mark it as to be delivered.

        Args:
            trial: The trial.
            trackers: Names of the trackers that it is for.

        Returns:
            What goes on; None where a live process runs it.
        """
        alive = self.home.alive(trial.id)
        if not alive.acquire():
            return None
        holder = self._holder()
        resumed = self.store.reopen(trial.id, holder)
        if resumed is None:
            alive.release()
            return None
        return self._enter(resumed, holder, trackers)

    def _holder(self) -> Holder:
        return Holder(secrets.token_hex(16), self.place, self._lease_seconds)

    def _enter(self, trial: TrialRecord, holder: Holder, trackers: Iterable[str]) -> Begun:
        """Journal that a trial of ours begins or goes on, and keep its lease."""
        path = self.journal_path(trial.id)
        goes_on = path.exists()
        try:
            journal = Journal(path)
            journal.append(TrialResumed(time=time.time()) if goes_on else TrialStarted.of(trial))
            for tracker in trackers:
                self.home.post(trial.study, tracker, trial.id)
        except BaseException:
            self.home.alive(trial.id).release()  # half begun: to be reaped
            raise
        return Begun(trial, journal, Lease(self.store, trial, holder.worker, self._lease_seconds).keep(), goes_on)

    def can_begin(self, queued: TrialRecord) -> bool:
        """Tell whether no process here holds a queued trial that ran, as one does that was stopped and lost it."""
        return not (self.journal_path(queued.id).exists() and self.home.alive(queued.id).is_held())

    def end(
        self, begun: Begun, state: TrialState, point: Point | None, error: str | None, *, epochs: int | None = None
    ) -> TrialRecord | None:
        """End a trial in the store and in its journal.

        Where the disk refuses either, the trial is left half ended, and its lock held: once this process is gone,
        `reap` completes it.

        Args:
            begun: What was begun.
            state: How it ended.
            point: Its value, if it has one.
            error: Why it failed or was killed, in one line.
            epochs: How many epochs it trained, if it told any.

        Returns:
            The trial as it ended; None where it had ended before, or is another worker's by now: see `left`.
        """
        ended = None
        try:
            ended = self.store.finish(begun.trial.id, state, point, error, begun.lease.worker, epochs=epochs)
            if ended is not None:
                self._last_word(begun, ended)
        except Exception as failure:
            return self._half_ended(begun, ended or as_ended(begun.trial, state, point, error), failure)
        return ended

    def requeue(self, begun: Begun, reason: str) -> TrialRecord | None:
        """Put a trial back into the queue. In its journal, and so in the trackers, it is KILLED until it goes on.

        Args:
            begun: What was begun.
            reason: Why, in one line.

        Returns:
            The trial as its journal has it; None where it had ended before, or is another worker's by now: see `left`.
        """
        here = as_ended(begun.trial, TrialState.KILLED, None, f"{reason}; {QUEUED_AGAIN}")
        try:
            queued = self.store.requeue(begun.trial.id, begun.lease.worker, patience_seconds=_REQUEUE_SECONDS)
            if queued is None:
                return None
            here = as_ended(queued, here.state, None, here.error)  # with the params that it asked for
            self._last_word(begun, here)
        except Exception as failure:
            return self._half_ended(begun, here, failure)
        return here

    def left(self, begun: Begun) -> TrialRecord | None:
        """Let go of a trial that was taken from this process, or ended by another; return it as the store has it."""
        try:
            self._reaper.settle(begun.trial.id)
            now = self.store.trial(begun.trial.id)
        except Exception as failure:
            return self._half_ended(begun, begun.trial, failure)
        self._leave(begun)
        return now

    def _half_ended(self, begun: Begun, trial: TrialRecord, failure: Exception) -> TrialRecord:
        """Say that the disk refuses; the lock stays until this process is gone."""
        if not _is_of_the_disk(failure):
            raise failure
        begun.lease.end()
        log.error("the end of trial %s cannot be written (%s); it is added later", trial.name, _brief(failure))
        return trial

    def _last_word(self, begun: Begun, ended: TrialRecord) -> None:
        begun.journal.append(TrialFinished.of(ended))
        begun.journal.sync()  # before the mark goes: else a power cut could leave an end that nobody misses
        self._leave(begun)

    def _leave(self, begun: Begun) -> None:
        begun.lease.end()
        self.home.alive(begun.trial.id).release(remove=True)

    @property
    def suspects(self) -> bool:
        """Whether `reap` saw a lease that has run out, and watches it."""
        return self._reaper.suspects

    def delete(self, study: str) -> tuple[TrialRecord, ...]:
        """Delete a study for good: its trials, which are returned, their journals and artifacts.

        What trackers were sent stays there.

        Raises:
            StudyError: There is no study of that name, or a worker runs a trial of it.
        """
        self.reap(study, ())
        deleted = self.store.delete(study)
        self.home.forget(study, [trial.id for trial in deleted])
        return deleted

    def reap(self, study: str, trackers: Iterable[str]) -> list[TrialRecord]:
        """Take the trials of a study from workers that are gone; complete what a crash left half done.

        See `Reaper.reap`.
        """
        return self._reaper.reap(study, trackers)


def _is_of_the_disk(error: Exception) -> bool:
    """Tell whether it is the disk that refuses, beneath the journal or the store."""
    return isinstance(error, OSError | StoreError) or type(error).__module__.startswith("sqlalchemy.exc")


def _brief(error: Exception) -> str:
    return str(error).splitlines()[0]
