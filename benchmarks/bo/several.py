"""Several objectives: how much of the space below the reference point a search's front dominates, and how soon.

    python benchmarks/bo/several.py [--method NAME …] [--problem NAME …] [--seeds 5] [--trials 60] [--results FILE]
    python benchmarks/bo/several.py --speed [--objectives N …] [--known N …] [--repeats 5]
    python benchmarks/bo/several.py --failing [--seeds 6] [--trials 40]

The methods take turns, problem by problem and seed by seed. A *volume* is the share of the box between the ideal and
the reference point that the trials dominate, by 2^15 quasi-random points: more is better, and 1 cannot be reached.

`--speed` measures seconds of the processor for one suggestion, in one thread: all methods are told the same history of
DTLZ2 in 6 dimensions, one more trial each time. `--failing` looks at one objective where a part of the space fails.

References:
    Deb, Thiele, Laumanns, Zitzler: Scalable Test Problems for Evolutionary Multiobjective Optimization. 2005 (DTLZ2 and
    DTLZ7).
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from problems import BRANIN, SYNTHETIC, branin
from scipy.stats.qmc import Sobol

import hyperhook as hh

Vector: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.float64]]"
Ends: TypeAlias = "Sequence[float] | None"
"""What a trial came to: the losses, or nothing where it failed."""

BUDGETS = (20, 40, 60)
DIMENSION = 6
KNOWN = (10, 50, 100, 200)
FIRST = 10
"""All methods begin with so many trials that are no more than random."""


def dtlz2(x: Vector, count: int) -> Vector:
    """Return DTLZ2: the front is an eighth of a sphere, or what that is with more objectives."""
    angles, rest = x[: count - 1] * math.pi / 2, x[count - 1 :]
    radius = 1 + ((rest - 0.5) ** 2).sum()
    losses = np.full(count, radius)
    for i in range(count):
        losses[i] *= np.cos(angles[: count - 1 - i]).prod()
        if i:
            losses[i] *= math.sin(angles[count - 1 - i])
    return losses


def dtlz7(x: Vector, count: int) -> Vector:
    """Return DTLZ7: the front is in many pieces."""
    first, rest = x[: count - 1], x[count - 1 :]
    g = 1 + 9 * rest.mean()
    h = count - (first / (1 + g) * (1 + np.sin(3 * math.pi * first))).sum()
    return np.append(first, (1 + g) * h)


@dataclass(frozen=True)
class Several:
    """Several losses of one set of params.

    Attributes:
        name: What the tables call it.
        count: How many losses.
        truth: From a point of the unit cube to the losses.
        reference: Where the volume ends, one for each loss.
    """

    name: str
    count: int
    truth: Callable[[Vector, int], Vector]
    reference: tuple[float, ...]

    @property
    def space(self) -> hh.Space:
        """The unit cube."""
        return hh.Space({f"x{i}": hh.Float(0.0, 1.0) for i in range(DIMENSION)})

    def losses(self, params: hh.Params) -> list[float]:
        """Return the losses of one trial."""
        point = np.array([params[f"x{i}"] for i in range(DIMENSION)], dtype=float)
        return [float(loss) for loss in self.truth(point, self.count)]

    def volume(self, losses: Sequence[Sequence[float]]) -> float:
        """Return the share of the box that losses dominate."""
        points = Sobol(self.count, seed=0).random(2**15) * np.array(self.reference)
        dominated = np.zeros(len(points), dtype=bool)
        for one in losses:
            dominated |= (points >= np.array(one)).all(axis=1)
        return float(dominated.mean())


PROBLEMS = {
    problem.name: problem
    for count in (2, 3, 4, 5)
    for problem in (
        Several(f"DTLZ2-{count}", count, dtlz2, (1.5,) * count),
        Several(f"DTLZ7-{count}", count, dtlz7, (1.0,) * (count - 1) + (10.0 * count,)),
    )
}


class Own:
    """A suggester of ours.

    Args:
        suggester: Such as ``GP(device="cpu")``.
        space: What may vary.
        count: How many objectives.
        seed: Seed of the search.
    """

    def __init__(self, suggester: Any, space: hh.Space, count: int, seed: int) -> None:
        self.suggester = suggester
        goals = [hh.Minimize(f"loss{i}") for i in range(count)]
        self.study = hh.StudyRecord("benchmark", space, goals[0], seed, further=tuple(goals[1:]))

    def ask(self) -> hh.Params:
        """Return the params of the next trial."""
        (params,) = self.suggester.suggest(self.study, 1)
        return dict(params)

    def tell(self, params: hh.Params, ends: Ends) -> None:
        """Add a trial that ended."""
        n = len(self.study.trials)
        state = hh.TrialState.FAILED if ends is None else hh.TrialState.COMPLETE
        value = None if ends is None else ends[0]
        metrics = {f"loss{i}": loss for i, loss in enumerate(ends or ()) if i}
        trial = hh.TrialRecord(f"b{n}", n, "benchmark", params, state, value, metrics=metrics)
        self.study = replace(self.study, trials=(*self.study.trials, trial))


class Optuna:
    """A sampler of Optuna.

    Args:
        sampler: Such as ``optuna.samplers.NSGAIISampler(seed=0)``.
        space: What may vary: reals.
        count: How many objectives.
    """

    def __init__(self, sampler: Any, space: hh.Space, count: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = optuna.create_study(directions=["minimize"] * count, sampler=sampler)
        self.distributions: dict[str, Any] = {
            name: optuna.distributions.FloatDistribution(float(p.low), float(p.high))
            for name, p in space.items()
            if isinstance(p, hh.Float)
        }
        self.trial: Any = None

    def ask(self) -> hh.Params:
        """Return the params of the next trial."""
        self.trial = self.study.ask(self.distributions)
        return dict(self.trial.params)

    def tell(self, params: hh.Params, ends: Ends) -> None:
        """End the trial that was asked for, or add another one."""
        import optuna

        if self.trial is not None and self.trial.params == params:
            state = optuna.trial.TrialState.FAIL if ends is None else None
            self.study.tell(self.trial, ends, state=state)
            return
        if self.trial is not None:
            self.study.tell(self.trial, state=optuna.trial.TrialState.FAIL)  # these samplers leave it out
            self.trial = None
        self.study.add_trial(
            optuna.trial.create_trial(params=dict(params), distributions=self.distributions, values=ends)
        )


def methods() -> dict[str, Callable[[hh.Space, int, int], Own | Optuna]]:
    """Return the methods by the names that the tables show."""
    import optuna

    from hyperhook_plugins.gp import GP
    from hyperhook_plugins.random_search import RandomSearch

    samplers = optuna.samplers
    return {
        "hyperhook GP": lambda space, count, seed: Own(GP(device="cpu", startup=FIRST), space, count, seed),
        "random": lambda space, count, seed: Own(RandomSearch(), space, count, seed),
        "Optuna NSGA-II": lambda space, count, seed: Optuna(
            samplers.NSGAIISampler(population_size=FIRST, seed=seed), space, count
        ),
        "Optuna TPE": lambda space, count, seed: Optuna(
            samplers.TPESampler(multivariate=True, n_startup_trials=FIRST, seed=seed), space, count
        ),
        "Optuna GP": lambda space, count, seed: Optuna(
            samplers.GPSampler(n_startup_trials=FIRST, seed=seed), space, count
        ),
    }


def search(problem: Several, method: str, seed: int, trials: int) -> dict[str, Any]:
    """Search, and return the volumes after each of the budgets, and the seconds of the last ten suggestions."""
    side = methods()[method](problem.space, problem.count, seed)
    told: list[list[float]] = []
    seconds: list[float] = []
    for _ in range(trials):
        begin = time.process_time()
        params = side.ask()
        seconds.append(time.process_time() - begin)
        told.append(problem.losses(params))
        side.tell(params, told[-1])
    volumes = {str(budget): problem.volume(told[:budget]) for budget in BUDGETS if budget <= trials}
    return {"volumes": volumes, "seconds": statistics.median(seconds[-10:])}


def quality(options: argparse.Namespace) -> None:
    """Run the searches, and print the median of the volumes and their quartiles."""
    named = options.problem or [name for name in PROBLEMS if not name.endswith("5")]
    chosen = options.method or list(methods())
    lines = [json.loads(line) for line in options.results.read_text().splitlines()] if options.results.exists() else []
    done = {(line["problem"], line["method"], line["seed"]) for line in lines}
    with options.results.open("a") as file:
        for seed, name, method in itertools.product(range(options.seeds), named, chosen):
            label = method + options.label
            if (name, label, seed) in done:
                continue
            found = search(PROBLEMS[name], method, seed, options.trials)
            lines.append({"problem": name, "method": label, "seed": seed, **found})
            print(json.dumps(lines[-1]), file=file, flush=True)
    report(lines)


def report(lines: Sequence[dict[str, Any]]) -> None:
    """Print a table of all that was found."""
    labels = list(dict.fromkeys(line["method"] for line in lines))
    print(f"| problem | trials | {' | '.join(labels)} |\n|---|---|{'---|' * len(labels)}")
    budgets = list(dict.fromkeys(budget for line in lines for budget in line["volumes"]))
    for name, budget in itertools.product(dict.fromkeys(line["problem"] for line in lines), budgets):
        cells = [
            spread([one["volumes"][budget] for one in lines if (one["problem"], one["method"]) == (name, label)])
            for label in labels
        ]
        print(f"| {name} | {budget} | {' | '.join(cells)} |")
    for name in dict.fromkeys(line["problem"] for line in lines):
        cells = [
            spread([one["seconds"] for one in lines if (one["problem"], one["method"]) == (name, label)])
            for label in labels
        ]
        print(f"| {name} | s | {' | '.join(cells)} |")


def spread(values: Sequence[float]) -> str:
    """Return the median of some numbers, and their quartiles."""
    if len(values) < 2:
        return f"{values[0]:.3g} (once)" if values else ""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def speed(options: argparse.Namespace) -> None:
    """Measure seconds per suggestion, and print a table."""
    chosen = options.method or ["hyperhook GP", "Optuna GP", "Optuna TPE"]
    print(f"| objectives | trials | {' | '.join(chosen)} |\n|---|---|{'---|' * len(chosen)}", flush=True)
    for count, known in itertools.product(options.objectives or (2, 3, 4, 5), options.known or KNOWN):
        problem = PROBLEMS[f"DTLZ2-{count}"]
        rng = np.random.default_rng(0)
        sides = {method: methods()[method](problem.space, count, 0) for method in chosen}
        rows = [dict(zip(problem.space, map(float, point), strict=True)) for point in history(known + 9, count, rng)]
        times: dict[str, list[float]] = {method: [] for method in chosen}
        for params in rows[:known]:
            for side in sides.values():
                side.tell(params, problem.losses(params))
        for params in rows[known : known + options.repeats]:
            for method, side in sides.items():
                begin = time.process_time()
                side.ask()
                times[method].append(time.process_time() - begin)
                side.tell(params, problem.losses(params))
        cells = [spread(times[method][1:]) for method in chosen]  # the first one has imports to pay
        print(f"| {count} | {known} | {' | '.join(cells)} |", flush=True)


def history(size: int, count: int, rng: np.random.Generator) -> Vector:
    """Return points as a search leaves them: random ones first, then some that come close to the front."""
    points = rng.random((size, DIMENSION))
    late = np.arange(size) >= size // 2
    points[late, count - 1 :] = 0.5 + 0.1 * (points[late, count - 1 :] - 0.5)
    return points


def failing(options: argparse.Namespace) -> None:
    """Compare searches where a part of the space fails: the median of the regrets, and how many trials failed."""
    from hyperhook_plugins.gp import GP

    hartmann = next(problem for problem in SYNTHETIC if problem.name == "Hartmann-6")

    def corner(params: hh.Params) -> bool:
        return float(params["x0"] or 0) > 2.5 and float(params["x1"] or 0) < 7.5  # a quarter, with one of the minima

    def slab(params: hh.Params) -> bool:
        return float(params["x4"] or 0) > 0.35 and float(params["x5"] or 0) > 0.6  # a quarter, beside the minimum

    problems = (
        (
            "Branin",
            BRANIN,
            lambda p: branin(np.array([p["x0"], p["x1"]], dtype=float)) - 0.39788735772973816,
            corner,
        ),
        ("Hartmann-6", hartmann.space, lambda p: hartmann.truth(p) + 3.322368011415515, slab),
    )
    for name, space, regret, fails in problems:
        regrets, failures = [], []
        for seed in range(options.seeds):
            side = Own(GP(device="cpu"), space, 1, seed)
            ends: list[float | None] = []
            for _ in range(options.trials):
                params = side.ask()
                ends.append(None if fails(params) else regret(params))
                side.tell(params, None if ends[-1] is None else [ends[-1]])
            regrets.append(min(end for end in ends if end is not None))
            failures.append(float(ends.count(None)))
        print(f"| {name} | {spread(regrets)} | {spread(failures)} |", flush=True)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", action="append", choices=list(methods()))
    parser.add_argument("--problem", action="append", choices=list(PROBLEMS))
    parser.add_argument("--objectives", action="append", type=int)
    parser.add_argument("--known", action="append", type=int, help="trials that are known, for --speed")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--results", type=Path, default=Path("several.jsonl"))
    parser.add_argument("--label", default="", help="put behind the method's name, to compare versions")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--failing", action="store_true")
    options = parser.parse_args()
    (speed if options.speed else failing if options.failing else quality)(options)


if __name__ == "__main__":
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    main()
