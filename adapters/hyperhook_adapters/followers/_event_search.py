"""Finds the event files that a program makes."""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

__all__ = ["EventSearch"]

log = logging.getLogger("hyperhook.tensorboard")

_MOST_FOLDERS = 5_000
_IDLE = 20
"""So many times the time that a look takes lies between two looks."""
_PASSED_OVER = frozenset(("__pycache__", "node_modules", "site-packages", "mlruns", "wandb"))
_MARK = ".tfevents."
_NAME = re.compile(r".*\.tfevents\.(?P<time>\d{9,})\.(?P<rest>.+)", re.DOTALL)
"""Behind the time come the host, and mostly process and a count; hyperhook's own files have no such time."""


class EventSearch:
    """Looks for new event files below a folder, and below the trial's own.

    Hidden folders, and those that never hold event files but many others, are passed over, and of a very large tree
    only the upper folders are seen: a warning says so.

    Args:
        root: The folder; need not be there yet.
        own: The trial's folder: whatever appears in it is taken.
    """

    def __init__(self, root: Path, own: Path) -> None:
        self._root, self._own = root, own
        self._host = socket.gethostname()
        self._due = 0.0
        self._has_warned = False
        self._seen = set(self._walk())

    def new(self, process: int | None, *, at_once: bool) -> list[Path]:
        """Return the files that came since the last call, first made first.

        Args:
            process: The process that leads the program's group; None takes any new file.
            at_once: Look also where the last look took long, and was just now.
        """
        began = time.monotonic()
        if began < self._due and not at_once:
            return []
        found = [path for path in self._walk() if path not in self._seen]
        self._seen.update(found)
        self._due = time.monotonic() + _IDLE * (time.monotonic() - began)
        return sorted((path for path in found if self._is_taken(path, process)), key=_age)

    def _walk(self) -> Iterator[Path]:
        folders = deque([self._own, self._root])
        done = 0
        while folders:
            folder = folders.popleft()
            if done == _MOST_FOLDERS:
                self._warn()
                return
            done += 1
            try:
                entries = list(os.scandir(folder))
            except OSError:
                continue
            for entry in entries:
                if _MARK in entry.name and not entry.is_dir():
                    yield Path(entry.path)
                elif not (entry.name.startswith(".") or entry.name in _PASSED_OVER) and _is_folder(entry):
                    folders.append(Path(entry.path))

    def _warn(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            log.warning(
                "TensorBoard: below %s are more than %d folders: not all are searched for event files; "
                "name the folder: metrics_from: {tensorboard: {logdir: …}}",
                self._root,
                _MOST_FOLDERS,
            )

    def _is_taken(self, path: Path, process: int | None) -> bool:
        """Tell whether a new file is this program's, as far as its name tells."""
        name = _NAME.fullmatch(path.name)
        if name is None or process is None or path.is_relative_to(self._own):
            return name is not None
        if name["rest"] == self._host:
            return True  # it tells no process
        writer = re.match(rf"{re.escape(self._host)}\.(\d+)\.\d", name["rest"])
        return writer is not None and _belongs_to(int(writer[1]), process)


def _belongs_to(process: int, leader: int) -> bool:
    """Tell whether a process is another one, of its group, or comes from it; one that has ended does not."""
    if process == leader:
        return True
    try:
        return os.getpgid(process) == leader or leader in _ancestors(process)
    except OSError:
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _age(path: Path) -> tuple[list[int], str]:
    """Sort files by the time of their making, and those of one process by its count."""
    name = _NAME.fullmatch(path.name)
    return [] if name is None else [int(name["time"]), *map(int, re.findall(r"[0-9]+", name["rest"]))], str(path)


def _ancestors(process: int) -> Iterator[int]:
    """Yield the ids of the processes that a process comes from, where the system tells them in /proc."""
    while process > 1:
        try:
            status = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            return
        process = int(status.rpartition(")")[2].split()[1])
        yield process
