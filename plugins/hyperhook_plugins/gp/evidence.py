"""The fit: hyperparameters at their most probable values given the losses.

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
n                observations; C: columns (see `encoding`)
S       C x n²   5 times the squared distance of each pair of points in each column
ℓ       C        length scales
σ²               variance of the noise, in addition to what standard errors tell
c                the bend (see `warping`)
t, a    n        the trend at the points, and its slope (see `model`); none, and 0, by default
τ                amplitude of what the trend leaves; 1 without a trend
θ       C + 2    log ℓ, log σ², log c; with a trend log τ, too: C + 3
z       n        losses at that bend
K       n x n    kernel matrix with the noise on its diagonal; α = K⁻¹(z/τ − m), where the mean m = c₀ + a t/τ
======  =======  ======================================================================================================

log p(θ | losses) = log N(z/τ; m, K) − n log τ + Σ log dz/du + log p(θ, a). The mean is not searched for: its best
values at given K solve a linear equation, with a normal prior for the slope, which is 0 where it would fall below. The
gradient is written out, in one pass over S, since for a hundred points what automatic differentiation costs is several
times what the algebra does.

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
SLOPE, SLOPE_DEVIATION = 1.0, 1.0
"""Prior of a trend's slope: losses of both sides have deviation 1, so about 1 where the trend is right."""
AMPLITUDE = (-1.0, 0.7)
"""Mean and deviation of log τ."""
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
        self.trend = None if model.trend is None else model.trend(model.train_inputs[0][among])
        self.squares = 5 * (x.mT[:, :, None] - x.mT[:, None, :]).square().reshape(self.width, -1)
        self.known = model.scale.variances[among]
        priors = [model.priors[0]] * self.width + [model.priors[1]]
        further = [BEND_PRIOR] if self.trend is None else [BEND_PRIOR, AMPLITUDE]
        self.means = np.array([*(prior.loc.item() for prior in priors), *(mean for mean, _ in further)])
        self.deviations = np.array([*(prior.scale.item() for prior in priors), *(scale for _, scale in further)])
        # GPyTorch's are densities of ℓ and σ² themselves
        self.jacobian = np.array([1.0] * len(priors) + [0.0] * len(further))
        self.constant = self.slope = self.log_likelihood = 0.0

    def __call__(self, theta: Vector) -> tuple[float, Vector]:
        """Return value and gradient at θ; a huge value and no slope where K cannot be factored."""
        n, squares = self.count, self.squares
        weights = torch.from_numpy(np.exp(-2 * theta[: self.width])).to(squares)
        noise = math.exp(theta[self.width])
        amplitude = 1.0 if self.trend is None else math.exp(theta[-1])
        known = self.known / amplitude**2
        bent = self.scale.bent(theta[self.width + 1], self.among)
        square = weights @ squares
        r = square.sqrt()
        decay = torch.exp(-r)
        kernel = (1 + r + square / 3).mul_(decay).view(n, n)
        kernel.diagonal().add_(known + noise)
        factor, info = torch.linalg.cholesky_ex(kernel)
        if info.item():
            return 1e10, np.zeros_like(theta)
        inverse = torch.cholesky_inverse(factor)
        y = bent.z / amplitude
        centred, alpha = self._explained(inverse, y, amplitude)
        value = -0.5 * float(alpha @ centred) - float(factor.diagonal().log().sum()) - n * math.log(amplitude)
        outer = torch.outer(alpha, alpha).sub_(inverse)
        slope = ((1 + r).mul_(decay)).mul_(outer.view(-1)).div_(6)
        gradient = np.empty_like(theta)
        gradient[: self.width] = (squares @ slope * weights).cpu().numpy()
        gradient[self.width] = 0.5 * noise * float(outer.diagonal().sum())
        gradient[self.width + 1] = bent.log_density_slope - float(alpha @ bent.slope) / amplitude
        self.log_likelihood = value + bent.log_density - 0.5 * n * math.log(2 * math.pi)
        distance = (theta - self.means) / self.deviations
        posterior = self.log_likelihood - 0.5 * float(distance @ distance) - float(self.jacobian @ theta)
        if self.trend is not None:
            gradient[-1] = float(alpha @ centred) - n - float(outer.diagonal() @ known)
            posterior -= 0.5 * ((self.slope - SLOPE) / SLOPE_DEVIATION) ** 2
        gradient -= distance / self.deviations + self.jacobian
        return -posterior / n, -gradient / n

    def _explained(self, inverse: Tensor, y: Tensor, amplitude: float) -> tuple[Tensor, Tensor]:
        """Find the best mean at given K; return y without it, and α."""
        ones = inverse.sum(1)
        solved = inverse @ y
        if self.trend is not None:
            trend = self.trend / amplitude
            along = inverse @ trend
            along = along - along.sum() / ones.sum() * ones  # what a constant can explain is left to it
            precision = SLOPE_DEVIATION**-2
            slope = float(along @ y + SLOPE * precision) / float(along @ trend + precision)
            self.slope = max(slope, 0.0)
            y = y - self.slope * trend
            solved = inverse @ y
        self.constant = float(solved.sum() / ones.sum())
        return y - self.constant, solved - self.constant * ones


def fit(model: Surrogate) -> Surrogate:
    """Move the hyperparameters to their most probable values given the data (MAP); return the model.

    L-BFGS-B starts from the priors' modes and the noise that is expected. More than `FITTED` points say hardly more
    about hyperparameters, and cost more by the cube: the most telling ones are taken.

    Raises:
        RuntimeError: The objective is not finite at the start (``torch.linalg.LinAlgError`` is one, too).
    """
    evidence = Evidence(model, telling(model.train_inputs[0], model.scale.u, FITTED))
    start = evidence.means - evidence.jacobian * evidence.deviations**2
    start[evidence.width] = math.log(model.expected.start)
    bend = (BEND_BOUNDS[1], BEND_BOUNDS[1]) if model.straight else BEND_BOUNDS
    start[evidence.width + 1] = min(max(start[evidence.width + 1], bend[0]), bend[1])
    bounds = [BOUNDS["lengthscale"]] * evidence.width + [BOUNDS["noise"], bend, BOUNDS["amplitude"]]
    if not np.isfinite(evidence(start)[0]):
        raise RuntimeError("the log marginal likelihood is not finite at the prior's mode")
    options = {"maxiter": MAX_ITERATIONS, "ftol": ENOUGH}
    found = minimize(evidence, start, jac=True, method="L-BFGS-B", bounds=bounds[: len(start)], options=options).x
    evidence(found)
    model.learned(found, evidence.constant, evidence.slope, evidence.log_likelihood)
    return model
