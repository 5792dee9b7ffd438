"""CMA-ES over the numbers of a space, rebuilt from a study's trials.

======  ===============================================================================================================
symbol  meaning
======  ===============================================================================================================
d       parameters that can vary; each has one coordinate in [0, 1] on its own scale
λ       trials that make a generation
======  ===============================================================================================================
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from hyperhook import Params, Space, StudyRecord, TrialRecord
from hyperhook.ranking import ranked

__all__ = ["Covariance"]

_MOST_STEPS = 1000
"""A discrete parameter with more values than this moves like a continuous one."""
_CLOSEST = 1e-5
"""A generation that lies this close together, in every coordinate, has converged."""


class Covariance:
    """The distribution that the next params are drawn from, as learned from trials in the order in which they ended.

    Args:
        space: Numbers only, of which at least one can vary.
        population: λ; None for ``4 + 3 ln d``.
        sigma: The first standard deviation, as a part of [0, 1].
        seed: Chooses where a search that has converged starts again.
    """

    def __init__(self, space: Space, population: int | None, sigma: float, seed: str) -> None:
        self._space = space
        self._sigma = sigma
        self._seed = seed
        self._varying = [name for name, parameter in space.items() if parameter.cardinality != 1]
        self._learned: list[TrialRecord] = []
        self._restarts = 0
        self._strategy = self._start(space.to_unit(space.quantile([0.5] * len(space))), population)

    def goes_on(self, study: StudyRecord, ended: Sequence[TrialRecord], seed: str) -> bool:
        """Tell whether this was learned from the first of these trials."""
        return seed == self._seed and study.space == self._space and self._learned == ended[: len(self._learned)]

    def learn(self, study: StudyRecord, ended: Sequence[TrialRecord]) -> None:
        """Learn from the trials that are new, λ at a time.

        Args:
            study: What they are trials of.
            ended: All that ended, in the order in which they did; it begins with those that were learned from before.
        """
        while len(ended) - len(self._learned) >= self._strategy.population_size:
            start = len(self._learned)
            generation = list(ended[start : start + self._strategy.population_size])
            known, silent = ranked(study, generation)
            order = [*known, *silent]
            points = [self._point(trial.params) for trial in order]
            self._strategy.tell([(point, float(rank)) for rank, point in enumerate(points)])
            self._learned += generation
            if self._strategy.should_stop() or _spread(points) < _CLOSEST:
                self._restart()

    def reseed(self, seed: int) -> None:
        """Choose what is drawn next, by a seed below 2³²."""
        self._strategy.reseed_rng(seed)

    def draw(self) -> Params:
        """Draw params."""
        point, _ = self._strategy.ask()
        units = dict(zip(self._varying, point.tolist(), strict=True))
        return self._space.from_unit([min(max(units.get(name, 0.5), 0.0), 1.0) for name in self._space])

    def _start(self, middle: Sequence[float], population: int | None) -> Any:
        """Begin a search around a point, which has a coordinate for each parameter of the space."""
        import numpy
        from cmaes import CMAwM

        counts = [self._space[name].cardinality for name in self._varying]
        steps = [0.0 if n is None or n > _MOST_STEPS or self._is_log(i) else 1 / n for i, n in enumerate(counts)]
        bounds = [(step / 2, 1 - step / 2) for step in steps]
        units = dict(zip(self._space, middle, strict=True))
        mean = [min(max(units[name], low), high) for name, (low, high) in zip(self._varying, bounds, strict=True)]
        return CMAwM(
            numpy.array(mean),
            self._sigma,
            bounds=numpy.array(bounds),
            steps=numpy.array(steps),
            population_size=population,
            seed=0,
        )

    def _is_log(self, place: int) -> bool:
        return bool(getattr(self._space[self._varying[place]], "log", False))

    def _restart(self) -> None:
        """Begin again somewhere else, with twice the population."""
        self._restarts += 1
        rng = random.Random(f"{self._seed}:restart:{self._restarts}")
        middle = self._space.to_unit(self._space.sample(rng))
        self._strategy = self._start(middle, 2 * self._strategy.population_size)

    def _point(self, params: Params) -> Any:
        import numpy

        units = dict(zip(self._space, self._space.to_unit(params), strict=True))
        return numpy.array([units[name] for name in self._varying])


def _spread(points: Sequence[Any]) -> float:
    """Return the largest distance of any two points in one coordinate."""
    return max(float(max(column) - min(column)) for column in zip(*points, strict=True))
