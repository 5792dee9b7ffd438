"""Followers: what reads the metrics of a program that knows nothing of hyperhook."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hyperhook.parameters import Params
from hyperhook.records import TrialRecord

__all__ = ["Follower", "Reading"]


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
    """Reads what a program writes that knows nothing of hyperhook; one for each trial."""

    def environment(self, folder: Path, params: Params, study: str, trial: TrialRecord) -> dict[str, str]:
        """Return variables for the program, so that it writes where this follower reads.

        Args:
            folder: The trial's folder; files go below it.
            params: The params, nested ones as mappings.
            study: Name of the study.
            trial: The trial.
        """
        return {}

    def read(self) -> Iterator[Reading]:
        """Yield everything that is new since the last call; never blocks, and leaves a torn tail for the next call."""
        return iter(())

    def read_line(self, line: str) -> Iterator[Reading]:
        """Yield what a line of standard output reports; only who reads standard output does."""
        return iter(())

    def close(self) -> None:
        """Let go of what is open."""
