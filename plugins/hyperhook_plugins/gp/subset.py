"""Which of many observations the Gaussian process sees, where all would be too many.

What an exact Gaussian process costs grows with the cube of the observations, and of many thousands most tell little:
the next trial is decided by what is known around the best one, and by what is roughly known elsewhere.

References:
    Eriksson, Pearce, Gardner, Turner, Poloczek: Scalable Global Optimization via Local Bayesian Optimization. NeurIPS
    2019 (that a model of the surroundings is enough).
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["telling"]


def telling(x: Tensor, losses: Tensor, count: int) -> Tensor:
    """Choose observations: half of them around the best one, half spread evenly over the others, from best to worst.

    Args:
        x: Encoded points, ``n x C``.
        losses: ``n``.
        count: How many to choose, at least 2; all of them where there are no more.

    Returns:
        Their positions in order, ``min(n, count)``, int64.
    """
    if len(x) <= count:
        return torch.arange(len(x), device=x.device)
    near = (x - x[losses.argmin()]).square().sum(-1).argsort(stable=True)[: count // 2]
    rest = torch.ones(len(x), dtype=torch.bool, device=x.device)
    rest[near] = False
    others = rest.nonzero()[:, 0]
    others = others[losses[others].argsort(stable=True)]
    places = torch.linspace(0, len(others) - 1, count - len(near), dtype=torch.float64, device=x.device).long()
    return torch.cat([near, others[places]]).sort().values
