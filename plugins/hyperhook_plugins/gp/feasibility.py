"""How likely a trial is to meet the constraints.

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
x       b x C    points to judge
z               violations of one constraint, bent and standardised (see `warping`); z₀: that of a violation of 0
μ, s    b        mean and standard deviation of z
======  =======  ======================================================================================================

Each constraint has a Gaussian process of its own, of how far its metric is outside. The acquisition is multiplied by
the probability Π Φ((z₀ − μ)/s) that all are met, and improves on the best of the trials that do. As long as none does,
the probability alone is followed.

References:
    Gardner, Kusner, Xu, Weinberger, Cunningham: Bayesian Optimization with Inequality Constraints. ICML 2014.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hyperhook_plugins.gp.encoding import Encoding
from hyperhook_plugins.gp.history import History
from hyperhook_plugins.gp.learning import learn
from hyperhook_plugins.gp.model import Belief

__all__ = ["Feasibility"]


@dataclass(frozen=True)
class Feasibility:
    """What is believed of the constraints.

    Attributes:
        limits: For each constraint the belief of its violation, and z₀.
    """

    limits: tuple[tuple[Belief, float], ...]

    @classmethod
    def of(cls, history: History, encoding: Encoding, device: torch.device) -> Feasibility:
        """Learn from a history, whose constraints may be none."""
        limits: list[tuple[Belief, float]] = []
        for violations in history.violations:
            learned = learn(history, encoding, device, violations)
            scale, log_bend = learned.surrogate.scale, learned.surrogate.log_bend
            limits.append((learned.belief, scale.z(0.0, scale.bent(log_bend), log_bend)))
        return cls(tuple(limits))

    def log_probability(self, x: Tensor) -> Tensor:
        """Return the log probability, ``b``, that points, ``b x C``, meet all constraints; differentiable."""
        total = x.new_zeros(len(x))
        for belief, limit in self.limits:
            mean, variance = belief.moments(x)
            total = total + torch.special.log_ndtr((limit - mean[:, 0]) / variance.sqrt())
        return total
