"""A process's work on a study: announced once, mended where another process died, finished."""

from __future__ import annotations

import logging
from dataclasses import replace

from hyperhook.errors import StoreError
from hyperhook.events import StudyFinished, StudyStarted
from hyperhook.growth import aligned
from hyperhook.manager import Manager
from hyperhook.outlet import Outlet
from hyperhook.records import StudyRecord
from hyperhook.workspace import Workspace

__all__ = ["Session"]

log = logging.getLogger("hyperhook")


class Session:
    """Tells plugins and trackers when this process begins and ends its work on a study.

    Args:
        study: The study, without its trials.
        workspace: The home that it lives in.
        manager: Its plugins.
        outlet: Its trackers.
    """

    def __init__(self, study: StudyRecord, workspace: Workspace, manager: Manager, outlet: Outlet) -> None:
        self._study = study
        self._workspace = workspace
        self._manager = manager
        self._outlet = outlet
        self._begun = False

    @property
    def has_begun(self) -> bool:
        """Whether the work was announced, and has not been finished."""
        return self._begun

    def begin(self) -> None:
        """Mend what a dead process left, let the plugins prepare, and announce the work."""
        self.reap()
        self._manager.decide.prepare(study=aligned(self._now()), read_study=self._read)
        self._begun = True
        self._outlet.announce(StudyStarted.of(self._study))
        self._manager.events.study_started(study=self._now())

    def reap(self) -> bool:
        """End the trials whose process died; tell whether there were any."""
        killed = self._workspace.reap(self._study.name, self._outlet.trackers)
        for trial in killed:
            log.warning("trial %s was running when its process died: marked as %s", trial.name, trial.state)
            self._manager.events.trial_finished(trial=trial)
        return bool(killed)

    def finish(self) -> None:
        """Announce the end of the work, where it was begun."""
        if not self._begun:
            return
        self._begun = False
        try:
            if not self._workspace.home.database.exists():
                raise StoreError(f"home {str(self._workspace.home.path)!r} is gone")
            self._outlet.announce(StudyFinished.of(self._study))
            self._manager.events.study_finished(study=self._now())
        except (OSError, StoreError) as error:  # training has ended: what it gave is not lost by this
            log.error("the end of study %s cannot be written (%s)", self._study.name, error)

    def _now(self) -> StudyRecord:
        now = self._workspace.store.study(self._study.name)
        return replace(self._study, space=now.space, trials=now.trials)

    def _read(self, name: str) -> StudyRecord:
        return aligned(self._workspace.store.study(name))
