"""Successive halving without waiting: `ASHA`, and `Hyperband` over it.

Both are the stopping variant of ASHA, whose promoting form is algorithm 2 of Li et al., "A System for Massively
Parallel Hyperparameter Tuning" (MLSys 2020). There a trial waits at a rung until it is among the best; here it is
judged once, as it comes to the rung, and goes on or stops for good, so that no checkpoint has to be kept.

=========  ============================================================================================================
rung       min_steps · reduction^k epochs (or steps), all integers: 1, 3, 9, 27, …; or as they are given
arrival    a trial's first point at or behind a rung, and before the next one; a trial that leaps over rungs arrives at
           the last of them only
n          how many trials have arrived at a rung, the one that is judged included
kept       the best ⌊n / reduction⌋ + spare of them, at least one; a trial that is as good as one that is kept is kept
=========  ============================================================================================================

Who arrived before is told by `CurvePoint.order`, so that the answer to a question is always the same, whoever asks it
and when.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, takewhile

from hyperhook import CurvePoint, StudyRecord, TrialRecord, hookimpl
from hyperhook.objective import Unit

__all__ = ["ASHA", "Hyperband"]


class ASHA:
    """Stop a trial at a rung unless it is among the best of those that came there: asynchronous successive halving.

    A trial whose value at a rung is not finite is stopped. Of trials that log no epochs the points are counted: each
    reading of ``trial.should_stop`` that follows a new value.

    Args:
        min_steps: The first rung: what every trial gets, in `unit`, from 1.
        max_steps: What a whole training takes, in `unit`: nothing is decided from there on. None where that is not
            known; then a trial may be stopped at a rung where it would have ended anyway.
        reduction: One of how many trials goes on from a rung, from 2.
        unit: What is counted: ``"epoch"``, the trainer's epochs, or ``"step"``, its global steps.
        rungs: The rungs themselves, ascending ints from 1, in place of `min_steps` and `max_steps`: nothing is decided
            behind the last. Then `reduction` may be any number above 1.
        spare: How many trials go on from a rung beside one of `reduction`, from 0.

    Raises:
        ValueError: An option is out of its range.

    Example:
        >>> ASHA(max_steps=243).rungs
        (1, 3, 9, 27, 81, 243)
    """

    def __init__(
        self,
        *,
        min_steps: int = 1,
        max_steps: int | None = None,
        reduction: float = 3,
        unit: Unit = "epoch",
        rungs: Sequence[int] | None = None,
        spare: int = 0,
    ) -> None:
        if rungs is None:
            _check_int("ASHA", "reduction", reduction, 2)
        else:
            _check_rungs(rungs, reduction, min_steps, max_steps)
        _check("ASHA", min_steps, unit)
        if max_steps is not None:
            _check_int("ASHA", "max_steps", max_steps, min_steps + 1, ", behind the first rung")
        _check_int("ASHA", "spare", spare, 0)
        self.min_steps = min_steps if rungs is None else rungs[0]
        self.max_steps = max_steps
        self.reduction = reduction
        self.unit: Unit = unit
        self.spare = spare
        self._given = None if rungs is None else tuple(rungs)

    @property
    def rungs(self) -> tuple[int, ...] | None:
        """The rungs up to `max_steps`, or those that were given; None where there is no end to them."""
        if self._given is not None:
            return self._given
        if self.max_steps is None:
            return None
        return tuple(_rungs(self.min_steps, self.max_steps, int(self.reduction)))

    @hookimpl
    def should_stop(self, study: StudyRecord, trial: TrialRecord) -> bool | None:
        """Answer True where the trial came to a rung just now and is not among the best there, else None."""
        if not trial.curve:
            return None
        last = trial.curve[-1]
        done = last.done(self.unit)
        if done < self.min_steps or (self.max_steps is not None and done >= self.max_steps):
            return None
        rung, following = self._around(done)
        if self._arrival(trial, rung, following) != last:
            return None
        loss = study.loss_at(last)
        rivals = [study.loss_at(point) for point in self._rivals(study, trial, rung, following, last)]
        kept = max(int((len(rivals) + 1) // self.reduction) + self.spare, 1)
        return True if math.isinf(loss) or sum(rival < loss for rival in rivals) >= kept else None

    def _around(self, done: int) -> tuple[int, float]:
        """Return the last rung up to `done`, and the one behind it."""
        if self._given is None:
            *_, rung = _rungs(self.min_steps, done, int(self.reduction))
            return rung, rung * self.reduction
        behind = bisect_right(self._given, done)
        return self._given[behind - 1], self._given[behind] if behind < len(self._given) else math.inf

    def _rivals(
        self, study: StudyRecord, trial: TrialRecord, rung: int, following: float, last: CurvePoint
    ) -> Iterator[CurvePoint]:
        """Yield where the other trials stood that came to a rung before this one."""
        for other in study.trials:
            if other.curve and other.id != trial.id:
                point = self._arrival(other, rung, following)
                if point is not None and point.order < last.order:
                    yield point

    def _arrival(self, trial: TrialRecord, rung: int, following: float) -> CurvePoint | None:
        """Return the point with which a trial came to a rung; None where it has not, or leapt over it."""
        unit = self.unit
        for point in trial.curve:
            if (done := point.done(unit)) >= rung:
                return point if done < following else None
        return None


class Hyperband:
    """Stop trials by ASHA in several brackets, of which each begins to judge at another rung.

    Where early values mislead, the brackets that judge late make up for it: bracket s begins at
    ``min_steps · reduction^s``, and the last one trains all of its trials to the end. Of as many trials as Hyperband
    starts in one of its rounds (Li et al., JMLR 2018), each bracket gets as many as it has there: the early ones most.
    As in Li et al. (MLSys 2020) nothing waits, and brackets are filled at the same time.

    A trial's bracket follows from its number: the number times a fixed integer, near the golden section of the round's
    size N and coprime to it, modulo N, falls into one bracket's part of 0…N−1. So all workers agree, any N trials in
    succession have the shares of a round, and few trials have nearly so.

    Args:
        min_steps: The first rung of the earliest bracket, in `unit`, from 1.
        max_steps: What a whole training takes, in `unit`, from ``min_steps · reduction``.
        reduction: One of how many trials goes on from a rung, from 2.
        unit: What is counted; see `ASHA`.

    Raises:
        ValueError: An option is out of its range.

    Example:
        >>> Hyperband(max_steps=81).shares  # by the rung that each begins at
        {1: 81, 3: 34, 9: 15, 27: 8, 81: 5}
    """

    def __init__(self, *, min_steps: int = 1, max_steps: int = 81, reduction: int = 3, unit: Unit = "epoch") -> None:
        _check_int("Hyperband", "reduction", reduction, 2)
        _check("Hyperband", min_steps, unit)
        _check_int("Hyperband", "max_steps", max_steps, min_steps * reduction, ", so that there are two rungs")
        starts = tuple(_rungs(min_steps, max_steps, reduction))
        brackets = len(starts)
        sizes = [-(-brackets * reduction**more // (more + 1)) for more in range(brackets)][::-1]
        self.shares = dict(zip(starts, sizes, strict=True))
        self._bounds = tuple(accumulate(sizes))
        self._stride = _coprime(self._bounds[-1])
        self._brackets = tuple(
            ASHA(min_steps=start, max_steps=max_steps, reduction=reduction, unit=unit)
            for start in starts[:-1]  # the last one judges nobody
        )

    def bracket(self, trial: TrialRecord) -> int:
        """Return the number of a trial's bracket, from 0, the earliest."""
        place = trial.number * self._stride % self._bounds[-1]
        return next(number for number, bound in enumerate(self._bounds) if place < bound)

    @hookimpl
    def should_stop(self, study: StudyRecord, trial: TrialRecord) -> bool | None:
        """Answer as the trial's bracket does, which sees its own trials only."""
        number = self.bracket(trial)
        if number >= len(self._brackets):
            return None
        own = tuple(other for other in study.trials if self.bracket(other) == number)
        return self._brackets[number].should_stop(replace(study, trials=own), trial)


def _rungs(first: int, most: int, reduction: int) -> Iterable[int]:
    def climb() -> Iterator[int]:
        rung = first
        while True:
            yield rung
            rung *= reduction

    return takewhile(lambda rung: rung <= most, climb())


def _coprime(size: int) -> int:
    """Return an integer near the golden section of a size and coprime to it."""
    near = round(size * (math.sqrt(5) - 1) / 2)
    return next(stride for stride in range(max(near, 1), 2 * size + 2) if math.gcd(stride, size) == 1)


def _check_rungs(rungs: Sequence[int], reduction: float, min_steps: int, max_steps: int | None) -> None:
    if min_steps != 1 or max_steps is not None:
        raise ValueError("ASHA: rungs take the place of min_steps and max_steps; leave these out")
    if isinstance(rungs, str) or not isinstance(rungs, Sequence) or not rungs:
        raise ValueError(f"ASHA: rungs must be ascending ints from 1, as in [1, 3, 9], got {rungs!r}")
    for rung, least in zip(rungs, (1, *(rung + 1 for rung in rungs)), strict=False):
        _check_int("ASHA", "each rung", rung, least, ", behind the one before it" if least > 1 else "")
    if isinstance(reduction, bool) or not isinstance(reduction, int | float) or not 1 < reduction < math.inf:
        raise ValueError(f"ASHA: reduction must be a number above 1, got {reduction!r}")


def _check(who: str, min_steps: int, unit: str) -> None:
    _check_int(who, "min_steps", min_steps, 1)
    if unit not in ("epoch", "step"):
        raise ValueError(f"{who}: unit must be 'epoch' or 'step', got {unit!r}")


def _check_int(who: str, name: str, value: object, least: int, why: str = "") -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{who}: {name} must be an int from {least}{why}, got {value!r}")
