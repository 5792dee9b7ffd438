"""A program that runs a trial: started without a shell, in a process group of its own, its output read as it comes."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hyperhook import guard
from hyperhook.errors import StudyError

__all__ = ["Guard", "Line", "Program"]

_LONGEST_LINE = 1 << 16
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Line:
    """A line that a program wrote, without its end."""

    text: str
    is_error: bool


class Guard:
    """A process beside this one that ends programs, should this process die without ending them.

    Args:
        grace_seconds: How long a program may take to end by itself then, in seconds.
    """

    def __init__(self, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Be there before a program begins, so that it is in care as soon as it runs."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, str(self._grace_seconds)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # what a terminal sends to this process does not reach it
            )

    def watch(self, target: int) -> None:
        """Take a process into care; a negative number is a process group."""
        self.start()
        self._tell(f"+{target}\n")

    def release(self, target: int) -> None:
        """Take a process that ended out of care."""
        self._tell(f"-{target}\n")

    def close(self) -> None:
        """Let the guard go; it ends what it has in care."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
            self._process.wait()
            self._process = None

    def _tell(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):  # somebody ended it: the next program gets another
                self._process.stdin.write(line.encode())
                self._process.stdin.flush()


class _Stream:
    """One output of a program: bytes come in, lines go out."""

    def __init__(self, pipe: IO[bytes], *, is_error: bool) -> None:
        os.set_blocking(pipe.fileno(), False)
        self.pipe = pipe
        self._is_error = is_error
        self._rest = b""

    def read(self) -> bytes | None:
        """Return what is there; empty at the end, None where there is nothing yet."""
        try:
            return os.read(self.pipe.fileno(), _BLOCK)
        except BlockingIOError:
            return None

    def lines(self, block: bytes) -> list[Line]:
        """Return the lines that a block completes; an empty one completes the last. A carriage return ends one, too."""
        whole = (self._rest + block).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._rest = whole.split(b"\n")
        if self._rest and (not block or len(self._rest) > _LONGEST_LINE):
            lines.append(self._rest)
            self._rest = b""
        return [Line(line.decode(errors="replace"), self._is_error) for line in lines]


class Program:
    """A program that runs.

    Args:
        words: The program and its arguments.
        environment: Its environment, whole.
        directory: The folder that it works in.
        output: The file that keeps what it writes.

    Raises:
        StudyError: It cannot be started.
    """

    def __init__(self, words: Sequence[str], *, environment: Mapping[str, str], directory: Path, output: Path) -> None:
        try:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd=directory,
                process_group=0,
            )
        except (OSError, ValueError) as error:
            raise StudyError(f"the program {words[0]!r} cannot be started in {str(directory)!r}: {error}") from None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._streams = selectors.DefaultSelector()
        for pipe in (self._process.stdout, self._process.stderr):
            stream = _Stream(pipe, is_error=pipe is self._process.stderr)
            self._streams.register(pipe, selectors.EVENT_READ, stream)
        self._end = os.pidfd_open(self._process.pid) if hasattr(os, "pidfd_open") else None
        if self._end is not None:
            self._streams.register(self._end, selectors.EVENT_READ, None)
        self._output = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self._process.pid

    @property
    def group(self) -> int:
        """Its process group, as `os.kill` takes it."""
        return -self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it has ended; what it left in its process group may still run."""
        if self._process.returncode is not None:
            return True
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT  # its id stays its own until `finish`
        return os.waitid(os.P_PID, self._process.pid, how) is not None

    def wait(self, seconds: float) -> list[Line]:
        """Return the lines that it wrote, as soon as there are any; none where it ended, or after so many seconds."""
        found: list[Line] = []
        for key, _ in self._streams.select(seconds):
            if isinstance(key.data, _Stream):
                found += self._take(key.data) or []
        return found

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and to what it started, in its process group."""
        with suppress(ProcessLookupError, PermissionError):
            os.kill(self.group, number)

    def finish(self) -> tuple[int, list[Line]]:
        """Take leave of a program that has ended; what it left in its process group ends, too.

        Returns:
            Its exit code, negative for the signal that ended it, and the lines that it had yet to say.
        """
        self.send(signal.SIGKILL)
        code = self._process.wait()
        found: list[Line] = []
        for key in list(self._streams.get_map().values()):
            if isinstance(key.data, _Stream):
                while (lines := self._take(key.data)) is not None:
                    found += lines
                found += key.data.lines(b"")
                key.data.pipe.close()
        self._streams.close()
        if self._end is not None:
            os.close(self._end)
        os.close(self._output)
        return code, found

    def end(self) -> None:
        """End it at once, with what it started, if that has not happened yet."""
        if self._process.returncode is None:
            self.finish()

    def _take(self, stream: _Stream) -> list[Line] | None:
        """Return the lines that came from a stream; None where nothing is there."""
        if stream.pipe.closed:
            return None
        block = stream.read()
        if block is None:
            return None
        if not block:
            self._streams.unregister(stream.pipe)
            last = stream.lines(b"")
            stream.pipe.close()
            return last
        with suppress(OSError):  # a full disk costs the file, never the training
            os.write(self._output, block)
        return stream.lines(block)
