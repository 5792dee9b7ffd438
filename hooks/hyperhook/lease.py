"""This process's leases: its right to the trials that it runs, renewed beside the training, noticed when it is lost.

A worker that is stopped, or whose laptop sleeps, for longer than its lease may find that another one has its trial.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

from hyperhook.errors import StoreError

if TYPE_CHECKING:
    from hyperhook.records import TrialRecord
    from hyperhook.store import Store

__all__ = ["Lease"]

log = logging.getLogger("hyperhook")

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while the machine sleeps
_OFTEN, _IDLE_SECONDS = 4, 10.0
"""How often a lease is renewed while it lasts; how long the thread waits for another trial."""


class Lease:
    """The right to a trial, from its claim to its end. A daemon thread, one in each process, renews all that are kept.

    It can be pickled and forked with its trial: a copy is renewed by the process that keeps it, and looks by itself
    once that is overdue.

    Args:
        store: Where the trial is.
        trial: The trial.
        worker: The token that it was claimed with.
        seconds: How long it lasts without being renewed, in seconds.
    """

    def __init__(self, store: Store, trial: TrialRecord, worker: str, seconds: float) -> None:
        self._store = store
        self._trial = trial
        self.worker = worker
        self._seconds = seconds
        self._until = _now() + seconds
        self._lost = False
        self._turn = threading.Lock()

    def is_lost(self) -> bool:
        """Tell whether the trial is another worker's by now, or was ended; costs a look at the clock."""
        if not self._lost and _now() > self._until:
            self.renew()
        return self._lost

    def renew(self) -> None:
        """Say that the worker lives; find out whether the trial is still its own."""
        if not self._turn.acquire(blocking=False):
            return  # another thread is at it
        try:
            began = _now()
            kept = self._store.renew(self._trial.id, self.worker)
            if kept:
                self._until = began + self._seconds
            else:
                self._lose()
        except StoreError:  # whoever could take it away cannot either
            self._until = _now() + self._seconds / _OFTEN * 2
        finally:
            self._turn.release()

    def _lose(self) -> None:
        self._lost = True
        if _Keeper.has(self):  # else it ends, or a copy of it speaks
            log.warning(
                "trial %s is not this process's any more: another one took or ended it, as this one said nothing for "
                "longer than its lease (%g s); what it still logs is dropped, and its end does not count",
                self._trial.name,
                self._seconds,
            )
        _Keeper.drop(self)

    def keep(self) -> Lease:
        """Renew it from now on, in this process."""
        _Keeper.add(self)
        return self

    def end(self) -> None:
        """Renew it no longer: the trial ends."""
        _Keeper.drop(self)

    def __getstate__(self) -> dict[str, Any]:
        return {"store": self._store, "trial": self._trial, "worker": self.worker, "seconds": self._seconds}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


class _Keeper:
    """Renews the leases of this process, as long as there are any."""

    _leases: ClassVar[set[Lease]] = set()
    _changed: ClassVar[threading.Condition] = threading.Condition()
    _thread: ClassVar[threading.Thread | None] = None

    @classmethod
    def add(cls, lease: Lease) -> None:
        with cls._changed:
            cls._leases.add(lease)
            if cls._thread is None:
                cls._thread = threading.Thread(target=cls._run, name="hyperhook-leases", daemon=True)
                cls._thread.start()
            cls._changed.notify()

    @classmethod
    def has(cls, lease: Lease) -> bool:
        return lease in cls._leases

    @classmethod
    def drop(cls, lease: Lease) -> None:
        with cls._changed:
            cls._leases.discard(lease)

    @classmethod
    def _run(cls) -> None:
        due: dict[Lease, float] = {}
        while True:
            with cls._changed:
                if not cls._leases:
                    cls._changed.wait(_IDLE_SECONDS)
                if not cls._leases:
                    cls._thread = None
                    return
                due = {lease: due.get(lease, time.monotonic() + lease._seconds / _OFTEN) for lease in cls._leases}
                cls._changed.wait(max(0.0, min(due.values()) - time.monotonic()))
                ready = [lease for lease in cls._leases if due.get(lease, math.inf) <= time.monotonic()]
            for lease in ready:
                lease.renew()
                due[lease] = time.monotonic() + lease._seconds / _OFTEN

    @classmethod
    def after_fork(cls) -> None:
        """Leave the parent's leases to it."""
        cls._leases, cls._changed, cls._thread = set(), threading.Condition(), None


os.register_at_fork(after_in_child=_Keeper.after_fork)


def _now() -> float:
    return time.clock_gettime(_CLOCK)
