"""The median stopping rule, and the same with any percentile.

A trial stops where it is worse than most trials that were trained to their end were at the same point of theirs; see
section 3.2.2 of Golovin et al., "Google Vizier: A Service for Black-Box Optimization" (KDD 2017). Only COMPLETE trials
are compared with: among those that an earlier judgement let pass, the median would rise from epoch to epoch until
nothing is above it.
"""

from __future__ import annotations

from bisect import bisect_right

from hyperhook import StudyRecord, TrialRecord, TrialState, hookimpl
from hyperhook.objective import Unit

__all__ = ["Median", "Percentile"]


class Percentile:
    """Stop a trial that is not among the best `percentile` % of the complete ones, where they stood at the same point.

    A complete trial stands, at some epoch, where its last point up to that epoch says; one that had no point by then,
    such as one from before there was a pruner, is not counted. More than `percentile` % of those that are counted must
    be strictly better to stop a trial, so that equal ones go on, and a value that is not finite is worse than all
    others.

    Args:
        percentile: What part of the complete trials a trial must not fall behind, in %, from 1 and below 100.
        startup_trials: How many complete trials there must be to compare with, from 1.
        warmup_steps: Up to which epoch (or step) no trial is judged, counted from 1: 0 judges the first point.
        unit: What is counted: ``"epoch"``, the trainer's epochs, or where trials log none, their points; or ``"step"``,
            the trainer's global steps.

    Raises:
        ValueError: An option is out of its range.

    Example:
        >>> study = hh.Study("s", space, objective, plugins=[Percentile(25, warmup_steps=5)])  # doctest: +SKIP
    """

    def __init__(
        self, percentile: float = 25.0, *, startup_trials: int = 5, warmup_steps: int = 0, unit: Unit = "epoch"
    ) -> None:
        who = type(self).__name__
        if isinstance(percentile, bool) or not isinstance(percentile, int | float) or not 1 <= percentile < 100:
            raise ValueError(f"{who}: percentile must be a number from 1 and below 100, such as 25, got {percentile!r}")
        for name, value, least in (("startup_trials", startup_trials, 1), ("warmup_steps", warmup_steps, 0)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{who}: {name} must be an int from {least}, got {value!r}")
        if unit not in ("epoch", "step"):
            raise ValueError(f"{who}: unit must be 'epoch' or 'step', got {unit!r}")
        self.percentile = percentile
        self.startup_trials = startup_trials
        self.warmup_steps = warmup_steps
        self.unit: Unit = unit

    @hookimpl
    def should_stop(self, study: StudyRecord, trial: TrialRecord) -> bool | None:
        """Answer True where too many of the complete trials were better, else None."""
        if not trial.curve:
            return None
        last = trial.curve[-1]
        done = last.done(self.unit)
        if done <= self.warmup_steps:
            return None
        stood = [self._loss_after(study, other, done) for other in study.trials if other.state is TrialState.COMPLETE]
        rivals = [loss for loss in stood if loss is not None]
        if len(rivals) < self.startup_trials:
            return None
        loss = study.loss_at(last)
        return True if 100 * sum(rival < loss for rival in rivals) > self.percentile * len(rivals) else None

    def _loss_after(self, study: StudyRecord, trial: TrialRecord, done: int) -> float | None:
        """Return the loss that a trial had after so many epochs (or steps); None where it had none yet."""
        behind = bisect_right(trial.curve, done, key=lambda point: point.done(self.unit))
        return study.loss_at(trial.curve[behind - 1]) if behind else None


class Median(Percentile):
    """Stop a trial that is worse than the median of the complete ones, where they stood at the same point.

    Args:
        startup_trials: How many complete trials there must be to compare with, from 1.
        warmup_steps: Up to which epoch (or step) no trial is judged; see `Percentile`.
        unit: What is counted; see `Percentile`.

    Raises:
        ValueError: An option is out of its range.

    Example:
        >>> study = hh.Study("s", space, objective, plugins=["gp", Median(startup_trials=10)])  # doctest: +SKIP
    """

    def __init__(self, *, startup_trials: int = 5, warmup_steps: int = 0, unit: Unit = "epoch") -> None:
        super().__init__(50.0, startup_trials=startup_trials, warmup_steps=warmup_steps, unit=unit)
