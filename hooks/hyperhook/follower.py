"""Followers: what reads the metrics of a program that knows nothing of hyperhook."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from hyperhook.parameters import Params
from hyperhook.records import TrialRecord

__all__ = ["Follower", "Reading"]

_SETTLES_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Reading:
    """What a program reported at one step.

    Attributes:
        metrics: Names and values.
        step: The program's step, from 0.
        epoch: Its epoch, from 0; None where it gave none.
        time: When, in seconds since 1970 (UTC); None where it did not say.
    """

    metrics: dict[str, float]
    step: int
    epoch: int | None = None
    time: float | None = None


class Follower:
    """Reads what one program writes that knows nothing of hyperhook, while it runs.

    A follower serves one start of a program: first `environment`, in the program's working directory, then the program
    starts and `started` is called, then `read` and `read_line` as often as wanted, at last, when the program has ended,
    once more, and `close`. What lay there before `environment` is of an earlier start, and is not read. The library
    that wrote the files is imported when there is something to read, and `requires` names it, so that its absence is
    told at once.

    A published follower is a class in the entry-point group ``hyperhook.followers``; its constructor takes its options.
    `hyperhook.testing.FollowerContract` says whether it is right.
    """

    requires: ClassVar[tuple[str, ...]] = ()
    """Top-level modules that must be importable."""

    process: int | None = None
    """The program's process, once it was started."""

    def environment(self, folder: Path, params: Params, study: str, trial: TrialRecord) -> dict[str, str]:
        """Return variables for the program, so that it writes where this follower reads.

        Args:
            folder: The trial's folder, absolute; files go below it.
            params: The params, nested ones as mappings.
            study: Name of the study.
            trial: The trial.
        """
        return {}

    def started(self, process: int) -> None:
        """Hear that the program runs.

        Args:
            process: The id of its process, which leads a process group of its own.
        """
        self.process = process

    @property
    def is_running(self) -> bool:
        """Whether the program was started and runs, as far as is known: it may yet complete what it began to write."""
        try:
            os.kill(self.process or 0, 0)
        except ProcessLookupError:
            return False
        except OSError:
            return True
        return self.process is not None

    @property
    def settled_time(self) -> float:
        """The time, in seconds since 1970 (UTC), up to which what the program logged together is there as a whole."""
        return time.time() - _SETTLES_SECONDS if self.is_running else math.inf

    def read(self) -> Iterator[Reading]:
        """Yield everything that is new since the last call; never blocks, and leaves a torn tail for the next call."""
        return iter(())

    def read_line(self, line: str) -> Iterator[Reading]:
        """Yield what a line of standard output reports; only who reads standard output does."""
        return iter(())

    def close(self) -> None:
        """Let go of what is open; may be called twice."""
