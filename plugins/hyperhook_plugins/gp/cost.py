"""How long a trial is going to take, learned from those before it.

References:
    Snoek, Larochelle, Adams: Practical Bayesian Optimization of Machine Learning Algorithms. NeurIPS 2012 (expected
    improvement per second).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hyperhook_plugins.gp.encoding import Encoding
from hyperhook_plugins.gp.history import History
from hyperhook_plugins.gp.learning import Learned, learn

__all__ = ["Cost"]

FEW = 4
"""Fewer durations say nothing."""


@dataclass(frozen=True)
class Cost:
    """What is believed of the trials' durations.

    Attributes:
        learned: What was learned of their logarithms; None where too few are known.
    """

    learned: Learned | None

    @classmethod
    def of(cls, history: History, encoding: Encoding, device: torch.device) -> Cost:
        """Learn from the trials whose duration is known."""
        known = [place for place, seconds in enumerate(history.durations) if seconds > 0]
        if len(known) < FEW:
            return cls(None)
        timed = replace(history, tried=tuple(history.tried[place] for place in known), stderrs=())
        logarithms = [math.log(history.durations[place]) for place in known]
        return cls(learn(timed, encoding, device, logarithms))

    def log_seconds(self, x: Tensor) -> Tensor:
        """Return the logarithm of the seconds that points, ``b x C``, are likely to take: ``b``, differentiable."""
        if self.learned is None:
            return x.new_zeros(len(x))
        surrogate, mean = self.learned.surrogate, self.learned.belief.mean(x)[:, 0]
        bent = surrogate.scale.bent(surrogate.log_bend)
        return surrogate.scale.losses(bent, surrogate.log_bend, mean, torch.zeros_like(mean))[0]
