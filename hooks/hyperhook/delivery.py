"""Delivery: one journal into one tracker, from a cursor that moves only behind what was confirmed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec

from hyperhook.errors import JournalError
from hyperhook.events import (
    ArtifactLogged,
    Event,
    MetricsLogged,
    ParamsLogged,
    StopRequested,
    StudyFinished,
    StudyStarted,
    TrialFinished,
    TrialStarted,
    trial_after,
)
from hyperhook.home import STUDY_ITEM, Home, Lock, file_name
from hyperhook.hookspecs import TrialEvents
from hyperhook.journal import read
from hyperhook.manager import Manager
from hyperhook.parameters import Scalar
from hyperhook.records import TrialRecord
from hyperhook.tracker import Tracker
from hyperhook.workspace import JOURNAL

__all__ = ["Cursor", "Delivery", "Projection"]

log = logging.getLogger("hyperhook")

_T = TypeVar("_T")


class Cursor(msgspec.Struct, frozen=True):
    """How far a tracker is with one journal.

    Attributes:
        offset: Bytes of the journal that it has confirmed.
        state: What its last `Tracker.flush` returned.
        error: Why the last attempt failed; None where it did not.
    """

    offset: int = 0
    state: dict[str, Scalar] = {}
    error: str | None = None


class Delivery:
    """A tracker and how it is called: failures reach the caller, who tries again.

    Args:
        name: Name of the tracker's cursors.
        tracker: The tracker; its hooks are checked against the contract.

    Raises:
        HookError: One of its hook methods has an unknown name or argument.
    """

    def __init__(self, name: str, tracker: Tracker) -> None:
        manager = Manager([])
        manager.register(tracker)
        self.name = name
        self.tracker = tracker
        self._hooks = manager.unguarded

    def send(self, record: TrialRecord | None, event: Event) -> TrialRecord | None:
        """Call the hook that an event stands for; return the trial as it is behind that event."""
        return dispatch(self._hooks, record, event)


def dispatch(hooks: TrialEvents, trial: TrialRecord | None, event: Event) -> TrialRecord | None:
    """Call the hook that an event stands for.

    Args:
        hooks: Who hears it.
        trial: The trial, as the events so far made it; None before its first.
        event: The next event.

    Returns:
        The trial as it is behind the event.

    Raises:
        JournalError: The journal does not begin with the trial's start.
    """
    trial = trial_after(trial, event)
    match event:
        case StudyStarted():
            hooks.study_started(study=event.record())
            return None
        case StudyFinished():
            hooks.study_finished(study=event.record())
            return None
    if trial is None:
        raise JournalError(f"the journal begins with {type(event).__name__}, expected TrialStarted")
    match event:
        case MetricsLogged():
            metrics = event.values()
            hooks.metrics_logged(trial=trial, metrics=metrics, step=event.step, epoch=event.epoch, time=event.time)
        case TrialStarted():
            hooks.trial_started(trial=trial)
        case ParamsLogged():
            hooks.params_logged(trial=trial, params=event.params)
        case ArtifactLogged():
            hooks.artifact_logged(trial=trial, artifact=event.artifact())
        case TrialFinished():
            hooks.trial_finished(trial=trial)
        case StopRequested():
            pass
    return trial


class Projection:
    """One item of the outbox on its way into one tracker.

    Args:
        delivery: The tracker.
        home: The home that the item lies in.
        study: Name of the study.
        item: A trial's id, or `STUDY_ITEM`.
    """

    def __init__(self, delivery: Delivery, home: Home, study: str, item: str) -> None:
        folder = home.item(study, item)
        self._post = partial(home.post, study, delivery.name, item)
        self._take_down = partial(home.delivered, study, delivery.name, item)
        self._delivery = delivery
        self._journal = folder / JOURNAL
        self._is_study = item == STUDY_ITEM
        self._file = folder / "cursors" / f"{file_name(delivery.name)}.json"
        self._lock = Lock(self._file.with_suffix(".lock"))
        self._cursor = Cursor()
        self._record: TrialRecord | None = None
        self._opened = False

    @property
    def cursor(self) -> Cursor:
        """How far the tracker is."""
        return self._cursor

    def acquire(self) -> bool:
        """Take the cursor, so that no other process moves it; tell whether it is ours now."""
        if not self._lock.acquire():
            return False
        self._cursor = load_cursor(self._file)
        return True

    def release(self) -> None:
        """Give the cursor back."""
        self._lock.release()

    def deliver(self) -> bool:
        """Send what the journal holds behind the cursor; tell whether the item is done, and out of the outbox.

        Raises:
            Exception: Whatever the tracker raised. The cursor stands behind what it had confirmed, with the error.
        """
        if not self._journal.exists():
            log.warning("%s is gone: nothing of it can reach %s", self._journal, self._delivery.name)
            self._take_down()
            return True
        try:
            start = self._cursor.offset if self._opened else self._open()
            self._opened = True
            for batch in _batches(read(self._journal, start), self._delivery.tracker.batch_size):
                for event, _ in batch:
                    self._record = self._delivery.send(self._record, event)
                self._confirm(batch[-1][1])
        except BaseException as error:
            self._opened = False
            self._save(msgspec.structs.replace(self._cursor, error=f"{type(error).__name__}: {error}"))
            raise
        ended = self._is_study or (self._record is not None and self._record.state.is_finished)
        return ended and self._is_done()

    def deliver_or_report(self) -> bool:
        """Deliver where nobody tries again by itself: a failure is logged, once as long as it stays the same."""
        before = self._cursor.error
        try:
            return self.deliver()
        except (Exception, SystemExit):
            if self._cursor.error != before:
                log.exception("tracker %s failed; tried again at the next event", self._delivery.name)
            return False

    def _is_done(self) -> bool:
        """Take the item out of the outbox, unless more came while it was delivered."""
        self._take_down()
        if self._journal.stat().st_size > self._cursor.offset:
            self._post()
            return False
        return True

    def _open(self) -> int:
        """Make the tracker stand where the cursor stands, or at the beginning; return where."""
        self._record = None
        if self._is_study or not self._cursor.offset:
            return self._cursor.offset
        for event, offset in read(self._journal):
            if offset > self._cursor.offset:
                break
            self._record = trial_after(self._record, event)
        if self._record is not None and self._delivery.tracker.resume(self._record, self._cursor.state):
            return self._cursor.offset
        self._record = None
        return 0

    def _confirm(self, offset: int) -> None:
        state: Mapping[str, Scalar] = {}
        if self._record is not None:
            state = self._delivery.tracker.flush(self._record)
        self._save(Cursor(offset, dict(state)))

    def _save(self, cursor: Cursor) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        beside = self._file.with_suffix(".new")
        beside.write_bytes(msgspec.json.encode(cursor))
        os.replace(beside, self._file)
        self._cursor = cursor


def load_cursor(file: Path) -> Cursor:
    """Return the cursor in a file; the beginning where there is none, or none that can be read."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Cursor)
    except (FileNotFoundError, msgspec.DecodeError):
        return Cursor()


def _batches(events: Iterator[_T], size: int) -> Iterator[list[_T]]:
    while batch := list(islice(events, size)):
        yield batch
