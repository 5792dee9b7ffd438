"""What the next trial is worth: the acquisition functions by name.

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
x       b x C    points to score
M                ways in which the running trials may end (fantasies), or in which the noise may have hidden the losses
μ       b x M    mean of the loss in each of them
s       b        standard deviation of the loss, the same in all of them
f*      M        the best (lowest) mean at a point tried or running; with constraints, at a feasible one of those tried
u       b x M    (f* − μ)/s
======  =======  ======================================================================================================

``ei``: E[max(f* − f(x), 0)] = s h(u), where h(u) = φ(u) + u Φ(u), in logarithms. Far from anything good EI underflows
to 0, and its gradient with it; log EI, computed as such, still tells which way is better.

``pi``: the probability Φ(u) of an improvement, in logarithms.

``ucb``: the bound −μ + √β s that the loss, turned upside down, is likely to be below, with β = 0.2 d log(2 n) for n
observations in d dimensions (Kandasamy et al. 2015).

``nei``: ``ei`` averaged over what the noiseless losses at the points tried may be (Letham et al. 2019).

All but ``ucb`` are averaged over the M ways, as expectations; ``ucb`` takes the mean of μ, and s with the running
trials known (GP-BUCB, Desautels et al. 2014).

References:
    Ament, Daulton, Eriksson, Balandat, Bakshy: Unexpected Improvements to Expected Improvement for Bayesian
    Optimization. NeurIPS 2023.
    Snoek, Larochelle, Adams: Practical Bayesian Optimization of Machine Learning Algorithms. NeurIPS 2012 (the average
    over fantasies).
    Kandasamy, Schneider, Póczos: High Dimensional Bayesian Optimisation and Bandits via Additive Models. ICML 2015.
    Desautels, Krause, Burdick: Parallelizing Exploration-Exploitation Tradeoffs in Gaussian Process Bandit
    Optimization. JMLR 2014.
    Jones: A Taxonomy of Global Optimization Methods Based on Response Surfaces. Journal of Global Optimization 21, 2001
    (targets below the best loss, for `expected_improvement`'s f*; see `mind`).
    Letham, Karrer, Ottoni, Bakshy: Constrained Bayesian Optimization with Noisy Experiments. Bayesian Analysis 2019.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hyperhook_plugins.gp.belief import Belief

__all__ = ["Score", "expected_improvement", "lower_confidence_bound", "probability_of_improvement"]

Score = Callable[[Tensor], Tensor]
"""From ``b x C`` points to ``b`` scores, more being better, differentiable."""

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
FAR = -50.0
"""Below this u, log h is taken from its asymptotic series, whose error is 1e-9 there."""


def expected_improvement(belief: Belief, best: Tensor | None = None) -> Score:
    """Return log EI.

    Args:
        belief: A belief with batch M; 1 where no trial is running.
        best: f*, if it is not the lowest mean at any point.
    """
    best = belief.best if best is None else best

    def score(x: Tensor) -> Tensor:
        mean, variance = belief.moments(x)
        deviation = variance.sqrt()
        u = (best - mean) / deviation[:, None]
        each = cast(Tensor, _LogH.apply(u))  # type: ignore[no-untyped-call]
        return _mean(each) + deviation.log()

    return score


def probability_of_improvement(belief: Belief, best: Tensor | None = None) -> Score:
    """Return log PI.

    Args:
        belief: A belief with batch M.
        best: f*, if it is not the lowest mean at any point.
    """
    best = belief.best if best is None else best

    def score(x: Tensor) -> Tensor:
        mean, variance = belief.moments(x)
        return _mean(torch.special.log_ndtr((best - mean) / variance.sqrt()[:, None]))

    return score


def lower_confidence_bound(belief: Belief, dimension: int) -> Score:
    """Return the lower confidence bound of the loss, its sign turned.

    Args:
        belief: A belief with batch M.
        dimension: How many parameters vary.
    """
    root = math.sqrt(0.2 * max(dimension, 1) * math.log(2 * len(belief.x)))

    def score(x: Tensor) -> Tensor:
        mean, variance = belief.moments(x)
        return root * variance.sqrt() - mean.mean(-1)

    return score


def _mean(logarithms: Tensor) -> Tensor:
    """Return the logarithm of the mean over M, ``b``, of ``b x M`` logarithms."""
    if logarithms.shape[-1] == 1:
        return logarithms[:, 0]
    return torch.logsumexp(logarithms, dim=-1) - math.log(logarithms.shape[-1])


class _LogH(torch.autograd.Function):
    """log h(u), exact to 1e-9 anywhere: by its definition, by erfcx below -1, by its asymptotic series below `FAR`."""

    @staticmethod
    def forward(ctx: Any, u: Tensor) -> Tensor:
        near, middle, far = u.clamp_min(-1.0), u.clamp(FAR, -1.0), u.clamp_max(FAR)
        density = torch.exp(-0.5 * near.square() - HALF_LOG_2PI)
        by_definition = (density + near * torch.special.ndtr(near)).log()
        mills = math.sqrt(math.pi / 2) * torch.special.erfcx(middle * -math.sqrt(0.5))
        below = -0.5 * u.square() - HALF_LOG_2PI
        value = torch.where(u > -1.0, by_definition, below + torch.log1p(middle * mills))
        value = torch.where(u < FAR, below - 2 * far.abs().log() + torch.log1p(-3 / far.square()), value)
        ctx.save_for_backward(u, value)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        u, value = ctx.saved_tensors
        slope = torch.exp(torch.special.log_ndtr(u) - value)
        return grads[0] * torch.where(u < FAR, -u - 2 / u.clamp_max(FAR), slope)
