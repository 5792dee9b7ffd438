"""Tables of what `quality.py` kept: regret and rank of each method, by problem, by class, and over all.

    python benchmarks/bo/report.py results.jsonl [more.jsonl …] [--budget 50] [--batch 1] [--reported]

*Regret* is how far the recommended trial is, without noise, from the problem's minimum (where nobody knows it: from the
best that any method found), divided by the mean regret of random search at the same budget: 1 is random search, 0 is
perfect. *Rank* is a method's place among those that ran the same problem and seed, 1 being first. Means over the seeds,
with standard errors. With ``--reported`` the recommended trial counts by what it reported, so by the folds that a
search for hyperparameters saw, and not by what it is worth.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from quality import PROBLEMS, lines

Table = dict[str, dict[str, dict[int, float]]]
"""By problem, method and seed."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--budget", type=int, default=50)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--method", action="append", help="only these")
    parser.add_argument("--seeds", type=int, default=1000, help="only the first ones")
    parser.add_argument("--reported", action="store_true", help="judge by what trials reported")
    options = parser.parse_args()
    searches = [
        line
        for path in options.results
        for line in lines(path)
        if line["batch"] == options.batch
        and str(options.budget) in line["best"]
        and line["seed"] < options.seeds
        and (not options.method or line["method"] in options.method)
    ]
    regret = regrets(searches, options.budget, reported=options.reported)
    normal, ranks = normalised(regret), ranked(regret)
    methods = sorted({line["method"] for line in searches}, key=lambda m: overall(ranks, m)[0])
    print(f"{options.budget} trials, {options.batch} at a time\n")
    print("| problem | seeds | " + " | ".join(methods) + " |\n|---|---|" + "---|" * len(methods))
    for name, by_method in normal.items():
        seeds = min(len(v) for v in by_method.values())
        print(f"| {name} | {seeds} | " + " | ".join(mean_of(by_method.get(m, {})) for m in methods) + " |")
    kinds = dict.fromkeys(PROBLEMS[name].kind for name in normal)
    for kind in kinds:
        rows = {n: v for n, v in ranks.items() if PROBLEMS[n].kind == kind}
        print(f"| rank, {kind} | | " + " | ".join(f"{overall(rows, m)[0]:.2f}" for m in methods) + " |")
    print("| **mean regret** | | " + " | ".join(shown(overall(normal, m)) for m in methods) + " |")
    print("| **mean rank** | | " + " | ".join(shown(overall(ranks, m)) for m in methods) + " |")


def regrets(searches: list[dict[str, Any]], budget: int, *, reported: bool = False) -> Table:
    """Return the regret of each search."""
    found: Table = defaultdict(lambda: defaultdict(dict))
    for line in searches:
        value = line["observed"][line["best"][str(budget)]] if reported else line["worth"][str(budget)]
        found[line["problem"]][line["method"]][line["seed"]] = value
    for name, by_method in found.items():
        optimum = PROBLEMS[name].optimum
        if optimum is None:
            seen = [
                line["observed"] if reported else line["worth"].values() for line in searches if line["problem"] == name
            ]
            optimum = min(map(min, seen))
        for by_seed in by_method.values():
            for seed in by_seed:
                by_seed[seed] = max(by_seed[seed] - optimum, 0.0)
    return found


def normalised(regret: Table) -> Table:
    """Return regrets as shares of what random search leaves on average."""
    unit = {
        name: statistics.mean(by_method["random"].values()) if "random" in by_method else 1.0
        for name, by_method in regret.items()
    }
    return {
        name: {method: {s: r / unit[name] for s, r in by_seed.items()} for method, by_seed in by_method.items()}
        for name, by_method in regret.items()
    }


def ranked(regret: Table) -> Table:
    """Return each search's place among the methods that ran the same problem and seed."""
    ranks: Table = defaultdict(lambda: defaultdict(dict))
    for name, by_method in regret.items():
        for seed in set.intersection(*(set(by_seed) for by_seed in by_method.values())):
            values = {method: by_seed[seed] for method, by_seed in by_method.items()}
            for method, value in values.items():
                below, equal = (sum(f(v) for v in values.values()) for f in (value.__gt__, value.__eq__))
                ranks[name][method][seed] = below + (equal + 1) / 2
    return ranks


def overall(table: Table, method: str) -> tuple[float, float]:
    """Return the mean over the problems, each counting the same, and its standard error from that over the seeds."""
    means: list[float] = []
    errors: list[float] = []
    for by_method in table.values():
        values = list(by_method.get(method, {}).values())
        if values:
            means.append(statistics.mean(values))
            errors.append(statistics.variance(values) / len(values) if len(values) > 1 else 0.0)
    if not means:
        return math.inf, 0.0
    return statistics.mean(means), math.sqrt(sum(errors)) / len(means)


def mean_of(by_seed: dict[int, float]) -> str:
    """Return mean and standard error over the seeds."""
    values = list(by_seed.values())
    if not values:
        return "–"
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return shown((statistics.mean(values), error))


def shown(figure: tuple[float, float]) -> str:
    """Return a mean and its standard error as text."""
    return f"{figure[0]:.3g} ± {figure[1]:.1g}"


if __name__ == "__main__":
    main()
