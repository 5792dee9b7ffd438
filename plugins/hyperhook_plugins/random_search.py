"""Random search: each parameter by its prior, or else evenly on its own scale. The built-in answer to `suggest`."""

from __future__ import annotations

import random
from collections.abc import Iterator, Set
from itertools import islice

from hyperhook import Choice, Float, Int, Params, Scalar, Space, StudyRecord, TrialState, hookimpl

__all__ = ["RandomSearch"]

_TRIES = 64  # draws before a finite space counts as nearly used up, and is searched in order
_LEFT = 1024  # of how many of the points that are left one is drawn then


class RandomSearch:
    """Suggest params at random; the same study (seed and number of trials) gets the same answer.

    In a finite space no params come twice until all were tried; those of a killed trial may come again.

    Example:
        >>> from hyperhook import Float, Space, StudyRecord
        >>> study = StudyRecord("demo", Space({"lr": Float(1e-4, 1e-1, log=True)}), seed=0)
        >>> RandomSearch().suggest(study, 1) == RandomSearch().suggest(study, 1)
        True
    """

    @hookimpl
    def suggest(self, study: StudyRecord, count: int) -> list[Params]:
        """Draw `count` sets of params.

        Args:
            study: The study; its seed (None: fresh entropy) and its number of trials choose the stream.
            count: How many, 1 or more.
        """
        rng = random.Random() if study.seed is None else random.Random(f"{study.seed}:{len(study.trials)}")
        seen = {frozenset(t.params.items()) for t in study.trials if t.state is not TrialState.KILLED}
        drawn: list[Params] = []
        for _ in range(count):
            params = _draw(study.space, rng, seen)
            seen.add(frozenset(params.items()))
            drawn.append(params)
        return drawn


def _draw(space: Space, rng: random.Random, seen: Set[frozenset[tuple[str, Scalar]]]) -> Params:
    """Draw params that are not `seen`; in a space that is used up, any."""
    params = space.sample(rng)
    if space.cardinality is None:
        return params
    for _ in range(_TRIES):
        if frozenset(params.items()) not in seen:
            return params
        params = space.sample(rng)
    unseen = (params for params in _grid(space, tuple(space), {}) if frozenset(params.items()) not in seen)
    left = list(islice(unseen, _LEFT))
    return rng.choice(left) if left else params


def _grid(space: Space, names: tuple[str, ...], params: dict[str, Scalar]) -> Iterator[Params]:
    """Yield every set of params of a finite space that begins with `params`; `names` are yet to be set, in order."""
    if not names:
        yield params
    elif not space.is_active(names[0], params):
        yield from _grid(space, names[1:], params)
    else:
        for value in _values(space[names[0]]):
            yield from _grid(space, names[1:], {**params, names[0]: value})


def _values(parameter: Float | Int | Choice) -> Iterator[Scalar]:
    if isinstance(parameter, Choice):
        yield from parameter.options
    elif isinstance(parameter, Int):
        yield from range(parameter.low, parameter.high + 1, parameter.step)
    else:
        count = parameter.cardinality or 0
        yield from (parameter.from_unit((index + 0.5) / count) for index in range(count))
