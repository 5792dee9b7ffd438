"""The `Evolution` plugin: its options, and which of the two methods answers."""

from __future__ import annotations

import random
import secrets
from typing import ClassVar, Literal, TypeAlias, get_args

from hyperhook import Choice, Params, Space, StudyRecord, TrialRecord, hookimpl
from hyperhook.untried import Untried
from hyperhook_plugins.evolution.covariance import Covariance
from hyperhook_plugins.evolution.regularised import Breeding

__all__ = ["Evolution", "Method"]

Method: TypeAlias = Literal["auto", "cmaes", "regularised"]


class Evolution:
    """Evolve params: CMA-ES where all parameters are numbers, regularised evolution where there are choices.

    CMA-ES (by the library cmaes) learns which directions improve, and samples from a normal distribution that follows
    them; integers and steps are kept from freezing by margins. When it has converged it starts again, somewhere else
    and with twice the population. Regularised evolution draws a population by the priors; then each trial is a child of
    the better ones among its last members, crossed and mutated: a number moves, an option changes, and what that makes
    active is drawn. Both go by ranks alone, so that constraints, several objectives, failures and outliers are no
    special cases: what failed is worst.

    Trials count in the order in which they ended, whichever worker ran them, and everything is rebuilt from the study's
    trials: it needs no generation to be complete, and a study that is opened again goes on where it was. The same seed
    and trials give the same suggestion. A finite space is tried whole before anything comes twice.

    Args:
        method: ``"cmaes"``, ``"regularised"``, or ``"auto"``: the one for the space.
        population: How many trials make a generation of CMA-ES (by default ``4 + 3 ln d`` for d parameters), or are
            the population of regularised evolution (by default 16); 4 or more.
        sample: Among how many of the population, drawn at random, the best becomes a parent; 1 or more.
        crossover: How often a child has two parents, a probability.
        sigma: How wide the first generation of CMA-ES is, as a part of each parameter's scale, above 0.

    Raises:
        ValueError: One of them is none of these.

    References:
        Hansen: The CMA evolution strategy: a tutorial. arXiv:1604.00772 (2016).
        Hamano, Saito, Nomura, Shirakawa: CMA-ES with margin. GECCO 2022.
        Real, Aggarwal, Huang, Le: Regularized evolution for image classifier architecture search. AAAI 2019.

    Example:
        >>> study = hh.Study("s", space={"lr": hh.Float(0.0, 1.0)}, plugins=[Evolution()])  # doctest: +SKIP
    """

    requires: ClassVar[tuple[str, ...]] = ("cmaes",)

    def __init__(
        self,
        *,
        method: Method = "auto",
        population: int | None = None,
        sample: int = 5,
        crossover: float = 0.5,
        sigma: float = 0.25,
    ) -> None:
        if method not in get_args(Method):
            raise ValueError(f"Evolution: method must be one of {', '.join(get_args(Method))}, got {method!r}")
        if population is not None and (not isinstance(population, int) or population < 4):
            raise ValueError(f"Evolution: population must be None or an int from 4, got {population!r}")
        if not isinstance(sample, int) or sample < 1:
            raise ValueError(f"Evolution: sample must be an int from 1, got {sample!r}")
        if not isinstance(crossover, int | float) or not 0 <= crossover <= 1:
            raise ValueError(f"Evolution: crossover must be from 0 to 1, got {crossover!r}")
        if not isinstance(sigma, int | float) or not 0 < sigma <= 1:
            raise ValueError(f"Evolution: sigma must be above 0 and at most 1, got {sigma!r}")
        self.method: Method = method
        self.population = population
        self.sigma = sigma
        self._breeding = Breeding(population or 16, sample, crossover)
        self._covariance: Covariance | None = None

    @hookimpl
    def suggest(self, study: StudyRecord, count: int) -> list[Params]:
        """Return `count` sets of params.

        Raises:
            ValueError: `method` is ``"cmaes"``, and the space has choices.
        """
        seed = study.seed if study.seed is not None else study.trials[0].id if study.trials else secrets.token_hex(8)
        rng = random.Random(f"{seed}:{len(study.trials)}")
        ended = _by_end(study)
        untried = Untried(study)
        if not self._takes_numbers(study.space):
            return [untried.take(lambda: self._breeding.child(study, ended, rng), rng) for _ in range(count)]
        known = self._covariance
        if known is None or not known.goes_on(study, ended, str(seed)):
            known = self._covariance = Covariance(study.space, self.population, self.sigma, str(seed))
        known.learn(study, ended)
        known.reseed(rng.getrandbits(32))
        return [untried.take(known.draw, rng) for _ in range(count)]

    def _takes_numbers(self, space: Space) -> bool:
        """Tell whether CMA-ES answers."""
        chosen = [name for name, p in space.items() if isinstance(p, Choice) and len(p.options) > 1]
        chosen += [name for name in space if space.condition(name)]
        if self.method == "cmaes" and chosen:
            raise ValueError(
                f"Evolution: method 'cmaes' takes numbers alone, and the space has choices or what depends on them "
                f"({', '.join(chosen)}); use method='auto'"
            )
        return self.method != "regularised" and not chosen and any(p.cardinality != 1 for p in space.values())

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_covariance": None}


def _by_end(study: StudyRecord) -> list[TrialRecord]:
    """Return the trials that ended by themselves, in the order in which they did."""
    ended = [trial for trial in study.trials if trial.state.ended_by_itself]
    return sorted(ended, key=lambda trial: (trial.finished_time or 0.0, trial.number))
