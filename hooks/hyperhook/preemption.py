"""Preemption: SIGTERM while a trial runs ends the process, and the trial goes back into the queue."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Preempted", "Preemptible"]


class Preempted(SystemExit):
    """The process was told to end by SIGTERM, as schedulers do; it ends with the status 128 + 15."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)


class Preemptible:
    """Turns a SIGTERM into an exception: at once while the training runs, else at the end of the block.

    Nothing is done where this is not the main thread, or where somebody else handles the signal.

    Args:
        active: False to do nothing.
    """

    def __init__(self, active: bool) -> None:
        free = threading.current_thread() is threading.main_thread()
        self._active = active and free and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        self._pid = os.getpid()
        self._training = self._told = False

    def __enter__(self) -> Preemptible:
        if self._active:
            signal.signal(signal.SIGTERM, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._active and os.getpid() == self._pid:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            if self._told and kind is None:
                raise Preempted

    @contextmanager
    def training(self) -> Iterator[None]:
        """While this lasts, the signal interrupts what runs."""
        self._training = True
        try:
            if self._told:
                raise Preempted
            yield
        finally:
            self._training = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:  # a forked child, such as a data loader's worker: it ends as it always did
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        self._told = True
        if self._training:
            self._training = False  # once: what follows puts the trial back
            raise Preempted
