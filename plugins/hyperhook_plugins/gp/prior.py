"""What the user believes about where good values lie, in the search for the next point (πBO).

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
x       b x C    encoded points (see `encoding`)
units   b x D    points of the unit cube
π(x)             density of the priors of all active parameters, relative to a space without priors: 1 without any
n                trials so far
======  =======  ======================================================================================================

The acquisition is multiplied by π(x)^(β/n), so that a prior leads at first, and in the end only what was measured
counts: one that misleads costs time, and hides nothing for good. For the same reason each parameter's density is mixed
with a little of the uniform one (`DOUBT`), below which it does not fall.

References:
    Hvarfner, Stoll, Souza, Lindauer, Hutter, Nardi: πBO: Augmenting Acquisition Functions with User Beliefs for
    Bayesian Optimization. ICLR 2022.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TypeAlias

import torch
from torch import Tensor

from hyperhook import Beta, Choice, Float, Int, LogNormal, Normal, Space
from hyperhook_plugins.gp.encoding import Encoding, is_unordered

__all__ = ["by_quantiles", "log_prior", "with_prior"]

BETA = 10.0
"""After how many trials a prior weighs as much as the acquisition: a tenth of the budget, as in SMAC, of 100 trials."""
DOUBT = 1e-6
"""How much of each prior is uniform after all."""
_EDGE = 1e-9  # how near to its ends a coordinate is looked at, where logarithms and their gradients are finite

_LogDensity: TypeAlias = Callable[[Tensor], Tensor]


def with_prior(score: Callable[[Tensor], Tensor], encoding: Encoding, trials: int) -> Callable[[Tensor], Tensor]:
    """Return a function that scores points with the user's priors in view; the same one where there are none.

    Args:
        score: The logarithm of an acquisition: from ``b x C`` encoded points to ``b`` scores, more being better.
        encoding: The space's encoding.
        trials: n, how many trials there are, 1 or more.

    Returns:
        log α(x) + β/n log π(x), as differentiable as `score` is.
    """
    if not encoding.space.has_prior:
        return score
    belief, weight = log_prior(encoding), BETA / max(trials, 1)
    return lambda x: score(x) + weight * belief(x)


def log_prior(encoding: Encoding) -> _LogDensity:
    """Return the function log π: from ``b x C`` encoded points to ``b``; differentiable in the continuous columns."""
    terms = [
        (_log_density(parameter), columns, _gate(encoding, name))
        for (name, parameter), columns in zip(encoding.space.items(), encoding.columns, strict=True)
        if _informed(parameter) and columns.start < columns.stop
    ]

    def log_pi(x: Tensor) -> Tensor:
        total = x.new_zeros(len(x))
        for density, columns, gate in terms:
            each = torch.logaddexp(density(x[:, columns]), x.new_tensor(math.log(DOUBT)))
            total = total + (each if gate is None else torch.where(x[:, gate] > 0, each, 0.0))
        return total

    return log_pi


def by_quantiles(space: Space, units: Tensor) -> Tensor:
    """Map uniform points of the unit cube to points that are distributed as the priors say.

    Args:
        space: The space.
        units: ``b x D``.

    Returns:
        ``b x D``; the coordinates of parameters without a prior as they were.
    """
    moved = units.clone()
    for i, parameter in enumerate(space.values()):
        if _informed(parameter):
            drawn = [parameter.to_unit(parameter.quantile(p)) for p in units[:, i].tolist()]
            moved[:, i] = torch.tensor(drawn, dtype=units.dtype)
    return moved


def _informed(parameter: Float | Int | Choice) -> bool:
    return (parameter.weights if isinstance(parameter, Choice) else parameter.prior) is not None


def _gate(encoding: Encoding, name: str) -> int | None:
    """Return the column that is above 0 where a parameter is active; None where it always is."""
    space, names = encoding.space, list(encoding.space)
    condition = space.condition(name)
    while condition is not None:
        choice, columns = space[condition.parent], encoding.columns[names.index(condition.parent)]
        if isinstance(choice, Choice) and columns.start < columns.stop:
            first: int = columns.start
            return first + choice.index(condition.option)
        condition = space.condition(condition.parent)  # the only option there is: active where its parent is
    return None


def _log_density(parameter: Float | Int | Choice) -> _LogDensity:
    """Return the logarithm of a parameter's density: from its ``b x columns`` to ``b``."""
    if is_unordered(parameter):
        shares = torch.tensor([parameter.log_density(o) for o in parameter.options], dtype=torch.float64)
        return lambda hot: shares[hot.argmax(dim=-1)]
    if parameter.cardinality is None and isinstance(parameter, Float):
        return _continuous(parameter)
    at = cache(lambda unit: parameter.log_density(parameter.from_unit(unit)))
    return lambda units: units.new_tensor([at(unit) for unit in units[:, 0].tolist()])


def _continuous(parameter: Float) -> _LogDensity:
    """Return the same for a continuous parameter: the form of its density in torch, with the constant of the core."""
    shape = _shape(parameter)
    middle = parameter.quantile(0.5)
    reference: float = shape(torch.tensor([parameter.to_unit(middle)], dtype=torch.float64)).item()
    constant = parameter.log_density(middle) - reference
    return lambda units: shape(units[:, 0]) + constant


def _shape(parameter: Float) -> _LogDensity:
    """Return the logarithm of the density by the unit coordinate, up to a constant; from ``b`` units to ``b``."""
    low, high = map(math.log, (parameter.low, parameter.high)) if parameter.log else (parameter.low, parameter.high)

    def place(units: Tensor) -> Tensor:
        return low + units.clamp(_EDGE, 1 - _EDGE) * (high - low)  # the value, or its logarithm on such a scale

    match parameter.prior:
        case Normal(mean=mean, std=std):

            def normal(units: Tensor) -> Tensor:
                value = place(units).exp() if parameter.log else place(units)
                return -((value - mean) / std).square() / 2 + (place(units) if parameter.log else 0.0)

            return normal
        case LogNormal(median=median, sigma=sigma):

            def log_normal(units: Tensor) -> Tensor:
                logarithm = place(units) if parameter.log else place(units).log()
                z = (logarithm - math.log(median)) / sigma
                return -z.square() / 2 - (0.0 if parameter.log else logarithm)

            return log_normal
        case Beta(a=a, b=b):

            def beta(units: Tensor) -> Tensor:
                inner = units.clamp(_EDGE, 1 - _EDGE)
                return (a - 1) * inner.log() + (b - 1) * (-inner).log1p()

            return beta
    return torch.zeros_like
