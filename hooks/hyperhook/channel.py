"""The way from a trial to its journal, to the listeners and to the pruners."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hyperhook.curve import Curve
from hyperhook.delivery import Projection, dispatch
from hyperhook.errors import SpaceError, StoreError
from hyperhook.events import Event
from hyperhook.journal import Journal
from hyperhook.manager import Manager
from hyperhook.media import replace
from hyperhook.objective import Point
from hyperhook.parameters import Parameter, Scalar
from hyperhook.records import StudyRecord, TrialRecord

__all__ = ["Channel"]

log = logging.getLogger("hyperhook")


class Channel:
    """Takes a trial's events, from any thread: the journal first, then whoever listens in this process.

    It can be pickled, so that a trial may go to a spawned rank: the copy appends to the same journal. Trackers that are
    delivered inline stay behind.

    Args:
        journal: The trial's journal.
        manager: The study's plugins.
        report: Keeps where the trial stands and reads the study, for the pruners; None where none is to be asked.
        inline: The trackers that are driven in this process.
        meet: Answers what the trial asks for as it goes, and keeps it; None where it may not ask.
    """

    def __init__(
        self,
        journal: Journal,
        manager: Manager,
        report: Callable[[Point | None], StudyRecord] | None,
        inline: tuple[Projection, ...] = (),
        meet: Callable[[TrialRecord, str, Parameter], Scalar] | None = None,
    ) -> None:
        self.journal = journal
        self._manager = manager
        self._report_standing = report
        self._inline = inline
        self._meet = meet
        self.was_asked = False
        self._reported: int | None = None
        self._failed = False
        self._turn = threading.RLock()

    def emit(self, trial: TrialRecord, event: Event) -> None:
        """Journal an event, then tell the listeners. A full disk costs the event, never the training."""
        with self._turn:
            try:
                self.journal.append(event)
            except OSError as error:
                self._report(f"journal {self.journal.path}", error)
            if self._manager.plugins:
                dispatch(self._manager.events, trial, event)
            if self._inline:
                self.deliver()

    def store(self, place: str, write: Callable[[Path], None]) -> Path | None:
        """Write a file below the trial's folder of artifacts. A full disk costs the file, never the training."""
        target = self._artifacts / place
        try:
            replace(target, write)
        except OSError as error:
            self._report(f"artifact {target}", error)
            return None
        return target

    def discard(self, place: str) -> Path | None:
        """Delete a file or folder below the trial's folder of artifacts; None where there was none."""
        target = self._artifacts / place
        if not target.exists():
            return None
        try:
            shutil.rmtree(target) if target.is_dir() else target.unlink()
        except OSError as error:
            self._report(f"artifact {target}", error)
        return target

    @property
    def _artifacts(self) -> Path:
        return self.journal.path.parent / "artifacts"

    def _report(self, what: str, error: OSError) -> None:
        """Say once that the disk refuses."""
        if not self._failed:
            log.error("%s cannot be written (%s); training goes on unrecorded", what, error)
        self._failed = True

    def deliver(self) -> None:
        """Bring the trackers that are driven in this process up to the journal's end."""
        for projection in self._inline:
            projection.deliver_or_report()

    def meet(self, trial: TrialRecord, name: str, asked: Parameter) -> Scalar:
        """Return the value of a parameter that the trial asks for, and keep it."""
        if self._meet is None:
            raise SpaceError(f"suggest: trial {trial.name!r} takes no params beside those that it has")
        return self._meet(trial, name, asked)

    def should_stop(self, trial: TrialRecord, curve: Curve, *, expects: bool) -> bool:
        """Ask the pruners, once the store holds where the trial stands; where it cannot, the trial goes on.

        Raises:
            ObjectiveError: The objective's metric is expected, and neither this trial nor another one ever logged it.
        """
        self.was_asked = True
        if self._report_standing is None or not self._manager.decides("should_stop"):
            return False
        standing = curve.standing
        new = None if standing is None or standing.step == self._reported else standing  # reading waits for no writer
        try:
            study = self._report_standing(new)
        except StoreError as error:
            log.error("no pruner is asked about trial %s, which goes on: %s", trial.name, error)
            return False
        self._reported = None if standing is None else standing.step
        if expects and not any(other.curve or other.value is not None for other in study.trials):
            curve.require()
        stored = next((other for other in study.trials if other.id == trial.id), trial)
        trial = dataclasses.replace(trial, curve=stored.curve)
        return bool(self._manager.decide.should_stop(study=study, trial=trial, last=curve.last))

    def close(self) -> None:
        """Let go of the journal and of the cursors."""
        self.deliver()
        self.journal.close()
        for projection in self._inline:
            projection.release()

    def __getstate__(self) -> dict[str, Any]:
        return {"journal": self.journal, "manager": self._manager, "report": self._report_standing, "meet": self._meet}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]
