"""The journal: an append-only file of events, the truth about what happened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hyperhook.events import Event, decode, encode

__all__ = ["Journal", "read"]

_BLOCK = 1 << 20


class Journal:
    """The writing side. What `append` returned from survives the death of the process.

    One unbuffered write per event, at the end of the file, so that several processes may append to one journal and a
    reader sees whole lines or a torn last one. It can be pickled: the copy opens the file anew.

    Args:
        path: The file; made with its folder where it is missing.

    Raises:
        OSError: The file cannot be opened.

    Example:
        >>> journal = Journal(Path("journal.jsonl"))  # doctest: +SKIP
        >>> journal.append(MetricsLogged(time=0.0, metrics={"loss": 0.5}, step=0))  # doctest: +SKIP
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        self._expected_size = 0
        self._torn = False
        self._open()

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._expected_size = os.fstat(self._descriptor).st_size
        if self._expected_size:
            self._torn = os.pread(self._descriptor, 1, self._expected_size - 1) != b"\n"

    def append(self, event: Event) -> None:
        """Write one event.

        Raises:
            OSError: The disk is full or gone; what was written before stays readable.
        """
        line = encode(event)
        if self._torn:
            line = b"\n" + line  # closes the torn line: a reader passes it over
        written = 0
        try:
            while written < len(line):
                written += os.write(self._descriptor, line[written:] if written else line)
        except OSError:
            self._torn = self._torn or written > 0
            raise
        self._torn = False
        self._expected_size += written

    def mend(self) -> None:
        """Close a torn last line: what it holds, if anything, can be read from now on."""
        if self._torn:
            self._expected_size += os.write(self._descriptor, b"\n")
            self._torn = False

    def sync(self) -> None:
        """Wait until everything is on the disk."""
        os.fsync(self._descriptor)

    @property
    def grew_elsewhere(self) -> bool:
        """Whether another process has appended to the file since it was opened here."""
        return os.fstat(self._descriptor).st_size != self._expected_size

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]


def read(path: Path, cursor: int = 0) -> Iterator[tuple[Event, int]]:
    """Yield the events behind a cursor, each with the cursor behind it; memory stays bounded.

    A torn line is passed over; a last line that has no end yet is left for a later call.

    Args:
        path: The journal.
        cursor: Position in bytes: 0, or one that this function gave.

    Raises:
        FileNotFoundError: There is no such journal.
        JournalError: It has a newer schema, or is no journal.
    """
    with open(path, "rb", buffering=0) as file:
        file.seek(cursor)
        rest = b""
        while block := file.read(_BLOCK):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                cursor += len(line) + 1
                event = decode(line) if line else None
                if event is not None:
                    yield event, cursor
