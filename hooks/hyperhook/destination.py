"""Where a study's trackers write to, so that another process can go on sending there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from hyperhook.errors import PluginError, UnknownPluginError
from hyperhook.home import Home
from hyperhook.manager import load_tracker
from hyperhook.names import file_name
from hyperhook.parameters import Scalar
from hyperhook.tracker import Tracker

__all__ = ["Destination", "recall", "remember"]


class Destination(msgspec.Struct, frozen=True):
    """What makes a tracker again that sends to the same place.

    Attributes:
        directory: The current directory of the process that named it, which relative places are relative to.
        options: Arguments of its constructor; None where they cannot be told, or must not be kept.
    """

    directory: str
    options: dict[str, Scalar] | None


def remember(home: Home, study: str, trackers: Mapping[str, Tracker]) -> None:
    """Keep where the trackers of a study write to.

    Args:
        home: The home that the study lives in.
        study: Name of the study.
        trackers: The trackers, by the names of their cursors.
    """
    for name, tracker in trackers.items():
        options = tracker.options()
        destination = Destination(os.getcwd(), None if options is None else dict(options))
        file = _file(home, study, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_suffix(f".{os.getpid()}")
        beside.write_bytes(msgspec.json.encode(destination))
        os.replace(beside, file)


def recall(home: Home, study: str, name: str) -> Tracker:
    """Make the tracker again that a study named, in the directory that it was named in.

    A tracker that the study never named is made with its defaults. The current directory changes, since libraries
    resolve their default places when they are first used.

    Args:
        home: The home that the study lives in.
        study: Name of the study.
        name: Name of the tracker.

    Raises:
        PluginError: It is not installed, its options were not kept, or its directory is gone.
    """
    file = _file(home, study, name)
    by_hand = "it is sent for by the script that makes it: study.flush()"
    if not file.exists():
        return load_tracker(name)[1]
    destination = msgspec.json.decode(file.read_bytes(), type=Destination)
    if destination.options is None:
        raise PluginError(f"tracker {name!r} of study {study!r} was made with options that were not kept; {by_hand}")
    try:
        os.chdir(destination.directory)
    except OSError as error:
        raise PluginError(
            f"tracker {name!r} of study {study!r} writes from {destination.directory!r}, which cannot be entered "
            f"({error.strerror}); {by_hand}"
        ) from None
    try:
        return load_tracker(name, destination.options)[1]
    except UnknownPluginError as error:
        raise PluginError(f"{error}; a tracker that is not installed under a name: {by_hand}") from None


def _file(home: Home, study: str, tracker: str) -> Path:
    return home.study(study) / "trackers" / f"{file_name(tracker)}.json"
