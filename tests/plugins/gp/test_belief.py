"""What is believed of points not tried: GPyTorch's posterior, fantasies, and matrices that defy factoring."""

from __future__ import annotations

import logging

import gpytorch
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hyperhook_plugins.gp.belief import Belief, cholesky, covariance
from hyperhook_plugins.gp.evidence import fit
from hyperhook_plugins.gp.model import Surrogate
from hyperhook_plugins.gp.warping import Scale


def data(n: int, d: int, seed: int = 0) -> tuple[Tensor, Scale]:
    x = torch.rand(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x, Scale.of((x * torch.arange(1, d + 1)).sum(-1).sin())


def belief_of(x: Tensor, scale: Scale) -> Belief:
    surrogate = fit(Surrogate(x, scale, x.shape[-1]))
    return Belief(surrogate, x, surrogate.train_targets[None])


def test_where_nothing_is_observed_the_trend_is_expected() -> None:
    x, scale = data(20, 3)
    model = fit(Surrogate(x, scale, 3, trend=lambda points: (points * torch.arange(1, 4)).sum(-1).sin()))
    belief = Belief(model, x, model.train_targets[None])
    far = 1e6 + data(2, 3, seed=1)[0]
    expected = belief.constant + model.slope / model.amplitude * (far * torch.arange(1, 4)).sum(-1).sin()
    assert belief.mean(far)[:, 0].tolist() == pytest.approx(expected.tolist())
    assert belief.moments(far)[1].tolist() == pytest.approx([1.0] * 2)
    assert (belief.mean(x)[:, 0] - model.train_targets).abs().max() < 0.1
    fantasies = belief.fantasise(far, torch.zeros(1, 2, dtype=torch.float64))
    assert fantasies.mean(far)[:, 0].tolist() == pytest.approx(expected.tolist(), abs=1e-3)


def test_the_belief_is_gpytorchs_posterior() -> None:
    x, scale = data(20, 3)
    model = fit(Surrogate(x, scale, 3))
    mean, variance = Belief(model, x, model.train_targets[None]).moments(new := data(7, 3, seed=1)[0])
    model.eval()
    with torch.no_grad(), gpytorch.settings.fast_pred_var(False):
        expected = model(new)
    assert torch.allclose(mean[:, 0], expected.mean, atol=1e-6)
    assert torch.allclose(variance, expected.variance, atol=1e-6)


def test_the_belief_interpolates_and_is_unsure_far_away() -> None:
    belief = belief_of(*data(20, 2))
    x, y = belief.x, belief.y[0]
    mean, variance = belief.moments(x)
    assert (mean[:, 0] - y).abs().max() < 0.15
    far = belief.moments(torch.full((1, 2), 50.0, dtype=torch.float64))
    assert far[0].item() == pytest.approx(belief.constant.item(), abs=1e-2)
    assert far[1].item() == pytest.approx(1.0, abs=1e-2)
    assert variance.max() < 0.05


def test_the_covariance_has_a_slope() -> None:
    a, b = data(4, 3)[0], data(6, 3, seed=1)[0]
    assert torch.autograd.gradcheck(lambda x: covariance(x, b), a.requires_grad_())
    assert covariance(b, b).diagonal().tolist() == pytest.approx([1.0] * 6)


def test_fantasies_agree_in_the_mean_and_are_sure_where_trials_run() -> None:
    belief = belief_of(*data(8, 2))
    pending = torch.tensor([[0.1, 0.9], [0.95, 0.05]], dtype=torch.float64)
    normals = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    after = belief.fantasise(pending, normals)
    assert after.y.shape == (4000, 10)
    new = data(5, 2, seed=2)[0]
    assert torch.allclose(after.moments(new)[0].mean(1), belief.moments(new)[0][:, 0], atol=0.05)
    # the law of total variance: what is unknown now is what fantasies leave open, and how they differ
    open_, differing = after.moments(new)[1], after.moments(new)[0].var(1)
    assert torch.allclose(open_ + differing, belief.moments(new)[1], rtol=0.1, atol=1e-3)
    assert (after.moments(pending)[1] < belief.moments(pending)[1] / 2).all()


def test_a_singular_matrix_gets_jitter_and_a_hopeless_one_an_error(caplog: pytest.LogCaptureFixture) -> None:
    ones = torch.ones(3, 3, dtype=torch.float64)
    with caplog.at_level(logging.INFO, logger="hyperhook"):
        factor = cholesky(ones)
    assert torch.allclose(factor @ factor.mT, ones, atol=1e-3)
    assert "jitter" in caplog.text
    with pytest.raises(RuntimeError, match="not positive definite"):
        cholesky(-ones)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(1, 12), st.integers(1, 5), st.integers(0, 1000))
def test_what_is_appended_is_as_if_it_had_been_there_from_the_start(n: int, p: int, d: int, seed: int) -> None:
    belief = belief_of(*data(n, d, seed))
    pending = data(p, d, seed + 1)[0]
    pending[0] = belief.x[0]  # a trial that runs where another one ended
    normals = torch.randn(3, p, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    appended = belief.fantasise(pending, normals)
    whole = Belief(belief.surrogate, appended.x, appended.y, belief.noise, appended.known)
    new = data(6, d, seed + 2)[0]
    assert torch.allclose(appended.factor @ appended.inverse, torch.eye(n + p).double(), atol=1e-6)
    for one, other in zip(appended.moments(new), whole.moments(new), strict=True):
        assert torch.allclose(one, other, atol=1e-4)
