"""The built-in executor: this process, one trial after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hyperhook.hookspecs import hookimpl
from hyperhook.records import TrialState

if TYPE_CHECKING:
    from hyperhook.study import Study
    from hyperhook.trial import Trial

__all__ = ["ThisProcess"]


class ThisProcess:
    """Runs trials where the study lives; answers when no other executor did."""

    @hookimpl
    def run_trials(self, study: Study, objective: Callable[[Trial], object], count: int) -> bool:
        """Run trials until `count` have ended by themselves.

        Raises:
            TooManyFailuresError: More trials in a row failed than the study allows.
        """
        while (trial := study.next_trial(budget=count)) is not None:
            if study.attempt(trial, objective).state is TrialState.FAILED:
                study.check_failures()
        return True
