"""Couriers: threads that empty a study's outbox, each into one tracker: one that is slow or down delays no other."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hyperhook.delivery import Delivery, Projection
from hyperhook.home import Home
from hyperhook.memory import resident_bytes

__all__ = ["Courier", "join"]

log = logging.getLogger("hyperhook.forwarder")

POLL_SECONDS = 0.2
DUTY, SHORTEST_REST_SECONDS, LONGEST_REST_SECONDS = 0.05, 2.0, 5.0
"""What share of a core a tracker takes from the training, and between what limits it rests to keep to it.

Few large batches cost less than many small ones, in fsyncs most of all, which the training's own writes wait for.
"""
PATIENCE_SECONDS = 60.0
"""How long the forwarder goes on without a confirmed event after the training ended."""
NOTICE_SECONDS, HANG_SECONDS = 60.0, 300.0
"""After how long a call that does not return is spoken of, and given up where nothing else is left to do."""
SHOW_SECONDS = 2.0
"""How often the progress of a long call is shown."""
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.5, 60.0


@dataclass(slots=True, eq=False)
class _Call:
    """A call of a tracker that has not returned."""

    projection: Projection | None
    moved: float = field(default_factory=time.monotonic)
    shown: float = field(default_factory=time.monotonic)
    size: int = field(default_factory=resident_bytes)
    """The process's memory before it."""
    offset: int | None = None

    @property
    def seconds(self) -> float:
        """How long nothing has moved: no batch was confirmed, and the tracker said nothing."""
        offset = None if self.projection is None else self.projection.cursor.offset
        if offset != self.offset:
            self.offset, self.moved = offset, time.monotonic()
        return time.monotonic() - self.moved


class Courier(threading.Thread):
    """Delivers to one tracker, until it is told to end and nothing is left, or nothing moves any more.

    Args:
        delivery: The tracker.
        home: The home whose outbox to empty.
        study: Name of the study.
    """

    def __init__(self, delivery: Delivery, home: Home, study: str) -> None:
        super().__init__(name=f"hyperhook-{delivery.name}", daemon=True)
        self._delivery = delivery
        self._home = home
        self._study = study
        self._open: dict[str, Projection] = {}
        self._retries: dict[str, tuple[int, float]] = {}
        self._ending = False
        self._wake = threading.Event()
        self._moved = time.monotonic()
        self._call: _Call | None = None
        self._noticed: _Call | None = None
        self._item: str | None = None
        self._grown = 0
        delivery.tracker.on_moved = self._go_on

    def end(self) -> None:
        """Deliver what is there, then stop."""
        self._moved = time.monotonic()
        self._ending = True
        self._wake.set()

    def hurry(self) -> None:
        """Rest no longer: somebody waits for what is left."""
        self._wake.set()

    @property
    def grown_bytes(self) -> int:
        """By how much the process grew in this tracker's calls; those of others at the same time blur it."""
        call = self._call
        return self._grown + (0 if call is None else max(resident_bytes() - call.size, 0))

    def excuse(self) -> None:
        """Do not name this tracker as the one that ends the process, although it is in a call."""
        self._home.call(self._study, self._delivery.name).unlink(missing_ok=True)

    def accuse(self) -> None:
        """Name this tracker as the one that ends the process, although it may be in no call."""
        log.error(
            "%s let the forwarder grow by %d MB, of %d; it is sent by one of its own from now on",
            self._delivery.name,
            self.grown_bytes >> 20,
            resident_bytes() >> 20,
        )
        if self._item is not None:
            file = self._home.call(self._study, self._delivery.name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self._item)

    @property
    def hangs(self) -> bool:
        """Whether the tracker has not returned from a call for `HANG_SECONDS`."""
        call = self._call
        return call is not None and call.seconds > HANG_SECONDS

    def watch(self) -> None:
        """Say, once for each call, that the tracker does not return."""
        call = self._call
        if call is None or call is self._noticed or call.seconds < NOTICE_SECONDS:
            return
        self._noticed = call
        log.error("%s has not returned from a call for %.0f s", self._delivery.name, call.seconds)
        if call.projection is not None:
            call.projection.note(error=f"no answer for {call.seconds:.0f} s")

    def _go_on(self, progress: str) -> None:
        """Take note that a call that takes long still moves; show it now and again."""
        call = self._call
        if call is None:
            return
        call.moved = self._moved = time.monotonic()
        if call.projection is not None and call.moved - call.shown > SHOW_SECONDS:
            call.shown = call.moved
            call.projection.note(progress=progress)

    def run(self) -> None:
        """Empty the outbox again and again."""
        while True:
            ending, worked = self._ending, time.thread_time()
            try:
                left = self._round()
            except OSError:  # the home itself: a full disk, too many open files
                log.exception("%s: the outbox cannot be read or written", self._delivery.name)
                left = 1
            if ending and (not left or time.monotonic() - self._moved > PATIENCE_SECONDS):
                break
            if ending:
                time.sleep(POLL_SECONDS)
            else:
                rest = (time.thread_time() - worked) * (1 / DUTY - 1)
                self._wake.wait(min(max(rest, SHORTEST_REST_SECONDS), LONGEST_REST_SECONDS))
                self._wake.clear()
        for projection in self._open.values():
            projection.release()
        self._call = _Call(None)
        try:
            self._delivery.tracker.close()
        except BaseException:
            log.exception("tracker %s failed to close", self._delivery.name)
        self._call = None

    def _round(self) -> int:
        """Try every item once; return how many of ours are left."""
        left = 0
        for item in self._home.posted(self._study, self._delivery.name):
            projection = self._open.get(item) or self._acquire(item)
            if projection is None:
                continue
            if self._attempt(item, projection):
                self._open.pop(item).release()
            else:
                left += 1
        return left

    def _acquire(self, item: str) -> Projection | None:
        projection = Projection(self._delivery, self._home, self._study, item)
        if not projection.acquire():
            return None
        self._open[item] = projection
        return projection

    def _attempt(self, item: str, projection: Projection) -> bool:
        failures, not_before = self._retries.get(item, (0, 0.0))
        if time.monotonic() < not_before:
            return False
        before = projection.cursor.offset
        self._call, self._item = _Call(projection), item
        try:
            with self._named(item, projection):
                complete = projection.deliver()
        except BaseException as error:  # asyncio's CancelledError is one; in a thread it is as good as any other
            delay = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2**failures) * random.uniform(0.5, 1.0)
            self._retries[item] = (failures + 1, time.monotonic() + delay)
            log.log(
                logging.WARNING if failures else logging.ERROR,
                "%s: %s failed, next try in %.1f s: %s",
                self._delivery.name,
                item,
                delay,
                error,
                exc_info=not failures,
            )
            return False
        finally:
            self._grown, self._call = self.grown_bytes, None
        self._retries.pop(item, None)
        if projection.cursor.offset != before:
            self._moved = time.monotonic()
        return complete

    @contextmanager
    def _named(self, item: str, projection: Projection) -> Iterator[None]:
        """Keep on the disk what is being sent, so that a tracker that ends the process is known by it."""
        if not projection.has_news:
            yield
            return
        file = self._home.call(self._study, self._delivery.name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(item)
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def join(couriers: Iterable[Courier], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Wait for the end of the couriers; one whose tracker hangs is left where it is.

    Args:
        couriers: Threads that were told to end.
        meanwhile: Is called now and again: a process that ends drops the pipe before its locks.
    """
    for courier in couriers:
        while courier.is_alive() and not courier.hangs:
            courier.join(POLL_SECONDS)
            courier.watch()
            meanwhile()
