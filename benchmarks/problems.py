"""The problems of `gp_vs_random.py`: two test functions with known minima, and a network to tune on real data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import hyperhook as hh

__all__ = ["PROBLEMS", "Problem"]


@dataclass(frozen=True)
class Problem:
    """Something to search.

    Attributes:
        space: What may vary.
        objective: Whether more or less is better.
        evaluate: From params and a seed, which makes what is random in it, to the value.
        optimum: The best value there is; None where nobody knows it.
        repeats: How often the answer of a search is evaluated again, with fresh seeds, where values are random: the
            best of many noisy values is more than its params are worth.
    """

    space: hh.Space
    objective: hh.Objective
    evaluate: Callable[[hh.Params, int], float]
    optimum: float | None = None
    repeats: int = 0


def branin(params: hh.Params, seed: int) -> float:
    """Return Branin's function, with three minima of 0.397887 (Dixon & Szegö 1978)."""
    a, b = float(params["a"] or 0), float(params["b"] or 0)
    curve = b - 5.1 / (4 * math.pi**2) * a**2 + 5 / math.pi * a - 6
    return curve**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10


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


def hartmann(params: hh.Params, seed: int) -> float:
    """Return Hartmann's function of six variables, with its minimum of -3.32237 (Dixon & Szegö 1978)."""
    x = np.array([params[f"x{i}"] for i in range(6)], dtype=float)
    return -float(HARTMANN_WEIGHTS @ np.exp(-(HARTMANN_SCALES * (x - HARTMANN_CENTRES) ** 2).sum(1)))


@cache
def digits_data() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return 1,097 images and labels to train and 350 to validate with: scikit-learn's digits, split as in the demo."""
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 16, torch.tensor(labels)
    train, valid, _ = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)).split([1097, 350, 350])
    return x[train], y[train], x[valid], y[valid]


ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


def digits(params: hh.Params, seed: int) -> float:
    """Return the best validation accuracy of the demo's network, trained for 5 epochs from that seed."""
    train_x, train_y, valid_x, valid_y = digits_data()
    width, act = int(params["width"] or 0), ACTIVATIONS[str(params["activation"])]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1), act(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 16, 3, padding=1), act(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(64, width), act(), nn.Linear(width, 10)),
        )
        optimizer = torch.optim.Adam(net.parameters(), lr=float(params["lr"] or 0))
        best = 0.0
        for _ in range(5):
            for batch in torch.randperm(len(train_x)).split(128):
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(train_x[batch]), train_y[batch]).backward()
                optimizer.step()
            with torch.no_grad():
                best = max(best, (net(valid_x).argmax(1) == valid_y).double().mean().item())
    return best


PROBLEMS = {
    "Branin": Problem(
        hh.Space({"a": hh.Float(-5.0, 10.0), "b": hh.Float(0.0, 15.0)}), hh.Minimize("value"), branin, 0.397887
    ),
    "Hartmann-6": Problem(
        hh.Space({f"x{i}": hh.Float(0.0, 1.0) for i in range(6)}), hh.Minimize("value"), hartmann, -3.32237
    ),
    "digits": Problem(
        hh.Space(
            {
                "lr": hh.Float(1e-4, 1e-1, log=True),
                "width": hh.Int(16, 256, log=True),
                "activation": hh.Choice(["relu", "gelu", "tanh"]),
            }
        ),
        hh.Maximize("val_acc"),
        digits,
        repeats=20,
    ),
}
