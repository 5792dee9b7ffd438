"""Run searches and keep what each of them tried: the raw material of `report.py`.

    python benchmarks/bo/quality.py --results results.jsonl [--method NAME …] [--problem NAME …] [--seeds 10]
                                    [--trials 100] [--batch 1] [--jobs 2] [--held-out] [--tuning] [--quick]

Each search is one line of JSON: what was observed, which trial the method would have recommended after 25, 50 and 100,
and what that one is really worth. A line that is there already is not run again, so a run that was interrupted goes
on, a method can be added later, and each method can run in an environment of its own. A search that raises, or whose
method gives params that the space does not allow, is not kept: it is named at the end, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import itertools
import json
import multiprocessing
import os
import random
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from problems import HELD_OUT, SYNTHETIC, Problem
from searchers import SEARCHERS
from tuning import TUNING

import hyperhook as hh

BUDGETS = (10, 25, 50, 100)
PROBLEMS = {problem.name: problem for problem in (*SYNTHETIC, *HELD_OUT, *TUNING)}
PACKAGES = (
    *("hyperhook", "optuna", "botorch", "gpytorch", "torch", "ax-platform", "HEBO", "pymoo", "smac", "ConfigSpace"),
    *("numpy", "scipy", "scikit-learn"),
)
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT")


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--method", action="append", choices=list(SEARCHERS))
    parser.add_argument("--problem", action="append", choices=list(PROBLEMS))
    parser.add_argument("--held-out", action="store_true", help="the held-out problems, too")
    parser.add_argument("--tuning", action="store_true", help="the tuning problems, too; they need scikit-learn")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--label", default="", help="put behind the method's name, to compare versions")
    parser.add_argument("--quick", action="store_true", help="2 seeds of 12 trials: does it run?")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.trials = 2, 12
    more = (*(HELD_OUT if options.held_out else ()), *(TUNING if options.tuning else ()))
    named = options.problem or [problem.name for problem in (*SYNTHETIC, *more)]
    methods = options.method or list(SEARCHERS)
    done = {key_of(line) for line in lines(options.results)}
    wanted = [
        (problem, method, seed, options.trials, options.batch, options.label)
        for seed, problem, method in itertools.product(range(options.seeds), named, methods)
    ]
    missing = [w for w in wanted if (w[0], w[1] + w[5], w[2], w[3], w[4]) not in done]
    context = multiprocessing.get_context("spawn")
    failed: list[str] = []
    with ProcessPoolExecutor(options.jobs, mp_context=context) as pool, options.results.open("a") as file:
        futures = {pool.submit(search, *w): w for w in missing}
        for count, future in enumerate(as_completed(futures), 1):
            problem, method, seed, *_ = futures[future]
            error = future.exception()
            if error is None:
                print(json.dumps(future.result()), file=file, flush=True)
            else:
                failed.append(f"{method}, {problem}, seed {seed}: {type(error).__name__}: {error}")
            print(f"{count}/{len(missing)} {method} {problem} {seed}{' FAILED' if error else ''}", flush=True)
    if failed:
        raise SystemExit(f"{len(failed)} searches failed:\n" + "\n".join(failed))


def lines(results: Path) -> Iterator[dict[str, Any]]:
    """Read what was run before."""
    if results.exists():
        yield from map(json.loads, results.read_text().splitlines())


def key_of(line: dict[str, Any]) -> tuple[str, str, int, int, int]:
    """Return what tells one search from another."""
    return line["problem"], line["method"], line["seed"], line["trials"], line["batch"]


def search(name: str, method: str, seed: int, trials: int, batch: int, label: str = "") -> dict[str, Any]:
    """Run one search to its end."""
    one_thread()
    problem, rng = PROBLEMS[name], random.Random(f"{name}:{seed}")
    searcher = SEARCHERS[method](problem.space, seed)
    tried: list[hh.Params] = []
    observed: list[float] = []
    best: dict[int, int] = {}
    seconds = 0.0
    while len(observed) < trials:
        before = time.perf_counter()
        many = searcher.ask(min(batch, trials - len(observed)))
        seconds += time.perf_counter() - before
        for params in many:
            problem.space.validate(params)
        told = [problem.observe(params, rng) for params in many]
        before = time.perf_counter()
        searcher.tell(many, told)
        seconds += time.perf_counter() - before
        tried += many
        observed += told
        for budget in BUDGETS:
            if len(observed) - len(many) < budget <= len(observed):
                best[budget] = recommended(problem, searcher.best(), observed)
    return {
        "problem": name,
        "method": method + label,
        "seed": seed,
        "trials": trials,
        "batch": batch,
        "observed": [float(f"{value:.7g}") for value in observed],
        "best": best,
        "worth": {budget: float(f"{problem.truth(tried[number]):.7g}") for budget, number in best.items()},
        "seconds": round(seconds / trials, 4),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of what is installed of `PACKAGES`."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def recommended(problem: Problem, chosen: int | None, observed: list[float]) -> int:
    """Return the trial that a method would have one use."""
    return min(range(len(observed)), key=observed.__getitem__) if chosen is None else chosen


def one_thread() -> None:
    """Take one core, as the other searches do."""
    warnings.simplefilter("ignore")
    try:
        import torch

        torch.set_num_threads(1)
    except ImportError:
        pass


if __name__ == "__main__":
    for variable in ONE_THREAD:
        os.environ[variable] = "1"
    main()
