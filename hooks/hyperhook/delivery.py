"""Delivery: one journal into one tracker, from a cursor that moves only behind what was confirmed."""

from __future__ import annotations

import logging
import os
import threading
import zlib
from collections.abc import Mapping
from functools import partial
from itertools import islice
from pathlib import Path

import msgspec

from hyperhook.errors import JournalError
from hyperhook.events import (
    ArtifactLogged,
    ArtifactRemoved,
    DatasetLogged,
    Event,
    MetricsLogged,
    NoteLogged,
    ParamsLogged,
    StopRequested,
    StudyFinished,
    StudyStarted,
    TagsLogged,
    TrialFinished,
    TrialResumed,
    TrialStarted,
    encode,
    trial_after,
)
from hyperhook.home import STUDY_ITEM, Home, Lock
from hyperhook.hookspecs import TrialEvents
from hyperhook.journal import read
from hyperhook.manager import Manager
from hyperhook.parameters import Scalar
from hyperhook.records import TrialRecord
from hyperhook.tracker import Tracker
from hyperhook.workspace import JOURNAL

__all__ = ["Cursor", "Delivery", "Projection"]

log = logging.getLogger("hyperhook")

_ENDS = (StudyStarted, StudyFinished, TrialStarted, TrialResumed, TrialFinished)
"""What cannot be set aside: without them a tracker's run would not be, or not end."""
_MARKED_BYTES = 256
STRIKES = 3
"""How often an event is refused before it is set aside."""


class Cursor(msgspec.Struct, frozen=True):
    """How far a tracker is with one journal.

    Attributes:
        offset: Bytes of the journal that it has confirmed.
        mark: A checksum of the last of them: where it differs, the journal lost what was confirmed, in a power cut.
        state: What its last `Tracker.flush` returned.
        error: Why the last attempt failed; None where it did not.
        death: Why the forwarder ended in one of its calls; None where none ever did.
        progress: What the tracker is doing, where that takes long.
        refused: Where the event ends that was refused last, and how often it was.
        aside: The events that were set aside, by the offset behind each.
    """

    offset: int = 0
    mark: int | None = None
    state: dict[str, Scalar] = {}
    error: str | None = None
    death: str | None = None
    progress: str | None = None
    refused: tuple[int, int] = (0, 0)
    aside: tuple[int, ...] = ()

    @property
    def remark(self) -> str | None:
        """What a person should know: what is wrong now, what goes on, or what once went wrong."""
        return self.error or self.progress or self.death


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
        case TrialResumed():
            hooks.trial_resumed(trial=trial)
        case ParamsLogged():
            hooks.params_logged(trial=trial, params=event.params)
        case ArtifactLogged():
            artifact = event.artifact()
            if artifact.path.exists():  # else it was removed, or replaced, since then
                hooks.artifact_logged(trial=trial, artifact=artifact)
        case ArtifactRemoved():
            hooks.artifact_removed(trial=trial, artifact=event.artifact())
        case TagsLogged():
            hooks.tags_logged(trial=trial, tags=event.tags)
        case NoteLogged():
            hooks.note_logged(trial=trial, note=event.note)
        case DatasetLogged():
            hooks.dataset_logged(trial=trial, dataset=event.dataset())
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
        self._file = home.cursor(study, item, delivery.name)
        self._lock = Lock(self._file.with_suffix(".lock"))
        self._cursor = Cursor()
        self._record: TrialRecord | None = None
        self._opened = False
        self._saving = threading.Lock()
        self._batch: list[tuple[Event, int]] = []
        self._sending: tuple[Event, int] | None = None
        self._careful_until = 0

    @property
    def cursor(self) -> Cursor:
        """How far the tracker is."""
        return self._cursor

    @property
    def has_news(self) -> bool:
        """Whether the journal holds something behind the cursor."""
        try:
            return self._journal.stat().st_size > self._cursor.offset
        except FileNotFoundError:
            return False

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
        while True:
            try:
                self._send_rest()
                break
            except BaseException as error:
                self._opened = False
                if not (self._delivery.tracker.refuses(error) and self._give_up_one(error)):
                    self._save(error=f"{type(error).__name__}: {error}")
                    raise
        ended = self._is_study or (self._record is not None and self._record.state.is_finished)
        return ended and self._is_done()

    def _send_rest(self) -> None:
        self._batch, self._sending = [], None
        start = self._cursor.offset if self._opened else self._open()
        self._opened = True
        events = read(self._journal, start)
        while batch := list(islice(events, 1 if start < self._careful_until else self._delivery.tracker.batch_size)):
            self._batch = batch
            for event, offset in batch:
                if offset in self._cursor.aside:
                    self._record = trial_after(self._record, event)
                    continue
                self._sending = event, offset
                self._record = self._delivery.send(self._record, event)
            self._sending = None
            start = batch[-1][1]
            self._confirm(start)
            self._batch = []

    def _give_up_one(self, error: BaseException) -> bool:
        """Find the event that is refused, and set it aside at the third time; tell whether to go on at once.

        A hook that raised names the event. Where `flush` did, the batch is sent again one by one.
        """
        if not self._batch:
            return False  # it was `resume`, or the journal
        if self._sending is None and len(self._batch) > 1:
            self._careful_until = self._batch[-1][1]
            return True
        event, offset = self._sending or self._batch[0]
        last, times = self._cursor.refused
        times = times + 1 if last == offset else 1
        if times < STRIKES or isinstance(event, _ENDS):
            self._save(refused=(offset, times))
            return False
        line = {
            "offset": offset,
            "error": f"{type(error).__name__}: {error}",
            "event": msgspec.Raw(encode(event).strip()),
        }
        with self._file.with_suffix(".aside.jsonl").open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")
        self._save(aside=(*self._cursor.aside, offset))
        log.error("tracker %s refused an event: %s; it is set aside in %s", self._delivery.name, error, file.name)
        return True

    def note(self, *, error: str | None = None, progress: str | None = None) -> None:
        """Keep, beside the cursor, why nothing moves, or what the tracker is doing: a call has not returned yet."""
        self._save(error=error, progress=progress)

    def deliver_or_report(self) -> bool:
        """Deliver where nobody tries again by itself: a failure is logged, once as long as it stays the same."""
        before = self._cursor.error
        try:
            return self.deliver()
        except KeyboardInterrupt:
            raise
        except BaseException:
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
        if self._cursor.mark != _mark(self._journal, self._cursor.offset):
            log.warning("%s lost what %s has: it is sent again", self._journal, self._delivery.name)
            self._save(offset=0, mark=None, state={}, refused=(0, 0), aside=())
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
        self._save(offset=offset, mark=_mark(self._journal, offset), state=dict(state), error=None, progress=None)

    def _save(self, **changes: object) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        beside = self._file.with_suffix(".new")
        with self._saving:  # a watcher's note may come at the same time
            cursor = msgspec.structs.replace(self._cursor, **changes)
            beside.write_bytes(msgspec.json.encode(cursor))
            os.replace(beside, self._file)
            self._cursor = cursor


def note_death(file: Path, reason: str) -> None:
    """Keep in a cursor's file why its tracker's process died; nobody holds the cursor any more."""
    beside = file.with_suffix(".died")
    file.parent.mkdir(parents=True, exist_ok=True)
    beside.write_bytes(msgspec.json.encode(msgspec.structs.replace(load_cursor(file), death=reason)))
    os.replace(beside, file)


def _mark(journal: Path, offset: int) -> int | None:
    """Return a checksum of a journal's bytes before an offset; None at its beginning."""
    if not offset:
        return None
    with open(journal, "rb") as file:
        file.seek(max(0, offset - _MARKED_BYTES))
        return zlib.crc32(file.read(min(offset, _MARKED_BYTES)), offset)


def load_cursor(file: Path) -> Cursor:
    """Return the cursor in a file; the beginning where there is none, or none that can be read."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Cursor)
    except (FileNotFoundError, msgspec.DecodeError):
        return Cursor()
