"""How far the trackers of a study are."""

from __future__ import annotations

from dataclasses import dataclass

from hyperhook.delivery import load_cursor
from hyperhook.home import STUDY_ITEM, Home
from hyperhook.records import StudyRecord

__all__ = ["TrackerStatus", "status"]


@dataclass(frozen=True, slots=True)
class TrackerStatus:
    """How far a tracker is with a study.

    Attributes:
        tracker: Name of the tracker.
        delivered: How many trials it has whole.
        pending: How many trials are on their way, running ones included.
        aside: How many events it refused for good.
        error: Why the last attempt failed, how far one is that takes long, or why the forwarder once ended in a call;
            None where there is nothing to say.
    """

    tracker: str
    delivered: int
    pending: int
    aside: int
    error: str | None


def status(home: Home, study: StudyRecord) -> list[TrackerStatus]:
    """Return a row for each tracker that a study was ever sent to.

    Args:
        home: The home that the study lives in.
        study: The study with its trials.
    """
    return [_status(home, study, tracker) for tracker in home.trackers(study.name)]


def _status(home: Home, study: StudyRecord, tracker: str) -> TrackerStatus:
    posted = set(home.posted(study.name, tracker))
    files = {trial.id: home.cursor(study.name, trial.id, tracker) for trial in study.trials}
    cursors = {trial: load_cursor(file) for trial, file in files.items() if file.exists()}
    own = load_cursor(home.cursor(study.name, STUDY_ITEM, tracker))
    remarks = (cursor.remark for cursor in (*cursors.values(), own))
    return TrackerStatus(
        tracker,
        delivered=len(cursors.keys() - posted),
        pending=len(files.keys() & posted),
        aside=sum(len(cursor.aside) for cursor in cursors.values()),
        error=next(filter(None, remarks), None),
    )
