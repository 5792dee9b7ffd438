"""What a study's trials tell the optimizer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from hyperhook import Params, Scalar, StudyRecord, TrialState

__all__ = ["History", "Key", "history_of", "key_of"]

Key: TypeAlias = frozenset[tuple[str, type, Scalar]]


def key_of(params: Params) -> Key:
    """Return params as something to compare by, in which 1, 1.0 and True differ."""
    return frozenset((name, type(value), value) for name, value in params.items())


@dataclass(frozen=True, slots=True)
class History:
    """The trials so far, as the optimizer takes them.

    Attributes:
        tried: Params of the trials that ended and tell something.
        losses: Their losses, finite, less being better; empty if none of them was finite.
        pending: Params of the trials that are running or queued.
    """

    tried: tuple[Params, ...]
    losses: tuple[float, ...]
    pending: tuple[Params, ...]

    @property
    def seen(self) -> set[Key]:
        """What need not be tried again."""
        return {key_of(params) for params in (*self.tried, *self.pending)}


def history_of(study: StudyRecord) -> History:
    """Sort a study's trials by what they tell.

    A trial that failed, or whose loss is not finite, counts as one as bad as the worst: its neighbourhood is known to
    be bad, and how bad is not known. A trial that was stopped early counts with the loss it had, or as the worst if it
    had none. One that was killed tells nothing: it may well be tried again.
    """
    tried: list[Params] = []
    losses: list[float] = []
    for trial in study.trials:
        if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED):
            continue
        loss = None if trial.state is TrialState.FAILED else study.loss(trial)
        tried.append(trial.params)
        losses.append(math.inf if loss is None or not math.isfinite(loss) else loss)
    worst = max((loss for loss in losses if loss < math.inf), default=None)
    pending = tuple(t.params for t in study.trials if t.state in (TrialState.RUNNING, TrialState.QUEUED))
    known = () if worst is None else tuple(min(loss, worst) for loss in losses)
    return History(tuple(tried), known, pending)
