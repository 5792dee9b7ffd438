"""One face for every method: ask for params, be told losses, say which trial was best.

Each method lives in a function that imports its library when it is called, so that a run needs only what it compares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from botorch_loop import BoTorch
from peers import Ax, Hebo, Smac

import hyperhook as hh

__all__ = ["SEARCHERS", "Searcher"]


class Searcher(Protocol):
    """A search that is under way."""

    def ask(self, count: int) -> Sequence[hh.Params]:
        """Return the params of the next trials, which run at the same time."""
        ...

    def tell(self, many: Sequence[hh.Params], losses: Sequence[float]) -> None:
        """Take in how the trials that were asked for ended, in the same order."""
        ...

    def best(self) -> int | None:
        """Return the number of the trial that the method recommends; None for the one with the lowest loss."""
        ...


class Own:
    """A hyperhook suggester, driven through its hook.

    Args:
        suggester: Such as ``GP(device="cpu")``.
        space: What may vary.
        seed: Seed of the search.
    """

    def __init__(self, suggester: Any, space: hh.Space, seed: int) -> None:
        self.suggester = suggester
        self.study = hh.StudyRecord("benchmark", space, hh.Minimize("loss"), seed=seed)

    def ask(self, count: int) -> Sequence[hh.Params]:
        """Return what the suggester suggests."""
        answer: Sequence[hh.Params] = self.suggester.suggest(self.study, count)
        return answer

    def tell(self, many: Sequence[hh.Params], losses: Sequence[float]) -> None:
        """Add COMPLETE trials to the study."""
        start = len(self.study.trials)
        trials = tuple(
            hh.TrialRecord(f"b-{n}", n, "benchmark", dict(params), state=hh.TrialState.COMPLETE, value=loss)
            for n, (params, loss) in enumerate(zip(many, losses, strict=True), start)
        )
        self.study = replace(self.study, trials=(*self.study.trials, *trials))

    def best(self) -> int | None:
        """Return what the suggester takes for the best trial, if it has an opinion."""
        choose = getattr(self.suggester, "which_is_best", None)
        chosen = None if choose is None else choose(self.study)
        return None if chosen is None else chosen.number


def gp(space: hh.Space, seed: int, **options: Any) -> Searcher:
    """Return this project's Gaussian process."""
    from hyperhook_plugins.gp import GP

    return Own(GP(device="cpu", **options), space, seed)


def random_search(space: hh.Space, seed: int) -> Searcher:
    """Return this project's random search."""
    from hyperhook_plugins.random_search import RandomSearch

    return Own(RandomSearch(), space, seed)


def quasi_random(space: hh.Space, seed: int) -> Searcher:
    """Return this project's quasi-random search."""
    from hyperhook_plugins.quasi_random import QuasiRandom

    return Own(QuasiRandom(), space, seed)


def refine(space: hh.Space, seed: int, **options: Any) -> Searcher:
    """Return this project's search from coarse to fine."""
    from hyperhook_plugins.refine import Refine

    return Own(Refine(**options), space, seed)


def evolution(space: hh.Space, seed: int, **options: Any) -> Searcher:
    """Return this project's evolution: CMA-ES in spaces of numbers, else regularised evolution."""
    from hyperhook_plugins.evolution import Evolution

    return Own(Evolution(**options), space, seed)


class Optuna:
    """A sampler of Optuna, asked and told, with the space defined by run.

    Args:
        sampler: Such as ``optuna.samplers.TPESampler(multivariate=True)``.
        space: What may vary.
    """

    def __init__(self, sampler: Any, space: hh.Space) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.space = space
        self.study = optuna.create_study(sampler=sampler)
        self.running: list[Any] = []

    def ask(self, count: int) -> Sequence[hh.Params]:
        """Ask for `count` trials, none of which has ended."""
        self.running = [self.study.ask() for _ in range(count)]
        return [self._params(trial) for trial in self.running]

    def _params(self, trial: Any) -> hh.Params:
        params: dict[str, hh.Scalar] = {}
        for name, parameter in self.space.items():
            if not self.space.is_active(name, params):
                continue
            if isinstance(parameter, hh.Choice):
                params[name] = trial.suggest_categorical(name, list(parameter.options))
            elif isinstance(parameter, hh.Int):
                params[name] = trial.suggest_int(
                    name, parameter.low, parameter.high, log=parameter.log, step=parameter.step
                )
            else:
                params[name] = trial.suggest_float(
                    name, parameter.low, parameter.high, log=parameter.log, step=parameter.step
                )
        return params

    def tell(self, many: Sequence[hh.Params], losses: Sequence[float]) -> None:
        """End the trials."""
        for trial, loss in zip(self.running, losses, strict=True):
            self.study.tell(trial, loss)

    def best(self) -> int | None:
        """Return nothing: Optuna's best trial is the one with the lowest value."""
        return None


def optuna_tpe(space: hh.Space, seed: int) -> Searcher:
    """Return Optuna's multivariate TPE, which groups conditional parameters and takes running trials for bad ones."""
    import optuna

    return Optuna(
        optuna.samplers.TPESampler(
            multivariate=True, group=True, constant_liar=True, seed=seed, warn_independent_sampling=False
        ),
        space,
    )


def optuna_gp(space: hh.Space, seed: int) -> Searcher:
    """Return Optuna's GPSampler as it comes."""
    import optuna

    return Optuna(optuna.samplers.GPSampler(seed=seed), space)


SEARCHERS: dict[str, Callable[[hh.Space, int], Searcher]] = {
    "hyperhook GP": gp,
    "random": random_search,
    "sobol": quasi_random,
    "refine": refine,
    "evolution": evolution,
    "Optuna TPE": optuna_tpe,
    "Optuna GP": optuna_gp,
    "BoTorch": BoTorch,
    "Ax": Ax,
    "HEBO": Hebo,
    "SMAC": Smac,
}
"""The methods by the names that the tables show."""
