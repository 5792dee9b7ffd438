"""How much each coordinate has to do with how a function varies over the unit cube.

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
D                coordinates; N: points
a, b    N x D    two independent sets of points
aᵢ      N x D    a, with its coordinate i from b
f       N        values of the function
======  =======  ======================================================================================================

First-order Sᵢ = mean(f(b) (f(aᵢ) − f(a))) / Var f: what coordinate i does alone.
Total Tᵢ = mean((f(a) − f(aᵢ))²) / 2 Var f: what it does alone and together with others.

References:
    Saltelli, Annoni, Azzini, Campolongo, Ratto, Tarantola: Variance based sensitivity analysis of model output.
    Computer Physics Communications 181 (2010) (table 2: (b) and (f)).
    Jansen: Analysis of variance designs for model output. Computer Physics Communications 117 (1999).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

__all__ = ["Indices", "sobol_indices"]

POINTS = 2048
FLAT = 1e-12
"""Up to this variance a function counts as constant."""


@dataclass(frozen=True, slots=True)
class Indices:
    """Sobol's indices of a function.

    Attributes:
        first: ``D``, each from 0 to about 1, together at most about 1.
        total: ``D``, each from 0 to about 1, together 1 or more; zeros if the function is constant.
    """

    first: Tensor
    total: Tensor


def sobol_indices(
    function: Callable[[Tensor], Tensor], dimension: int, snap: Callable[[Tensor], Tensor] = lambda units: units
) -> Indices:
    """Compute Sobol's indices by quasi-Monte-Carlo, with always the same ``N (D + 2)`` points.

    Args:
        function: From ``N x D`` points of the unit cube to ``N`` values.
        dimension: D.
        snap: Moves the coordinates of ``N x D`` points, each by itself, to what the function takes.

    Example:
        >>> sobol_indices(lambda u: u[:, 0] + 2 * u[:, 1], 2).total.round(decimals=1).tolist()
        [0.2, 0.8]
    """
    drawn = SobolEngine(2 * dimension, scramble=True, seed=0).draw(POINTS, dtype=torch.float64)  # type: ignore[no-untyped-call]
    a, b = snap(drawn[:, :dimension]), snap(drawn[:, dimension:])
    at_a, at_b = function(a), function(b)
    variance = torch.cat([at_a, at_b]).var(correction=0)
    if variance <= FLAT:
        return Indices(torch.zeros(dimension, dtype=drawn.dtype), torch.zeros(dimension, dtype=drawn.dtype))
    first, total = [], []
    for i in range(dimension):
        mixed = a.clone()
        mixed[:, i] = b[:, i]
        change = function(mixed) - at_a
        first.append((at_b * change).mean())
        total.append(change.square().mean() / 2)
    return Indices((torch.stack(first) / variance).clamp_min(0), torch.stack(total) / variance)
