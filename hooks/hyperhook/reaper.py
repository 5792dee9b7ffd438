"""What becomes of trials whose worker is gone: queued again or KILLED in the store, ended in the journal."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from hyperhook.events import TrialFinished, TrialStarted, trial_after
from hyperhook.home import Home
from hyperhook.journal import Journal, read
from hyperhook.leases import Holding
from hyperhook.objective import Point
from hyperhook.records import TrialRecord, TrialState
from hyperhook.store import Store

__all__ = ["JOURNAL", "QUEUED_AGAIN", "Reaper", "as_ended"]

JOURNAL = "journal.jsonl"
QUEUED_AGAIN = "it is queued again"
DIED = "its process died"
_LAPSED = "its worker said nothing for longer than its lease"


class Reaper:
    """Finds the trials of a study whose worker is gone.

    Of a worker in this place its lock tells, at once. Of any other, and of one that is stopped, its lease tells: when
    it has run out by the store's clock, and is not renewed while it is watched for half as long. So the jump of a clock
    kills nobody.

    Args:
        home: The home.
        store: Its store.
        place: Where the locks of this home lie; see `Workspace.place`.
    """

    def __init__(self, home: Home, store: Store, place: str) -> None:
        self._home = home
        self._store = store
        self._place = place
        self._suspects: dict[tuple[str, float], float] = {}

    @property
    def suspects(self) -> bool:
        """Whether the last call of `reap` saw a lease that has run out, and watches it."""
        return bool(self._suspects)

    def reap(self, study: str, trackers: Iterable[str]) -> list[TrialRecord]:
        """Take the trials from workers that are gone, and complete what a crash left half done.

        Args:
            study: Name of the study.
            trackers: Names of the trackers that must hear of it.

        Returns:
            The trials that were lost, as they ended here: KILLED, also where they are queued again.
        """
        lost: list[TrialRecord] = []
        holdings = {holding.trial.id: holding for holding in self._store.holdings(study)}
        watched: dict[tuple[str, float], float] = {}
        for trial_id in sorted(holdings.keys() | set(self._home.started())):
            holding = holdings.get(trial_id)
            if holding is None or self._is_here(holding):
                alive = self._home.alive(trial_id)
                if alive.acquire():
                    lost += self._bury(study, trial_id, trackers)
                    continue
            if holding is not None and self._has_run_out(holding, watched):
                lost += self._take(holding, trackers)
        self._suspects = watched
        return lost

    def settle(self, trial_id: str) -> None:
        """Complete the journal of a trial that this process holds the lock of, and that was taken from it."""
        holding = self._store.holding(trial_id)
        if holding is not None and holding.trial.state is not TrialState.RUNNING:
            self._complete(_here(holding.trial, _LAPSED), self._mended(trial_id))

    def _is_here(self, holding: Holding) -> bool:
        return holding.place is None or holding.place == self._place

    def _bury(self, study: str, trial_id: str, trackers: Iterable[str]) -> list[TrialRecord]:
        """Take a trial whose lock was free, and is ours now; complete its journal."""
        alive = self._home.alive(trial_id)
        journalled = self._mended(trial_id)
        holding = self._store.holding(trial_id)
        trial = holding.trial if holding else journalled  # a power cut may take the store's last transactions
        if trial is None or trial.study != study:
            alive.release(remove=trial is None)
            return []
        if holding is not None and trial.state is TrialState.RUNNING:
            if not self._is_here(holding):
                alive.release()  # it goes on elsewhere
                return []
            if journalled is not None and journalled.state.is_finished and not _goes_on(journalled):
                end = journalled
                ended = self._store.finish(trial_id, end.state, end.point, end.error, holding.worker)
            else:
                ended = self._store.lose(holding, DIED)
        else:
            ended = None
        if ended is not None or trial.state is not TrialState.QUEUED or journalled is not None:
            here = _here(ended or self._now(trial), DIED)
            self._complete(here, journalled)
            for tracker in trackers:
                self._home.post(study, tracker, trial_id)
        alive.release(remove=True)
        return [here] if ended is not None and here.state is TrialState.KILLED else []

    def _now(self, trial: TrialRecord) -> TrialRecord:
        return self._store.trial(trial.id) or trial

    def _take(self, holding: Holding, trackers: Iterable[str]) -> list[TrialRecord]:
        """Take a trial whose lease has run out. Its journal is its worker's, should that come back."""
        lost = self._store.lose(holding, _LAPSED, lapsed=True)
        if lost is None:
            return []
        here = _here(lost, _LAPSED)
        if lost.state is TrialState.KILLED and not self._path(lost.id).exists():
            self._complete(here, None)  # it began on another machine, which may never come back
            for tracker in trackers:
                self._home.post(lost.study, tracker, lost.id)
        return [here]

    def _has_run_out(self, holding: Holding, watched: dict[tuple[str, float], float]) -> bool:
        if not holding.has_lapsed or holding.renewed is None or holding.lease_seconds is None:
            return False
        key = holding.worker or "", holding.renewed
        watched[key] = self._suspects.get(key, time.monotonic())
        return time.monotonic() - watched[key] > holding.lease_seconds / 2

    def _path(self, trial_id: str) -> Path:
        return self._home.trial(trial_id) / JOURNAL

    def _mended(self, trial_id: str) -> TrialRecord | None:
        """Return a trial as its journal has it, a torn last line closed; None where it has nothing."""
        path = self._path(trial_id)
        if not path.exists():
            return None
        journal = Journal(path)
        journal.mend()
        journal.close()
        known: TrialRecord | None = None
        for event, _ in read(path):
            known = trial_after(known, event)
        return known

    def _complete(self, trial: TrialRecord, journalled: TrialRecord | None) -> None:
        """Give a journal its last word, where it has none."""
        journal = Journal(self._path(trial.id))
        if journalled is None:
            journal.append(TrialStarted.of(trial))
        if journalled is None or not journalled.state.is_finished:
            journal.append(TrialFinished.of(trial))
        journal.sync()
        journal.close()


def _here(trial: TrialRecord, error: str) -> TrialRecord:
    """Return how a trial ended where its worker was: as the store says, or as KILLED where it goes on elsewhere."""
    if trial.state.is_finished:
        return trial
    return as_ended(
        trial, TrialState.KILLED, None, f"{error}; {QUEUED_AGAIN}" if trial.state is TrialState.QUEUED else error
    )


def as_ended(trial: TrialRecord, state: TrialState, point: Point | None, error: str | None) -> TrialRecord:
    """Return a trial as it ended just now."""
    finished = max(time.time(), trial.started_time)
    return replace(trial.at(point), state=state, error=error, finished_time=finished)


def _goes_on(journalled: TrialRecord) -> bool:
    """Tell whether a journal ends where its trial was put back into the queue: that is no end of a run behind it."""
    return journalled.state is TrialState.KILLED and (journalled.error or "").endswith(QUEUED_AGAIN)
