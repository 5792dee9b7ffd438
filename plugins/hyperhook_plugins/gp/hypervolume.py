"""What the next trial adds to the Pareto front, where there are several objectives.

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
x       b x C    points to score
m                objectives; n: points tried and running; M: ways in which the losses may be; L: directions
y       … x m    losses, turned so that more is better, from 0 at the reference point to 1 at the best of the front
λ       L x m    directions: evenly spread over the positive part of the unit sphere
r       M x L    how far the front reaches in each direction
ρ       b x M x L  how far a point reaches: the least of yᵢ/λᵢ
======  =======  ======================================================================================================

Each objective has a Gaussian process of its own. A trial is worth the volume that it adds to what the front dominates,
in expectation over what its losses may be: in each of M ways they are drawn, and the front is what is believed of the
points tried and running in that way. The volume is measured in polar coordinates, where it needs no partition into
boxes, whose number explodes with the objectives: what a set of points dominates reaches to max min yᵢ/λᵢ in the
direction λ, so its volume is c E[rᵐ] over all directions, and a point adds c E[(ρᵐ − rᵐ)₊]. L random directions are
taken anew for each trial.

Where a point adds nothing its slope would be 0: the positive part has a fat tail, which goes on to tell which way is
better. The volume ends a tenth beyond the worst of the front, but at least a deviation of all losses below its best:
with a front of few points what widens it would otherwise be worth nothing.

References:
    Zhang, Golovin: Random Hypervolume Scalarizations for Provable Multi-Objective Black Box Optimization. ICML 2020
    (lemma 5: the volume as an expectation over directions).
    Daulton, Balandat, Bakshy: Parallel Bayesian Optimization of Multiple Noisy Objectives with Expected Hypervolume
    Improvement. NeurIPS 2021 (that the front is uncertain, too).
    Ament, Daulton, Eriksson, Balandat, Bakshy: Unexpected Improvements to Expected Improvement for Bayesian
    Optimization. NeurIPS 2023 (the fat tail).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from botorch.utils.multi_objective.hypervolume import infer_reference_point
from botorch.utils.multi_objective.pareto import is_non_dominated
from botorch.utils.sampling import draw_sobol_normal_samples
from torch import Tensor
from torch.nn.functional import normalize, softplus

from hyperhook_plugins.gp.acquisition import Score
from hyperhook_plugins.gp.belief import Belief

__all__ = ["front_of", "hypervolume_improvement"]

DIRECTIONS = 128
"""L."""
DRAWS = 32
"""M, where nothing runs and nothing is noisy."""
SMOOTH = 1e-3
"""Over what share of the front's extent the positive part is rounded off."""
TAIL = 0.1
"""How much of it the tail is where nothing is gained."""


def front_of(beliefs: Sequence[Belief], points: Tensor) -> Tensor:
    """Return the positions of the points, out of ``n x C``, whose expected losses no other's dominate.

    Args:
        beliefs: What is believed of each objective's losses.
        points: ``n x C``.
    """
    on_front: Tensor = is_non_dominated(_expected(beliefs, points))
    return on_front.nonzero()[:, 0]


def hypervolume_improvement(beliefs: Sequence[Belief], points: Tensor, seed: int) -> Score:
    """Return the logarithm of the expected hypervolume improvement.

    Args:
        beliefs: What is believed of each objective's losses, m of them, each with batch M or 1.
        points: The points tried and running that count for the front, ``n x C``.
        seed: Seed of the draws.
    """
    expected = _expected(beliefs, points)
    front = expected[is_non_dominated(expected)]
    low = torch.minimum(infer_reference_point(front), front.amax(0) - 1.0)
    extent = front.amax(0) - low
    m, ways = len(beliefs), max(len(belief.y) for belief in beliefs)
    draws = _normals(DRAWS if ways == 1 else ways, m, seed).to(low)
    directions = normalize(_normals(DIRECTIONS, m, seed + 1).abs().to(low), dim=-1).clamp_min(1e-6)

    def reach(turned: Sequence[Tensor]) -> Tensor:
        """Return how far losses reach, ``b x M x L``, given turned by objectives, each ``b x M``."""
        parts = (((each - low[i]) / extent[i])[..., None] / directions[:, i] for i, each in enumerate(turned))
        return reduce(torch.minimum, parts)

    reached = reach([-belief.mean(points) for belief in beliefs]).amax(0).clamp_min(0.0)

    def score(x: Tensor) -> Tensor:
        turned: list[Tensor] = []
        for belief, draw in zip(beliefs, draws.mT, strict=True):
            mean, variance = belief.moments(x)
            turned.append(variance.sqrt()[:, None] * draw - mean)
        reaching = reach(turned)
        beyond = (reaching - reached) / SMOOTH
        positive = softplus(beyond) + TAIL / (1 + beyond.square())
        longer = torch.maximum(reaching, reached)
        powers = sum((longer**k * reached ** (m - 1 - k) for k in range(1, m)), reached ** (m - 1))
        return (positive * powers).mean((-1, -2)).log()  # ρᵐ − rᵐ = (ρ − r) Σ ρᵏ rᵐ⁻¹⁻ᵏ

    return score


def _expected(beliefs: Sequence[Belief], points: Tensor) -> Tensor:
    """Return the expected losses of ``n x C`` points over all ways, turned so that more is better: ``n x m``."""
    return torch.stack([-belief.mean(points).mean(-1) for belief in beliefs], dim=-1)


def _normals(count: int, dimension: int, seed: int) -> Tensor:
    """Return ``count x dimension`` standard normal numbers, evenly spread."""
    normals: Tensor = draw_sobol_normal_samples(dimension, count, dtype=torch.float64, seed=seed)
    return normals
