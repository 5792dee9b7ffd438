"""Losses are bent, scaled, and brought back."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hyperhook_plugins.gp.warping import Scale


def tensor(*losses: float) -> Tensor:
    return torch.tensor(losses, dtype=torch.float64)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30), st.floats(-5.0, 6.0))
def test_any_losses_become_finite_in_the_same_order(losses: list[float], log_bend: float) -> None:
    scale = Scale.of(tensor(*losses))
    z = scale.bent(log_bend).z
    assert z.isfinite().all()
    order = z[torch.tensor(losses, dtype=torch.float64).argsort(stable=True)]
    assert (order.diff() >= -1e-9).all()


def test_they_have_mean_0_and_deviation_1() -> None:
    z = Scale.of(tensor(3.0, 9.0, 4.0, 1.0)).bent(0.0).z
    assert z.mean().item() == pytest.approx(0.0, abs=1e-12)
    assert z.std(correction=0).item() == pytest.approx(1.0)


def test_a_great_bend_is_none_and_a_small_one_is_a_logarithm() -> None:
    losses = tensor(1.0, 2.0, 5.0, 11.0)
    straight = (losses - losses.mean()) / losses.std(correction=0)
    assert torch.allclose(Scale.of(losses).bent(12.0).z, straight, atol=1e-4)
    logs = (losses - 1.0 + math.exp(-5)).log()
    assert torch.allclose(Scale.of(losses).bent(-5.0).z, (logs - logs.mean()) / logs.std(correction=0), atol=1e-9)


@pytest.mark.parametrize("losses", [[5.0], [2.0, 2.0, 2.0], [0.0, 0.0], [1e308, 1e308]])
def test_equal_losses_become_0(losses: list[float]) -> None:
    scale = Scale.of(tensor(*losses))
    assert scale.bent(2.0).z.tolist() == [0.0] * len(losses)
    mean, std = scale.losses(scale.bent(2.0), 2.0, tensor(0.3), tensor(0.5))
    assert (mean.tolist(), std.tolist()) == ([losses[0]], [0.0])


def test_outliers_come_down_to_the_fence_and_keep_their_side() -> None:
    z = Scale.of(tensor(1.0, 2.0, 3.0, 4.0, 5.0, 1e9)).bent(2.0).z
    assert z.argsort().tolist() == list(range(6))
    assert z[0] < z[4] - 0.1  # the ordinary ones can still be told apart


def test_where_most_losses_are_equal_the_others_stay_as_they_are() -> None:
    assert Scale.of(tensor(*[1.0] * 9, 7.0)).bent(9.0).z[9].item() == pytest.approx(3.0, abs=1e-3)


def test_huge_losses_do_not_overflow() -> None:
    assert Scale.of(tensor(-1e308, 1e308, 0.0)).bent(12.0).z.tolist() == pytest.approx(
        [-math.sqrt(1.5), math.sqrt(1.5), 0.0], abs=1e-3
    )


def test_the_slopes_are_those_of_the_values() -> None:
    scale, among = Scale.of(tensor(0.1, 0.2, 0.7, 3.0, 4.0, 20.0)), torch.tensor([0, 1, 3, 5])
    bent, above, below = (scale.bent(0.5 + step, among) for step in (0.0, 1e-6, -1e-6))
    assert torch.allclose(bent.slope, (above.z - below.z) / 2e-6, atol=1e-7)
    assert bent.log_density_slope == pytest.approx((above.log_density - below.log_density) / 2e-6, rel=1e-6)


@pytest.mark.parametrize("log_bend", [-2.0, 0.0, 6.0])
def test_what_is_believed_of_z_becomes_what_is_believed_of_losses(log_bend: float) -> None:
    losses = tensor(1.0, 2.0, 2.5, 4.0, 8.0)
    scale = Scale.of(losses)
    bent = scale.bent(log_bend)
    mean, std = scale.losses(bent, log_bend, bent.z, torch.zeros(5).double())
    assert torch.allclose(mean, losses)
    assert std.tolist() == pytest.approx([0.0] * 5)
    z = 0.3 + 0.2 * torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn, _ = scale.losses(bent, log_bend, z, torch.zeros_like(z))
    mean, std = scale.losses(bent, log_bend, tensor(0.3), tensor(0.2))
    assert (mean.item(), std.item()) == pytest.approx((drawn.mean().item(), drawn.std().item()), rel=2e-2)
    assert torch.stack(scale.losses(bent, log_bend, tensor(1e300), tensor(1e300))).isfinite().all()
