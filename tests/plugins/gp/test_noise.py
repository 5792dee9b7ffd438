"""Noise is found where it is, and not where it is not."""

from __future__ import annotations

import pytest
import torch

from hyperhook_plugins.gp.model import Belief, Surrogate, fit, standardise
from hyperhook_plugins.gp.noise import noisy


def belief(n: int, deviation: float, seed: int) -> Belief:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 2, generator=generator, dtype=torch.float64)
    losses = (4 * x[:, 0]).sin() + (x[:, 1] - 0.4) ** 2
    y = standardise(losses + deviation * torch.randn(n, generator=generator, dtype=torch.float64))
    return Belief(fit(Surrogate(x, y, 2)), x, y[None])


@pytest.mark.parametrize("n", [10, 25, 60])
def test_without_noise_none_is_found(n: int) -> None:
    assert all(noisy(belief(n, 0.0, seed), 2) is None for seed in range(5))


def test_noise_is_found_at_its_size() -> None:
    for seed in range(5):
        found = noisy(before := belief(60, 0.2, seed), 2)
        assert found is not None
        assert found.evidence > before.evidence
        scale = ((4 * before.x[:, 0]).sin() + (before.x[:, 1] - 0.4) ** 2).var().item() + 0.04
        assert found.noise.item() == pytest.approx(0.04 / scale, rel=0.8)


def test_few_losses_do_not_tell() -> None:
    assert sum(noisy(belief(10, 0.2, seed), 2) is not None for seed in range(8)) <= 2


def test_the_same_params_with_different_losses_are_noise() -> None:
    x = torch.linspace(0, 1, 6, dtype=torch.float64).repeat(5)[:, None]
    y = standardise((6 * x[:, 0]).sin() + 0.3 * torch.randn(30, generator=torch.Generator().manual_seed(0)).double())
    found = noisy(Belief(fit(Surrogate(x, y, 1)), x, y[None]), 1)
    assert found is not None
    within = y.reshape(5, 6).var(0).mean().item()
    assert found.noise.item() == pytest.approx(within, rel=0.3)


def test_equal_losses_have_none() -> None:
    x = torch.rand(12, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.zeros(12, dtype=torch.float64)
    assert noisy(Belief(fit(Surrogate(x, y, 2)), x, y[None]), 2) is None
