"""`NoImprovement`: an end to a study that gets no better."""

from __future__ import annotations

import math

from hyperhook import HyperhookError, StudyRecord, TrialState, hookimpl

__all__ = ["NoImprovement"]


class NoImprovement:
    """End a study whose last trials brought nothing better.

    Trials count in the order in which they ended: COMPLETE, PRUNED and FAILED ones. Only a COMPLETE one that meets all
    constraints can be better than those before it.

    Args:
        trials: How many trials in a row may bring nothing better, from 1.
        min_delta: By how much a value must be better than the best before it, in its own unit, from 0, to count:
            anything above that does.

    Raises:
        ValueError: An option is out of its range.

    Example:
        >>> study = hh.Study("s", space, objective, plugins=["gp", NoImprovement(trials=25)])  # doctest: +SKIP
    """

    def __init__(self, trials: int = 20, *, min_delta: float = 0.0) -> None:
        if not isinstance(trials, int) or isinstance(trials, bool) or trials < 1:
            raise ValueError(f"NoImprovement: trials must be an int from 1, got {trials!r}")
        if isinstance(min_delta, bool) or not isinstance(min_delta, int | float) or not 0 <= min_delta < math.inf:
            raise ValueError(f"NoImprovement: min_delta must be a finite number from 0, got {min_delta!r}")
        self.trials = trials
        self.min_delta = min_delta

    @hookimpl
    def prepare(self, study: StudyRecord) -> None:
        """Refuse a study that has not one objective.

        Raises:
            HyperhookError: It has none, or several.
        """
        if len(study.objectives) != 1:
            raise HyperhookError(
                f"NoImprovement: study {study.name!r} has {len(study.objectives)} objectives, expected one to improve"
            )

    @hookimpl
    def should_end(self, study: StudyRecord) -> str | None:
        """Answer for how long nothing was better."""
        ended = [trial for trial in study.trials if trial.state.ended_by_itself]
        best, since = math.inf, 0
        for trial in sorted(ended, key=lambda trial: (trial.finished_time or 0.0, trial.number)):
            loss = study.loss(trial)
            counts = loss is not None and trial.state is TrialState.COMPLETE and study.is_feasible(trial)
            if counts and loss is not None and loss < best - self.min_delta:
                best, since = loss, 0
            else:
                since += 1
        if since < self.trials:
            return None
        margin = f" by more than {self.min_delta:g}" if self.min_delta else ""
        return f"nothing better{margin} in the last {since} trials"
