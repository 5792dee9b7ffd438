"""The Gaussian process: its prior, and the hyperparameters that a fit gives it.

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
n                observations; C: columns (see `encoding`); d: parameters that vary; b: points
x       n x C    encoded inputs
y       n        losses, bent and standardised (see `warping`), less being better
ℓ       C        length scales, one a column
c                constant mean
σ²               variance of the noise; the variance of the signal is 1, that of the standardised losses
m(x)    b        the trend: what is expected of a loss before anything is observed (see `transfer`); often 0
a, τ             slope of the trend; amplitude of what is left of the losses without it; 0 and 1 where there is none
======  =======  ======================================================================================================

Losses with a trend are z = τ (c + a m(x)/τ + g(x)) with a Gaussian process g of variance 1, so outputs are y = z/τ.

All tensors are float64, on one device.

References:
    Hvarfner, Hellsten, Nardi: Vanilla Bayesian Optimization Performs Great in High Dimensions. ICML 2024.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, cast

import gpytorch
import numpy as np
import torch
from gpytorch.constraints import Positive
from gpytorch.kernels import MaternKernel
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.means import ConstantMean
from gpytorch.priors import LogNormalPrior
from torch import Tensor

from hyperhook_plugins.gp.warping import BEND_BOUNDS, BEND_PRIOR, Scale

__all__ = ["BOUNDS", "LOUD", "QUIET", "SILENT", "Noise", "Surrogate", "Trend"]

Trend: TypeAlias = Callable[[Tensor], Tensor]
"""From ``b x C`` encoded points to ``b`` losses, in whatever unit, less being better; differentiable."""

BOUNDS = {
    "lengthscale": (math.log(5e-2), math.log(1e3)),
    "noise": (math.log(1e-6), math.log(1.0)),
    "amplitude": (math.log(0.1), math.log(2.0)),
}
"""Where the fit stays, on logarithms, so that no step of a line search leaves what float64 can factor."""
MODE, SPREAD = math.sqrt(2) - 3, 1.4
"""Of the length scales' prior, on a logarithmic scale: its mode in one dimension, its standard deviation."""


class Noise(NamedTuple):
    """What noise is expected: a log-normal prior of its variance, where that of the signal is 1, and a first guess."""

    location: float
    scale: float
    start: float


QUIET = Noise(-6.0, 2.0, math.exp(-10.0))
"""Next to none, as long as the losses allow. Wider and lower than BoTorch's LogNormal(-4, 1): where noise is overrated,
expected improvement goes back to the best point again and again, and the search gets stuck at a local minimum."""
LOUD = Noise(-2.0, 1.5, 0.1)
"""Noise of a third of the signal's deviation, give or take a factor of two."""
SILENT = Noise(math.log(1e-5), 0.5, 1e-5)
"""None but what keeps the kernel matrix positive definite."""


class Surrogate(gpytorch.models.ExactGP):  # type: ignore[misc]
    """An exact GP with constant mean and ARD Matérn-5/2 kernel, its hyperparameters at the mode of their priors.

    The length scales have a log-normal prior with the mode of that of Hvarfner et al. (2024): as inputs get further
    apart with √d, so do the length scales that are expected, which keeps functions as complex as in few dimensions. It
    is narrower (σ = 1.4 in place of √3), and ends at a twentieth of a parameter's range: else noise in few losses is
    explained by functions so wild that nothing is learned from one point about the next.

    Args:
        x: Encoded inputs, ``n x C``.
        scale: The losses.
        dimension: d.
        noise: What noise is expected.
        straight: Do not bend the losses.
        trend: What is expected of the losses.

    Attributes:
        scale: The losses.
        expected: What noise is expected.
        trend: What is expected of the losses; None for nothing.
        log_likelihood: log p(losses | hyperparameters), once they are fitted.
        log_bend: How the losses are bent: log c of `warping`.
        slope: a.
        amplitude: τ.
        priors: Those of a length scale and of the noise.
    """

    likelihood: GaussianLikelihood
    mean_module: ConstantMean
    covar_module: MaternKernel
    train_inputs: tuple[Tensor, ...]

    def __init__(
        self,
        x: Tensor,
        scale: Scale,
        dimension: int,
        noise: Noise = QUIET,
        *,
        straight: bool = False,
        trend: Trend | None = None,
    ) -> None:
        log_scale: dict[str, Any] = {"transform": torch.exp, "inv_transform": torch.log}
        centre = MODE + SPREAD**2 + math.log(max(dimension, 1)) / 2
        lengthscale = LogNormalPrior(x.new_tensor(centre), x.new_tensor(SPREAD))
        variance = LogNormalPrior(x.new_tensor(noise.location), x.new_tensor(noise.scale))
        likelihood = GaussianLikelihood(
            noise_prior=variance, noise_constraint=Positive(**log_scale, initial_value=noise.start)
        )
        self.straight, self.log_bend = straight, BEND_BOUNDS[1] if straight else BEND_PRIOR[0]
        self.scale, self.expected, self.log_likelihood = scale, noise, -math.inf
        self.trend, self.slope, self.amplitude = trend, 0.0, 1.0
        self.priors = lengthscale, variance
        super().__init__(x, scale.bent(self.log_bend).z, likelihood)
        self.mean_module = ConstantMean()
        self.covar_module = MaternKernel(
            nu=2.5,
            ard_num_dims=x.shape[-1],
            lengthscale_prior=lengthscale,
            lengthscale_constraint=Positive(**log_scale, initial_value=lengthscale.mode),
        )
        self.to(x)

    def forward(self, x: Tensor) -> gpytorch.distributions.MultivariateNormal:
        """Return the prior at ``n x C`` inputs."""
        return gpytorch.distributions.MultivariateNormal(cast(Tensor, self.mean_module(x)), self.covar_module(x))

    def learned(
        self, theta: np.ndarray[Any, np.dtype[np.float64]], constant: float, slope: float, log_likelihood: float
    ) -> None:
        """Take over hyperparameters.

        Args:
            theta: log ℓ, log σ², log c and, with a trend, log τ: ``C + 2`` or ``C + 3``.
            constant: The mean.
            slope: a.
            log_likelihood: log p(losses | θ).
        """
        width = self.train_inputs[0].shape[-1]
        values = torch.from_numpy(np.exp(theta)).to(self.train_inputs[0])
        self.covar_module.lengthscale = values[:width]
        self.likelihood.noise = values[width]
        self.mean_module.constant.data.fill_(constant)
        self.log_bend, self.log_likelihood = float(theta[width + 1]), log_likelihood
        if self.trend is not None:
            self.slope, self.amplitude = slope, math.exp(theta[width + 2])
        self.train_targets = self.scale.bent(self.log_bend).z / self.amplitude

    def expectation(self, x: Tensor) -> Tensor:
        """Return the prior mean of the outputs at ``b x C`` points: ``b x 1``, or a scalar where it is the same."""
        constant = cast(Tensor, self.mean_module.constant).detach()
        if self.trend is None or not self.slope:
            return constant
        return constant + self.slope / self.amplitude * self.trend(x)[:, None]
