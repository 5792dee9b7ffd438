"""The Gaussian process is the one that its docstrings describe."""

from __future__ import annotations

import logging
import math

import gpytorch
import pytest
import torch
from gpytorch.priors import LogNormalPrior
from torch import Tensor

from hyperhook_plugins.gp.evidence import fit
from hyperhook_plugins.gp.model import LOUD, Belief, Surrogate, cholesky, covariance
from hyperhook_plugins.gp.warping import Scale


def data(n: int, d: int, seed: int = 0) -> tuple[Tensor, Scale]:
    x = torch.rand(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x, Scale.of((x * torch.arange(1, d + 1)).sum(-1).sin())


def belief_of(x: Tensor, scale: Scale) -> Belief:
    surrogate = fit(Surrogate(x, scale, x.shape[-1]))
    return Belief(surrogate, x, surrogate.train_targets[None])


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
