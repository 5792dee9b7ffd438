"""The built-in executor: this process, one trial after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hyperhook.errors import TooManyFailuresError
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
        failures = 0
        while (trial := study.next_trial(budget=count)) is not None:
            record = study.attempt(trial, objective)
            failures = failures + 1 if record.state is TrialState.FAILED else 0
            if failures >= study.max_consecutive_failures:
                raise TooManyFailuresError(
                    f"{failures} trials in a row failed, the last with: {record.error}; "
                    "mend the training function and run the study again: it goes on"
                )
        return True
