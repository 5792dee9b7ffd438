"""Tuning that people do: scikit-learn's models on the data that it brings along, cross-validated.

    python benchmarks/bo/tuning.py [--samples 20]

Run as a program, it prints what an evaluation costs, and how the losses of random params are spread. A loss is the mean
over five folds: log loss for most classifiers, the share of errors for those without probabilities, the root mean
squared error for regression. It is deterministic: folds, subsamples and ``random_state`` are fixed. What a search
recommends is judged by other folds than those that it saw, four times five of them. Params on which scikit-learn fails
or whose loss is not finite get `FAILED`. Data and models are capped in size, so that an evaluation stays below 0.3
seconds on one core.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import random
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from problems import Problem

import hyperhook as hh

__all__ = ["TUNING"]

FAILED = 100.0
MOST = {"digits": 400, "diabetes": 300}  # examples that are used, where not all


SEEN, UNSEEN = (0,), (1, 2, 3, 4)
"""Seeds of the folds that a search sees, and of those that its recommendation is judged by."""


@functools.cache
def data(name: str, seeds: tuple[int, ...]) -> tuple[Any, Any, list[Any]]:
    """Return inputs, targets and five folds for each seed, of a dataset that is subsampled where it is large."""
    from sklearn import datasets
    from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    classes = name != "diabetes"
    if name in MOST:
        x, _, y, _ = train_test_split(x, y, train_size=MOST[name], stratify=y if classes else None, random_state=0)
    kind = StratifiedKFold if classes else KFold
    return x, y, [fold for seed in seeds for fold in kind(5, shuffle=True, random_state=seed).split(x, y)]


def loss(model: Any, dataset: str, scoring: str, seeds: tuple[int, ...]) -> float:
    """Return the mean loss over the folds."""
    from sklearn.model_selection import cross_val_score

    x, y, folds = data(dataset, seeds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            scores = cross_val_score(model, x, y, scoring=scoring, cv=folds, error_score="raise")
        except (ValueError, ArithmeticError, MemoryError):
            return FAILED
    mean = float(scores.mean())
    if scoring == "accuracy":
        mean -= 1.0
    return min(-mean, FAILED) if math.isfinite(mean) else FAILED


def scaled(model: Any) -> Any:
    """Return a model behind a standardisation of the inputs."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), model)


def svc(params: hh.Params) -> Any:
    """Return a support vector classifier; probabilities would cost five fits more, so its loss counts errors."""
    from sklearn.svm import SVC

    return scaled(SVC(**options(params), cache_size=50, max_iter=20_000, random_state=0))


def forest(params: hh.Params) -> Any:
    """Return a random forest of at most 40 trees."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(**options(params), n_jobs=1, random_state=0)


def network(params: hh.Params) -> Any:
    """Return a network of one or two equal layers, trained for 12 epochs."""
    from sklearn.neural_network import MLPClassifier

    rest = options(params, leave="layers width")
    layers = (int(params["width"] or 0),) * int(params["layers"] or 0)
    return scaled(MLPClassifier(hidden_layer_sizes=layers, **rest, max_iter=12, random_state=0))


def boosting(params: hh.Params) -> Any:
    """Return gradient-boosted trees for a regression."""
    from sklearn.ensemble import GradientBoostingRegressor

    return GradientBoostingRegressor(**options(params), random_state=0)


def logistic(params: hh.Params) -> Any:
    """Return an elastic net, fitted by `saga`, or a logistic regression with an L2 penalty, fitted by L-BFGS."""
    from sklearn.linear_model import LogisticRegression

    mix = {"l1_ratio": params["l1_ratio"]} if params["solver"] == "saga" else {}
    rest = options(params, leave="l1_ratio")
    return scaled(LogisticRegression(**rest, **mix, max_iter=60, random_state=0))


def neighbours(params: hh.Params) -> Any:
    """Return a classifier by the nearest neighbours, after a projection or without one."""
    from sklearn.decomposition import PCA
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    steps: list[Any] = {"none": [], "standard": [StandardScaler()], "range": [MinMaxScaler()]}[str(params["scale"])]
    if params["project"]:
        steps = [*steps, PCA(int(params["components"] or 0), random_state=0)]
    return make_pipeline(*steps, KNeighborsClassifier(**options(params, leave="scale project components")))


def options(params: hh.Params, leave: str = "") -> dict[str, Any]:
    """Return the params without some, as arguments."""
    return {name: value for name, value in params.items() if name not in leave.split()}


def problem(
    name: str, make: Callable[[hh.Params], Any], dataset: str, scoring: str, space: Mapping[str, hh.Parameter]
) -> Problem:
    """Return a tuning problem, whose minimum nobody knows."""

    def judged(seeds: tuple[int, ...]) -> Callable[[hh.Params], float]:
        return lambda params: loss(make(params), dataset, scoring, seeds)

    return Problem(name, "tuning", hh.Space(space), judged(UNSEEN), reported=judged(SEEN))


SVC_SPACE = {
    "C": hh.Float(1e-3, 1e4, log=True),
    "kernel": hh.Choice(
        {
            "rbf": {"gamma": hh.Float(1e-6, 1e1, log=True)},
            "linear": {},
            "poly": {"degree": hh.Int(2, 5), "coef0": hh.Float(0.0, 5.0)},
        }
    ),
    "class_weight": hh.Choice([None, "balanced"]),
}
FOREST_SPACE = {
    "n_estimators": hh.Int(5, 40),
    "criterion": hh.Choice(["gini", "entropy"]),
    "max_depth": hh.Int(1, 20),
    "max_features": hh.Float(0.05, 1.0),
    "min_samples_split": hh.Int(2, 20),
    "min_samples_leaf": hh.Int(1, 20),
    "bootstrap": hh.Choice([True, False]),
}
NETWORK_SPACE = {
    "layers": hh.Int(1, 2),
    "width": hh.Int(8, 64, log=True),
    "activation": hh.Choice(["relu", "tanh", "logistic"]),
    "learning_rate_init": hh.Float(1e-4, 1e-1, log=True),
    "alpha": hh.Float(1e-6, 1e1, log=True),
    "batch_size": hh.Int(16, 128, log=True),
    "solver": hh.Choice({"adam": {"beta_1": hh.Float(0.5, 0.99)}, "sgd": {"momentum": hh.Float(0.0, 0.99)}}),
}
BOOSTING_SPACE = {
    "learning_rate": hh.Float(1e-3, 1.0, log=True),
    "n_estimators": hh.Int(5, 40, log=True),
    "max_depth": hh.Int(1, 4),
    "subsample": hh.Float(0.3, 1.0),
    "max_features": hh.Float(0.1, 1.0),
    "min_samples_leaf": hh.Int(1, 50, log=True),
    "loss": hh.Choice({"squared_error": {}, "huber": {"alpha": hh.Float(0.5, 0.99)}}),
}
LOGISTIC_SPACE = {
    "C": hh.Float(1e-4, 1e4, log=True),
    "solver": hh.Choice({"lbfgs": {}, "saga": {"l1_ratio": hh.Float(0.0, 1.0)}}),
    "fit_intercept": hh.Choice([True, False]),
    "tol": hh.Float(1e-5, 1e-1, log=True),
    "class_weight": hh.Choice([None, "balanced"]),
}
NEIGHBOURS_SPACE = {
    "n_neighbors": hh.Int(1, 50, log=True),
    "weights": hh.Choice(["uniform", "distance"]),
    "p": hh.Float(1.0, 5.0),
    "scale": hh.Choice(["none", "standard", "range"]),
    "project": hh.Choice({True: {"components": hh.Int(2, 12)}, False: {}}),
}
TUNING = (
    problem("SVC, breast cancer", svc, "breast_cancer", "accuracy", SVC_SPACE),
    problem("forest, wine", forest, "wine", "neg_log_loss", FOREST_SPACE),
    problem("network, digits", network, "digits", "neg_log_loss", NETWORK_SPACE),
    problem("boosting, diabetes", boosting, "diabetes", "neg_root_mean_squared_error", BOOSTING_SPACE),
    problem("logistic, breast cancer", logistic, "breast_cancer", "neg_log_loss", LOGISTIC_SPACE),
    problem("neighbours, wine", neighbours, "wine", "neg_log_loss", NEIGHBOURS_SPACE),
)


def main() -> None:
    """Print what each problem costs and how its losses are spread."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=20)
    samples = parser.parse_args().samples
    print("| problem | parameters | median s | longest s | failed | least | median | most |\n|" + "---|" * 8)
    for each in TUNING:
        rng, seconds, losses = random.Random(0), list[float](), list[float]()
        each.observe(each.space.sample(random.Random(1)), rng)  # imports, and reads the data
        for _ in range(samples):
            params = each.space.sample(rng)
            before = time.process_time()
            losses.append(each.observe(params, rng))
            seconds.append(time.process_time() - before)
        again = each.observe(params, rng)
        if again != losses[-1]:
            raise SystemExit(f"{each.name}: {params} gave {losses[-1]!r}, then {again!r}")
        spread = " | ".join(f"{f(losses):.4g}" for f in (min, statistics.median, max))
        cost = f"{statistics.median(seconds):.3f} | {max(seconds):.3f}"
        print(f"| {each.name} | {len(each.space)} | {cost} | {losses.count(FAILED)} | {spread} |", flush=True)


if __name__ == "__main__":
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    main()
