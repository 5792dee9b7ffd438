"""The agent: takes trials of a study, and runs the program of its sweep file for each."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

from hyperhook.attempt import Attempt, Ending
from hyperhook.errors import NotFiniteError, ObjectiveError, StoreError, TooManyFailuresError
from hyperhook.following import Following
from hyperhook.handover import environment, mark
from hyperhook.interrupt import Interrupt
from hyperhook.parameters import Params
from hyperhook.program import Guard, Line, Program
from hyperhook.progress import format_params, format_seconds
from hyperhook.records import TrialRecord, TrialState
from hyperhook.study import Study
from hyperhook.sweep.command import argv
from hyperhook.sweep.record import Sweep
from hyperhook.trial import Trial
from hyperhook.workspace import Workspace

__all__ = ["OUTPUT", "Agent"]

OUTPUT = "output.log"
"""The file, in a trial's folder, that keeps what its program writes."""

_PATIENCE_SECONDS = 600.0
"""So long a store may be away before the agent gives up."""
_PAUSE_SECONDS = 2.0


class Agent:
    """Runs trials one after the other, each as a program of its own.

    A program that crashes fails its trial, and the agent goes on; `Study.max_consecutive_failures` of them in a row end
    it. Where the store is away, the agent waits for it.

    Args:
        study: The study, opened with the sweep's plugins and trackers.
        sweep: What its file says.
        workspace: The home that the study lives in.
        directory: The folder that the programs work in.
        grace_seconds: How long a program may take for each step of its end, in seconds.
        say: Gets what the agent has to say, a line at a time.
        show: Gets what the programs write: the trial's name and the line.
    """

    def __init__(
        self,
        study: Study,
        sweep: Sweep,
        workspace: Workspace,
        directory: Path,
        *,
        grace_seconds: float,
        say: Callable[[str], None],
        show: Callable[[str, Line], None],
    ) -> None:
        self._study = study
        self._sweep = sweep
        self._workspace = workspace
        self._directory = directory
        self._grace_seconds = grace_seconds
        self._say = say
        self._show = show
        self._guard = Guard(grace_seconds)
        self._failures = 0
        self._has_asked = False

    def run(self, interrupt: Interrupt, count: int | None = None) -> None:
        """Run trials until the study is done.

        Args:
            interrupt: Says when to end before that.
            count: How many trials to run at the most.

        Raises:
            TooManyFailuresError: Trial after trial failed.
            ObjectiveError: The first trial ended well, and gave nothing to search with.
            StudyError: The program cannot be started.
            StoreError: The store cannot be used.
        """
        done = 0
        try:
            while interrupt.signal is None and (count is None or done < count):
                trial = self._next_trial(interrupt)
                if trial is None:
                    break
                self._run(trial, interrupt)
                done += 1
        finally:
            self._guard.close()
        self._say(f"{done} {'trial' if done == 1 else 'trials'} of study {self._study.name} run here")

    def _is_at_target(self) -> bool:
        """Tell whether a trial has reached the target."""
        trial = None if self._sweep.target is None else self._sweep.reached(self._study.record())
        if trial is not None:
            self._say(f"{trial.name} reached the target: {trial.value:g}")
        return trial is not None

    def _next_trial(self, interrupt: Interrupt) -> Trial | None:
        """Take a trial; wait for a store that is away, once it was there."""
        since = time.monotonic()
        while True:
            try:
                trial = None if self._is_at_target() else self._take(interrupt)
                self._has_asked = True
                return trial
            except StoreError as error:
                if not self._has_asked or interrupt.signal or time.monotonic() - since > _PATIENCE_SECONDS:
                    raise
                self._say(f"{error}; trying again")
                time.sleep(_PAUSE_SECONDS)

    def _take(self, interrupt: Interrupt) -> Trial | None:
        return self._study.next_trial(budget=self._sweep.run_cap, gives_up=lambda: interrupt.signal is not None)

    def _run(self, trial: Trial, interrupt: Interrupt) -> None:
        self._say(f"{trial.record.name} begins: {format_params(trial.record)}")
        try:
            ending = self._attempt(trial, interrupt)
        except BaseException as error:
            self._study.tell(trial, state=TrialState.KILLED, error=str(error) or type(error).__name__)
            raise
        if interrupt.signal is not None and ending.state is TrialState.KILLED and self._study.record().max_retries:
            self._report(self._study.requeue(trial, ending.error or "preempted"))
            return
        record = self._tell(trial, ending)
        self._report(record)
        if record.state in (TrialState.COMPLETE, TrialState.PRUNED) or interrupt.signal is not None:
            self._failures = 0
            return
        self._failures += 1
        if self._failures >= self._study.max_consecutive_failures:
            raise TooManyFailuresError(
                f"{self._failures} trials in a row failed, the last with: {record.error}; what it wrote is in "
                f"{str(self._workspace.home.trial(record.id) / OUTPUT)!r}; mend it and start the agent again"
            )

    def _attempt(self, trial: Trial, interrupt: Interrupt) -> Ending:
        """Start the program, and watch it to its end."""
        objective = self._study.objective
        following = Following(self._sweep.metrics_from, objective.metric if objective else None)
        try:
            self._guard.start()
            program = self._start(trial, following)
            self._guard.watch(program.group)
            following.started(program.pid)
            show = partial(self._show, trial.record.name)
            try:
                return Attempt(trial, program, following, self._workspace, interrupt, self._grace_seconds, show).run()
            finally:
                program.end()
                self._guard.release(program.group)
        finally:
            following.close()

    def _start(self, trial: Trial, following: Following) -> Program:
        folder = self._workspace.home.trial(trial.id)
        arguments = self._sweep.arguments(trial.params)
        words = argv(self._sweep.command, arguments, program=self._sweep.program, json_file=folder / "arguments.json")
        mark(self._workspace.home, trial.id).unlink(missing_ok=True)  # of an earlier attempt
        variables = environment(self._workspace.home, trial.record)
        nested = cast("Params", arguments)  # what a program is told is what the file has
        variables |= following.environment(folder, nested, self._study.name, trial.record)
        return Program(words, environment=variables, directory=self._directory, output=folder / OUTPUT)

    def _tell(self, trial: Trial, ending: Ending) -> TrialRecord:
        try:
            return self._study.tell(trial, state=ending.state, error=ending.error)
        except ObjectiveError as error:
            record = self._study.tell(trial, state=TrialState.FAILED, error=str(error))
            if not isinstance(error, NotFiniteError) and all(other.value is None for other in self._study.trials):
                self._report(record)
                raise
            return record

    def _report(self, trial: TrialRecord) -> None:
        seconds = format_seconds((trial.finished_time or trial.started_time) - trial.started_time)
        objective = self._study.objective
        value = f", {objective.metric} {trial.value:.6g}" if objective and trial.value is not None else ""
        self._say(
            f"{trial.name} {trial.state.lower()} after {seconds}{value}" + (f": {trial.error}" if trial.error else "")
        )
