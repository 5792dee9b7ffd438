"""Distributed training: which process leads, and how the others find its trials.

A launcher (``torchrun``, or Lightning's ``strategy="ddp"``) runs one script in several processes. Rank zero leads: it
asks for trials. The others follow: their n-th ask of a study gives the n-th trial that their leader started, silent.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Callable

from hyperhook.objective import Point
from hyperhook.records import TrialRecord

__all__ = ["Launch", "Silence"]

_VARIABLE = "HYPERHOOK_LAUNCH"
_POLL_SECONDS = 0.05


class Launch:
    """One start of a script in one or more processes, seen from one of them.

    Args:
        study: Name of the study whose trials are counted.
    """

    def __init__(self, study: str) -> None:
        self._study = study
        self._count = 0
        self._parent = os.getppid()
        self._token = _token()

    @property
    def follows(self) -> bool:
        """Whether another process leads."""
        return self._token is not None and _rank() > 0

    def mark(self) -> str:
        """Return what the next trial is found by, and count it."""
        if self._token is None:
            self._token = os.environ[_VARIABLE] = secrets.token_hex(8)
        self._count += 1
        return hashlib.sha256(f"{self._token}/{self._study}/{self._count}".encode()).hexdigest()

    def await_trial(self, find: Callable[[str], TrialRecord | None]) -> TrialRecord | None:
        """Wait for the leader's next trial; None once the leader is gone.

        Args:
            find: Looks a trial up by its mark.
        """
        mark = self.mark()
        while (trial := find(mark)) is None:
            if os.getppid() != self._parent:
                return None
            time.sleep(_POLL_SECONDS)
        return trial


class Silence:
    """The sink of a rank that follows: nothing is heard of it, and it leaves decisions to the rank that leads."""

    def emit(self, trial: TrialRecord, event: object) -> None:
        """Drop an event."""

    def should_stop(self, trial: TrialRecord, last: Point | None) -> bool:
        """Go on."""
        return False


def _rank() -> int:
    return int(os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or 0)


def _token() -> str | None:
    """Return what all processes of this launch share; None where this process was launched alone."""
    elastic = os.environ.get("TORCHELASTIC_RUN_ID")
    if elastic is not None:
        return f"{elastic}/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{os.getppid()}"
    return os.environ.get(_VARIABLE) if _rank() > 0 else None
