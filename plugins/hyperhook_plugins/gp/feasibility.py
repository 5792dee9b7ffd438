"""How likely a trial is to meet the constraints.

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
x       b x C    points to judge
z               violations of one constraint, bent and standardised (see `warping`); z₀: that of a violation of 0
μ, s    b        mean and standard deviation of z
======  =======  ======================================================================================================

Each constraint has a Gaussian process of its own, of how far its metric is outside, learned from the trials that have
the metric. Where trials failed, that is one more: of 1 for those that did and 0 for the others, with its bound at one
half; it is learned beside the worst loss, which a failed trial counts as. The acquisition is multiplied by
the probability Π Φ((z₀ − μ)/s) that all are met, and improves on the best of the trials that do. As long as none does,
the probability alone is followed.

References:
    Gardner, Kusner, Xu, Weinberger, Cunningham: Bayesian Optimization with Inequality Constraints. ICML 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hyperhook_plugins.gp.belief import Belief
from hyperhook_plugins.gp.encoding import Encoding
from hyperhook_plugins.gp.history import History
from hyperhook_plugins.gp.learning import learn

__all__ = ["Feasibility"]


@dataclass(frozen=True)
class Feasibility:
    """What is believed of the constraints, and of failures.

    Attributes:
        limits: For each constraint the belief of its violation, and z₀; behind them that of failures, if there are any.
    """

    limits: tuple[tuple[Belief, float], ...]

    @classmethod
    def of(cls, history: History, encoding: Encoding, device: torch.device) -> Feasibility:
        """Learn from a history, whose constraints and failures may be none."""
        limits: list[tuple[Belief, float]] = []
        for violations in history.violations:
            known = [place for place, violation in enumerate(violations) if violation is not None]
            limits.append(_limit(history, encoding, device, known, [violations[place] or 0.0 for place in known], 0.0))
        if history.failed:
            everywhere = range(len(history.tried))
            failures = [float(place in history.failed) for place in everywhere]
            limits.append(_limit(history, encoding, device, everywhere, failures, 0.5, straight=True))
        return cls(tuple(limits))

    def log_probability(self, x: Tensor) -> Tensor:
        """Return the log probability, ``b``, that points, ``b x C``, meet all constraints, and end; differentiable."""
        total = x.new_zeros(len(x))
        for belief, limit in self.limits:
            mean, variance = belief.moments(x)
            total = total + torch.special.log_ndtr((limit - mean[:, 0]) / variance.sqrt())
        return total


def _limit(
    history: History,
    encoding: Encoding,
    device: torch.device,
    places: Sequence[int],
    values: Sequence[float],
    bound: float,
    *,
    straight: bool = False,
) -> tuple[Belief, float]:
    """Return the belief of something that some trials are known to have come to, and a bound as it sees it.

    Two values alone are not bent: any bend explains them as well.
    """
    tried = replace(history, tried=tuple(history.tried[place] for place in places))
    learned = learn(tried, encoding, device, values, straight=straight)
    scale, log_bend = learned.surrogate.scale, learned.surrogate.log_bend
    return learned.belief, scale.z(bound, scale.bent(log_bend), log_bend)
