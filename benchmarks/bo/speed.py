"""Seconds that a suggestion takes on one core: hyperhook's GP beside Optuna's GPSampler and TPE and BoTorch's loop.

    python benchmarks/bo/speed.py [--side NAME …] [--count 1 --count 8] [--observations N …] [--repeats 9]
                                  [--most 60] [--tail | --growth | --quick]

All sides are told the same history in 8 dimensions: half of it Sobol points, half points around the best of those, as a
search leaves them. They take turns: each is told one more observation, the same for all, and asked for suggestions,
which are then dropped. Seconds are those of the processor, in one thread: other work on the machine stretches them
little. Each cell of the table runs in a fresh process; each side's first suggestion there is not counted. A side whose
suggestion takes longer than `--most` seconds is left out of the cells with more observations.

`--tail` measures the 50th and 95th percentile at 500 observations in 20 dimensions, `--growth` hyperhook alone up to
100,000 observations, with the memory at its peak.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Protocol

import numpy as np
from botorch_loop import BoTorch
from problems import box, levy
from quality import ONE_THREAD, one_thread
from searchers import Own

import hyperhook as hh

OBSERVATIONS = (10, 50, 100, 200, 500, 1_000, 2_000)
GROWTH = (1_000, 3_000, 10_000, 30_000, 100_000)
PATIENCE = 4.0  # a side's repeats end early once they took this many times `--most`
LEAST = 2  # but so many are measured


class Side(Protocol):
    """A method that can be told what another one tried."""

    def observe(self, many: Sequence[hh.Params], losses: Sequence[float]) -> None:
        """Take in trials that ended."""
        ...

    def suggest(self, count: int) -> None:
        """Choose the next params, which nobody evaluates."""
        ...


class Asked:
    """A side made of a searcher that may be told anything.

    Args:
        searcher: Such as ``BoTorch(space, 0)``.
    """

    def __init__(self, searcher: Own | BoTorch) -> None:
        self.searcher = searcher

    def observe(self, many: Sequence[hh.Params], losses: Sequence[float]) -> None:
        """Tell the searcher."""
        self.searcher.tell(many, losses)

    def suggest(self, count: int) -> None:
        """Ask the searcher."""
        self.searcher.ask(count)


class OptunaSide:
    """A sampler of Optuna, with the history added to its study.

    Args:
        sampler: Such as ``optuna.samplers.GPSampler(seed=0)``.
        space: What may vary: reals.
    """

    def __init__(self, sampler: Any, space: hh.Space) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = optuna.create_study(sampler=sampler)
        self.distributions: dict[str, Any] = {
            name: optuna.distributions.FloatDistribution(float(p.low), float(p.high))
            for name, p in space.items()
            if isinstance(p, hh.Float)
        }

    def observe(self, many: Sequence[hh.Params], losses: Sequence[float]) -> None:
        """Add complete trials."""
        import optuna

        self.study.add_trials(
            optuna.trial.create_trial(params=dict(params), distributions=self.distributions, value=loss)
            for params, loss in zip(many, losses, strict=True)
        )

    def suggest(self, count: int) -> None:
        """Ask for trials, none of which has ended, then let them fail: the samplers leave those out."""
        import optuna

        trials = [self.study.ask(self.distributions) for _ in range(count)]
        for trial in trials:
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)


def own(space: hh.Space) -> Side:
    """Return hyperhook's GP; its startup is over at 10 observations, as it is for the other sides."""
    from hyperhook_plugins.gp import GP

    return Asked(Own(GP(device="cpu", startup=10), space, 0))


def optuna_gp(space: hh.Space) -> Side:
    """Return Optuna's GPSampler."""
    import optuna

    return OptunaSide(optuna.samplers.GPSampler(seed=0), space)


def optuna_tpe(space: hh.Space) -> Side:
    """Return Optuna's multivariate TPE."""
    import optuna

    return OptunaSide(optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=0), space)


SIDES: dict[str, Callable[[hh.Space], Side]] = {
    "hyperhook GP": own,
    "Optuna GP": optuna_gp,
    "BoTorch": lambda space: Asked(BoTorch(space, 0)),
    "Optuna TPE": optuna_tpe,
}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", action="append", choices=list(SIDES))
    parser.add_argument("--count", action="append", type=int, help="suggestions at a time: 1 and 8")
    parser.add_argument("--observations", action="append", type=int)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--most", type=float, default=60.0)
    alone = parser.add_mutually_exclusive_group()
    alone.add_argument("--tail", action="store_true")
    alone.add_argument("--growth", action="store_true")
    alone.add_argument("--quick", action="store_true", help="3 repeats at 10 and 50 observations: does it run?")
    options = parser.parse_args()
    for variable in ONE_THREAD:
        os.environ[variable] = "1"
    sides = options.side or (["hyperhook GP"] if options.growth else list(SIDES))
    sizes, repeats, dimension = options.observations or list(OBSERVATIONS), options.repeats, 8
    if options.tail:
        sizes, repeats, dimension = [500], max(repeats, 40), 20
    elif options.growth:
        sizes = options.observations or list(GROWTH)
    elif options.quick:
        sizes, repeats = [10, 50], 3
    for count in options.count or ([1] if options.tail or options.growth else [1, 8]):
        table(sides, dimension, sizes, count, repeats, options.most, options.tail)


def table(
    sides: list[str], dimension: int, sizes: list[int], count: int, repeats: int, most: float, tail: bool
) -> None:
    """Print the table for batches of one size."""
    what = "50th and 95th percentile" if tail else "median (quartiles)"
    print(f"\nseconds for {count} in {dimension} dimensions, {what}\n")
    print("| observations | " + " | ".join(sides) + " | MB |\n|---|" + "---|" * (len(sides) + 1))
    running = list(sides)
    for size in sizes:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            taken, memory = pool.submit(cell, running, dimension, size, count, repeats, most).result()
        shown = [figures(taken[side], tail) if side in taken else f"over {most:.0f} s before" for side in sides]
        print(f"| {size:,} | " + " | ".join(shown) + f" | {memory} |", flush=True)
        running = [side for side in running if statistics.median(taken[side]) <= most]
        if not running:
            break


def figures(taken: list[float], tail: bool) -> str:
    """Return the figures of one side in one cell."""
    if len(taken) < 2:
        return f"{taken[0]:.3g} (once)"
    if tail:
        return f"{statistics.median(taken):.3g}, {np.quantile(taken, 0.95):.3g}"
    low, middle, high = statistics.quantiles(taken, n=4, method="inclusive")
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def cell(
    names: list[str], dimension: int, size: int, count: int, repeats: int, most: float
) -> tuple[dict[str, list[float]], int]:
    """Return the seconds that each side took, in a process of its own, and that process's megabytes."""
    one_thread()
    space, many, losses = history(dimension, size, repeats + 1)
    sides = {name: SIDES[name](space) for name in names}
    taken: dict[str, list[float]] = {name: [] for name in names}
    for side in sides.values():
        side.observe(many[:size], losses[:size])
    for repeat in range(repeats + 1):
        for name, side in sides.items():
            spent, measured = sum(taken[name]), len(taken[name])
            if (measured >= LEAST and spent > PATIENCE * most) or max(taken[name], default=0.0) > most:
                continue
            side.observe([many[size + repeat]], [losses[size + repeat]])
            before = time.process_time()
            side.suggest(count)
            seconds = time.process_time() - before
            if repeat or seconds > most:  # the first one imports
                taken[name].append(seconds)
    return taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def history(dimension: int, size: int, more: int) -> tuple[hh.Space, list[hh.Params], list[float]]:
    """Return a space, `size` params that a search might have left in it and `more` that follow, and their losses."""
    from scipy.stats import qmc

    space = box("Levy", "multimodal", levy, dimension, -10.0, 10.0, 0.0).space
    rng = np.random.default_rng(0)
    sobol = qmc.Sobol(dimension, seed=0).random_base2((size - 1).bit_length())[: size - size // 2]
    values = np.array([levy(point) for point in 20 * sobol - 10])
    best = sobol[values.argsort()[: max(1, size // 20)]]
    around = best[rng.integers(len(best), size=size // 2 + more)]
    points = np.vstack([sobol, (around + rng.normal(0.0, 0.05, around.shape)).clip(0.0, 1.0)])
    points = np.vstack([rng.permutation(points[:size]), points[size:]])
    many: list[hh.Params] = [space.from_unit(point) for point in points.tolist()]
    return space, many, [levy(point) for point in 20 * points - 10]


if __name__ == "__main__":
    main()
