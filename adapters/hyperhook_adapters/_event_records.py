"""The records of an event file that another process is writing.

Each is its length (8 bytes), the length's checksum (4), the data, and their checksum (4); a checksum is a CRC-32C,
rotated by 15 bits and shifted by a constant. The data are an `Event` of TensorBoard.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["EventRecords", "masked_crc"]

_HEADER, _FOOTER = 12, 4
_AT_ONCE = 1 << 20
_CHECKED = 1 << 16
"""Bytes up to which data are checked: what is longer is an image or the like, which nobody asks for."""


def _table() -> tuple[int, ...]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_TABLE = _table()


def masked_crc(data: bytes) -> int:
    """Return the checksum of some bytes, as event files have it.

    Example:
        >>> hex(masked_crc(b"123456789"))  # the CRC-32C of these is 0xe3069283
        '0xc7a9c00c'
    """
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


class EventRecords:
    """Reads the events that are new and whole.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb")
        self._position = 0

    def events(self) -> Iterator[Any]:
        """Yield events, a megabyte at a time.

        Raises:
            ValueError: This is no event file, or it is damaged.
        """
        from tensorboard.compat.proto import event_pb2

        wanted = _AT_ONCE
        while True:
            self._file.seek(self._position)
            data = self._file.read(wanted)
            is_all = len(data) < wanted
            wanted, at = _AT_ONCE, 0
            while at + _HEADER <= len(data):
                length, check = struct.unpack_from("<QI", data, at)
                if masked_crc(data[at : at + 8]) != check:
                    if not any(data[at : at + _HEADER]):
                        return  # a hole, which is filled later
                    raise ValueError(f"no event at byte {self._position}")
                end = at + _HEADER + length + _FOOTER
                if end > len(data):
                    wanted = max(_AT_ONCE, end - at)
                    break
                record = data[at + _HEADER : end - _FOOTER]
                if length <= _CHECKED and masked_crc(record) != struct.unpack_from("<I", data, end - _FOOTER)[0]:
                    return  # its pages have not all arrived
                self._position += end - at
                at = end
                yield event_pb2.Event.FromString(record)
            if is_all:
                return

    def close(self) -> None:
        """Close the file."""
        self._file.close()
