"""The Gaussian process is the one that its docstrings describe."""

from __future__ import annotations

import math

import pytest
import torch
from gpytorch.priors import LogNormalPrior
from torch import Tensor

from hyperhook_plugins.gp.model import LOUD, Surrogate
from hyperhook_plugins.gp.warping import Scale


def data(n: int, d: int, seed: int = 0) -> tuple[Tensor, Scale]:
    x = torch.rand(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x, Scale.of((x * torch.arange(1, d + 1)).sum(-1).sin())


def test_the_kernel_is_a_matern_with_a_length_scale_per_column() -> None:
    x, scale = data(5, 3)
    model = Surrogate(x, scale, 3)
    scales = torch.tensor([0.3, 1.0, 4.0], dtype=torch.float64)
    model.covar_module.lengthscale = scales
    r = math.sqrt(5) * torch.cdist(x / scales, x / scales)
    assert torch.allclose(model.covar_module(x).to_dense(), (1 + r + r**2 / 3) * torch.exp(-r), atol=1e-7)


def test_the_noise_has_a_wide_prior() -> None:
    prior = Surrogate(*data(4, 2), 2).likelihood.noise_covar.noise_prior
    assert (prior.loc.item(), prior.scale.item()) == (-6.0, 2.0)
    loud = Surrogate(*data(4, 2), 2, LOUD).likelihood
    assert loud.noise.item() == pytest.approx(0.1)
    assert loud.noise_covar.noise_prior.loc.item() == -2.0


@pytest.mark.parametrize("d", [1, 6, 40])
def test_the_length_scales_have_the_dimension_scaled_prior(d: int) -> None:
    model = Surrogate(*data(4, d), d)
    prior = model.covar_module.lengthscale_prior
    hvarfners = LogNormalPrior(math.sqrt(2) + math.log(d) / 2, math.sqrt(3))
    assert prior.mode.item() == pytest.approx(hvarfners.mode.item())
    assert prior.scale.item() == pytest.approx(1.4)
    assert model.covar_module.lengthscale.tolist()[0] == pytest.approx([prior.mode.item()] * d)
