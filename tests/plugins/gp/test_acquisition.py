"""The acquisition functions are what their names say."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from botorch.acquisition import LogExpectedImprovement
from botorch.models.model import Model
from torch import Tensor

from hyperhook_plugins.gp.acquisition import (
    expected_improvement,
    lower_confidence_bound,
    probability_of_improvement,
)
from hyperhook_plugins.gp.belief import Belief
from hyperhook_plugins.gp.evidence import fit
from hyperhook_plugins.gp.model import Surrogate
from hyperhook_plugins.gp.paths import draw_path
from hyperhook_plugins.gp.warping import Scale


def belief_of(n: int = 6) -> Belief:
    x = torch.rand(n, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    surrogate = fit(Surrogate(x, Scale.of((5 * x[:, 0]).sin() + x[:, 1]), 2))
    return Belief(surrogate, x, surrogate.train_targets[None])


class Known(Model):  # type: ignore[misc]
    """A model that believes the same everywhere."""

    num_outputs = 1
    batch_shape = torch.Size()

    def __init__(self, mean: Tensor, variance: Tensor) -> None:
        super().__init__()
        self.mean, self.variance, self.best = mean, variance, torch.zeros(1).double()

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean, self.variance

    def posterior(self, X: Tensor, *_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(mean=self.mean[..., None], variance=self.variance[:, None, None])


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
    assert torch.allclose(expected_improvement(belief)(x)[near], expected[near].log(), rtol=1e-5)


def test_over_fantasies_it_is_the_log_of_the_average() -> None:
    normals = torch.randn(8, 1, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    belief, x = belief_of().fantasise(torch.tensor([[0.5, 0.5]]).double(), normals), points(40)
    mean, variance = belief.moments(x)
    expected = closed_form(mean, variance[:, None], belief.best).mean(1)
    near = expected > 1e-6
    assert near.sum() > 5
    assert torch.allclose(expected_improvement(belief)(x)[near], expected[near].log(), rtol=1e-4)


def test_where_expected_improvement_underflows_its_log_still_has_a_slope() -> None:
    x = torch.linspace(0, 1, 12, dtype=torch.float64)[:, None]
    surrogate = Surrogate(x, Scale.of(x[:, 0] ** 2), 1)
    surrogate.likelihood.noise = 1e-6
    surrogate.covar_module.lengthscale = 1.0
    belief = Belief(surrogate, x, surrogate.train_targets[None])
    new = torch.tensor([[0.9], [0.8]], dtype=torch.float64, requires_grad=True)
    value = expected_improvement(belief)(new)
    (gradient,) = torch.autograd.grad(value.sum(), new)
    mean, variance = belief.moments(new.detach())
    assert closed_form(mean[:, 0], variance, belief.best[0]).max().item() == pytest.approx(0.0, abs=1e-300)
    assert value.isfinite().all()
    assert (value < math.log(1e-300)).all()
    assert (gradient.isfinite() & (gradient != 0)).all()


@pytest.mark.parametrize("u", [-1e6, -1e3, -50.01, -49.99, -20.0, -1.001, -0.999, 0.0, 3.0, 40.0])
def test_it_is_botorchs_far_out_too(u: float) -> None:
    mean, one = torch.tensor(-u, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64)
    ours = expected_improvement(Known(mean[None, None], one[None]))(torch.zeros(1, 1).double())
    theirs = LogExpectedImprovement(Known(mean[None, None], one[None]), best_f=0.0, maximize=False)
    assert ours.item() == pytest.approx(theirs(torch.zeros(1, 1, 1).double()).item(), rel=1e-8, abs=1e-12)


def test_the_probability_of_improvement_is_the_one_that_draws_show() -> None:
    belief, x = belief_of(), points(20)
    normals = torch.randn(20_000, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    drawn = belief.draw(x, normals, torch.tensor(1e-9, dtype=torch.float64))
    shown = (drawn < belief.best).double().mean(0)
    assert torch.allclose(probability_of_improvement(belief)(x).exp(), shown, atol=0.02)


def test_the_bound_falls_with_the_mean_and_with_what_is_not_known() -> None:
    belief, x = belief_of(), points(20)
    mean, variance = belief.moments(x)
    root = (lower_confidence_bound(belief, 2)(x) + mean[:, 0]) / variance.sqrt()
    assert root.tolist() == pytest.approx([math.sqrt(0.2 * 2 * math.log(12))] * 20)


def test_noise_hides_which_point_is_best() -> None:
    belief, x = belief_of(), points(3)
    normals = torch.randn(4_000, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    hidden = belief.denoised(normals)
    assert hidden.y.shape == (4_000, 6)
    assert torch.allclose(hidden.mean(x).mean(1), belief.mean(x)[:, 0], atol=0.05)
    expected = (hidden.best[None] - hidden.mean(x)).clamp_min(0).mean(1)  # what certainty would bring, at least
    assert (expected_improvement(hidden)(x).exp() > expected - 1e-9).all()


def test_paths_have_the_moments_of_the_belief_and_pass_by_the_data() -> None:
    belief, x = belief_of(), points(5)
    generator = torch.Generator().manual_seed(2)
    drawn = torch.stack([-draw_path(belief, generator)(torch.cat([x, belief.x])) for _ in range(2_000)])
    mean, variance = belief.moments(torch.cat([x, belief.x]))
    assert torch.allclose(drawn.mean(0), mean[:, 0], atol=0.06)
    assert torch.allclose(drawn.var(0), variance, atol=0.02, rtol=0.15)


@pytest.mark.parametrize("name", ["ei", "pi", "ucb", "path"])
def test_their_slopes_are_those_of_their_values(name: str) -> None:
    belief = belief_of().fantasise(points(1), torch.randn(3, 1, generator=torch.Generator().manual_seed(7)).double())
    scores = {
        "ei": expected_improvement(belief),
        "pi": probability_of_improvement(belief),
        "ucb": lower_confidence_bound(belief, 2),
        "path": draw_path(belief_of(), torch.Generator().manual_seed(0)),
    }
    assert torch.autograd.gradcheck(scores[name], points(4).requires_grad_(), atol=1e-4, rtol=1e-4)
