"""The way from a trial to its journal, to the listeners and to the pruners."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from hyperhook.delivery import Projection, dispatch
from hyperhook.events import Event
from hyperhook.journal import Journal
from hyperhook.manager import Manager
from hyperhook.objective import Point
from hyperhook.records import StudyRecord, TrialRecord

__all__ = ["Channel"]

log = logging.getLogger("hyperhook")


class Channel:
    """Takes a trial's events: the journal first, then whoever listens in this process.

    It can be pickled, so that a trial may go to a spawned rank: the copy appends to the same journal. Trackers that are
    delivered inline stay behind.

    Args:
        journal: The trial's journal.
        manager: The study's plugins.
        snapshot: Reads the study, for the pruners.
        inline: The trackers that are driven in this process.
    """

    def __init__(
        self,
        journal: Journal,
        manager: Manager,
        snapshot: Callable[[], StudyRecord],
        inline: tuple[Projection, ...] = (),
    ) -> None:
        self.journal = journal
        self._manager = manager
        self._snapshot = snapshot
        self._inline = inline
        self._journal_failed = False

    def emit(self, trial: TrialRecord, event: Event) -> None:
        """Journal an event, then tell the listeners. A full disk costs the event, never the training."""
        try:
            self.journal.append(event)
        except OSError as error:
            if not self._journal_failed:
                log.error("journal %s cannot be written (%s); training goes on unrecorded", self.journal.path, error)
            self._journal_failed = True
        if self._manager.plugins:
            dispatch(self._manager.events, trial, event)
        if self._inline:
            self.deliver()

    def deliver(self) -> None:
        """Bring the trackers that are driven in this process up to the journal's end."""
        for projection in self._inline:
            projection.deliver_or_report()

    def should_stop(self, trial: TrialRecord, last: Point | None) -> bool:
        """Ask the pruners."""
        if not self._manager.decides("should_stop"):
            return False
        return bool(self._manager.decide.should_stop(study=self._snapshot(), trial=trial, last=last))

    def close(self) -> None:
        """Let go of the journal and of the cursors."""
        self.deliver()
        self.journal.close()
        for projection in self._inline:
            projection.release()

    def __getstate__(self) -> dict[str, Any]:
        return {"journal": self.journal, "manager": self._manager, "snapshot": self._snapshot}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]
