"""Early stopping: how many epochs a search spends until it has what a search without pruning ends with.

    python benchmarks/pruning.py [--seeds 10] [--problem crossing] [--method "random, ASHA"] [--quick]

Per problem and seed, random search trains a number of trials to their end. 99 % of the best accuracy that it finds is
the target, and each method gets as many epochs to reach it, with four trials under way at a time, one epoch each in
turn. The table gives the epochs that were spent when a trial first reached it: median and quartiles over the seeds, and
how often it was reached; a search that never did counts with all of its epochs. The methods take turns, seed by seed;
each result is shown on standard error as it comes.

The simulated curves fall from an error of 0.9 to a known end, by a power of the epoch, exponentially, or late
(``crossing``: the best trials are slow ones, so that early values mislead); each epoch's value has some noise.
``digits`` trains scikit-learn's MLP on its digits. Params are those of a small network, and where the optimum lies
depends on the seed.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Protocol

import hyperhook as hh
from hyperhook_plugins.gp import GP
from hyperhook_plugins.halving import ASHA, Hyperband
from hyperhook_plugins.median import Median
from hyperhook_plugins.random_search import RandomSearch

EPOCHS, TRIALS, WORKERS, SHARE = 27, 40, 4, 0.99


@dataclass(frozen=True)
class Problem:
    """A space, and the error after each epoch (from 1) of a training with params, some seed given."""

    space: hh.Space
    error: Callable[[Mapping[str, Any], int, int], float]


class Search(Protocol):
    """A search that is under way."""

    def start(self) -> tuple[int, hh.Params]:
        """Begin a trial: its number and params."""
        ...

    def stops(self, number: int, epoch: int, error: float) -> bool:
        """Take in an epoch (from 0) of a trial; tell whether it is to stop."""
        ...

    def end(self, number: int, error: float, *, pruned: bool) -> None:
        """Take in that a trial ended, and what its best error was."""
        ...


class Own:
    """Plugins of hyperhook, asked as a study asks them, without a store."""

    def __init__(self, suggester: Any, pruner: Any, space: hh.Space, seed: int) -> None:
        self.suggester, self.pruner = suggester, pruner
        self.study = hh.StudyRecord("benchmark", space, hh.Minimize("error"), seed=seed)
        self.trials: list[hh.TrialRecord] = []
        self.order = 0

    def start(self) -> tuple[int, hh.Params]:
        """Begin a trial."""
        (params,) = self.suggester.suggest(self._now(), 1)
        self.trials.append(hh.TrialRecord(f"b-{len(self.trials)}", len(self.trials), "benchmark", dict(params)))
        return len(self.trials) - 1, params

    def stops(self, number: int, epoch: int, error: float) -> bool:
        """Ask the pruner, once the trial's curve has its best error so far."""
        if self.pruner is None:
            return False
        trial, self.order = self.trials[number], self.order + 1
        best = min(error, trial.curve[-1].value if trial.curve else math.inf)
        curve = (*trial.curve, hh.CurvePoint(best, epoch, epoch, self.order))
        self.trials[number] = trial = replace(trial, curve=curve)
        return bool(self.pruner.should_stop(self._now(), trial.at(hh.Point(best, epoch, epoch))))

    def end(self, number: int, error: float, *, pruned: bool) -> None:
        """Give the trial its state and its value."""
        state = hh.TrialState.PRUNED if pruned else hh.TrialState.COMPLETE
        self.trials[number] = replace(self.trials[number], state=state, value=error)

    def _now(self) -> hh.StudyRecord:
        return replace(self.study, trials=tuple(self.trials))


class Optunas:
    """A study of Optuna's, asked and told."""

    def __init__(self, pruner: str, space: hh.Space, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        pruners = {
            "none": lambda: optuna.pruners.NopPruner(),
            "halving": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
            "hyperband": lambda: optuna.pruners.HyperbandPruner(1, EPOCHS, reduction_factor=3),
            "median": lambda: optuna.pruners.MedianPruner(),
        }
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
        self.study = optuna.create_study(sampler=sampler, pruner=pruners[pruner]())
        self.space, self.trials, self.pruned = space, [], optuna.trial.TrialState.PRUNED

    def start(self) -> tuple[int, hh.Params]:
        """Begin a trial."""
        trial = self.study.ask()
        self.trials.append(trial)
        return trial.number, {name: self._suggested(trial, name) for name in self.space}

    def stops(self, number: int, epoch: int, error: float) -> bool:
        """Report, and ask the pruner."""
        self.trials[number].report(error, epoch + 1)
        return bool(self.trials[number].should_prune())

    def end(self, number: int, error: float, *, pruned: bool) -> None:
        """Tell the trial's end; a pruned one has what it reported."""
        self.study.tell(self.trials[number], **({"state": self.pruned} if pruned else {"values": error}))

    def _suggested(self, trial: Any, name: str) -> Any:
        parameter: Any = self.space[name]
        if isinstance(parameter, hh.Choice):
            return trial.suggest_categorical(name, list(parameter.options))
        suggest = trial.suggest_int if isinstance(parameter, hh.Int) else trial.suggest_float
        return suggest(name, parameter.low, parameter.high, log=parameter.log)


def _gp(space: hh.Space, seed: int) -> GP:
    return GP(device="cpu", seed=seed)


METHODS: dict[str, Callable[[hh.Space, int], Search]] = {
    "random": lambda space, seed: Own(RandomSearch(), None, space, seed),
    "random, ASHA": lambda space, seed: Own(RandomSearch(), ASHA(max_steps=EPOCHS), space, seed),
    "random, Hyperband": lambda space, seed: Own(RandomSearch(), Hyperband(max_steps=EPOCHS), space, seed),
    "GP": lambda space, seed: Own(_gp(space, seed), None, space, seed),
    "GP, ASHA": lambda space, seed: Own(_gp(space, seed), ASHA(max_steps=EPOCHS), space, seed),
    "GP, Hyperband": lambda space, seed: Own(_gp(space, seed), Hyperband(max_steps=EPOCHS), space, seed),
    "GP, median": lambda space, seed: Own(_gp(space, seed), Median(), space, seed),
    "Optuna TPE": partial(Optunas, "none"),
    "Optuna TPE, halving": partial(Optunas, "halving"),
    "Optuna TPE, Hyperband": partial(Optunas, "hyperband"),
    "Optuna TPE, median": partial(Optunas, "median"),
}

NETWORK = hh.Space(
    {
        "lr": hh.Float(1e-4, 1.0, log=True),
        "width": hh.Int(8, 512, log=True),
        "dropout": hh.Float(0.0, 0.6),
        "activation": hh.Choice(["relu", "gelu", "tanh"]),
    }
)


def simulated(shape: str) -> Problem:
    """Return learning curves of one shape: ``"power"``, ``"exponential"`` or ``"crossing"``."""

    @cache
    def optimum(seed: int) -> list[float]:
        rng = random.Random(f"optimum:{seed}")
        return [rng.uniform(0.15, 0.85) for _ in NETWORK]

    def error(params: Mapping[str, Any], epoch: int, seed: int) -> float:
        units = NETWORK.to_unit(dict(params))
        far = sum(weight * (u - o) ** 2 for weight, u, o in zip((4, 1, 1, 0.3), units, optimum(seed), strict=True))
        end = 0.05 + 0.85 * (1 - math.exp(-2 * far))
        noise = random.Random(f"{seed}:{epoch}:{sorted(params.items())}").gauss(0.0, 0.004)
        return end + (0.9 - end) * _left(shape, epoch, units[0], far) + noise

    return Problem(NETWORK, error)


def _left(shape: str, epoch: int, lr: float, far: float) -> float:
    """Return what part of the way to its end an error has yet to go; from 1 down."""
    if shape == "power":
        return (epoch + 1.0) ** -(0.6 + 1.2 * lr)
    if shape == "exponential":
        return math.exp(-epoch / (2.0 + 6.0 * (1.0 - lr)))
    slow = 2.0 + 10.0 * math.exp(-4 * far)  # the nearer to the optimum, the later the error falls
    return 1.0 / (1.0 + (epoch / slow) ** 2)


def digits() -> Problem:
    """Return the validation error of scikit-learn's MLP on its digits, trained epoch by epoch."""
    space = hh.Space(
        {
            "lr": hh.Int(-10, 0),  # half powers of ten
            "width": hh.Choice([8, 16, 32, 64, 128]),
            "alpha": hh.Int(-6, 1),
            "momentum": hh.Choice([0.0, 0.5, 0.9]),
        }
    )

    def error(params: Mapping[str, Any], epoch: int, seed: int) -> float:
        return _digits_curve(tuple(params[name] for name in space))[epoch - 1]

    return Problem(space, error)


@cache
def _digits_curve(params: tuple[Any, ...]) -> list[float]:
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    x, y = load_digits(return_X_y=True)
    seen, held, right, held_right = train_test_split(x / 16, y, test_size=0.5, random_state=0, stratify=y)
    lr, width, alpha, momentum = params
    net = MLPClassifier(
        (width,), solver="sgd", learning_rate_init=10 ** (lr / 2), alpha=10.0**alpha, momentum=momentum, random_state=0
    )
    errors = []
    for _ in range(EPOCHS):
        try:
            with np.errstate(all="ignore"):
                net.partial_fit(seen, right, classes=range(10))
                errors.append(1 - float(net.score(held, held_right)))
        except ValueError:  # the weights are not finite any more
            errors.append(0.9)
    return errors


PROBLEMS: dict[str, Problem] = {
    **{shape: simulated(shape) for shape in ("power", "exponential", "crossing")},
    "digits": digits(),
}


def target(problem: Problem, trials: int, seed: int) -> float:
    """Return the error to reach: that of 99 % of the best accuracy among random trials trained to their end."""
    search = METHODS["random"](problem.space, seed + 1000)
    best = min(
        problem.error(params, epoch, seed)
        for params in (search.start()[1] for _ in range(trials))
        for epoch in range(1, EPOCHS + 1)
    )
    return 1 - SHARE * (1 - best)


def epochs_to_target(search: Search, problem: Problem, goal: float, budget: int, seed: int) -> int | None:
    """Return how many epochs were spent when a trial first reached the goal; None where the budget was used up."""
    running: list[tuple[int, hh.Params, list[float]]] = []
    spent = 0
    while True:
        running += [(*search.start(), []) for _ in range(WORKERS - len(running))]
        for trial in tuple(running):
            number, params, errors = trial
            errors.append(problem.error(params, len(errors) + 1, seed))
            spent += 1
            if errors[-1] <= goal:
                return spent
            if spent >= budget:
                return None
            pruned = search.stops(number, len(errors) - 1, errors[-1])
            if pruned or len(errors) == EPOCHS:
                search.end(number, min(errors), pruned=pruned)
                running.remove(trial)


def main() -> None:
    """Run the methods side by side and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--problem", action="append", choices=list(PROBLEMS), help="all of them by default")
    parser.add_argument("--method", action="append", choices=list(METHODS), help="all of them by default")
    parser.add_argument("--quick", action="store_true", help="8 trials, 2 seeds: does it run?")
    arguments = parser.parse_args()
    trials, seeds = (8, 2) if arguments.quick else (TRIALS, arguments.seeds)
    warnings.filterwarnings("ignore", module="sklearn")
    print(f"{trials * EPOCHS} epochs at the most: {trials} trainings of {EPOCHS}; {seeds} seeds")
    print("| problem | method | lower quartile | median | upper quartile | reached |\n|---|---|---|---|---|---|")
    for name in arguments.problem or PROBLEMS:
        problem, budget = PROBLEMS[name], trials * EPOCHS
        spent: dict[str, list[int | None]] = {method: [] for method in arguments.method or METHODS}
        for seed in range(seeds):
            goal = target(problem, trials, seed)
            for method, found in spent.items():
                search = METHODS[method](problem.space, seed)
                found.append(epochs_to_target(search, problem, goal, budget, seed))
                print(f"{name}, seed {seed}, {method}: {found[-1]}", file=sys.stderr)
        for method, found in spent.items():
            print(f"| {name} | {method} | {_summary(found, budget)} |", flush=True)


def _summary(found: Iterable[int | None], budget: int) -> str:
    reached = [spent for spent in found if spent is not None]
    counted = [budget if spent is None else spent for spent in found]
    lower, median, upper = statistics.quantiles(counted, n=4, method="inclusive")
    return f"{lower:.0f} | {median:.0f} | {upper:.0f} | {len(reached)} of {len(counted)}"


if __name__ == "__main__":
    main()
