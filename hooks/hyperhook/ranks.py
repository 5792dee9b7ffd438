"""Distributed training: which process leads, and how the others find its trials.

A launcher (``torchrun``, or Lightning's ``strategy="ddp"``) runs one script in several processes. Rank zero leads: it
asks for trials. The others follow: their n-th ask of a study gives the n-th trial that their leader started, silent.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from hyperhook.errors import StudyError
from hyperhook.home import Lock
from hyperhook.parameters import Scalar
from hyperhook.records import TrialRecord

__all__ = ["Launch", "Silence", "rank"]

_VARIABLE = "HYPERHOOK_LAUNCH"
_POLL_SECONDS = 0.05
_PATIENCE_SECONDS = 120.0
"""How long a rank that follows waits for the leader to ask for the same param."""


class Launch:
    """One start of a script in one or more processes, seen from one of them.

    The trials of a study and the ends of its runs are counted together; all processes count alike, so that the same
    mark means the same thing in each.

    Args:
        study: Name of the study.
        folder: Where the leader leaves the marks of the runs that ended; made where it is missing.
    """

    _counts: ClassVar[Counter[str]] = Counter()  # of this process: another Study object of that name goes on counting
    _own_token: ClassVar[str | None] = None

    def __init__(self, study: str, folder: Path) -> None:
        self._study = study
        self._folder = folder
        self._parent = os.getppid()
        self._shared_token = _shared_token()

    @property
    def follows(self) -> bool:
        """Whether another process leads."""
        return self._shared_token is not None and rank() > 0

    @property
    def is_shared(self) -> bool:
        """Whether other processes of this launch share its trials."""
        return self._shared_token is not None

    def witness(self) -> Path:
        """Return a file that only who shares this home can see."""
        return self._folder / self._make_token()

    def mark(self) -> str:
        """Return what the next trial, or the end of this run, is found by."""
        token = self._shared_token or self._make_token()
        return hashlib.sha256(f"{token}/{self._study}/{self._counts[self._study]}".encode()).hexdigest()

    def count(self) -> None:
        """Go on to the next mark."""
        self._counts[self._study] += 1

    def end_run(self) -> None:
        """Tell those who follow that no trial comes any more in this run."""
        with suppress(FileNotFoundError):  # the home is gone: it is not made again
            self._folder.mkdir(exist_ok=True)
            (self._folder / self.mark()).touch()
        self.count()

    def await_trial(self, find: Callable[[str], TrialRecord | None]) -> TrialRecord | None:
        """Wait for the leader's next trial; None once its run has ended, or the leader is gone.

        Args:
            find: Looks a trial up by its mark.
        """
        mark = self.mark()
        while (trial := find(mark)) is None and not (self._folder / mark).exists():
            if self._leader_is_gone():
                return None
            time.sleep(_POLL_SECONDS)
        self.count()
        return trial

    def _leader_is_gone(self) -> bool:
        leads = self._folder / (self._shared_token or "")
        return os.getppid() != self._parent or (leads.is_file() and not Lock(leads).is_held())

    def _make_token(self) -> str:
        """Return what the processes that this one starts will find in their environment."""
        token = Launch._own_token = self._own_token or secrets.token_hex(8)
        Lock(self._folder / token).acquire()  # ends with this process: those who follow see it
        os.environ[_VARIABLE] = token
        return token


class Silence:
    """The sink of a rank that follows: nothing is heard of it, and it leaves decisions to the rank that leads.

    Args:
        find: Looks a trial up by its id: what the leading rank asked for stands there.
    """

    def __init__(self, find: Callable[[str], TrialRecord | None] | None = None) -> None:
        self._find = find

    is_lost = False

    def emit(self, trial: TrialRecord, event: object) -> None:
        """Drop an event."""

    def store(self, place: str, write: object) -> None:
        """Write no file."""

    def discard(self, place: str) -> None:
        """Delete no file."""

    def meet(self, trial: TrialRecord, name: str, asked: object) -> Scalar:
        """Wait until the leading rank has asked for a parameter; return the value that it got.

        Raises:
            StudyError: It ended without asking, or did not ask in time.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._find is not None and time.monotonic() < deadline:
            found = self._find(trial.id)
            if found is not None and name in found.params:
                return found.params[name]
            if found is None or found.state.is_finished:
                break
            time.sleep(_POLL_SECONDS)
        raise StudyError(
            f"suggest: the leading rank never asked for {name!r} in trial {trial.name!r}; all ranks must ask for the "
            "same params, in the same order"
        )

    def should_stop(self, trial: TrialRecord, curve: object, *, expects: bool) -> bool:
        """Go on."""
        return False


def rank() -> int:
    """Return which process of a launch this one is, from 0: the one that leads."""
    return int(os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or 0)


def _shared_token() -> str | None:
    """Return what all processes of this launch share; None where this process was launched alone."""
    elastic = os.environ.get("TORCHELASTIC_RUN_ID")
    if elastic is not None:
        return f"{elastic}/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{os.getppid()}"
    return os.environ.get(_VARIABLE) if rank() > 0 else None
