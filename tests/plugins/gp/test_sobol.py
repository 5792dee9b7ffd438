"""Sobol's indices are those that are known in closed form."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hyperhook_plugins.gp.sobol import sobol_indices


def ishigami(units: Tensor) -> Tensor:
    x = math.pi * (2 * units - 1)
    return x[:, 0].sin() + 7 * x[:, 1].sin() ** 2 + 0.1 * x[:, 2] ** 4 * x[:, 0].sin()


def test_ishigami_s_function() -> None:
    # Ishigami & Homma 1990: V1 = (1 + b π⁴/5)²/2, V2 = a²/8, V13 = b² π⁸ 8/225, with a = 7 and b = 0.1
    alone, second, both = (1 + 0.1 * math.pi**4 / 5) ** 2 / 2, 49 / 8, 0.01 * math.pi**8 * 8 / 225
    whole = alone + second + both
    found = sobol_indices(ishigami, 3)
    assert found.first.tolist() == pytest.approx([alone / whole, second / whole, 0.0], abs=0.02)
    assert found.total.tolist() == pytest.approx([(alone + both) / whole, second / whole, both / whole], abs=0.02)


def test_where_nothing_interacts_first_and_total_are_the_shares_of_the_variance() -> None:
    weights = torch.tensor([0.0, 1.0, 2.0, 3.0], dtype=torch.float64)
    found = sobol_indices(lambda units: units @ weights, 4)
    shares = (weights**2 / (weights**2).sum()).tolist()
    assert found.first.tolist() == pytest.approx(shares, abs=0.01)
    assert found.total.tolist() == pytest.approx(shares, abs=0.01)
    assert found.total[0] == 0.0


def test_a_product_is_all_interaction() -> None:
    found = sobol_indices(lambda units: (2 * units - 1).prod(-1), 3)
    assert found.first.tolist() == pytest.approx([0.0] * 3, abs=0.05)
    assert found.total.tolist() == pytest.approx([1.0] * 3, abs=0.05)


def test_a_constant_has_none() -> None:
    found = sobol_indices(lambda units: torch.full(units.shape[:1], 3.0, dtype=units.dtype), 2)
    assert found.first.tolist() == found.total.tolist() == [0.0, 0.0]


def test_the_function_sees_snapped_points_and_the_answer_is_always_the_same() -> None:
    def function(units: Tensor) -> Tensor:
        assert set(units[:, 0].tolist()) <= {0.25, 0.75}
        return units.sum(-1)

    def snap(units: Tensor) -> Tensor:
        return torch.stack([torch.where(units[:, 0] < 0.5, 0.25, 0.75), units[:, 1]], dim=-1)

    state = torch.random.get_rng_state()
    one, other = (sobol_indices(function, 2, snap) for _ in range(2))
    assert torch.equal(one.total, other.total)
    assert one.total.tolist() == pytest.approx([3 / 7, 4 / 7], abs=0.01)  # 1/16 and 1/12
    assert torch.equal(state, torch.random.get_rng_state())
