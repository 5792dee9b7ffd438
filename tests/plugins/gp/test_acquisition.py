"""Log expected improvement is the logarithm of expected improvement."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hyperhook_plugins.gp.acquisition import log_expected_improvement
from hyperhook_plugins.gp.model import Belief, Surrogate, fit, standardise


def belief_of(n: int = 6) -> Belief:
    x = torch.rand(n, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    y = standardise((5 * x[:, 0]).sin() + x[:, 1])
    return Belief(fit(Surrogate(x, y, 2)), x, y[None])


def points(n: int) -> Tensor:
    return torch.rand(n, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def closed_form(mean: Tensor, variance: Tensor, best: Tensor) -> Tensor:
    normal = torch.distributions.Normal(0.0, 1.0)
    u = (best - mean) / variance.sqrt()
    return variance.sqrt() * (normal.log_prob(u).exp() + u * normal.cdf(u))


def test_it_is_the_log_of_the_closed_form() -> None:
    belief, x = belief_of(), points(40)
    mean, variance = belief.moments(x)
    expected = closed_form(mean[:, 0], variance, belief.best[0])
    near = expected > 1e-6
    assert near.sum() > 5
    assert torch.allclose(log_expected_improvement(belief)(x)[near], expected[near].log(), rtol=1e-5)


def test_over_fantasies_it_is_the_log_of_the_average() -> None:
    normals = torch.randn(8, 1, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    belief, x = belief_of().fantasise(torch.tensor([[0.5, 0.5]]).double(), normals), points(40)
    mean, variance = belief.moments(x)
    expected = closed_form(mean, variance[:, None], belief.best).mean(1)
    near = expected > 1e-6
    assert near.sum() > 5
    assert torch.allclose(log_expected_improvement(belief)(x)[near], expected[near].log(), rtol=1e-4)


def test_where_expected_improvement_underflows_its_log_still_has_a_slope() -> None:
    x = torch.linspace(0, 1, 12, dtype=torch.float64)[:, None]
    y = standardise(x[:, 0] ** 2)
    surrogate = Surrogate(x, y, 1)
    surrogate.likelihood.noise = 1e-6
    surrogate.covar_module.lengthscale = 1.0
    belief = Belief(surrogate, x, y[None])
    new = torch.tensor([[0.9], [0.8]], dtype=torch.float64, requires_grad=True)
    value = log_expected_improvement(belief)(new)
    (gradient,) = torch.autograd.grad(value.sum(), new)
    mean, variance = belief.moments(new.detach())
    assert closed_form(mean[:, 0], variance, belief.best[0]).max().item() == pytest.approx(0.0, abs=1e-300)
    assert value.isfinite().all()
    assert (value < math.log(1e-300)).all()
    assert (gradient.isfinite() & (gradient != 0)).all()
