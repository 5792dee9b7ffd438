"""A home with its store: where trials begin and end, each exactly once."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from hyperhook.errors import StoreError
from hyperhook.events import TrialFinished, TrialResumed, TrialStarted, trial_after
from hyperhook.home import Home
from hyperhook.journal import Journal, read
from hyperhook.objective import Point
from hyperhook.parameters import Params
from hyperhook.records import TrialRecord, TrialState
from hyperhook.store import Store

__all__ = ["JOURNAL", "Workspace"]

JOURNAL = "journal.jsonl"

_DIED = "its process died"

log = logging.getLogger("hyperhook")


class Workspace:
    """Begins and ends trials, so that store, journal and outbox agree whatever dies in between.

    A trial holds a lock that dies with its process. It ends in the store first: whoever moves it out of RUNNING there
    has ended it. Its journal follows, and its lock goes last, so that `reap` finds what a crash left half done.

    Args:
        home: The home directory; made where it is missing.

    Raises:
        StoreError: The home cannot be written, or its store cannot be used.
    """

    def __init__(self, home: Home) -> None:
        home.create()
        self.home = home
        self.store = Store(home.database)

    def journal_path(self, trial_id: str) -> Path:
        """Where a trial's journal lies."""
        return self.home.trial(trial_id) / JOURNAL

    def begin(
        self,
        study: str,
        params: Params,
        trackers: Iterable[str],
        *,
        queued: TrialRecord | None = None,
        proposed: Params | None = None,
        known: int | None = None,
        budget: int | None = None,
        launch: str | None = None,
    ) -> tuple[TrialRecord, Journal] | None:
        """Start a trial and its journal, and mark it as to be delivered.

        Args:
            study: Name of the study.
            params: The trial's params.
            trackers: Names of the trackers that it is for.
            queued: The QUEUED trial that is to start; None for a new one.
            proposed: See `Store.claim`.
            known: See `Store.claim`.
            budget: See `Store.claim`.
            launch: See `Store.claim`.

        Returns:
            The trial and its journal; None where the budget is used up, or another worker came first.
        """
        trial_id = secrets.token_hex(8) if queued is None else queued.id
        alive = self.home.alive(trial_id)
        while not alive.acquire():
            time.sleep(0.001)  # a process that reaps looks at the new file, for a moment
            if queued is not None:
                return None  # or another worker starts it
        try:
            if queued is None:
                trial = self.store.claim(
                    study, trial_id, params, proposed=proposed, known=known, budget=budget, launch=launch
                )
            else:
                trial = self.store.start(queued, proposed=proposed, budget=budget, launch=launch)
        except BaseException:
            alive.release(remove=True)
            raise
        if trial is None:
            alive.release(remove=True)
            return None
        try:
            journal = Journal(self.journal_path(trial_id))
            journal.append(TrialStarted.of(trial))
            for tracker in trackers:
                self.home.post(study, tracker, trial_id)
        except BaseException:
            alive.release()  # half begun: to be reaped
            raise
        return trial, journal

    def resume(self, trial: TrialRecord, trackers: Iterable[str]) -> tuple[TrialRecord, Journal] | None:
        """Go on with a trial that ended, and mark it as to be delivered.

        Args:
            trial: The trial.
            trackers: Names of the trackers that it is for.

        Returns:
            The trial and its journal; None where a live process runs it.
        """
        alive = self.home.alive(trial.id)
        if not alive.acquire():
            return None
        resumed = self.store.reopen(trial.id)
        if resumed is None:
            alive.release()
            return None
        try:
            journal = Journal(self.journal_path(trial.id))
            journal.append(TrialResumed(time=time.time()))
            for tracker in trackers:
                self.home.post(trial.study, tracker, trial.id)
        except BaseException:
            alive.release()  # half resumed: to be reaped
            raise
        return resumed, journal

    def end(
        self,
        trial: TrialRecord,
        journal: Journal,
        state: TrialState,
        point: Point | None,
        error: str | None,
        *,
        epochs: int | None = None,
    ) -> TrialRecord | None:
        """End a trial in the store and in its journal.

        Where the disk refuses either, the trial is left half ended, and its lock held: once this process is gone,
        `reap` completes it.

        Returns:
            The trial as it ended; None where it had ended before.
        """
        alive, ended = self.home.alive(trial.id), None
        try:
            ended = self.store.finish(trial.id, state, point, error, epochs=epochs)
            if ended is not None:
                journal.append(TrialFinished.of(ended))
                journal.sync()  # before the mark goes: else a power cut could leave an end that nobody misses
        except Exception as failure:
            if not _is_of_the_disk(failure):
                raise
            log.error("the end of trial %s cannot be written (%s); it is added later", trial.name, _brief(failure))
            return ended or _as_ended(trial, state, point, error)
        alive.release(remove=True)
        return ended

    def reap(self, study: str, trackers: Iterable[str]) -> list[TrialRecord]:
        """End as KILLED the trials of a study whose process died, and complete what a crash left half done.

        Args:
            study: Name of the study.
            trackers: Names of the trackers that must hear of it.

        Returns:
            The trials that were marked.
        """
        killed: list[TrialRecord] = []
        running = {trial.id for trial in self.store.running(study)}
        for trial_id in sorted(running | set(self.home.started())):
            alive = self.home.alive(trial_id)
            if not alive.acquire():
                continue
            journalled = self._mended(trial_id)
            trial = self.store.trial(trial_id) or journalled  # a power cut may take the store's last transactions
            if trial is None or trial.study != study or trial.state is TrialState.QUEUED:
                alive.release(remove=trial is None or trial.state is TrialState.QUEUED)
                continue
            ended = self._finish(trial_id, journalled)
            if ended is not None and ended.state is TrialState.KILLED:
                killed.append(ended)
            self._complete_journal(ended or self.store.trial(trial_id) or _killed(trial), journalled)
            for tracker in trackers:
                self.home.post(study, tracker, trial_id)
            alive.release(remove=True)
        return killed

    def _mended(self, trial_id: str) -> TrialRecord | None:
        """Return a trial as its journal has it, a torn last line closed; None where it has nothing."""
        path = self.journal_path(trial_id)
        if not path.exists():
            return None
        journal = Journal(path)
        journal.mend()
        journal.close()
        known: TrialRecord | None = None
        for event, _ in read(path):
            known = trial_after(known, event)
        return known

    def _finish(self, trial_id: str, journalled: TrialRecord | None) -> TrialRecord | None:
        """End a trial in the store: as its journal says, or as KILLED; None where it had ended."""
        if journalled is None or not journalled.state.is_finished:
            return self.store.finish(trial_id, TrialState.KILLED, None, _DIED)
        return self.store.finish(trial_id, journalled.state, journalled.point, journalled.error)

    def _complete_journal(self, trial: TrialRecord, journalled: TrialRecord | None) -> None:
        journal = Journal(self.journal_path(trial.id))
        if journalled is None:
            journal.append(TrialStarted.of(trial))
        if journalled is None or not journalled.state.is_finished:
            journal.append(TrialFinished.of(trial))
        journal.sync()
        journal.close()


def _as_ended(trial: TrialRecord, state: TrialState, point: Point | None, error: str | None) -> TrialRecord:
    """Return a trial as it would have ended, had the disk taken it."""
    finished = max(time.time(), trial.started_time)
    return replace(trial.at(point), state=state, error=error, finished_time=finished)


def _killed(trial: TrialRecord) -> TrialRecord:
    return trial if trial.state.is_finished else _as_ended(trial, TrialState.KILLED, None, _DIED)


def _is_of_the_disk(error: Exception) -> bool:
    """Tell whether it is the disk that refuses, beneath the journal or the store."""
    return isinstance(error, OSError | StoreError) or type(error).__module__.startswith("sqlalchemy.exc")


def _brief(error: Exception) -> str:
    return str(error).splitlines()[0]
