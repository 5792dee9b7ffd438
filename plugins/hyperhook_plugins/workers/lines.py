"""What a worker prints, passed on in whole lines."""

from __future__ import annotations

import os
import sys
from typing import IO, Literal

__all__ = ["Lines"]

_MOST_BYTES = 1 << 16


class Lines:
    """Reads a worker's stream and prints its lines here, each behind the worker's mark.

    Of a line that is drawn again and again behind carriage returns, as progress bars are, the last is passed on.

    Args:
        stream: What the worker prints to.
        mark: What each line begins with.
        target: The stream of this process to print to, looked up at each line: a notebook or a progress bar may have
            put another one in its place.
    """

    def __init__(self, stream: IO[bytes], mark: str, target: Literal["stdout", "stderr"]) -> None:
        self._stream = stream
        self._mark = mark
        self._target = target
        self._rest = b""
        self.has_ended = False
        os.set_blocking(stream.fileno(), False)

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._stream.fileno()

    def read(self) -> bool:
        """Pass on what has come; tell whether there was anything."""
        try:
            found = os.read(self.fileno(), _MOST_BYTES)
        except BlockingIOError:
            return False
        self.has_ended = not found
        *whole, self._rest = (self._rest + found).split(b"\n")
        self._print(whole)
        return bool(found)

    def finish(self) -> None:
        """Pass on what is left, and close; a process that it started may still hold the other end."""
        while self.read():
            pass
        if self._rest:
            self._print([self._rest])
        self._stream.close()

    def _print(self, lines: list[bytes]) -> None:
        shown = [self._mark + line.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace") + "\n" for line in lines]
        if shown:
            stream = getattr(sys, self._target)
            stream.write("".join(shown))
            stream.flush()
