"""Of many observations the telling ones are chosen."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from hyperhook_plugins.gp.subset import telling


@given(st.integers(1, 60), st.integers(2, 40), st.integers(0, 100))
def test_as_many_as_asked_for_in_order_and_the_best_among_them(n: int, count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, losses = torch.rand(n, 3, generator=generator), torch.rand(n, generator=generator)
    chosen = telling(x, losses, count)
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert len(chosen) == min(n, count)
    assert losses.argmin() in chosen


def test_half_are_near_the_best_and_the_others_are_of_every_quality() -> None:
    x = torch.linspace(0, 1, 1000, dtype=torch.float64)[:, None]
    chosen = telling(x, (x[:, 0] - 0.3).abs(), 100)
    near = (x[chosen, 0] - 0.3).abs() < 0.03
    assert 50 <= near.sum() <= 60
    assert (x[chosen, 0] > 0.9).sum() > 3
