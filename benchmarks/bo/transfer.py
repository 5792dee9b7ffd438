"""What an earlier study does to the GP's search: one that helps, two that mislead, and none.

    python benchmarks/bo/transfer.py [--problem NAME …] [--seeds 8] [--trials 50] [--earlier 50] [--jobs 2]
                                     [--results FILE] [--quick]

For each problem and seed an earlier study of 60 trials was run by random search, on another function of the same space:

- *helpful*: the same function, its optimum moved by up to a twentieth of each range, its losses three times as large;
- *turned*: that with its sign turned, so that what was good is bad;
- *unrelated*: a random smooth function.

Searches with each of them and without any take turns. *Regret* is how far the recommended trial is, without noise, from
the minimum, divided by the mean regret of random search with as many trials: means over the seeds with their standard
errors. The last table compares pairs of the same problem and seed: by how many powers of ten the regret is below that
of the cold search, with standard errors, and in how many pairs it is lower.

`--results` keeps each search as a line of JSON; those that are there already are not run again.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import random
import statistics
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from problems import HELD_OUT, SYNTHETIC, Problem
from quality import ONE_THREAD, lines, one_thread, recommended
from searchers import Own, gp, random_search

import hyperhook as hh

NAMES = ("Branin", "Hartmann-6", "Rosenbrock-8", "Levy-10", "noisy Hartmann-6", "mixed", "conditional")
PROBLEMS = {problem.name: problem for problem in (*SYNTHETIC, *HELD_OUT)}
KINDS = ("cold", "helpful", "turned", "unrelated")
BUDGETS = (10, 25, 50)
SHIFT = 0.05
TINY = 1e-6
"""In pairs, regrets below this share of that of random search count as equal."""


def main() -> None:
    """Run what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problem", action="append", choices=list(PROBLEMS))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--earlier", type=int, default=60, help="trials of the earlier studies")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--quick", action="store_true", help="2 problems, 2 seeds, 12 trials: does it run?")
    options = parser.parse_args()
    names, seeds, trials = options.problem or list(NAMES), options.seeds, options.trials
    if options.quick:
        names, seeds, trials = names[:2], 2, 12
    found = list(lines(options.results)) if options.results else []
    done = {(line["problem"], line["kind"], line["seed"]) for line in found}
    wanted = [(name, kind, seed) for seed in range(seeds) for name in names for kind in KINDS]
    with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(search, *each, trials, options.earlier) for each in wanted if each not in done]
        for future in as_completed(futures):
            found.append(future.result())
            if options.results:
                with options.results.open("a") as file:
                    print(json.dumps(found[-1]), file=file)
    report([line for line in found if line["problem"] in names and line["seed"] < seeds], names)


def search(name: str, kind: str, seed: int, trials: int, earlier: int) -> dict[str, Any]:
    """Run one search, behind the earlier study that it learns from; return its regrets by budget."""
    one_thread()
    problem = PROBLEMS[name]
    sources = [] if kind == "cold" else [earlier_study(problem, kind, seed, earlier)]
    searcher = gp(problem.space, seed, warm_start=sources)
    return {"problem": name, "kind": kind, "seed": seed, "regret": regrets(problem, searcher, seed, trials)}


def regrets(problem: Problem, searcher: Any, seed: int, trials: int) -> dict[str, float]:
    """Run a search to its end; return the regret of what it recommends, by budget."""
    rng = random.Random(f"{problem.name}:{seed}")
    truths: list[float] = []
    observed: list[float] = []
    found: dict[str, float] = {}
    while len(observed) < trials:
        (params,) = searcher.ask(1)
        problem.space.validate(params)
        truths.append(problem.truth(params))
        observed.append(problem.observe(truths[-1], rng))
        searcher.tell([params], observed[-1:])
        if len(observed) in BUDGETS:
            best = recommended(problem, searcher.best() if problem.noise else None, observed)
            found[str(len(observed))] = truths[best] - (problem.optimum or 0.0)
    return found


def earlier_study(problem: Problem, kind: str, seed: int, trials: int) -> hh.StudyRecord:
    """Return a study of another function of the same space."""
    rng = random.Random(f"{kind}:{problem.name}:{seed}")
    moved = [rng.uniform(-SHIFT, SHIFT) for _ in problem.space]
    waves = [
        ([rng.gauss(0.0, 3.0) for _ in problem.space], rng.uniform(0.0, 2 * math.pi), rng.gauss(0.0, 1.0))
        for _ in range(64)
    ]

    def loss(params: hh.Params) -> float:
        units = problem.space.to_unit(params)
        if kind == "unrelated":
            return sum(a * math.cos(math.fsum(map(float.__mul__, f, units)) + phase) for f, phase, a in waves)
        shifted = [min(max(unit + by, 0.0), 1.0) for unit, by in zip(units, moved, strict=True)]
        truth = 3 * problem.truth(problem.space.from_unit(shifted))
        return problem.observe(-truth if kind == "turned" else truth, rng)

    searcher = random_search(problem.space, 1000 + seed)
    assert isinstance(searcher, Own)
    for _ in range(trials):
        (params,) = searcher.ask(1)
        searcher.tell([params], [loss(params)])
    return searcher.study


def report(found: list[dict[str, Any]], names: list[str]) -> None:
    """Print what was found."""
    one_thread()
    budgets = [str(budget) for budget in BUDGETS if all(str(budget) in line["regret"] for line in found)]
    shares: dict[tuple[str, str, str], dict[int, float]] = defaultdict(dict)
    for name in names:
        problem = PROBLEMS[name]
        chance = [regrets(problem, random_search(problem.space, s), s, max(map(int, budgets))) for s in range(40)]
        for budget in budgets:
            unit = statistics.mean(one[budget] for one in chance)
            for line in found:
                if line["problem"] == name:
                    shares[name, line["kind"], budget][line["seed"]] = max(line["regret"][budget] / unit, 0.0)
    for budget in budgets:
        print(f"\nregret after {budget} trials\n\n| problem | " + " | ".join(KINDS) + " |\n|---|" + "---|" * len(KINDS))
        for name in names:
            print(f"| {name} | " + " | ".join(shown([*shares[name, kind, budget].values()]) for kind in KINDS) + " |")
        means = [[statistics.mean(shares[name, kind, budget].values()) for name in names] for kind in KINDS]
        errors = [
            math.hypot(*(error_of([*shares[name, kind, budget].values()]) for name in names)) / len(names)
            for kind in KINDS
        ]
        cells = [f"{statistics.mean(mean):.3g} ± {error:.1g}" for mean, error in zip(means, errors, strict=True)]
        print("| **mean** | " + " | ".join(cells) + " |")
    print("\npowers of ten below the cold search (pairs won)\n")
    print("| after | " + " | ".join(KINDS[1:]) + " |\n|---|---|---|---|")
    for budget in budgets:
        cells = []
        for kind in KINDS[1:]:
            gains = [
                math.log10(max(cold, TINY) / max(shares[name, kind, budget][seed], TINY))
                for name in names
                for seed, cold in shares[name, "cold", budget].items()
            ]
            won = sum(gain > 0 for gain in gains) + sum(gain == 0 for gain in gains) / 2
            cells.append(f"{shown(gains)} ({won / len(gains):.0%})")
        print(f"| {budget} trials | " + " | ".join(cells) + " |")


def shown(values: list[float]) -> str:
    """Return mean and standard error as text."""
    return f"{statistics.mean(values):.3g} ± {error_of(values):.1g}"


def error_of(values: list[float]) -> float:
    """Return the standard error of a mean."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


if __name__ == "__main__":
    for variable in ONE_THREAD:
        os.environ[variable] = "1"
    main()
