"""What a study's trials tell the optimizer."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
        stderrs: The standard errors of their losses; 0 where none was given. Empty if all are.
        further: Their losses by each further objective, likewise.
        violations: For each constraint how far each of them is outside: 0 or less is inside, None is not known. Without
            the constraints that no trial has a value for.
        failed: Which of them failed or diverged.
        infeasible: Which of them do not meet all constraints, or failed.
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
    with the loss it had, or as the worst if it had none. One that was killed tells nothing: it may well be tried again.
    """
    ended = [t for t in study.trials if t.state.ended_by_itself]
    judged = [study.losses(t) for t in ended]
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
    )


def _known(values: Sequence[float | None]) -> tuple[float, ...]:
    """Return values with the worst in place of those that nobody knows; nothing if nobody knows any."""
    worst = max((value for value in values if value is not None), default=None)
    return () if worst is None else tuple(worst if value is None else value for value in values)
