"""The Gaussian process: its prior, its fit, and what it believes about points not tried.

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
n                observations; C: columns (see `encoding`); d: parameters that vary; M: fantasies; b: points
x       n x C    encoded inputs
y       n        standardised losses, less being better
ℓ       C        length scales, one a column
c                constant mean
σ²               variance of the noise; the variance of the signal is 1, that of the standardised losses
K       n x n    kernel matrix with the noise on its diagonal, K = L Lᵀ
α       n x M    K⁻¹ (y − c), a column for each fantasy
======  =======  ======================================================================================================

All tensors are float64, on one device.

References:
    Rasmussen, Williams: Gaussian Processes for Machine Learning. MIT Press 2006 (algorithm 2.1).
    Hvarfner, Hellsten, Nardi: Vanilla Bayesian Optimization Performs Great in High Dimensions. ICML 2024.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import gpytorch
import numpy as np
import torch
from botorch.models.model import Model
from gpytorch.constraints import Positive
from gpytorch.kernels import MaternKernel
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.means import ConstantMean
from gpytorch.priors import LogNormalPrior
from scipy.optimize import minimize
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

__all__ = ["Belief", "Moments", "Outputs", "Surrogate", "cholesky", "fit", "standardise"]

log = logging.getLogger("hyperhook")

BOUNDS = {
    "raw_lengthscale": (math.log(1e-2), math.log(1e3)),
    "raw_noise": (math.log(1e-6), math.log(1.0)),
    "raw_constant": (-10.0, 10.0),
}
"""Where the fit stays, so that no step of a line search leaves what float64 can factor."""
FENCE = 3.0
NOISE_PRIOR = (-6.0, 2.0)
MAX_ITERATIONS = 60
JITTERS = (0.0, 1e-8, 1e-6, 1e-4)


@dataclass(frozen=True, slots=True)
class Outputs:
    """How losses become what the Gaussian process sees, and how what it believes becomes losses again.

    Losses are shifted and scaled to mean 0 and standard deviation 1; equal ones become 0. Those far above the others
    come down to Tukey's outer fence first, three quartile ranges above the upper quartile: how badly a training
    diverged tells nothing about the best ones, which one huge value would make look all alike.

    Attributes:
        unit: The greatest magnitude of the losses; the other three are fractions of it, so that nothing overflows.
        fence: Greater losses count as this.
        shift: Mean of the losses.
        scale: Standard deviation of the losses; 0 where they are equal.

    References:
        Tukey: Exploratory Data Analysis. Addison-Wesley 1977.
    """

    unit: float
    fence: float
    shift: float
    scale: float

    @classmethod
    def of(cls, losses: Tensor) -> Outputs:
        """Learn from losses.

        Args:
            losses: ``n``, finite; huge ones (1e308) do not overflow.
        """
        unit = losses.abs().max().clamp_min(torch.finfo(losses.dtype).tiny)
        scaled = losses / unit
        lower, upper = torch.quantile(scaled, scaled.new_tensor([0.25, 0.75]))
        fence = upper + FENCE * (upper - lower) if upper > lower else scaled.max()
        fenced = scaled.clamp_max(fence)
        deviation = (fenced - fenced.mean()).square().mean().sqrt().item()
        return cls(unit.item(), fence.item(), fenced.mean().item(), deviation if deviation > 1e-12 else 0.0)

    def standardised(self, losses: Tensor) -> Tensor:
        """Return losses as the Gaussian process sees them; same shape."""
        if not self.scale:
            return torch.zeros_like(losses)
        return ((losses / self.unit).clamp_max(self.fence) - self.shift) / self.scale

    def losses(self, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and standard deviations of losses from standardised ones, each of the same shape; finite."""
        greatest = torch.finfo(mean.dtype).max
        means, stds = self.unit * (self.shift + self.scale * mean), self.unit * self.scale * std
        return means.clamp(-greatest, greatest), stds.clamp_max(greatest)


def standardise(losses: Tensor) -> Tensor:
    """Return finite losses, ``n``, as `Outputs` makes the Gaussian process see them."""
    return Outputs.of(losses).standardised(losses)


class Surrogate(gpytorch.models.ExactGP):  # type: ignore[misc]
    """An exact GP with constant mean and ARD Matérn-5/2 kernel, its hyperparameters at the mode of their priors.

    The length scales have the prior LogNormal(√2 + log(d)/2, √3) of Hvarfner et al. (2024): as inputs get further
    apart with √d, so do the length scales that are expected, which keeps functions as complex as in few dimensions.
    The noise has the prior LogNormal(-6, 2), wider and lower than BoTorch's LogNormal(-4, 1): where noise is overrated,
    expected improvement goes back to the best point again and again, and the search gets stuck at a local minimum.
    All hyperparameters but the mean are fitted on a logarithmic scale.

    Args:
        x: Encoded inputs, ``n x C``.
        y: Standardised losses, ``n``.
        dimension: d.
    """

    likelihood: GaussianLikelihood
    mean_module: ConstantMean
    covar_module: MaternKernel
    train_inputs: tuple[Tensor, ...]

    def __init__(self, x: Tensor, y: Tensor, dimension: int) -> None:
        log_scale: dict[str, Any] = {"transform": torch.exp, "inv_transform": torch.log}
        lengthscale = LogNormalPrior(math.sqrt(2) + math.log(max(dimension, 1)) / 2, math.sqrt(3))
        noise = LogNormalPrior(*NOISE_PRIOR)
        likelihood = GaussianLikelihood(
            noise_prior=noise, noise_constraint=Positive(**log_scale, initial_value=noise.mode)
        )
        super().__init__(x, y, likelihood)
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


def fit(model: Surrogate) -> Surrogate:
    """Move the hyperparameters to their most probable values given the data (MAP), by L-BFGS-B; return the model.

    The objective is GPyTorch's exact log marginal likelihood plus the log priors, with Cholesky factors at any n: the
    iterative solvers that GPyTorch would otherwise take for large n draw random numbers.

    Raises:
        RuntimeError: The objective is not finite at the start (``torch.linalg.LinAlgError`` is one, too).
    """
    x, y = model.train_inputs[0], cast(Tensor, model.train_targets)
    evidence = gpytorch.mlls.ExactMarginalLogLikelihood(model.likelihood, model)
    parameters = dict(model.named_parameters())

    def negative(vector: np.ndarray) -> tuple[float, np.ndarray]:
        vector_to_parameters(torch.from_numpy(vector).to(x), parameters.values())
        loss = -cast(Tensor, evidence(model(x), y))
        gradient = torch.autograd.grad(loss, list(parameters.values()))
        return loss.item(), parameters_to_vector(gradient).cpu().numpy()

    bounds = [
        BOUNDS[name.rpartition(".")[2]] for name, parameter in parameters.items() for _ in range(parameter.numel())
    ]
    start = parameters_to_vector(parameters.values()).detach().cpu().numpy()
    model.train()
    with gpytorch.settings.fast_computations(covar_root_decomposition=False, log_prob=False, solves=False):
        if not np.isfinite(negative(start)[0]):
            raise RuntimeError("the log marginal likelihood is not finite at the prior's mode")
        found = minimize(
            negative, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": MAX_ITERATIONS}
        )
    vector_to_parameters(torch.from_numpy(found.x).to(x), parameters.values())
    return model


class Moments(NamedTuple):
    """Mean and variance, in the shape that BoTorch's acquisition functions ask of a posterior."""

    mean: Tensor
    variance: Tensor


class Belief(Model):  # type: ignore[misc]
    """What a fitted GP believes, given observations that may go on into M fantasies; a BoTorch model of batch M.

    The Cholesky factor and the weights are computed once, so that a prediction costs a kernel row and two products.

    Args:
        surrogate: The fitted GP; its kernel, mean and noise are used, its own data are not.
        x: Inputs, ``n x C``.
        y: Outputs, ``M x n``.

    Raises:
        RuntimeError: The kernel matrix cannot be factored, even with jitter.
    """

    def __init__(self, surrogate: Surrogate, x: Tensor, y: Tensor) -> None:
        super().__init__()
        self.surrogate = surrogate.requires_grad_(False)
        self.x, self.y = x, y
        self.constant = cast(Tensor, surrogate.mean_module.constant).detach()
        self.noise = surrogate.likelihood.noise.detach()
        covariance = self._covariance(x, x)
        self.factor = cholesky(covariance + self.noise * torch.eye(len(x), dtype=x.dtype, device=x.device))
        self.weights = torch.cholesky_solve((y - self.constant).mT, self.factor)
        self.inverse = torch.linalg.solve_triangular(self.factor, torch.eye(len(x)).to(x), upper=False)

    @property
    def num_outputs(self) -> int:
        """One: the loss."""
        return 1

    @property
    def batch_shape(self) -> torch.Size:
        """(M,)."""
        return torch.Size([len(self.y)])

    def _covariance(self, a: Tensor, b: Tensor) -> Tensor:
        covariance: Tensor = self.surrogate.covar_module.forward(a, b)
        return covariance

    def mean(self, x: Tensor) -> Tensor:
        """Return the mean, ``b x M``, at ``b x C`` points: `moments` without the variance, which takes far longer."""
        return self.constant + self._covariance(x, self.x) @ self.weights

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean ``b x M`` and variance ``b`` of the noiseless loss at ``b x C`` points."""
        row = self._covariance(x, self.x)
        mean = self.constant + row @ self.weights
        variance = 1 - (row @ self.inverse.mT).square().sum(-1)
        return mean, variance.clamp_min(1e-12)

    def posterior(self, X: Tensor, *_: object, **__: object) -> Moments:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the moments, each ``b x M x 1 x 1``, at ``b x 1 x 1 x C`` points."""
        mean, variance = self.moments(X[:, 0, 0])
        return Moments(mean[..., None, None], variance[:, None, None, None].expand(*mean.shape, 1, 1))

    @property
    def best(self) -> Tensor:
        """The lowest mean at an input, ``M``: noise, which the lowest output would carry along, is averaged out."""
        return self.moments(self.x)[0].amin(0)

    @property
    def evidence(self) -> float:
        """The log marginal likelihood of the outputs of the first fantasy: equation 2.30 of Rasmussen & Williams."""
        fit, complexity = (self.y[0] - self.constant) @ self.weights[:, 0] / 2, self.factor.diagonal().log().sum()
        return float(-fit - complexity - len(self.x) / 2 * math.log(2 * math.pi))

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
        rows = self._covariance(x, self.x) @ self.inverse.mT
        covariance = self._covariance(x, x) - rows @ rows.mT
        factor = cholesky(covariance + self.noise * torch.eye(len(x), dtype=x.dtype, device=x.device))
        drawn = self.moments(x)[0].mT + normals @ factor.mT
        return Belief(
            self.surrogate,
            torch.cat([self.x, x]),
            torch.cat([self.y.expand(len(normals), -1), drawn], dim=-1),
        )


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
