"""Work that travels: a study and a training function, sent to another process, and how it ended there.

Executors send a `Work` by cloudpickle, by value; what comes back is an `Ending`, which plain pickle reads.
"""

from __future__ import annotations

import pickle
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hyperhook.errors import StudyError
from hyperhook.records import TrialState

if TYPE_CHECKING:
    from hyperhook.study import Study
    from hyperhook.trial import Trial

__all__ = ["TOLD_TO_END", "Ending", "Work"]

TOLD_TO_END = 143
"""The status of ``sys.exit`` by which a worker that got SIGTERM ends: its place is taken, and the run goes on."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one of several processes does for a study: each asks for itself, so that the budget is the study's.

    Attributes:
        study: The study; where it arrives, it is opened again.
        objective: The training function.
        count: The study's budget.
        since: When the run began, in seconds since 1970 (UTC).
    """

    study: Study
    objective: Callable[[Trial], object]
    count: int
    since: float = field(default_factory=time.time)

    def run(self, is_cut_off: Callable[[], bool] = lambda: False) -> None:
        """Run trials until the study's budget is used up.

        Args:
            is_cut_off: Tells whether the process that sent the work is gone, so that what fails by that, such as a
                ``print``, kills a trial rather than fails it.

        Raises:
            TooManyFailuresError: More trials of the run failed in a row than the study allows, whoever ran them.
            ObjectiveError: The study is set up wrongly; see `Study.attempt`.
        """

        def train(trial: Trial) -> object:
            try:
                return self.objective(trial)
            except BrokenPipeError:
                if is_cut_off():
                    raise KeyboardInterrupt from None
                raise

        while (trial := self.study.next_trial(budget=self.count)) is not None:
            if self.study.attempt(trial, train).state is TrialState.FAILED:
                self.study.check_failures(self.since)


@dataclass(frozen=True, slots=True)
class Ending:
    """How work ended in another process.

    Attributes:
        error: What ended it early, with the traceback from there as a note; None where all was done.
    """

    error: BaseException | None = None

    @classmethod
    def of(cls, error: BaseException, where: str) -> Ending:
        """Return the ending that an error makes, in a form that can be sent.

        Args:
            error: The error.
            where: The process that it was raised in, for people.
        """
        lines = "".join(traceback.format_exception(error)).rstrip()
        error.add_note(f"\nin {where}:\n{lines}")
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # its class is the script's own, or takes other arguments
            stand_in = StudyError(f"{type(error).__name__}: {error}")
            stand_in.add_note(f"\nin {where}:\n{lines}")
            return cls(stand_in)
        return cls(error)
