"""A program in the place of this process: it has the terminal, and signals reach it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from hyperhook.errors import StudyError
from hyperhook.interrupt import Interrupt
from hyperhook.program import Guard

__all__ = ["run_here", "words_of"]

_POLL_SECONDS = 0.1


def words_of(script: str, arguments: Sequence[str]) -> list[str]:
    """Return what starts a script: a Python file by this interpreter, anything else by its name.

    A ``--`` in front of the arguments is for whoever reads the command line, and not for the script.

    Example:
        >>> words_of("torchrun", ["train.py"])
        ['torchrun', 'train.py']
    """
    own = arguments[1:] if arguments[:1] == ["--"] else arguments
    return [*([sys.executable] if script.endswith(".py") else []), script, *own]


def run_here(words: Sequence[str], environment: Mapping[str, str], interrupt: Interrupt, guard: Guard) -> int:
    """Run a program to its end; it reads and writes where this process does.

    Args:
        words: The program and its arguments.
        environment: Its environment, whole.
        interrupt: The signals that came to this process; they are passed on.
        guard: Ends the program, should this process die.

    Returns:
        Its exit code, negative for the signal that ended it.

    Raises:
        StudyError: It cannot be started.
    """
    guard.start()
    try:
        process = subprocess.Popen(words, env=environment)
    except (OSError, ValueError) as error:
        raise StudyError(f"the program {words[0]!r} cannot be started: {error}") from None
    guard.watch(process.pid)
    passed = 0
    try:
        while True:
            try:
                return process.wait(_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if interrupt.count > passed and interrupt.signal is not None:
                    passed = interrupt.count
                    _pass_on(interrupt.signal, process)
    finally:
        guard.release(process.pid)


def _pass_on(number: signal.Signals, process: subprocess.Popen[bytes]) -> None:
    """Send a signal on; what comes from the terminal's keys has reached the program already."""
    if number is not signal.SIGINT or not os.isatty(0):
        process.send_signal(number)
