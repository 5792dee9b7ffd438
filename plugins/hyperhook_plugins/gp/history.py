"""What a study's trials tell the optimizer."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from hyperhook import Params, StudyRecord, TrialRecord, TrialState
from hyperhook.untried import Key, key_of

__all__ = ["History", "history_of"]

_ENOUGH = 3
"""How many complete trials must have stood at an epoch to tell how much is still to come from there on."""


@dataclass(frozen=True, slots=True)
class History:
    """The trials so far, as the optimizer takes them.

    Attributes:
        tried: Params of the trials that ended and tell something.
        losses: Their losses, finite, less being better; empty if none of them was finite.
        pending: Params of the trials that are running or queued.
        stderrs: The standard errors of their losses; 0 where none was given. Empty if all are.
        further: Their losses by each further objective, likewise.
        violations: For each constraint how far each of them is outside: 0 or less is inside, None is not known. Without
            the constraints that no trial has a value for.
        failed: Which of them failed or diverged.
        infeasible: Which of them do not meet all constraints, or failed.
        complete: Which of them are COMPLETE and did not diverge, so that their losses differ by params and noise alone.
        durations: How long each of them took, in seconds; 0 where nobody knows.
    """

    tried: tuple[Params, ...]
    losses: tuple[float, ...]
    pending: tuple[Params, ...]
    stderrs: tuple[float, ...] = ()
    further: tuple[tuple[float, ...], ...] = ()
    violations: tuple[tuple[float | None, ...], ...] = ()
    failed: frozenset[int] = frozenset()
    infeasible: frozenset[int] = frozenset()
    durations: tuple[float, ...] = ()
    complete: frozenset[int] = frozenset()

    @property
    def seen(self) -> set[Key]:
        """What need not be tried again."""
        return {key_of(params) for params in (*self.tried, *self.pending)}

    @property
    def feasible(self) -> tuple[int, ...]:
        """Which of the trials met all constraints."""
        return tuple(place for place in range(len(self.tried)) if place not in self.infeasible)


def history_of(study: StudyRecord) -> History:
    """Sort a study's trials by what they tell.

    A trial that failed, or whose loss is not finite, counts as one as bad as the worst: its neighbourhood is known to
    be bad, and how bad is not known. It is not feasible, whatever its metrics. A trial that was stopped early counts
    with the loss that it would have come to: what it had, less the median of what complete trials improved by from that
    epoch on, where three curves tell it; as the worst if it had none. One that was killed tells nothing: it may well be
    tried again.
    """
    ended = [t for t in study.trials if t.state.ended_by_itself]
    judged = _judged(study, ended)
    failed = frozenset(
        place
        for place, (trial, losses) in enumerate(zip(ended, judged, strict=True))
        if trial.state is TrialState.FAILED or not all(map(math.isfinite, losses or ()))
    )
    told = [None if place in failed else losses for place, losses in enumerate(judged)]
    losses = [_known([None if one is None else one[goal] for one in told]) for goal in range(len(study.objectives))]
    violations = [
        tuple(c.violation(t.metrics[c.metric]) if c.metric in t.metrics else None for t in ended)
        for c in study.constraints
    ]
    stderrs = tuple(t.stderr or 0.0 for t in ended)
    return History(
        tuple(t.params for t in ended),
        losses[0] if losses else (),
        tuple(t.params for t in study.trials if t.state in (TrialState.RUNNING, TrialState.QUEUED)),
        stderrs if any(stderrs) else (),
        tuple(losses[1:]),
        tuple(each for each in violations if any(one is not None for one in each)),
        failed,
        failed | {place for place, trial in enumerate(ended) if not study.is_feasible(trial)},
        tuple(max((t.finished_time or 0.0) - t.started_time, 0.0) for t in ended),
        frozenset(place for place, t in enumerate(ended) if t.state is TrialState.COMPLETE) - failed,
    )


def _judged(study: StudyRecord, ended: Sequence[TrialRecord]) -> list[tuple[float, ...] | None]:
    """Return the losses of each trial; None of one that failed or has none."""
    whole = [t for t in ended if t.state is TrialState.COMPLETE and t.curve]
    to_come: dict[int, float] = {}
    judged: list[tuple[float, ...] | None] = []
    for trial in ended:
        losses = None if trial.state is TrialState.FAILED else study.losses(trial)
        if losses is not None and trial.state is TrialState.PRUNED and trial.curve:
            epoch = trial.curve[-1].epoch
            if epoch not in to_come:
                to_come[epoch] = _to_come(study, whole, epoch)
            losses = losses[0] - to_come[epoch], *losses[1:]
        judged.append(losses)
    return judged


def _to_come(study: StudyRecord, whole: Sequence[TrialRecord], epoch: int) -> float:
    """Return the median of what complete trials improved by from an epoch on; 0 where too few had a point by then."""
    improved = []
    for trial in whole:
        stood = [point for point in trial.curve if point.epoch <= epoch]
        end = study.loss(trial)
        if stood and end is not None and math.isfinite(more := study.loss_at(stood[-1]) - end):
            improved.append(more)
    return statistics.median(improved) if len(improved) >= _ENOUGH else 0.0


def _known(values: Sequence[float | None]) -> tuple[float, ...]:
    """Return values with the worst in place of those that nobody knows; nothing if nobody knows any."""
    worst = max((value for value in values if value is not None), default=None)
    return () if worst is None else tuple(worst if value is None else value for value in values)
