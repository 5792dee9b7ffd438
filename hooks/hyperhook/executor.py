"""The built-in executor: this process, one trial after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from hyperhook.errors import PluginError, StudyError
from hyperhook.hookspecs import hookimpl
from hyperhook.manager import hooks_of, load_plugin
from hyperhook.records import TrialState

if TYPE_CHECKING:
    from hyperhook.study import Study
    from hyperhook.trial import Trial

__all__ = ["ThisProcess", "chosen"]


class ThisProcess:
    """Runs trials where the study lives; answers when no other executor did."""

    @hookimpl
    def run_trials(self, study: Study, objective: Callable[[Trial], object], count: int) -> bool:
        """Run trials until `count` have ended by themselves.

        Raises:
            TooManyFailuresError: More trials in a row failed than the study allows.
        """
        since = time.time()
        while (trial := study.next_trial(budget=count)) is not None:
            if study.attempt(trial, objective).state is TrialState.FAILED:
                study.check_failures(since)
        return True


def chosen(executor: str | object | None, workers: int | None, gpus_per_trial: float | None) -> object | None:
    """Return the executor that a run asks for; None where it leaves that to the study's plugins.

    Args:
        executor: Its name, or the executor itself; with one of the others given, local worker processes by default.
        workers: How many trials run at a time; None leaves it to the executor.
        gpus_per_trial: How many GPUs each has; None leaves it to the executor.

    Raises:
        StudyError: An option cannot be, or comes with an executor that is made already.
        PluginError: There is no such executor, a library that it needs is missing, or it runs no trials.
    """
    if workers is not None and (not isinstance(workers, int) or isinstance(workers, bool) or workers < 1):
        raise StudyError(f"run: workers must be an int from 1, got {workers!r}")
    given = {"workers": workers, "gpus_per_trial": gpus_per_trial}
    options = {name: value for name, value in given.items() if value is not None}
    if executor is None:
        if not options:
            return None
        executor = "workers"
    if not isinstance(executor, str) and options:
        name = type(executor).__name__
        raise StudyError(f"run: {' and '.join(options)} with a {name} that is made already; write {name}(…) with them")
    plugin = load_plugin(executor, options)
    if "run_trials" not in hooks_of(plugin):
        raise PluginError(
            f"run: executor {executor!r} does not answer run_trials; expected one such as 'workers' or 'ray'; "
            "suggesters and pruners go into Study(…, plugins=[…])"
        )
    return plugin
