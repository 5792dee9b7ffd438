"""Losses as the Gaussian process sees them: bent until they look normal, with mean 0 and deviation 1.

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
n                observations
u       n        losses shifted and scaled: 0 is the lowest, 1 about the median
c                the bend: far above the losses nothing bends, at 0.01 all but the best ones are seen as logarithms
t       n        log(1 + u/c)
z       n        t with mean 0 and deviation 1
======  =======  ======================================================================================================

Losses often span orders of magnitude, with details that matter among the lowest. The family above goes from the
identity to the logarithm, is monotone, and its bend is fitted together with the hyperparameters by the marginal
likelihood of the losses themselves, so with the logarithm of dz/du as a term of it (a warped Gaussian process).

References:
    Snelson, Rasmussen, Ghahramani: Warped Gaussian Processes. NeurIPS 2003.
    Box, Cox: An Analysis of Transformations. JRSS B 1964 (the shifted logarithm).
    Tukey: Exploratory Data Analysis. Addison-Wesley 1977 (the outer fence).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["BEND_BOUNDS", "BEND_PRIOR", "Scale"]

FENCE = 3.0
BEND_PRIOR = (2.0, 1.5)
"""Mean and deviation of log c: mostly mild, since few losses can look bent by chance."""
BEND_BOUNDS = (-5.0, 6.0)
UTMOST = 1e9
"""A loss so many times greater than ordinary ones counts as one so great, so that nothing overflows."""
CERTAIN = 1e4
"""A standard error of a hundred deviations of all losses says as little as a greater one."""
LOWEST = math.expm1(-5.0)
"""Below the lowest loss the logarithm soon ends; to here, and no further, losses are told apart."""


@dataclass(frozen=True)
class Scale:
    """How the losses of one history become u and z, and back.

    Args:
        losses: ``n``, finite; huge ones (1e308) do not overflow.

    Attributes:
        u: ``n``; those far above the others (three quartile ranges of log(1 + u) above its upper quartile) come down to
            there: how badly a training diverged tells nothing about the best ones.
        low: The lowest loss.
        errors: The losses' own standard errors in the same unit, ``n``; 0 where none is known.
        unit: How far the median lies above it, in sizes; the quartiles' distance where these are equal, the whole range
            where most losses are, and 0 where all are.
        size: The greatest size of a loss that did not diverge. In sizes nothing overflows: of losses of ±1.7e308 the
            range is no number.
    """

    u: Tensor
    errors: Tensor
    low: float
    unit: float
    size: float

    @classmethod
    def of(cls, losses: Tensor, errors: Tensor | None = None) -> Scale:
        """Shift and scale losses, and their standard errors if these are known."""
        none = torch.zeros_like(losses)
        calm = losses[losses <= losses.quantile(0.75, interpolation="lower")]  # what diverged sets no scale
        spread = calm if calm.max() > calm.min() else losses
        size = spread.abs().max().clamp_min(torch.finfo(losses.dtype).tiny)
        scaled = (losses / size).clamp_max(UTMOST)
        low = scaled.min()
        first, middle, third = torch.quantile(scaled, scaled.new_tensor([0.25, 0.5, 0.75]), interpolation="lower")
        unit = middle - low
        if not unit > 1e-12:
            unit = third - first
        if not unit > 1e-12:
            unit = scaled.max() - low
        if not unit > 1e-12:
            return cls(none, none, float(losses.min()), 0.0, float(size))
        u = (scaled - low) / unit
        lower, upper = torch.quantile(u.log1p(), u.new_tensor([0.25, 0.75]))
        if upper > lower:
            u = u.clamp_max(torch.expm1(upper + FENCE * (upper - lower)))
        known = none if errors is None else errors / size / unit
        return cls(u, known, float(losses.min()), float(unit), float(size))

    def bent(self, log_bend: float, among: Tensor | None = None) -> Bent:
        """Return z, and what the fit needs of it, for one bend.

        Args:
            log_bend: log c.
            among: The positions of the losses that the fit sees; all of them by default.
        """
        c = math.exp(log_bend)
        t = torch.log1p(self.u / c)
        slope = -self.u / (self.u + c)  # of t by log c
        centre, deviation = t.mean(), t.std(correction=0)
        if not deviation > 0:
            zero = torch.zeros_like(t if among is None else among, dtype=t.dtype)
            return Bent(zero, zero, 0.0, 0.0, 0.0, 1.0)
        z = (t - centre) / deviation
        stretch = (z * slope).mean() / deviation
        tilt = (slope - slope.mean()) / deviation - z * stretch
        seen = self.u if among is None else self.u[among]
        return Bent(
            z if among is None else z[among],
            tilt if among is None else tilt[among],
            float(-(seen + c).log().sum() - len(seen) * deviation.log()),
            float(-(c / (seen + c)).sum() - len(seen) * stretch),
            float(centre),
            float(deviation),
        )

    @property
    def variances(self) -> Tensor:
        """What the standard errors add to the noise of z, ``n``, at the bend that is expected at first."""
        c = math.exp(BEND_PRIOR[0])
        deviation = max(self.bent(BEND_PRIOR[0]).deviation, 1e-9)
        return (self.errors / (self.u + c) / deviation).square().clamp_max(CERTAIN)

    def z(self, loss: float, bent: Bent, log_bend: float) -> float:
        """Return a loss as the Gaussian process would see it, also where it lies outside of those that were seen."""
        c = math.exp(log_bend)
        u = (loss / self.size - self.low / self.size) / self.unit if self.unit else 0.0
        return (math.log1p(max(u / c, LOWEST)) - bent.centre) / bent.deviation

    def losses(self, bent: Bent, log_bend: float, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and standard deviations of losses whose z is normal, each of the same shape; finite."""
        greatest = torch.finfo(mean.dtype).max
        if not self.unit:
            return torch.full_like(mean, self.low), torch.zeros_like(std)
        u, deviation = bent.unbent(log_bend, mean, std)
        means = (self.low / self.size + self.unit * u) * self.size
        return means.clamp(-greatest, greatest), (self.unit * deviation * self.size).clamp_max(greatest)


@dataclass(frozen=True)
class Bent:
    """Losses at one bend.

    Attributes:
        z: ``n``.
        slope: Derivative of z by log c, ``n``.
        log_density: Σ log dz/du.
        log_density_slope: Its derivative by log c.
        centre: Mean of t.
        deviation: Standard deviation of t.
    """

    z: Tensor
    slope: Tensor
    log_density: float
    log_density_slope: float
    centre: float
    deviation: float

    def unbent(self, log_bend: float, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and standard deviations of u where z is normal, each of the same shape.

        log(c + u) is normal then, so u has the moments of a log-normal variable, less c.
        """
        variance = (self.deviation * std).square()
        moved = (self.centre + self.deviation * mean + variance / 2 + log_bend).exp()
        return moved - math.exp(log_bend), moved * torch.expm1(variance).sqrt()
