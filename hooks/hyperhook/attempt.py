"""One trial's program, watched: what it reports goes to the trial, and it is stopped where the trial is."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hyperhook.errors import MetricError, StoreError
from hyperhook.events import StopRequested
from hyperhook.follower import Reading
from hyperhook.following import Following
from hyperhook.handover import mark
from hyperhook.interrupt import Interrupt
from hyperhook.journal import read
from hyperhook.program import Line, Program
from hyperhook.records import TrialState
from hyperhook.trial import Trial
from hyperhook.workspace import Workspace

__all__ = ["Attempt", "Ending", "how_it_ended"]

log = logging.getLogger("hyperhook")

_POLL_SECONDS = 0.1
_CHECK_SECONDS = 5.0
"""How often the store is asked whether the trial still runs."""
_LONGEST_ERROR = 500
_FROM_OUTSIDE = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that operators and schedulers send: a program that ended by one has not failed."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a trial is to be ended.

    Attributes:
        state: Its state; None where what it logged says how it ended.
        error: Why it failed or was killed.
    """

    state: TrialState | None = None
    error: str | None = None


class Attempt:
    """Watches a program until it has ended.

    A program that attached itself to the trial logs and asks by itself: then nothing else is followed, and a stop that
    it was told of is left to it for the grace. Any other is sent SIGTERM when a pruner stops its trial. What has not
    ended by the grace after SIGTERM is sent SIGKILL.

    Args:
        trial: The trial.
        program: Its program.
        following: What reads the program's metrics.
        workspace: The home that the trial lives in.
        interrupt: Says when the agent is to end.
        grace_seconds: How long the program may take for each step of its end, in seconds.
        show: Gets each line that the program writes.
    """

    def __init__(
        self,
        trial: Trial,
        program: Program,
        following: Following,
        workspace: Workspace,
        interrupt: Interrupt,
        grace_seconds: float,
        show: Callable[[Line], None],
    ) -> None:
        self._trial = trial
        self._program = program
        self._following = following
        self._workspace = workspace
        self._interrupt = interrupt
        self._grace_seconds = grace_seconds
        self._show = show
        self._mark = mark(workspace.home, trial.id)
        self._journal = workspace.journal_path(trial.id)
        self._cursor = self._journal.stat().st_size  # a stop of an earlier attempt counts no more
        self._is_attached = False
        self._is_lost = False
        self._checked = time.monotonic()
        self._stop: signal.Signals | None = None
        self._next_step_time: float | None = None
        self._last_error = ""

    def run(self) -> Ending:
        """Watch the program to its end."""
        looked = time.monotonic()
        while not self._program.has_ended:
            self._take(self._program.wait(_POLL_SECONDS))
            if time.monotonic() - looked >= _POLL_SECONDS:  # a program that writes much is not looked after more often
                self._follow()
                looked = time.monotonic()
            self._watch()
        code, lines = self._program.finish()
        self._take(lines)
        self._follow()
        self._following.close()
        return self._ending(code)

    def _take(self, lines: list[Line]) -> None:
        for line in lines:
            self._show(line)
            if line.is_error:
                self._last_error = line.text.strip() or self._last_error
            elif not self._has_attached():
                self._log(self._following.read_line(line.text))

    def _follow(self) -> None:
        if not self._has_attached():
            self._log(self._following.read())

    def _has_attached(self) -> bool:
        if not self._is_attached and self._mark.exists():
            self._is_attached = True
            self._following.close()
        return self._is_attached

    def _log(self, readings: Iterator[Reading]) -> None:
        """Log what the program reported; ask the pruners behind each value of the objective."""
        for reading in readings:
            try:
                self._trial.log(reading.metrics, step=reading.step, epoch=reading.epoch)
            except MetricError as error:
                log.warning("trial %s: what its program reported cannot be logged: %s", self._trial.record.name, error)
                continue
            objective = self._trial.curve.objective
            if objective is not None and objective.metric in reading.metrics:
                self._trial.ask_pruners(expects=False)

    def _watch(self) -> None:
        """Stop the program where the agent is to end, the trial is, or somebody else has ended it."""
        if self._interrupt.count > 1:
            self._begin_stop(signal.SIGKILL)
        elif self._interrupt.count or self._has_lost_trial():
            self._begin_stop(signal.SIGTERM)
        elif self._next_step_time is None and self._is_stopped():
            if self._is_attached:
                self._next_step_time = time.monotonic() + self._grace_seconds
            else:
                self._begin_stop(signal.SIGTERM)
        if self._next_step_time is not None and time.monotonic() >= self._next_step_time:
            self._begin_stop(signal.SIGTERM if self._stop is None else signal.SIGKILL)

    def _begin_stop(self, number: signal.Signals) -> None:
        """Send a signal, unless it or a harder one was sent."""
        if self._stop in (number, signal.SIGKILL):
            return
        self._stop = number
        self._next_step_time = time.monotonic() + self._grace_seconds
        self._program.send(number)

    def _is_stopped(self) -> bool:
        """Tell whether a pruner has stopped the trial: here, or in the program."""
        if self._trial.stop_requested:
            return True
        if not self._is_attached:
            return False
        stopped = False
        for event, cursor in read(self._journal, self._cursor):
            stopped |= isinstance(event, StopRequested)
            self._cursor = cursor
        return stopped

    def _has_lost_trial(self) -> bool:
        self._is_lost = self._is_lost or self._trial.is_lost
        if time.monotonic() - self._checked >= _CHECK_SECONDS:
            self._checked = time.monotonic()
            try:
                found = self._workspace.store.trial(self._trial.id)
            except StoreError:
                return self._is_lost  # the program goes on while the store is away
            self._is_lost = found is None or found.state is not TrialState.RUNNING
        return self._is_lost

    def _ending(self, code: int) -> Ending:
        if self._interrupt.signal is not None and self._stop is not None:
            return Ending(TrialState.KILLED, f"its agent was stopped by {self._interrupt.signal.name}")
        if self._is_lost:
            return Ending(TrialState.KILLED, "it was ended elsewhere")
        if self._stop is not None:
            return Ending(TrialState.PRUNED)
        return how_it_ended(code, self._last_error)


def how_it_ended(code: int, last_error: str = "") -> Ending:
    """Return how a trial is to be ended whose program ended by itself.

    Args:
        code: The program's exit code, negative for the signal that ended it.
        last_error: The last line that it wrote to standard error.
    """
    if code == 0:
        return Ending()
    what = f"ended by {_name(-code)}" if code < 0 else f"exit code {code}"
    error = f"{what}: {last_error[:_LONGEST_ERROR]}" if last_error else what
    return Ending(TrialState.KILLED if -code in _FROM_OUTSIDE else TrialState.FAILED, error)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
