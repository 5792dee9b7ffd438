"""Chooses what reads a program's metrics: one follower by its name, or whichever first has something to say."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar

from hyperhook.errors import MissingLibraryError, UnknownPluginError
from hyperhook.follower import Follower, Reading
from hyperhook.manager import install_line, missing_libraries
from hyperhook.parameters import Params
from hyperhook.records import TrialRecord
from hyperhook.stdout import Stdout

__all__ = ["GROUP", "Following"]

log = logging.getLogger("hyperhook")

_T = TypeVar("_T")

GROUP = "hyperhook.followers"
"""The entry points of followers."""


class Following:
    """The followers of one program. Several are asked until one gives a reading; from then on it alone is.

    Args:
        source: The name of a follower; ``"auto"`` for all whose library is installed.

    Raises:
        UnknownPluginError: There is no such follower.
        MissingLibraryError: Its library is not installed.
    """

    def __init__(self, source: str) -> None:
        self._followers = dict(_all()) if source == "auto" else {source: _named(source)}

    def environment(self, folder: Path, params: Params, study: str, trial: TrialRecord) -> dict[str, str]:
        """Return variables for the program; see `Follower.environment`."""
        found: dict[str, str] = {}
        for name in list(self._followers):
            found |= self._guarded(name, lambda follower: follower.environment(folder, params, study, trial)) or {}
        return found

    def read(self) -> Iterator[Reading]:
        """Yield everything that is new since the last call."""
        yield from self._readings(lambda follower: list(follower.read()))

    def read_line(self, line: str) -> Iterator[Reading]:
        """Yield what a line of standard output reports."""
        yield from self._readings(lambda follower: list(follower.read_line(line)))

    def close(self) -> None:
        """Let go of what is open."""
        for name in list(self._followers):
            self._guarded(name, lambda follower: follower.close())
        self._followers.clear()

    def _readings(self, ask: Callable[[Follower], list[Reading]]) -> Iterator[Reading]:
        for name in list(self._followers):
            readings = self._guarded(name, ask)
            if readings:
                for other in self._followers.keys() - {name}:
                    self._guarded(other, lambda follower: follower.close())
                    self._followers.pop(other, None)
                yield from readings
                return

    def _guarded(self, name: str, ask: Callable[[Follower], _T]) -> _T | None:
        """Ask a follower; one that fails is left out, and costs the training nothing."""
        try:
            return ask(self._followers[name])
        except Exception:
            log.exception("follower %s failed; it is asked no more in this trial", name)
            self._followers.pop(name, None)
            return None


def _all() -> Iterator[tuple[str, Follower]]:
    yield "stdout", Stdout()
    for entry in entry_points(group=GROUP):
        if entry.name == "stdout":
            continue
        try:
            kind = entry.load()
            if not missing_libraries(kind):
                yield entry.name, kind()
        except ImportError:
            continue


def _named(name: str) -> Follower:
    if name == "stdout":
        return Stdout(any_object=True)
    entries = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in entries:
        known = ["stdout", *entries]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UnknownPluginError(f"metrics_from: there is no follower {name!r}; there are: {', '.join(known)}{hint}")
    entry = entries[name]
    try:
        kind = entry.load()
        missing = missing_libraries(kind)
    except ModuleNotFoundError as error:
        missing = [error.name or str(error)]
    if missing:
        line = install_line(entry, missing)
        raise MissingLibraryError(f"follower {name!r} needs {', '.join(missing)}, not installed here: {line}")
    made: Follower = kind()
    return made
