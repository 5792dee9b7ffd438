"""The worker: a process that works on a study until its budget is used up, or its parent is gone.

Its link to the parent is a socket: the parent sends its paths and its work, the worker sends how it ended. When the
other end closes, the parent has died, however it did: the worker interrupts itself, as Ctrl-C would.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from multiprocessing.connection import Connection

from hyperhook.work import TOLD_TO_END, Ending, Work

__all__ = ["main"]

_MOMENT_SECONDS = 1.0
"""How long after a pipe to the parent broke its end is waited for: a dying process closes one after the other."""
_GRACE_SECONDS = 10.0
"""How long an interrupted trial may take to end where the parent is gone."""


def main(handle: int) -> None:
    """Work, and tell the parent how it ended.

    Args:
        handle: The descriptor of the link.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent in the background may have it ignored
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    link = Connection(handle)
    sys.path[:], sys.argv[:], module = pickle.loads(link.recv_bytes())
    sys.modules["__main__"].__spec__ = None if module is None else ModuleSpec(module, None)  # for who starts it again
    packed = link.recv_bytes()
    cut = threading.Event()
    threading.Thread(target=_watch, args=(link, cut), name="hyperhook-lifeline", daemon=True).start()
    try:
        ending = _work(packed, lambda: cut.wait(_MOMENT_SECONDS))
    except KeyboardInterrupt:
        sys.exit(130)  # the parent asked for it, or is gone
    except SystemExit:
        sys.exit(TOLD_TO_END)  # another worker takes its place
    try:
        link.send_bytes(pickle.dumps(ending))
    except OSError:
        sys.exit(1)


def _work(packed: bytes, is_cut_off: Callable[[], bool]) -> Ending:
    try:
        work: Work = pickle.loads(packed)
        with work.study:
            work.study.leave_delivery()
            work.run(is_cut_off)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, SystemExit) and error.code == TOLD_TO_END:
            raise
        return Ending.of(error, f"worker process {os.getpid()}")
    return Ending()


def _watch(link: Connection, cut: threading.Event) -> None:
    """Wait for the parent's end, and follow it."""
    try:
        link.recv_bytes()
    except (EOFError, OSError):
        cut.set()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(_GRACE_SECONDS)
        os._exit(1)


if __name__ == "__main__":
    from hyperhook_plugins.workers.process import main as imported  # under its importable name

    imported(int(sys.argv[1]))
