"""A function drawn from what is believed, whole: what Thompson sampling follows.

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
x       b x C    points over their length scales; n: observations
F                random features
φ       b x F    features; φ(x)ᵀw with normal w is a draw from the prior, up to the error of F frequencies
v       n        what the data adds to that draw
======  =======  ======================================================================================================

f(x) = μ(x) + φ(x)ᵀw + k(x, X) v, with v = K⁻¹(y − μ(X) − φ(X)ᵀw − ε), the prior mean μ and ε as noisy as the data: a
draw from the prior, corrected by the data (Matheron's rule). Unlike joint draws at a grid of points it can be followed
uphill by gradients.

References:
    Wilson, Borovitskiy, Terenin, Mostowsky, Deisenroth: Efficiently Sampling Functions from Gaussian Process
    Posteriors. ICML 2020.
    Rahimi, Recht: Random Features for Large-Scale Kernel Machines. NeurIPS 2007.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from hyperhook_plugins.gp.belief import Belief, covariance

__all__ = ["draw_path"]

FEATURES = 1_024
DEGREES = 5
"""Frequencies of Matérn's kernel with ν = 5/2 are distributed as Student's t with 2ν degrees of freedom."""


def draw_path(belief: Belief, generator: Generator) -> Callable[[Tensor], Tensor]:
    """Draw a loss function; return it, its sign turned, so that more is better.

    Args:
        belief: A belief with batch 1.
        generator: Source of the draw, on the CPU.

    Returns:
        A function from ``b x C`` points to ``b`` values, differentiable.
    """

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(belief.x)

    tails = normal(FEATURES, DEGREES).square().mean(-1, keepdim=True).sqrt()
    frequencies = (normal(FEATURES, belief.x.shape[-1]) / tails).mT
    phases = 2 * math.pi * torch.rand(FEATURES, generator=generator, dtype=torch.float64).to(belief.x)
    weights = normal(FEATURES) * math.sqrt(2 / FEATURES)

    def prior(scaled: Tensor) -> Tensor:
        drawn: Tensor = torch.cos(scaled @ frequencies + phases) @ weights
        return drawn

    noise = (belief.noise + belief.known).sqrt() * normal(len(belief.x))
    drawn = (prior(belief.scaled) + noise)[:, None]
    update = torch.cholesky_solve(belief.y.mT - belief.surrogate.expectation(belief.x) - drawn, belief.factor)

    def value(x: Tensor) -> Tensor:
        scaled = x / belief.scales
        rest = prior(scaled)[:, None] + covariance(scaled, belief.scaled) @ update
        loss: Tensor = belief.surrogate.expectation(x) + rest
        return -loss[:, 0]

    return value
