"""What a Gaussian process believes about points not tried.

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
n                observations; C: columns (see `encoding`); M: fantasies; b: points; p: trials that run
x       n x C    encoded inputs
y       n        outputs of the model (see `model`), less being better
m(x)    b        what the model expects before anything is observed
σ²               variance of the noise; the variance of the signal is 1
K       n x n    kernel matrix with the noise on its diagonal, K = L Lᵀ
α       n x M    K⁻¹ (y − m(X)), a column for each fantasy
======  =======  ======================================================================================================

All tensors are float64, on one device.

References:
    Rasmussen, Williams: Gaussian Processes for Machine Learning. MIT Press 2006 (algorithm 2.1).
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hyperhook_plugins.gp.model import Surrogate

__all__ = ["Belief", "Root", "cholesky", "covariance"]

log = logging.getLogger("hyperhook")

NOISELESS = 1e-5
"""Variance of the noise that is left where it is taken out: K has to be factored."""
JITTERS = (0.0, 1e-8, 1e-6, 1e-4)


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


class Root(NamedTuple):
    """A kernel matrix, factored.

    Attributes:
        factor: L, ``n x n``, lower.
        inverse: L⁻¹.
    """

    factor: Tensor
    inverse: Tensor

    @classmethod
    def of(cls, kernel: Tensor) -> Root:
        """Factor a kernel matrix.

        Raises:
            RuntimeError: It is not positive definite, even with jitter.
        """
        factor = cholesky(kernel)
        return cls(factor, torch.linalg.solve_triangular(factor, _identity(factor), upper=False))

    def extended(self, rows: Tensor, corner: Tensor) -> Root:
        """Return that of a matrix with p more rows and columns; costs p n² where a new one costs n³.

        Args:
            rows: ``p x n``: the new points' covariance with the others, times L⁻ᵀ.
            corner: The lower factor, ``p x p``, of what that leaves of their covariance with each other.
        """
        last = torch.linalg.solve_triangular(corner, _identity(corner), upper=False)
        return Root(_stacked(self.factor, rows, corner), _stacked(self.inverse, -(last @ rows) @ self.inverse, last))


class Belief:
    """What a fitted GP believes, given observations that may go on into M fantasies: a batch of M beliefs.

    The Cholesky factor and the weights are computed once, so that a prediction costs a kernel row and two products.
    What a trial that runs adds to them is appended.

    Args:
        surrogate: The fitted GP; its kernel, mean and noise are used, its own data are not.
        x: Inputs, ``n x C``.
        y: Outputs, ``M x n``.
        noise: Variance of the outputs' noise; by default the fitted one.
        known: What is known of the noise of each output in addition, ``n``.
        root: The factored kernel matrix, where that is known.

    Raises:
        RuntimeError: The kernel matrix cannot be factored, even with jitter.
    """

    def __init__(
        self,
        surrogate: Surrogate,
        x: Tensor,
        y: Tensor,
        noise: Tensor | None = None,
        known: Tensor | None = None,
        root: Root | None = None,
    ) -> None:
        self.surrogate: Surrogate = surrogate.requires_grad_(False)
        self.x, self.y = x, y
        self.constant = cast(Tensor, surrogate.mean_module.constant).detach()
        self.noise = surrogate.likelihood.noise.detach() if noise is None else noise
        self.known = x.new_zeros(len(x)) if known is None else known
        self.scales = cast(Tensor, surrogate.covar_module.lengthscale).detach()[0]
        self.scaled = x / self.scales
        if root is None:
            root = Root.of(covariance(self.scaled, self.scaled) + torch.diag(self.noise + self.known))
        self.root, (self.factor, self.inverse) = root, root
        self.weights = torch.cholesky_solve(y.mT - surrogate.expectation(x), self.factor)

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
        rows, corner = self._joint(x, self.noise)
        drawn = self.mean(x).mT + normals @ corner.mT
        return Belief(
            self.surrogate,
            torch.cat([self.x, x]),
            torch.cat([self.y.expand(len(normals), -1), drawn], dim=-1),
            self.noise,
            torch.cat([self.known, self.known.new_zeros(len(x))]),
            self.root.extended(rows, corner),
        )

    def draw(self, x: Tensor, normals: Tensor, noise: Tensor) -> Tensor:
        """Return joint draws of the loss, ``M x p``.

        Args:
            x: Points, ``p x C``.
            normals: Independent standard normal numbers, ``M x p``.
            noise: Variance of what is added to the noiseless loss; needed above 0 where points come close.
        """
        _, corner = self._joint(x, noise)
        return self.mean(x).mT + normals @ corner.mT

    def _joint(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return k(x, X) L⁻ᵀ, ``p x n``, and the lower factor of the points' covariance given the data, ``p x p``."""
        scaled = x / self.scales
        rows = covariance(scaled, self.scaled) @ self.inverse.mT
        return rows, cholesky(covariance(scaled, scaled) - rows @ rows.mT + noise * _identity(x))

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
    identity = _identity(matrix)
    for jitter in JITTERS:
        factor: Tensor
        factor, info = torch.linalg.cholesky_ex(matrix + jitter * identity)
        if not info.any() and factor.isfinite().all():
            if jitter:
                log.info("gp: the kernel matrix needed jitter %g", jitter)
            return factor
    raise RuntimeError(f"a {len(matrix)} x {len(matrix)} kernel matrix is not positive definite, even with jitter 1e-4")


def _identity(like: Tensor) -> Tensor:
    """Return the identity, ``n x n``, for a tensor of n rows."""
    return torch.eye(len(like), dtype=like.dtype, device=like.device)


def _stacked(first: Tensor, below: Tensor, corner: Tensor) -> Tensor:
    """Return the lower triangular matrix of two such, ``n x n`` and ``p x p``, and what lies below the first."""
    right = first.new_zeros(len(first), len(corner))
    return torch.cat([torch.cat([first, right], dim=1), torch.cat([below, corner], dim=1)])
