"""Other libraries' optimizers as searchers: Ax, HEBO and SMAC, each as its documentation has one use it.

`requirements-peers.txt` and `requirements-hebo.txt` say which versions; `docs/benchmarks.md` how to install them.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from typing import Any

import hyperhook as hh

__all__ = ["Ax", "Hebo", "Smac"]


def settled(parameter: hh.Parameter, value: Any) -> hh.Scalar:
    """Return what a library gave, without NumPy's types, and without what rounding put beyond a bound."""
    if isinstance(parameter, hh.Choice):
        return {str(option): option for option in parameter.options}[str(value)]
    if isinstance(parameter, hh.Int):
        return min(max(round(value), parameter.low), parameter.high)
    return min(max(float(value), float(parameter.low)), float(parameter.high))


def settled_params(space: hh.Space, values: Any) -> hh.Params:
    """Return the active params among `values`."""
    params: dict[str, hh.Scalar] = {}
    for name, parameter in space.items():
        if space.is_active(name, params):
            params[name] = settled(parameter, values[name])
    return params


def refuse_steps(space: hh.Space) -> None:
    """Stop where a space has steps, which no benchmark uses and these searchers do not translate."""
    if any(not isinstance(p, hh.Choice) and p.step not in (None, 1) for p in space.values()):
        raise NotImplementedError("parameters with a step are not translated for other libraries")


class Ax:
    """Ax's `Client` with the generation strategy that it chooses itself, and the trial that it recommends.

    The first trials are the centre and Sobol points, five in all, the others its modular BoTorch generator's.
    Parameters below an option are its dependent parameters.

    Args:
        space: What may vary.
        seed: Seed of the search.
    """

    def __init__(self, space: hh.Space, seed: int) -> None:
        import torch
        from ax.api.client import Client

        logging.disable(logging.WARNING)
        refuse_steps(space)
        torch.manual_seed(seed)
        self.space = space
        self.client = Client(random_seed=seed)
        self.client.configure_experiment([self._config(name, parameter) for name, parameter in space.items()])
        self.client.configure_optimization("-loss")
        self.running: list[int] = []

    @staticmethod
    def _config(name: str, parameter: hh.Parameter) -> Any:
        from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

        if isinstance(parameter, hh.Choice):
            below = zip(parameter.options, parameter.branches, strict=True)
            dependent = {str(option): list(branch) for option, branch in below if branch}
            options = [str(option) for option in parameter.options]
            return ChoiceParameterConfig(name, options, "str", is_ordered=False, dependent_parameters=dependent or None)
        kind = "int" if isinstance(parameter, hh.Int) else "float"
        bounds = (parameter.low, parameter.high)
        return RangeParameterConfig(name, bounds, kind, scaling="log" if parameter.log else "linear")

    def ask(self, count: int) -> Sequence[hh.Params]:
        """Return Ax's next trials."""
        trials = self.client.get_next_trials(max_trials=count)
        self.running = list(trials)
        return [settled_params(self.space, values) for values in trials.values()]

    def tell(self, many: Sequence[hh.Params], losses: Sequence[float]) -> None:
        """Complete the trials."""
        for trial, loss in zip(self.running, losses, strict=True):
            self.client.complete_trial(trial, {"loss": loss})

    def best(self) -> int | None:
        """Return the trial that Ax takes for the best, by its model's prediction where that one fits."""
        trial: int = self.client.get_best_parameterization()[2]
        return trial


class Hebo:
    """HEBO as it comes: a warped Gaussian process and the acquisition ensemble MACE, which gives batches.

    It draws ``1 + parameters`` Sobol points first. It has no conditional parameters: it searches the flat space.

    Args:
        space: What may vary.
        seed: Seed of the search.
    """

    def __init__(self, space: hh.Space, seed: int) -> None:
        import numpy as np
        import torch
        from hebo.design_space.design_space import DesignSpace
        from hebo.optimizers.hebo import HEBO

        refuse_steps(space)
        np.random.seed(seed)
        torch.manual_seed(seed)
        self.space = space
        design = DesignSpace().parse([self._column(name, parameter) for name, parameter in space.items()])
        self.optimizer = HEBO(design, scramble_seed=seed)
        self.running: Any = None

    @staticmethod
    def _column(name: str, parameter: hh.Parameter) -> dict[str, Any]:
        if isinstance(parameter, hh.Choice):
            return {"name": name, "type": "cat", "categories": [str(option) for option in parameter.options]}
        kinds = ("int", "pow_int") if isinstance(parameter, hh.Int) else ("num", "pow")
        return {"name": name, "type": kinds[parameter.log], "lb": parameter.low, "ub": parameter.high}

    def ask(self, count: int) -> Sequence[hh.Params]:
        """Return HEBO's next suggestions."""
        self.running = self.optimizer.suggest(n_suggestions=count)
        return [settled_params(self.space, row) for row in self.running.to_dict("records")]

    def tell(self, many: Sequence[hh.Params], losses: Sequence[float]) -> None:
        """Observe the suggestions."""
        import numpy as np

        self.optimizer.observe(self.running, np.array(losses, dtype=float).reshape(-1, 1))

    def best(self) -> int | None:
        """Return nothing: HEBO's best is the lowest loss."""
        return None


class Smac:
    """SMAC's facade for hyperparameter optimization, asked and told, with conditions as ConfigSpace has them.

    A random forest, expected improvement of the log loss, and one random configuration in five. Its first points are
    Sobol ones, ten for each parameter, but at most a quarter of the trials: with the 100 that it is given here, 25. It
    is told that trials are deterministic, as it would else repeat the best ones with other seeds. It fits a forest for
    every eight trials, so that a batch is several challengers of one forest.

    Args:
        space: What may vary.
        seed: Seed of the search.
        trials: How many trials it may plan with.
    """

    def __init__(self, space: hh.Space, seed: int, trials: int = 100) -> None:
        from ConfigSpace import ConfigurationSpace, EqualsCondition
        from smac import HyperparameterOptimizationFacade as Facade
        from smac import Scenario

        refuse_steps(space)
        self.space = space
        configurations = ConfigurationSpace(seed=seed)
        configurations.add(*(self._parameter(name, parameter) for name, parameter in space.items()))
        for name in space:
            condition = space.condition(name)
            if condition is not None:
                child, parent = configurations[name], configurations[condition.parent]
                configurations.add(EqualsCondition(child, parent, str(condition.option)))
        self.directory = tempfile.TemporaryDirectory(prefix="smac-")
        scenario = Scenario(
            configurations, output_directory=self.directory.name, deterministic=True, n_trials=10**6, seed=seed
        )
        first = Facade.get_initial_design(scenario, n_configs=min(10 * len(space), trials // 4))
        self.facade = Facade(scenario, self._never_called, initial_design=first, logging_level=False)
        self.running: list[Any] = []

    @staticmethod
    def _never_called(config: Any, seed: int = 0) -> float:
        raise NotImplementedError

    @staticmethod
    def _parameter(name: str, parameter: hh.Parameter) -> Any:
        from ConfigSpace import CategoricalHyperparameter, UniformFloatHyperparameter, UniformIntegerHyperparameter

        if isinstance(parameter, hh.Choice):
            return CategoricalHyperparameter(name, [str(option) for option in parameter.options])
        kind = UniformIntegerHyperparameter if isinstance(parameter, hh.Int) else UniformFloatHyperparameter
        return kind(name, parameter.low, parameter.high, log=parameter.log)

    def ask(self, count: int) -> Sequence[hh.Params]:
        """Return SMAC's next challengers."""
        self.running = [self.facade.ask() for _ in range(count)]
        return [settled_params(self.space, dict(trial.config)) for trial in self.running]

    def tell(self, many: Sequence[hh.Params], losses: Sequence[float]) -> None:
        """Tell the facade how they ended."""
        from smac.runhistory.dataclasses import TrialValue

        for trial, loss in zip(self.running, losses, strict=True):
            self.facade.tell(trial, TrialValue(cost=loss), save=False)

    def best(self) -> int | None:
        """Return nothing: of deterministic trials, SMAC's incumbent is the one with the lowest loss."""
        return None
