"""`Patience`: an end to a trial that gets no better."""

from __future__ import annotations

import math

from hyperhook import StudyRecord, TrialRecord, hookimpl
from hyperhook.objective import Unit

__all__ = ["Patience"]


class Patience:
    """Stop a trial that has not improved for some time, whatever other trials do.

    As with every pruner the trial ends as PRUNED, and ``study.best`` is one of those that are COMPLETE. Where a trial
    that gets no better is well trained rather than hopeless, end it in the trainer (Lightning's ``EarlyStopping``).

    Args:
        steps: For how many epochs (or steps) it may go on without getting better, from 1.
        min_improvement: By how much a value must be better than the best before it, in the metric's own unit, from 0,
            to count as an improvement: anything above that does.
        unit: What is counted: ``"epoch"``, the trainer's epochs, or where a trial logs none, its points; or ``"step"``,
            the trainer's global steps.

    Raises:
        ValueError: An option is out of its range.

    Example:
        >>> study = hh.Study("s", space, objective, plugins=["asha", Patience(steps=20)])  # doctest: +SKIP
    """

    def __init__(self, steps: int = 10, *, min_improvement: float = 0.0, unit: Unit = "epoch") -> None:
        if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
            raise ValueError(f"Patience: steps must be an int from 1, got {steps!r}")
        if (
            isinstance(min_improvement, bool)
            or not isinstance(min_improvement, int | float)
            or not (0 <= min_improvement < math.inf)
        ):
            raise ValueError(f"Patience: min_improvement must be a finite number from 0, got {min_improvement!r}")
        if unit not in ("epoch", "step"):
            raise ValueError(f"Patience: unit must be 'epoch' or 'step', got {unit!r}")
        self.steps = steps
        self.min_improvement = min_improvement
        self.unit: Unit = unit

    @hookimpl
    def should_stop(self, study: StudyRecord, trial: TrialRecord) -> bool | None:
        """Answer True where the last improvement is `steps` ago, or where there was none in so long, else None."""
        if not trial.curve:
            return None
        best, improved = math.inf, trial.curve[0].done(self.unit)
        for point in trial.curve:
            loss = study.loss_at(point)
            if loss < best - self.min_improvement:
                best, improved = loss, point.done(self.unit)
        return True if trial.curve[-1].done(self.unit) - improved >= self.steps else None
