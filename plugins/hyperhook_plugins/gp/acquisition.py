"""How much the next trial is expected to improve on the best one, in logarithms.

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
x       b x C    points to score
μ       b x M    mean of the loss in each fantasy
s       b        standard deviation of the loss, the same in all fantasies
f*      M        the best (lowest) mean at a point tried or running
======  =======  ======================================================================================================

EI(x) = E[max(f* − f(x), 0)] = s h((f* − μ)/s), where h(u) = φ(u) + u Φ(u). Far from anything good EI underflows to 0,
and its gradient with it; log EI, computed as such, still tells which way is better.

References:
    Ament, Daulton, Eriksson, Balandat, Bakshy: Unexpected Improvements to Expected Improvement for Bayesian
    Optimization. NeurIPS 2023.
    Snoek, Larochelle, Adams: Practical Bayesian Optimization of Machine Learning Algorithms. NeurIPS 2012 (the average
    over fantasies).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from botorch.acquisition import LogExpectedImprovement
from torch import Tensor

from hyperhook_plugins.gp.model import Belief

__all__ = ["log_expected_improvement"]


def log_expected_improvement(belief: Belief) -> Callable[[Tensor], Tensor]:
    """Return the function that scores points: the logarithm of EI, averaged over the fantasies.

    Args:
        belief: A belief with batch M; 1 where no trial is running.

    Returns:
        A function from ``b x C`` points to ``b`` scores, more being better, differentiable.
    """
    acquisition = LogExpectedImprovement(belief, best_f=belief.best[:, None], maximize=False)

    def score(x: Tensor) -> Tensor:
        each: Tensor = acquisition(x[:, None, None, :])  # b x M
        return torch.logsumexp(each, dim=-1) - math.log(each.shape[-1])

    return score
