"""The problems with a known minimum: test functions, some of them noisy, mixed, conditional or with heavy tails.

Minima that lie at a corner or in the middle of the usual box are moved away from there by fixed random shifts: a search
that looks there by habit would otherwise find them for free. What nobody tunes by is in `HELD_OUT`.

References:
    Surjanovic, Bingham: Virtual Library of Simulation Experiments. Simon Fraser University.
    Dixon, Szegö: The global optimization problem: an introduction. Towards Global Optimization 2, 1978.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

import hyperhook as hh

__all__ = ["HELD_OUT", "SYNTHETIC", "Problem"]

Vector: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.float64]]"


@dataclass(frozen=True)
class Problem:
    """Something to minimise.

    Attributes:
        name: What the tables call it.
        kind: Which class it stands for: ``smooth``, ``multimodal``, ``noisy``, ``mixed``, ``conditional``, ``tails`` or
            ``tuning``.
        space: What may vary.
        truth: From params to what they are really worth: the loss without noise.
        optimum: The lowest loss there is; None where nobody knows it.
        noise: Standard deviation of what is added to each observation.
        reported: From params to the loss that a trial reports, where that is not the truth plus noise.
    """

    name: str
    kind: str
    space: hh.Space
    truth: Callable[[hh.Params], float]
    optimum: float | None = None
    noise: float = 0.0
    reported: Callable[[hh.Params], float] | None = None

    def observe(self, params: hh.Params, rng: random.Random) -> float:
        """Return what a trial would report."""
        if self.reported is not None:
            return self.reported(params)
        return self.truth(params) + (self.noise * rng.gauss(0.0, 1.0) if self.noise else 0.0)


def branin(x: Vector) -> float:
    """Return Branin's function on [-5, 10] x [0, 15]."""
    a, b = x
    curve = b - 5.1 / (4 * math.pi**2) * a**2 + 5 / math.pi * a - 6
    return float(curve**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10)


HARTMANN_WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
HARTMANN_SCALES = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
HARTMANN_CENTRES = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann(x: Vector) -> float:
    """Return Hartmann's function of six variables on the unit cube."""
    return -float(HARTMANN_WEIGHTS @ np.exp(-(HARTMANN_SCALES * (x - HARTMANN_CENTRES) ** 2).sum(1)))


def ackley(x: Vector) -> float:
    """Return Ackley's function: a funnel below many small waves."""
    hill = 20 - 20 * math.exp(-0.2 * math.sqrt((x**2).mean()))
    return float(hill + math.e - math.exp(np.cos(2 * math.pi * x).mean()))


def levy(x: Vector) -> float:
    """Return Levy's function."""
    w = 1 + (x - 1) / 4
    middle = ((w[:-1] - 1) ** 2 * (1 + 10 * np.sin(math.pi * w[:-1] + 1) ** 2)).sum()
    return float(math.sin(math.pi * w[0]) ** 2 + middle + (w[-1] - 1) ** 2 * (1 + math.sin(2 * math.pi * w[-1]) ** 2))


def rosenbrock(x: Vector) -> float:
    """Return Rosenbrock's function: a bent valley."""
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def griewank(x: Vector) -> float:
    """Return Griewank's function."""
    return float((x**2).sum() / 4000 - np.prod(np.cos(x / np.sqrt(np.arange(1, len(x) + 1)))) + 1)


def styblinski_tang(x: Vector) -> float:
    """Return the Styblinski-Tang function, with its minimum at 0."""
    return float((x**4 - 16 * x**2 + 5 * x).sum() / 2) + 39.16616570377142 * len(x)


def rastrigin(x: Vector) -> float:
    """Return Rastrigin's function."""
    return float((x**2 - 10 * np.cos(2 * math.pi * x) + 10).sum())


def michalewicz(x: Vector) -> float:
    """Return Michalewicz's function: steep ravines between plains."""
    return -float((np.sin(x) * np.sin(np.arange(1, len(x) + 1) * x**2 / math.pi) ** 20).sum())


def box(
    name: str,
    kind: str,
    function: Callable[[Vector], float],
    dimension: int,
    low: float,
    high: float,
    optimum: float,
    *,
    shift: float = 0.0,
    noise: float = 0.0,
) -> Problem:
    """Return a problem of `dimension` real parameters, its minimum moved by up to `shift` of the box's side."""
    moved = (high - low) * np.random.default_rng(dimension).uniform(-shift, shift, dimension)

    def truth(params: hh.Params) -> float:
        return function(np.array([params[f"x{i}"] for i in range(dimension)], dtype=float) - moved)

    space = hh.Space({f"x{i}": hh.Float(low, high) for i in range(dimension)})
    return Problem(name, kind, space, truth, optimum, noise)


def two_scales(params: hh.Params) -> float:
    """Return Branin's function through an exponential, over eight orders of magnitude, on logarithmic scales."""
    a, b = math.log10(float(params["rate"] or 0)), math.log10(float(params["decay"] or 0))
    return math.exp(branin(np.array([(a + 5) * 3 - 5, (b + 6) * 3.0])) / 16) - math.exp(0.39788735772973816 / 16)


def mixed(params: hh.Params) -> float:
    """Return a network-like loss of two choices, two integers and three reals, all of which depend on each other."""
    shape = {"relu": (0.0, 1.0), "tanh": (0.25, 0.6), "gelu": (0.1, 0.85), "none": (0.6, 1.6)}[str(params["act"])]
    best_rate = {"adam": -3.0, "sgd": -1.2, "lion": -4.0, "rms": -3.4}[str(params["opt"])]
    bias = {"adam": 0.0, "sgd": 0.1, "lion": 0.06, "rms": 0.18}[str(params["opt"])]
    layers, width = int(params["layers"] or 0), int(params["width"] or 0)
    rate = math.log10(float(params["lr"] or 0)) - best_rate + 0.15 * (layers - 3)
    capacity = math.log2(width) + 0.8 * layers - 9.5
    drop = float(params["drop"] or 0) - 0.1 - 0.06 * max(capacity, -1.0)
    smooth = float(params["smooth"] or 0) - 0.3
    return (
        shape[0] + bias + 0.5 * shape[1] * rate**2 + 0.12 * capacity**2 + 3 * drop**2 + 0.4 * smooth**2 * shape[1]
    ) / (1 + 0.1 * rate**2)


def conditional(params: hh.Params) -> float:
    """Return the loss of one of three models, each with parameters of its own, and of one that they share."""
    common = 0.3 * (float(params["budget"] or 0) - 0.7) ** 2
    if params["model"] == "svm":
        c, gamma = math.log10(float(params["c"] or 0)), math.log10(float(params["gamma"] or 0))
        return common + 0.08 + 0.05 * ((c - 1) ** 2 + (gamma + 2 + 0.5 * (c - 1)) ** 2)
    if params["model"] == "forest":
        depth, share = float(params["depth"] or 0), float(params["share"] or 0)
        return common + 0.12 + 0.004 * (depth - 11) ** 2 + 0.8 * (share - 0.35) ** 2
    rate, layers = math.log10(float(params["rate"] or 0)), int(params["layers"] or 0)
    waves = 0.03 * (1 - math.cos(5 * (rate + 2.5)))
    if params["solver"] == "sgd":
        momentum = float(params["momentum"] or 0)
        return common + 0.02 + 0.1 * (rate + 1.5 + momentum) ** 2 + (momentum - 0.9) ** 2 + 0.02 * (layers - 3) ** 2
    return common + 0.05 + 0.08 * (rate + 2.5) ** 2 + waves + 0.02 * (layers - 2) ** 2


MIXED = hh.Space(
    {
        "opt": hh.Choice(["sgd", "adam", "rms", "lion"]),
        "act": hh.Choice(["none", "tanh", "relu", "gelu"]),
        "layers": hh.Int(1, 8),
        "width": hh.Int(8, 1024, log=True),
        "lr": hh.Float(1e-6, 1.0, log=True),
        "drop": hh.Float(0.0, 0.9),
        "smooth": hh.Float(0.0, 1.0),
    }
)
CONDITIONAL = hh.Space(
    {
        "budget": hh.Float(0.0, 1.0),
        "model": hh.Choice(
            {
                "svm": {"c": hh.Float(1e-3, 1e4, log=True), "gamma": hh.Float(1e-6, 1e1, log=True)},
                "forest": {"depth": hh.Int(1, 30), "share": hh.Float(0.05, 1.0)},
                "net": {
                    "rate": hh.Float(1e-5, 1.0, log=True),
                    "layers": hh.Int(1, 6),
                    "solver": hh.Choice({"sgd": {"momentum": hh.Float(0.0, 0.99)}, "adam": {}}),
                },
            }
        ),
    }
)
BRANIN = hh.Space({"x0": hh.Float(-5.0, 10.0), "x1": hh.Float(0.0, 15.0)})
TWO_SCALES = hh.Space({"rate": hh.Float(1e-5, 1.0, log=True), "decay": hh.Float(1e-6, 1e-1, log=True)})

SYNTHETIC = (
    Problem(
        "Branin",
        "smooth",
        BRANIN,
        lambda params: branin(np.array([params["x0"], params["x1"]], dtype=float)),
        0.39788735772973816,
    ),
    box("Hartmann-6", "smooth", hartmann, 6, 0.0, 1.0, -3.322368011415515),
    box("Rosenbrock-8", "smooth", rosenbrock, 8, -5.0, 10.0, 0.0),
    box("Levy-10", "multimodal", levy, 10, -10.0, 10.0, 0.0),
    box("Ackley-10", "multimodal", ackley, 10, -32.768, 32.768, 0.0, shift=0.25),
    box("Griewank-8", "multimodal", griewank, 8, -600.0, 600.0, 0.0, shift=0.25),
    box("Styblinski-Tang-8", "multimodal", styblinski_tang, 8, -5.0, 5.0, 0.0, shift=0.15),
    box("noisy Hartmann-6", "noisy", hartmann, 6, 0.0, 1.0, -3.322368011415515, noise=0.33),
    Problem("mixed", "mixed", MIXED, mixed, 0.0),
    Problem("conditional", "conditional", CONDITIONAL, conditional, 0.02),
)
HELD_OUT = (
    box("noisy Levy-4", "noisy", levy, 4, -10.0, 10.0, 0.0, noise=5.0),
    box("Rastrigin-4", "multimodal", rastrigin, 4, -5.12, 5.12, 0.0, shift=0.25),
    box("Michalewicz-5", "multimodal", michalewicz, 5, 0.0, math.pi, -4.687658),
    Problem("two scales", "tails", TWO_SCALES, two_scales, 0.0),
)
