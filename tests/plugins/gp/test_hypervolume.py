"""The volume that a point adds, by any number of objectives, and the slope where it adds nothing."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from botorch.utils.multi_objective.hypervolume import Hypervolume, infer_reference_point
from torch import Tensor

from hyperhook_plugins.gp.belief import Belief
from hyperhook_plugins.gp.hypervolume import front_of, hypervolume_improvement


class Known:
    """A belief that is sure of one objective, whose losses are a column of the points."""

    def __init__(self, column: int, points: Tensor, ways: int = 1) -> None:
        self.column, self.ways = column, ways
        self.y = points[:, column].expand(ways, -1)

    def mean(self, x: Tensor) -> Tensor:
        return x[:, self.column, None].expand(-1, self.ways)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean(x), torch.full((len(x),), 1e-12, dtype=x.dtype)


def known(points: Tensor, ways: int = 1) -> list[Belief]:
    return [cast(Belief, Known(column, points, ways)) for column in range(points.shape[1])]


def sphere(count: int, objectives: int) -> Tensor:
    """Return points of a front: less is better, and none dominates another."""
    generator = torch.Generator().manual_seed(objectives)
    drawn = torch.rand(count, objectives, generator=generator, dtype=torch.float64) + 0.05
    return 3 * (1 - drawn / drawn.norm(dim=-1, keepdim=True))


@pytest.mark.parametrize("ways", [1, 16])
@pytest.mark.parametrize("objectives", [2, 3, 4, 5])
def test_points_are_worth_the_volume_that_they_add(objectives: int, ways: int) -> None:
    front = sphere(12, objectives)
    reference = infer_reference_point(-front)
    middle = front.mean(0)
    better = torch.stack([middle - 0.1, middle - 0.4, front[0] - 0.2, front[3] - 0.5])
    volume = Hypervolume(reference)

    def dominated(points: Tensor) -> float:
        front = -points
        return float(volume.compute(front[(front > reference).all(-1)]))

    added = [dominated(torch.cat([front, one[None]])) - dominated(front) for one in better]
    worth = torch.stack(
        [hypervolume_improvement(known(front, ways), front, seed)(better).exp() for seed in range(8)]
    ).mean(0)
    shares = torch.tensor(added, dtype=torch.float64) / sum(added)
    assert torch.allclose(worth / worth.sum(), shares, atol=0.05)


@pytest.mark.parametrize("objectives", [2, 4])
def test_where_nothing_is_gained_the_slope_leads_to_the_front(objectives: int) -> None:
    front = sphere(10, objectives)
    behind = (front.mean(0) + 1.5)[None].requires_grad_()
    score = hypervolume_improvement(known(front), front, 0)
    value = score(behind)
    (slope,) = torch.autograd.grad(value.sum(), behind)
    assert value.isfinite().all()
    assert slope.isfinite().all()
    assert (slope <= 0).all()
    assert slope.abs().sum() > 1e-3
    assert score(front.mean(0)[None]) > value


def test_a_front_of_one_point_can_be_widened() -> None:
    point = torch.tensor([[-1.0, -1.0]], dtype=torch.float64)
    score = hypervolume_improvement(known(point), point, 0)
    worth = score(torch.tensor([[-1.3, -0.5], [-0.5, -0.5], [-0.5, -1.3]], dtype=torch.float64))
    assert worth[0] > worth[1] + 3
    assert worth[2] > worth[1] + 3


def test_the_front_is_what_nothing_dominates() -> None:
    points = torch.tensor([[1.0, 3.0], [2.0, 2.0], [3.0, 2.5], [3.0, 1.0]], dtype=torch.float64)
    assert front_of(known(points), points).tolist() == [0, 1, 3]
