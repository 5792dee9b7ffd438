"""One training function, run here, in worker processes, on a Ray cluster, or by agents: one word differs.

    python examples/many_at_once.py
    python examples/many_at_once.py --executor workers --workers 4
    python examples/many_at_once.py --executor ray --address auto
    cd examples && hyperhook sweep many_at_once.yaml && hyperhook agent flowers

It trains logistic regression, in plain Python, on flowers that it draws itself, and prunes what falls behind. Run it
again with another executor and more trials: the study goes on.
"""

from __future__ import annotations

import argparse
import math
import random

import hyperhook as hh


def train(trial: hh.Trial) -> None:
    """Train on 200 points with two features; the classes overlap a little."""
    rng = random.Random(0)
    data = [((rng.gauss(side, 1.0), rng.gauss(-side, 1.0)), side > 0) for side in (-1, 1) for _ in range(100)]
    weights, bias, rate, decay = [0.0, 0.0], 0.0, trial.params["lr"], trial.params["weight_decay"]
    for epoch in range(9):
        rng.shuffle(data)
        loss = 0.0
        for (one, two), is_positive in data:
            chance = 1 / (1 + math.exp(-max(-30.0, min(30.0, weights[0] * one + weights[1] * two + bias))))
            loss -= math.log(max(chance if is_positive else 1 - chance, 1e-12)) / len(data)
            slope = chance - is_positive
            weights = [w - rate * (slope * x + decay * w) for w, x in zip(weights, (one, two), strict=True)]
            bias -= rate * slope
        trial.log({"loss": loss}, epoch=epoch)
        if trial.should_stop:
            return


def main() -> None:
    """Read the command line, and run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executor", choices=["workers", "ray"], help="without it, trials run here")
    parser.add_argument("--workers", type=int, help="how many run at a time")
    parser.add_argument("--address", help="of the Ray cluster")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--plugins", nargs="*", default=["sobol", "asha"])
    parser.add_argument("--trackers", nargs="*", default=["csv"])
    asked = parser.parse_args()
    if trial := hh.current_trial():  # an agent started this script for one trial
        return train(trial)

    executor = asked.executor
    if asked.address:
        from hyperhook_plugins.ray import Ray

        executor, asked.workers = Ray(asked.address, workers=asked.workers), None

    space = {"lr": hh.Float(1e-4, 1.0, log=True), "weight_decay": hh.Float(1e-6, 1e-1, log=True)}
    study = hh.Study("flowers", space, hh.Minimize("loss"), plugins=asked.plugins, trackers=asked.trackers)
    study.run(train, trials=asked.trials, executor=executor, workers=asked.workers)
    print(f"best loss {study.best.value:.4f} with {dict(study.best.params)}")


main()
