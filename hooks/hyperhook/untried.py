"""What a study has not tried yet: how suggesters keep a finite space from being tried twice."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeAlias

from hyperhook.grid import Grid
from hyperhook.parameters import Params, Scalar
from hyperhook.records import StudyRecord, TrialState
from hyperhook.space import Space

__all__ = ["Key", "Untried", "key_of"]

Key: TypeAlias = frozenset[tuple[str, type, Scalar]]

_TRIES = 64  # proposals before a finite space counts as nearly used up, and is searched in order
_LEFT = 1024  # of how many of the params that are left one is drawn then


def key_of(params: Params) -> Key:
    """Return params as something to compare by, in which 1, 1.0 and True differ."""
    return frozenset((name, type(value), value) for name, value in params.items())


class Untried:
    """Gives out params that no trial of a study has; those of a KILLED trial count as never tried.

    Args:
        study: The study with its trials, queued and running ones included.

    Example:
        >>> study = StudyRecord("demo", Space({"n": Int(1, 2)}))  # doctest: +SKIP
        >>> untried, rng = Untried(study), random.Random(0)  # doctest: +SKIP
        >>> [untried.take(lambda: study.space.sample(rng), rng) for _ in range(2)]  # doctest: +SKIP
        [{'n': 2}, {'n': 1}]
    """

    def __init__(self, study: StudyRecord) -> None:
        self._space: Space = study.space
        self._seen = {key_of(t.params) for t in study.trials if t.state is not TrialState.KILLED}

    def __contains__(self, params: Params) -> bool:
        return key_of(params) not in self._seen

    def take(self, propose: Callable[[], Params], rng: random.Random) -> Params:
        """Return the first of some proposals that is new, and count it as tried from now on.

        Where none is, a finite space is searched for what is left, at random and then in order; where nothing is, the
        last proposal comes again.

        Args:
            propose: Returns params of the space, others each time.
            rng: Draws what comes of what is left.
        """
        return self._count(self._new(propose, rng))

    def first(self, many: Iterable[Params]) -> Params | None:
        """Return the first that is new, and count it as tried from now on; None where none is."""
        found = next((params for params in many if params in self), None)
        return None if found is None else self._count(found)

    def _new(self, propose: Callable[[], Params], rng: random.Random) -> Params:
        params = propose()
        for _ in range(_TRIES):
            if params in self:
                return params
            params = propose()
        if self._space.cardinality is not None:
            for _ in range(_TRIES):  # what is proposed may lie in a corner that is used up
                if (drawn := self._space.sample(rng)) in self:
                    return drawn
            left = list(islice((found for found in Grid(self._space) if found in self), _LEFT))
            if left:
                return rng.choice(left)
        return params

    def _count(self, params: Params) -> Params:
        self._seen.add(key_of(params))
        return params
