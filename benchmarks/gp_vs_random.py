"""The GP beside random search: what each has found after some trials, and what it takes to suggest them.

    python benchmarks/gp_vs_random.py [--trials 30] [--seeds 10] [--problem Branin] [--quick]

Both sides take turns, trial by trial, on the same problems and seeds, in one thread. Where the best value is known, the
table gives the regret: how far from it the best value found is. Where values are noisy, it gives the best value that
the search saw, and what the params that it chose are worth: the mean of evaluations with fresh seeds. Median and
quartiles over the seeds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from problems import PROBLEMS, Problem

import hyperhook as hh
from hyperhook_plugins.gp import GP
from hyperhook_plugins.random_search import RandomSearch

HEADER = (
    *("problem", "measure", "method", "lower quartile", "median", "upper quartile"),
    *("wins", "mean rank", "s per suggestion"),
)

Suggester = GP | RandomSearch


def main() -> None:
    """Run both sides on each problem and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--problem", action="append", choices=list(PROBLEMS), help="all of them by default")
    parser.add_argument("--quick", action="store_true", help="15 trials, 2 seeds: does it run?")
    options = parser.parse_args()
    trials, seeds = (15, 2) if options.quick else (options.trials, options.seeds)
    torch.set_num_threads(1)
    print(f"{trials} trials, {seeds} seeds\n")
    print("| " + " | ".join(HEADER) + " |\n|" + "---|" * len(HEADER))
    for name in options.problem or PROBLEMS:
        for row in compare(name, PROBLEMS[name], trials, seeds):
            print("| " + " | ".join(row) + " |", flush=True)


def compare(name: str, problem: Problem, trials: int, seeds: int) -> list[Sequence[str]]:
    """Return the rows of a problem: for each measure one for each side."""
    losses: dict[str, dict[str, list[float]]] = {}
    seconds: dict[str, list[float]] = {"GP": [], "random": []}
    for seed in range(seeds):
        sides: dict[str, Suggester] = {"GP": GP(device="cpu"), "random": RandomSearch()}
        for side, study in race(sides, problem, trials, seed, seconds).items():
            for measure, loss in found(problem, study, seed).items():
                losses.setdefault(measure, {"GP": [], "random": []})[side].append(loss)
    return [
        [name, measure, side, *standing(problem, own, other), f"{statistics.median(seconds[side]):.3g}"]
        for measure, both in losses.items()
        for side, own, other in (("GP", both["GP"], both["random"]), ("random", both["random"], both["GP"]))
    ]


def standing(problem: Problem, own: list[float], other: list[float]) -> list[str]:
    """Return quartiles, wins and mean rank of one side's losses beside the other's."""
    shown = own if problem.optimum is not None else [problem.objective.loss(loss) for loss in own]
    quartiles = statistics.quantiles(shown, n=4, method="inclusive") if len(shown) > 1 else shown * 3
    wins = sum(a < b for a, b in zip(own, other, strict=True))
    rank = statistics.mean(1.5 if a == b else 1 + (a > b) for a, b in zip(own, other, strict=True))
    return [*(f"{quartile:.4g}" for quartile in quartiles), f"{wins} of {len(own)}", f"{rank:.2f}"]


def found(problem: Problem, study: hh.StudyRecord, seed: int) -> dict[str, float]:
    """Return what a search found, as losses by the name of the measure."""
    best = study.best
    if best is None or best.value is None:
        raise SystemExit(f"{study.name}: no trial completed")
    loss = problem.objective.loss
    if problem.optimum is not None:
        return {"regret": loss(best.value) - loss(problem.optimum)}
    fresh = range(10**6 * (seed + 1), 10**6 * (seed + 1) + problem.repeats)
    metric = problem.objective.metric
    return {
        f"best {metric} seen": loss(best.value),
        f"{metric} of the choice": loss(statistics.mean(problem.evaluate(best.params, number) for number in fresh)),
    }


def race(
    sides: dict[str, Suggester], problem: Problem, trials: int, seed: int, seconds: dict[str, list[float]]
) -> dict[str, hh.StudyRecord]:
    """Run a study for each side, taking turns; return how they ended."""
    studies = {side: hh.StudyRecord(side, problem.space, problem.objective, seed=seed) for side in sides}
    for number in range(trials):
        for side, suggester in sides.items():
            study = studies[side]
            before = time.perf_counter()
            (params,) = suggester.suggest(study, 1)
            seconds[side].append(time.perf_counter() - before)
            value = problem.evaluate(params, 1000 * seed + number)
            trial = hh.TrialRecord(
                f"{side}-{number}", number, side, dict(params), state=hh.TrialState.COMPLETE, value=value
            )
            studies[side] = replace(study, trials=(*study.trials, trial))
    return studies


if __name__ == "__main__":
    main()
