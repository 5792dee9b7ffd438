"""Whether the objective is noisy: whether its losses differ by more than their params can explain.

Few losses have two explanations: a wild function without noise, or a calm one with noise. The optimizer's fit begins
with the first, and keeps to it as long as it can: to overrate noise would make its search get stuck. Here the second is
fitted as well, and taken where it explains the losses significantly better, by the test of the likelihood ratio.
What no smooth function explains looks like noise, too: ripples that are finer than the trials lie apart.

References:
    Rasmussen, Williams: Gaussian Processes for Machine Learning. MIT Press 2006 (section 5.4: two such maxima).
    Self, Liang: Asymptotic Properties of Maximum Likelihood Estimators and Likelihood Ratio Tests Under Nonstandard
    Conditions. Journal of the American Statistical Association 82 (1987).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from gpytorch.priors import LogNormalPrior

from hyperhook_plugins.gp.model import Belief, Surrogate, fit

__all__ = ["noisy"]


class Expectation(NamedTuple):
    """A log-normal prior of the noise variance, and where its fit begins; the variance of the signal is 1."""

    location: float
    scale: float
    start: float


NOISY = Expectation(-2.0, 1.5, 0.1)
"""Noise of a third of the signal's deviation, give or take a factor of two."""
SILENT = Expectation(math.log(1e-5), 0.5, 1e-5)
"""No noise but what keeps the kernel matrix positive definite."""
NEGLIGIBLE = 1e-4
"""Up to this variance, 1 % of the signal's deviation, the optimizer's own fit counts as one without noise."""
SIGNIFICANT = 2.706
"""By how much the log likelihood must gain. Without noise, twice the gain is 0 half of the time and chi-squared of one
degree of freedom else (no noise lies on the edge of what can be; Self & Liang 1987, case 5), so it comes to this much
by chance once in a hundred studies."""


def noisy(belief: Belief, dimension: int) -> Belief | None:
    """Return the belief that takes the losses as noisy, where they are so significantly; else None.

    Args:
        belief: What the optimizer believes; batch 1.
        dimension: How many parameters vary.

    Raises:
        RuntimeError: A fit failed.
    """
    loud = _refitted(belief, dimension, NOISY)
    quiet = belief if belief.noise <= NEGLIGIBLE else _refitted(belief, dimension, SILENT)
    return loud if loud.evidence - quiet.evidence > SIGNIFICANT else None


def _refitted(belief: Belief, dimension: int, expected: Expectation) -> Belief:
    surrogate = Surrogate(belief.x, belief.y[0], dimension)
    prior = LogNormalPrior(expected.location, expected.scale)
    surrogate.likelihood.noise_covar.register_prior("noise_prior", prior, "noise")
    surrogate.likelihood.initialize(noise=expected.start)
    return Belief(fit(surrogate.to(belief.x)), belief.x, belief.y)
