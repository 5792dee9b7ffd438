"""The workers of one run, seen from the process that started them."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from hyperhook.errors import TooManyFailuresError
from hyperhook.work import Ending
from hyperhook_plugins.workers.lines import Lines

if TYPE_CHECKING:
    from hyperhook import Study

__all__ = ["Crew"]

log = logging.getLogger("hyperhook")

LOOK_SECONDS = 0.25
"""How often the parent looks at the study and at its workers; what they print wakes it at once."""
GRACE_SECONDS = 10.0
"""How long an interrupted trial may take to end before its worker is killed."""


class Crew:
    """Starts workers, passes on what they print, takes new ones for those that die, ends them all.

    Args:
        study: The study that they work on.
        work: Their work, packed.
        settings: For each worker, what its environment has beside this process's.
    """

    def __init__(self, study: Study, work: bytes, settings: Sequence[Mapping[str, str]]) -> None:
        self._study = study
        self._work = work
        self._settings = settings
        self._workers: dict[int, _Worker] = {}
        self._ended = 0
        self._deaths = 0

    def run(self) -> None:
        """Let the workers work until each of them has nothing left to do.

        Raises:
            TooManyFailuresError: Workers die, and no trial ends in between.
            BaseException: What ended a worker.
        """
        try:
            for place in range(len(self._settings)):
                self._start(place)
            looked = 0.0
            while self._workers:
                self._listen(LOOK_SECONDS)
                now = time.monotonic()
                if now - looked >= LOOK_SECONDS or any(worker.has_left() for worker in self._workers.values()):
                    looked = now  # not at each line that a worker prints: it reads the store
                    self._look()
        except BaseException:
            self._interrupt()
            raise
        finally:
            self._kill()
            self._study.watch()

    def _start(self, place: int) -> None:
        self._workers[place] = _Worker(place, {**self._study.environment, **self._settings[place]}, self._work)

    def _listen(self, seconds: float) -> None:
        """Pass on what the workers print, as it comes."""
        sources = {stream.fileno(): stream for worker in self._workers.values() for stream in worker.open_streams()}
        links = [worker.link for worker in self._workers.values() if not worker.has_told]
        for ready in wait([*sources, *links], seconds):
            if isinstance(ready, int):
                sources[ready].read()
            else:
                next(worker for worker in self._workers.values() if worker.link is ready).hear()

    def _look(self) -> None:
        """Show what ended, and see who has left."""
        gone = [worker for worker in self._workers.values() if worker.has_left()]
        ended = sum(trial.state.ended_by_itself for trial in self._study.watch().trials)
        if ended > self._ended:
            self._ended, self._deaths = ended, 0
        for worker in gone:
            del self._workers[worker.place]
            worker.clear()
            if worker.ending is None:
                self._replace(worker)
            elif worker.ending.error is not None:
                raise worker.ending.error

    def _replace(self, dead: _Worker) -> None:
        self._deaths += 1
        how = _named(dead.status)
        if self._deaths >= self._study.max_consecutive_failures:
            raise TooManyFailuresError(
                f"workers: {self._deaths} worker processes in a row died, the last one {how}, and no trial ended in "
                "between; see what they printed, mend the training function and run the study again: it goes on"
            )
        log.warning("worker %d %s; a new one takes its place", dead.place, how)
        self._start(dead.place)

    def _interrupt(self) -> None:
        """End the trials that run, in an orderly way."""
        for worker in self._workers.values():
            worker.interrupt()
        deadline = time.monotonic() + GRACE_SECONDS
        while self._workers and time.monotonic() < deadline:
            self._listen(LOOK_SECONDS / 5)
            for worker in [worker for worker in self._workers.values() if worker.has_left()]:
                self._workers.pop(worker.place).clear()

    def _kill(self) -> None:
        for worker in self._workers.values():
            log.warning("worker %d does not end; it is killed", worker.place)
            worker.clear()
        self._workers.clear()


class _Worker:
    """One worker process: its link, what it prints, how it ended."""

    def __init__(self, place: int, settings: Mapping[str, str], work: bytes) -> None:
        self.place = place
        self.ending: Ending | None = None
        self.has_told = False
        self.link, theirs = multiprocessing.Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hyperhook_plugins.workers.process", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **settings},
                process_group=0,
            )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        mark = f"[worker {place}] "
        self._streams = [Lines(self._process.stdout, mark, "stdout"), Lines(self._process.stderr, mark, "stderr")]
        with suppress(OSError):  # it died at its start: seen when its end is
            spec = getattr(sys.modules["__main__"], "__spec__", None)
            self.link.send_bytes(pickle.dumps((sys.path, sys.argv, None if spec is None else spec.name)))
            self.link.send_bytes(work)

    @property
    def status(self) -> int:
        """What it ended with."""
        return self._process.returncode

    def open_streams(self) -> list[Lines]:
        """The streams that it may still print to."""
        return [stream for stream in self._streams if not stream.has_ended]

    def hear(self) -> None:
        """Take how it ended."""
        self.has_told = True
        with suppress(EOFError, OSError):
            self.ending = pickle.loads(self.link.recv_bytes())

    def has_left(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def interrupt(self) -> None:
        """Ask it to end its trial as KILLED, and itself."""
        self._process.send_signal(signal.SIGINT)

    def clear(self) -> None:
        """Kill what is left of it and of the processes that it started; pass on what it printed last."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if not self.has_told and self.link.poll():
            self.hear()
        self.link.close()
        for stream in self._streams:
            stream.finish()


def _named(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-status).name}"
    return f"was ended by signal {-status}"
