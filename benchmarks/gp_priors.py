"""What priors do to the GP's search: a good one, a misleading one, and none.

    python benchmarks/gp_priors.py [--trials 40] [--seeds 10] [--problem Branin] [--quick]

On functions whose best point is known, a good prior is a normal one around it, off by half of its standard deviation in
each coordinate; a misleading one is as sharp, and lies around a point far from every optimum. The table gives the
regret, how far the best value so far is from the best there is: the median over the seeds, after some of the trials.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from dataclasses import replace

import torch
from problems import PROBLEMS, Problem

import hyperhook as hh
from hyperhook_plugins.gp import GP
from hyperhook_plugins.random_search import RandomSearch

SHARPNESS = 0.1
"""Standard deviation of the priors, in widths of the bounds."""
BEST: Mapping[str, list[float]] = {
    "Branin": [3.14159, 2.275],
    "Hartmann-6": [0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573],
}
FAR: Mapping[str, list[float]] = {"Branin": [-4.0, 1.0], "Hartmann-6": [0.8, 0.85, 0.1, 0.8, 0.9, 0.1]}
AFTER = (6, 10, 20, 40, 80)


def main() -> None:
    """Search with each prior and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--problem", action="append", choices=list(BEST), help="all of them by default")
    parser.add_argument("--quick", action="store_true", help="10 trials, 2 seeds: does it run?")
    options = parser.parse_args()
    trials, seeds = (10, 2) if options.quick else (options.trials, options.seeds)
    after = [count for count in AFTER if count <= trials]
    torch.set_num_threads(1)
    print(f"{seeds} seeds, medians of the regret\n")
    print("| problem | method | prior | " + " | ".join(f"after {count}" for count in after) + " |")
    print("|---" * (3 + len(after)) + "|")
    for name in options.problem or BEST:
        for method in (GP, RandomSearch):
            for prior, space in spaces(name).items():
                problem = replace(PROBLEMS[name], space=space)
                curves = [search(method, problem, trials, seed) for seed in range(seeds)]
                medians = [statistics.median(curve[count - 1] for curve in curves) for count in after]
                cells = [name, "GP" if method is GP else "random", prior, *(f"{median:.3g}" for median in medians)]
                print("| " + " | ".join(cells) + " |", flush=True)


def spaces(name: str) -> dict[str, hh.Space]:
    """Return a problem's space without, with a good, and with a misleading prior."""
    bare = PROBLEMS[name].space
    return {
        "none": bare,
        "good": believing(bare, BEST[name], 0.5 * SHARPNESS),
        "misleading": believing(bare, FAR[name], 0.0),
    }


def believing(space: hh.Space, centre: list[float], off: float) -> hh.Space:
    """Return the space with a normal prior for each parameter, `off` widths above or below a centre, in turn."""
    made: dict[str, hh.Float] = {}
    for i, ((name, parameter), middle) in enumerate(zip(space.items(), centre, strict=True)):
        if isinstance(parameter, hh.Float):
            width = parameter.high - parameter.low
            made[name] = replace(parameter, prior=hh.Normal(middle + (-1) ** i * off * width, SHARPNESS * width))
    return hh.Space(made)


def search(method: type[GP] | type[RandomSearch], problem: Problem, trials: int, seed: int) -> list[float]:
    """Return the regret after each trial."""
    suggester = GP(device="cpu") if method is GP else RandomSearch()
    study, best = hh.StudyRecord("priors", problem.space, problem.objective, seed=seed), float("inf")
    curve: list[float] = []
    for number in range(trials):
        (params,) = suggester.suggest(study, 1)
        value = problem.evaluate(params, seed)
        trial = hh.TrialRecord(f"priors-{number}", number, "priors", params, hh.TrialState.COMPLETE, value)
        study = replace(study, trials=(*study.trials, trial))
        best = min(best, value - (problem.optimum or 0.0))
        curve.append(best)
    return curve


if __name__ == "__main__":
    main()
