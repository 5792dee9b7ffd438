"""W&B's offline file: its records as it grows, and when it is complete.

It is a log in LevelDB's format behind seven bytes: chunks that never cross a block of 32 KiB, each with a header of
checksum (4 bytes), length (2) and kind (1: whole, 2: first, 3: middle, 4: last of a record). A record is a protobuf
message, and the last one of a finished run is its exit.
"""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["OfflineFile", "is_complete", "wait_until_complete"]

log = logging.getLogger("hyperhook.wandb")

_BLOCK, _HEADER = 32_768, 7
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_AT_ONCE = 32 * _BLOCK


class OfflineFile:
    """The records of a file that another process is writing.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb")
        self._position = 0
        """Behind the last whole chunk."""
        self._parts: list[bytes] = []

    def records(self) -> Iterator[Any]:
        """Yield the records that are new and whole, a megabyte at a time.

        Raises:
            ValueError: This is no such file.
        """
        from wandb.proto.wandb_internal_pb2 import Record

        moved = True
        while moved:
            self._file.seek(self._position)
            data = self._file.read(_AT_ONCE)
            start = self._position
            for record in self._take(data):
                yield Record.FromString(record)
            moved = self._position != start and len(data) == _AT_ONCE

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _take(self, data: bytes) -> Iterator[bytes]:
        """Yield the records that end in some bytes of the file, and move behind the last whole chunk."""
        at = 0
        if self._position == 0:
            if len(data) < _HEADER:
                return
            at = self._position = _HEADER
        start = self._position - at
        while at + _HEADER <= len(data):
            left = _BLOCK - (start + at) % _BLOCK
            if left < _HEADER:
                at += left
                continue
            length, kind = struct.unpack_from("<4xHB", data, at)
            if kind not in (_WHOLE, _FIRST, _MIDDLE, _LAST):
                if not any(data[at : at + left]):
                    return  # a hole, which is filled later
                raise ValueError(f"no record of W&B at byte {start + at}")
            chunk = data[at + _HEADER : at + _HEADER + length]
            if len(chunk) < length:
                return
            at += _HEADER + length
            self._position = start + at
            self._parts = [chunk] if kind in (_WHOLE, _FIRST) else [*self._parts, chunk]
            if kind in (_WHOLE, _LAST):
                yield b"".join(self._parts)


def wait_until_complete(path: Path, timeout_seconds: float = 5.0) -> None:
    """Wait until W&B's own process has written a run's exit: `Run.finish` returns some milliseconds earlier.

    Args:
        path: The file of a run that was finished.
        timeout_seconds: When to go on all the same, with a warning.
    """
    deadline = time.monotonic() + timeout_seconds
    while not is_complete(path):
        if time.monotonic() > deadline:
            log.warning("W&B: %s has no end after %.0f s, although its run was finished", path, timeout_seconds)
            return
        time.sleep(0.005)


def is_complete(path: Path) -> bool:
    """Tell whether the last record of an offline file is a run's exit."""
    from wandb.proto.wandb_internal_pb2 import Record

    return path.exists() and bool(Record.FromString(_last_record(path)).HasField("exit"))


def _last_record(path: Path) -> bytes:
    """Return the last record of a file, if it lies within the last two blocks and is not torn; else nothing."""
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        start = max(0, size // _BLOCK - 1) * _BLOCK
        file.seek(start)
        data = file.read()
    position, kind, parts = (0 if start else _HEADER), 0, list[bytes]()
    while position + _HEADER <= len(data):
        left = _BLOCK - position % _BLOCK
        if left < _HEADER:
            position += left
            continue
        length, kind = struct.unpack_from("<4xHB", data, position)
        chunk = data[position + _HEADER : position + _HEADER + length]
        if len(chunk) < length:
            return b""
        parts = [chunk] if kind in (_WHOLE, _FIRST) else [*parts, chunk] if parts else []
        position += _HEADER + length
    return b"".join(parts) if kind in (_WHOLE, _LAST) else b""
