"""Ends programs whose agent died: a script of its own, which imports nothing but what it must.

It reads lines from standard input, the lifeline of the agent: ``+ID`` a program runs, ``-ID`` it ended, where ID is
what `os.kill` takes, negative for a process group. Once the lifeline is cut, what still runs is asked to end by
SIGTERM, and is ended by SIGKILL when the grace is over.
"""

from __future__ import annotations

import os
import signal
import sys
import time

__all__ = ["main"]

_POLL_SECONDS = 0.05


def main() -> None:
    """Wait for the agent's end; the only argument is the grace in seconds."""
    running: set[int] = set()
    for line in sys.stdin.buffer:
        if line.startswith(b"+"):
            running.add(int(line[1:]))
        elif line.startswith(b"-"):
            running.discard(int(line[1:]))
    deadline = time.monotonic() + float(sys.argv[1])
    running = {target for target in running if _send(target, signal.SIGTERM)}
    while running and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        running = {target for target in running if _send(target, 0)}
    for target in running:
        _send(target, signal.SIGKILL)


def _send(target: int, number: int) -> bool:
    """Send a signal; tell whether there was anybody."""
    try:
        os.kill(target, number)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
