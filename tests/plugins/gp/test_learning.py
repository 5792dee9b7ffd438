"""What is learned of a history: noise is found where it is, and not where it is not."""

from __future__ import annotations

import pytest
import torch

from hyperhook import Float, Space
from hyperhook_plugins.gp.encoding import Encoding
from hyperhook_plugins.gp.history import History
from hyperhook_plugins.gp.learning import EXACT, Learned, is_noisy, learn

SPACE = Space({"a": Float(0.0, 1.0), "b": Float(0.0, 1.0)})


def learned(n: int, deviation: float, seed: int, distinct: int | None = None) -> Learned:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(distinct or n, 2, generator=generator, dtype=torch.float64).repeat(n // (distinct or n), 1)
    losses = (4 * x[:, 0]).sin() + (x[:, 1] - 0.4) ** 2
    losses = losses + deviation * torch.randn(n, generator=generator, dtype=torch.float64)
    tried = tuple({"a": a, "b": b} for a, b in x.tolist())
    return learn(History(tried, tuple(losses.tolist()), ()), Encoding.of(SPACE), torch.device("cpu"))


@pytest.mark.parametrize("n", [10, 25, 60])
def test_without_noise_none_is_found(n: int) -> None:
    assert not any(is_noisy(learned(n, 0.0, seed), 2, ()) for seed in range(5))


def test_noise_is_found_at_its_size() -> None:
    for seed in range(5):
        found = learned(60, 0.2, seed)
        assert is_noisy(found, 2, ())
        assert found.belief.noise.item() == pytest.approx(0.04 / 0.4, rel=0.8)


def test_few_losses_do_not_tell() -> None:
    assert sum(is_noisy(learned(10, 0.2, seed), 2, ()) for seed in range(8)) <= 2


def test_the_same_params_with_different_losses_are_noise() -> None:
    found = learned(30, 0.2, 0, distinct=6)
    assert is_noisy(found, 2, ())
    within = found.belief.y[0].reshape(5, 6).var(0).mean().item()
    assert found.belief.noise.item() == pytest.approx(within, rel=0.4)


def test_of_many_losses_the_telling_ones_are_seen() -> None:
    found = learned(EXACT + 50, 0.0, 0)
    assert len(found.rows) == len(found.belief.x) == EXACT
    assert found.rows == sorted(found.rows)
