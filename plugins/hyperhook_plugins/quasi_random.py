"""Quasi-random search: points of a Sobol sequence, which fill the space more evenly than random ones.

References:
    Sobol: On the distribution of points in a cube and the approximate evaluation of integrals. USSR Computational
    Mathematics and Mathematical Physics 7 (1967).
    Owen: Scrambling Sobol' and Niederreiter-Xing points. Journal of Complexity 14 (1998).
"""

from __future__ import annotations

import random
from typing import Any, ClassVar

from hyperhook import Params, StudyRecord, hookimpl
from hyperhook.untried import Untried

__all__ = ["QuasiRandom"]


class QuasiRandom:
    """Suggest the points of a scrambled Sobol sequence, one coordinate a parameter, through the priors' quantiles.

    The study's seed chooses the scrambling; without one the study's first trial does. The number of trials that a study
    has is the next point's place in the sequence, so that a study goes on where it was, and several workers share one
    sequence. A sequence is at its best behind 8, 16, 32, … points.

    In a finite space what was tried is passed over until all was.

    Example:
        >>> study = hh.Study("s", space={"lr": hh.Float(0.0, 1.0)}, plugins=["sobol"])  # doctest: +SKIP
    """

    requires: ClassVar[tuple[str, ...]] = ("scipy",)

    @hookimpl
    def suggest(self, study: StudyRecord, count: int) -> list[Params]:
        """Return the next `count` points.

        Args:
            study: The study; its seed and its number of trials choose the points.
            count: How many, 1 or more.
        """
        if not study.space:
            return [{} for _ in range(count)]
        seed = study.seed if study.seed is not None else study.trials[0].id if study.trials else None
        rng = random.Random() if seed is None else random.Random(f"{seed}:{len(study.trials)}")
        scramble = rng if seed is None else random.Random(f"{seed}")
        sobol = _sequence(len(study.space), scramble.getrandbits(64), len(study.trials))
        untried = Untried(study)
        return [untried.take(lambda: study.space.quantile(sobol.random(1)[0].tolist()), rng) for _ in range(count)]


def _sequence(dimension: int, seed: int, start: int) -> Any:
    """Return a scrambled sequence of points with so many coordinates, from a place on, which counts from 0."""
    import numpy
    from scipy.stats import qmc

    make: Any = qmc.Sobol  # whose argument `seed` is called `rng` since SciPy 1.15, and goes by both names
    sobol = make(dimension, scramble=True, seed=numpy.random.default_rng(seed))
    return sobol.fast_forward(start) if start else sobol
