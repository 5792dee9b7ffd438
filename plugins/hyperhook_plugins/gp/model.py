"""The Gaussian process: its prior, and what it believes about points not tried.

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
n                observations; C: columns (see `encoding`); d: parameters that vary; M: fantasies; b: points
x       n x C    encoded inputs
y       n        losses, bent and standardised (see `warping`), less being better
ℓ       C        length scales, one a column
c                constant mean
σ²               variance of the noise; the variance of the signal is 1, that of the standardised losses
m(x)    b        the trend: what is expected of a loss before anything is observed (see `transfer`); often 0
a, τ             slope of the trend; amplitude of what is left of the losses without it; 0 and 1 where there is none
K       n x n    kernel matrix with the noise on its diagonal, K = L Lᵀ
α       n x M    K⁻¹ (y − c − a m(x)/τ), a column for each fantasy
======  =======  ======================================================================================================

Losses with a trend are z = τ (c + a m(x)/τ + g(x)) with a Gaussian process g of variance 1, so outputs are y = z/τ.

All tensors are float64, on one device.

References:
    Rasmussen, Williams: Gaussian Processes for Machine Learning. MIT Press 2006 (algorithm 2.1).
    Hvarfner, Hellsten, Nardi: Vanilla Bayesian Optimization Performs Great in High Dimensions. ICML 2024.
"""

from __future__ import annotations

import logging
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
from torch.autograd.function import once_differentiable

from hyperhook_plugins.gp.warping import BEND_BOUNDS, BEND_PRIOR, Scale

__all__ = ["BOUNDS", "LOUD", "QUIET", "SILENT", "Belief", "Noise", "Surrogate", "Trend", "cholesky", "covariance"]

Trend: TypeAlias = Callable[[Tensor], Tensor]
"""From ``b x C`` encoded points to ``b`` losses, in whatever unit, less being better; differentiable."""

log = logging.getLogger("hyperhook")

BOUNDS = {
    "lengthscale": (math.log(5e-2), math.log(1e3)),
    "noise": (math.log(1e-6), math.log(1.0)),
    "amplitude": (math.log(0.1), math.log(2.0)),
}
"""Where the fit stays, on logarithms, so that no step of a line search leaves what float64 can factor."""
MODE, SPREAD = math.sqrt(2) - 3, 1.4
"""Of the length scales' prior, on a logarithmic scale: its mode in one dimension, its standard deviation."""
NOISELESS = 1e-5
"""Variance of the noise that is left where it is taken out: K has to be factored."""
JITTERS = (0.0, 1e-8, 1e-6, 1e-4)


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


class _Covariance(torch.autograd.Function):
    """Matérn's kernel with ν = 5/2 between scaled points, in few passes over ``b x n`` numbers."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        square = 5 * ((a * a).sum(-1)[:, None] + (b * b).sum(-1) - 2 * a @ b.mT).clamp_min_(0.0)
        r = square.sqrt()
        decay = torch.exp(-r)
        ctx.save_for_backward(a, b, r, decay)
        return square.div_(3).add_(r).add_(1).mul_(decay)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        a, b, r, decay = ctx.saved_tensors
        slope = (r + 1).mul_(decay).mul_(grads[0])
        return (a * slope.sum(-1, keepdim=True) - slope @ b) * (-5 / 3), None


def covariance(a: Tensor, b: Tensor) -> Tensor:
    """Return k between two sets of points over their length scales, ``b x n``, differentiable in the first.

    Args:
        a: ``b x C``.
        b: ``n x C``.
    """
    return cast(Tensor, _Covariance.apply(a, b))  # type: ignore[no-untyped-call]


class Belief:
    """What a fitted GP believes, given observations that may go on into M fantasies: a batch of M beliefs.

    The Cholesky factor and the weights are computed once, so that a prediction costs a kernel row and two products.

    Args:
        surrogate: The fitted GP; its kernel, mean and noise are used, its own data are not.
        x: Inputs, ``n x C``.
        y: Outputs, ``M x n``.
        noise: Variance of the outputs' noise; by default the fitted one.
        known: What is known of the noise of each output in addition, ``n``.

    Raises:
        RuntimeError: The kernel matrix cannot be factored, even with jitter.
    """

    def __init__(
        self, surrogate: Surrogate, x: Tensor, y: Tensor, noise: Tensor | None = None, known: Tensor | None = None
    ) -> None:
        self.surrogate: Surrogate = surrogate.requires_grad_(False)
        self.x, self.y = x, y
        self.constant = cast(Tensor, surrogate.mean_module.constant).detach()
        self.noise = surrogate.likelihood.noise.detach() if noise is None else noise
        self.known = x.new_zeros(len(x)) if known is None else known
        self.scales = cast(Tensor, surrogate.covar_module.lengthscale).detach()[0]
        self.scaled = x / self.scales
        kernel = covariance(self.scaled, self.scaled)
        self.factor = cholesky(kernel + torch.diag(self.noise + self.known))
        self.weights = torch.cholesky_solve(y.mT - surrogate.expectation(x), self.factor)
        self.inverse = torch.linalg.solve_triangular(self.factor, torch.eye(len(x)).to(x), upper=False)

    def mean(self, x: Tensor) -> Tensor:
        """Return the mean, ``b x M``, at ``b x C`` points: `moments` without the variance, which takes far longer."""
        return self.surrogate.expectation(x) + covariance(x / self.scales, self.scaled) @ self.weights

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean ``b x M`` and variance ``b`` of the noiseless loss at ``b x C`` points."""
        row = covariance(x / self.scales, self.scaled)
        mean = self.surrogate.expectation(x) + row @ self.weights
        variance = 1 - (row @ self.inverse.mT).square().sum(-1)
        return mean, variance.clamp_min(1e-12)

    @property
    def best(self) -> Tensor:
        """The lowest mean at an input, ``M``: noise, which the lowest output would carry along, is averaged out."""
        return self.mean(self.x).amin(0)

    def fantasise(self, x: Tensor, normals: Tensor) -> Belief:
        """Return the belief that takes running trials as if they had ended, in M different ways.

        Their losses are drawn together from what is believed now, so a point that another is close to brings little,
        and one whose outcome is open brings what it brings on average over the outcomes.

        Args:
            x: Inputs of the running trials, ``p x C``.
            normals: Independent standard normal numbers, ``M x p``.

        Returns:
            A belief over ``n + p`` inputs with batch M.
        """
        drawn = self.draw(x, normals, self.noise)
        return Belief(
            self.surrogate,
            torch.cat([self.x, x]),
            torch.cat([self.y.expand(len(normals), -1), drawn], dim=-1),
            known=torch.cat([self.known, self.known.new_zeros(len(x))]),
        )

    def draw(self, x: Tensor, normals: Tensor, noise: Tensor) -> Tensor:
        """Return joint draws of the loss, ``M x p``.

        Args:
            x: Points, ``p x C``.
            normals: Independent standard normal numbers, ``M x p``.
            noise: Variance of what is added to the noiseless loss; needed above 0 where points come close.
        """
        scaled = x / self.scales
        rows = covariance(scaled, self.scaled) @ self.inverse.mT
        joint = covariance(scaled, scaled) - rows @ rows.mT
        factor = cholesky(joint + noise * torch.eye(len(x), dtype=x.dtype, device=x.device))
        return self.mean(x).mT + normals @ factor.mT

    def denoised(self, normals: Tensor) -> Belief:
        """Return the belief that takes M draws of the noiseless losses at the inputs as if they had been observed.

        Args:
            normals: Independent standard normal numbers, ``M x n``.
        """
        tiny = self.noise.clamp_max(NOISELESS)
        return Belief(self.surrogate, self.x, self.draw(self.x, normals, tiny), tiny)


def cholesky(matrix: Tensor) -> Tensor:
    """Return the lower Cholesky factor of a covariance matrix, with growing jitter where it needs some.

    Args:
        matrix: ``n x n``, symmetric.

    Raises:
        RuntimeError: No jitter up to 1e-4 makes it positive definite.
    """
    identity = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    for jitter in JITTERS:
        factor: Tensor
        factor, info = torch.linalg.cholesky_ex(matrix + jitter * identity)
        if not info.any() and factor.isfinite().all():
            if jitter:
                log.info("gp: the kernel matrix needed jitter %g", jitter)
            return factor
    raise RuntimeError(f"a {len(matrix)} x {len(matrix)} kernel matrix is not positive definite, even with jitter 1e-4")
