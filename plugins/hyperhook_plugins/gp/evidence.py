"""The fit: hyperparameters at their most probable values given the losses.

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
n                observations; C: columns (see `encoding`)
S       C x n²   5 times the squared distance of each pair of points in each column
ℓ       C        length scales
σ²               variance of the noise, in addition to what standard errors tell
c                the bend (see `warping`)
θ       C + 2    log ℓ, log σ², log c
z       n        losses at that bend
K       n x n    kernel matrix with the noise on its diagonal; α = K⁻¹(z − m)
======  =======  ======================================================================================================

log p(θ | losses) = log N(z; m, K) + Σ log dz/du + log p(θ). The mean m is not searched for: at given K its best value
is 1ᵀK⁻¹z / 1ᵀK⁻¹1. The gradient is written out, in one pass over S, since for a hundred points what automatic
differentiation costs is several times what the algebra does.

References:
    Rasmussen, Williams: Gaussian Processes for Machine Learning. MIT Press 2006 (equations 2.30 and 5.9).
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from hyperhook_plugins.gp.model import BOUNDS, Surrogate
from hyperhook_plugins.gp.subset import telling
from hyperhook_plugins.gp.warping import BEND_BOUNDS, BEND_PRIOR

__all__ = ["Evidence", "fit"]

Vector: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.float64]]"

FITTED = 200
MAX_ITERATIONS = 60
ENOUGH = 1e-6
"""The fit ends where a step gains less than this share of the objective."""


class Evidence:
    """Minus the logarithm of the posterior density of the hyperparameters, for each observation, and its gradient.

    Args:
        model: Where the points, the losses and the priors are.
        among: The positions of those that count, ``n``.
    """

    def __init__(self, model: Surrogate, among: Tensor) -> None:
        x = model.train_inputs[0][among]
        self.count, self.width = x.shape
        self.scale, self.among = model.scale, among
        self.squares = 5 * (x.mT[:, :, None] - x.mT[:, None, :]).square().reshape(self.width, -1)
        self.known = model.scale.variances[among]
        priors = [model.priors[0]] * self.width + [model.priors[1]]
        self.means = np.array([*(prior.loc.item() for prior in priors), BEND_PRIOR[0]])
        self.deviations = np.array([*(prior.scale.item() for prior in priors), BEND_PRIOR[1]])
        self.jacobian = np.array([1.0] * len(priors) + [0.0])  # those of GPyTorch are densities of ℓ and σ² themselves
        self.constant = self.log_likelihood = 0.0

    def __call__(self, theta: Vector) -> tuple[float, Vector]:
        """Return value and gradient at θ; a huge value and no slope where K cannot be factored."""
        n, squares = self.count, self.squares
        weights = torch.from_numpy(np.exp(-2 * theta[: self.width])).to(squares)
        noise = math.exp(theta[-2])
        bent = self.scale.bent(theta[-1], self.among)
        square = weights @ squares
        r = square.sqrt()
        decay = torch.exp(-r)
        kernel = (1 + r + square / 3).mul_(decay).view(n, n)
        kernel.diagonal().add_(self.known + noise)
        factor, info = torch.linalg.cholesky_ex(kernel)
        if info.item():
            return 1e10, np.zeros_like(theta)
        inverse = torch.cholesky_inverse(factor)
        ones = inverse.sum(1)
        solved = inverse @ bent.z
        self.constant = float(solved.sum() / ones.sum())
        alpha = solved - self.constant * ones
        value = -0.5 * float(alpha @ (bent.z - self.constant)) - float(factor.diagonal().log().sum())
        outer = torch.outer(alpha, alpha).sub_(inverse)
        slope = ((1 + r).mul_(decay)).mul_(outer.view(-1)).div_(6)
        gradient = np.empty_like(theta)
        gradient[: self.width] = (squares @ slope * weights).cpu().numpy()
        gradient[-2] = 0.5 * noise * float(outer.diagonal().sum())
        gradient[-1] = bent.log_density_slope - float(alpha @ bent.slope)
        self.log_likelihood = value + bent.log_density - 0.5 * n * math.log(2 * math.pi)
        distance = (theta - self.means) / self.deviations
        posterior = self.log_likelihood - 0.5 * float(distance @ distance) - float(self.jacobian @ theta)
        gradient -= distance / self.deviations + self.jacobian
        return -posterior / n, -gradient / n


def fit(model: Surrogate) -> Surrogate:
    """Move the hyperparameters to their most probable values given the data (MAP); return the model.

    L-BFGS-B starts from the priors' modes and the noise that is expected. More than `FITTED` points say hardly more
    about hyperparameters, and cost more by the cube: the most telling ones are taken.

    Raises:
        RuntimeError: The objective is not finite at the start (``torch.linalg.LinAlgError`` is one, too).
    """
    evidence = Evidence(model, telling(model.train_inputs[0], model.scale.u, FITTED))
    start = evidence.means - evidence.jacobian * evidence.deviations**2
    start[-2] = math.log(model.expected.start)
    bend = (BEND_BOUNDS[1], BEND_BOUNDS[1]) if model.straight else BEND_BOUNDS
    start[-1] = min(max(start[-1], bend[0]), bend[1])
    bounds = [BOUNDS["lengthscale"]] * evidence.width + [BOUNDS["noise"], bend]
    if not np.isfinite(evidence(start)[0]):
        raise RuntimeError("the log marginal likelihood is not finite at the prior's mode")
    options = {"maxiter": MAX_ITERATIONS, "ftol": ENOUGH}
    found = minimize(evidence, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    evidence(found)
    model.learned(found, evidence.constant, evidence.log_likelihood)
    return model
