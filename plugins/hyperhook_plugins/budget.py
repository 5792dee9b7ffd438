"""`Budget`: an end to a study that has used up its trials, its seconds or its epochs."""

from __future__ import annotations

import math
import time

from hyperhook import StudyRecord, TrialRecord, TrialState, hookimpl

__all__ = ["Budget"]


class Budget:
    """End a study once its trials have cost this much; what runs then goes on to its end.

    What earlier runs and other workers spent counts, so that a study which is opened again goes on where it was.

    Args:
        trials: How many trials may have ended by themselves or run, from 1.
        seconds: How long all trials together may have trained, above 0: their durations added up, up to now for those
            that run. Ten workers use up ten seconds in one; the time between two runs costs nothing.
        epochs: How many epochs all trials together may have trained, from 1: the epochs that they logged, or where they
            log none, their points of the objective. A trial that runs counts by what pruners were asked about.

    Raises:
        ValueError: There is no bound, or one is out of its range.

    Example:
        >>> study = hh.Study("s", space, objective, plugins=["gp", Budget(seconds=3600)])  # doctest: +SKIP
    """

    def __init__(self, *, trials: int | None = None, seconds: float | None = None, epochs: int | None = None) -> None:
        for name, count in (("trials", trials), ("epochs", epochs)):
            if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
                raise ValueError(f"Budget: {name} must be an int from 1, got {count!r}")
        if seconds is not None and (
            isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf
        ):
            raise ValueError(f"Budget: seconds must be a finite number above 0, got {seconds!r}")
        if trials is None and seconds is None and epochs is None:
            raise ValueError("Budget: expected a bound, got none; write Budget(seconds=3600), or trials= or epochs=")
        self.trials = trials
        self.seconds = seconds
        self.epochs = epochs

    @hookimpl
    def should_end(self, study: StudyRecord) -> str | None:
        """Answer which bound is reached."""
        if self.trials is not None:
            used = sum(t.state.ended_by_itself or t.state is TrialState.RUNNING for t in study.trials)
            if used >= self.trials:
                return f"the budget of {self.trials} trials is used up"
        if self.seconds is not None:
            now = time.time()
            seconds = sum(_seconds(trial, now) for trial in study.trials)
            if seconds >= self.seconds:
                return f"the budget of {self.seconds:g} seconds is used up: its trials took {seconds:.0f}"
        if self.epochs is not None:
            epochs = sum(map(_epochs, study.trials))
            if epochs >= self.epochs:
                return f"the budget of {self.epochs} epochs is used up: its trials took {epochs}"
        return None


def _seconds(trial: TrialRecord, now: float) -> float:
    """Return how long a trial trained, up to now if it runs."""
    if trial.state is TrialState.QUEUED:
        return 0.0
    return max((now if trial.finished_time is None else trial.finished_time) - trial.started_time, 0.0)


def _epochs(trial: TrialRecord) -> int:
    """Return how many epochs a trial trained, as far as it is known."""
    return trial.epochs or (trial.curve[-1].done() if trial.curve else 0)
