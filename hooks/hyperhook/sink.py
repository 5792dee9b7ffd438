"""What a trial needs of the process that it runs in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from hyperhook.curve import Curve
from hyperhook.events import Event
from hyperhook.parameters import Parameter, Scalar
from hyperhook.records import TrialRecord

__all__ = ["Sink"]


class Sink(Protocol):
    """Where a trial's events and files go, and who decides whether it should stop."""

    def emit(self, trial: TrialRecord, event: Event) -> None:
        """Journal an event, then tell the listeners."""

    def store(self, place: str, write: Callable[[Path], None]) -> Path | None:
        """Write a file below the trial's folder of artifacts; None where the disk refuses."""
        ...

    def discard(self, place: str) -> Path | None:
        """Delete a file below the trial's folder of artifacts; None where there was none."""
        ...

    def meet(self, trial: TrialRecord, name: str, asked: Parameter) -> Scalar:
        """Return the value of a parameter that a trial asks for as it goes, and keep it."""
        ...

    @property
    def is_lost(self) -> bool:
        """Whether the trial is another process's by now, or was ended by one."""
        ...

    def should_stop(self, trial: TrialRecord, curve: Curve, *, expects: bool) -> bool:
        """Ask the pruners; where the objective's metric is expected to have been logged by now, insist on it."""
        ...
