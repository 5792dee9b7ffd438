"""The Gaussian process is the one that its docstrings describe."""

from __future__ import annotations

import logging
import math

import gpytorch
import pytest
import torch
from torch import Tensor

from hyperhook_plugins.gp.model import Belief, Outputs, Surrogate, cholesky, fit, standardise


def data(n: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    x = torch.rand(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x, standardise((x * torch.arange(1, d + 1)).sum(-1).sin())


def test_standardised_losses_have_mean_0_and_deviation_1() -> None:
    y = standardise(torch.tensor([3.0, 9.0, 4.0, 1.0], dtype=torch.float64))
    assert y.mean().item() == pytest.approx(0.0, abs=1e-12)
    assert y.std(correction=0).item() == pytest.approx(1.0)
    assert y.argsort().tolist() == [3, 0, 2, 1]


@pytest.mark.parametrize("losses", [[5.0], [2.0, 2.0, 2.0], [0.0, 0.0], [1e308, 1e308]])
def test_equal_losses_become_0(losses: list[float]) -> None:
    assert standardise(torch.tensor(losses, dtype=torch.float64)).tolist() == [0.0] * len(losses)


def test_huge_losses_do_not_overflow() -> None:
    y = standardise(torch.tensor([-1e308, 1e308, 0.0], dtype=torch.float64))
    assert y.tolist() == pytest.approx([-math.sqrt(1.5), math.sqrt(1.5), 0.0])


@pytest.mark.parametrize("losses", [[3.0, 9.0, 4.0, 1.0], [1.0, 2.0, 3.0, 4.0, 5.0], [-1e308, 1e308, 0.0], [2.0, 2.0]])
def test_standardised_losses_become_losses_again(losses: list[float]) -> None:
    given = torch.tensor(losses, dtype=torch.float64)
    outputs = Outputs.of(given)
    mean, std = outputs.losses(outputs.standardised(given), torch.ones_like(given))
    assert mean.tolist() == pytest.approx(losses)
    assert (std / given.abs().max()).tolist() == pytest.approx(
        [(given / given.abs().max()).std(correction=0).item()] * len(losses)
    )
    assert outputs.losses(mean.new_tensor([1e300]), mean.new_tensor([1e300]))[0].isfinite().all()


def test_the_evidence_is_the_density_of_the_outputs() -> None:
    x, y = data(20, 3)
    model = fit(Surrogate(x, y, 3))
    belief = Belief(model, x, y[None])
    covariance = model.covar_module(x).to_dense() + model.likelihood.noise * torch.eye(20)
    normal = torch.distributions.MultivariateNormal(belief.constant.expand(20), covariance.detach())
    assert belief.evidence == pytest.approx(normal.log_prob(y).item(), abs=1e-3)
    assert torch.equal(belief.mean(x), belief.moments(x)[0])


def test_the_kernel_is_a_matern_with_a_length_scale_per_column() -> None:
    x, y = data(5, 3)
    model = Surrogate(x, y, 3)
    scales = torch.tensor([0.3, 1.0, 4.0], dtype=torch.float64)
    model.covar_module.lengthscale = scales
    r = math.sqrt(5) * torch.cdist(x / scales, x / scales)
    assert torch.allclose(model.covar_module(x).to_dense(), (1 + r + r**2 / 3) * torch.exp(-r), atol=1e-7)


def test_outliers_come_down_to_the_fence_and_keep_their_side() -> None:
    losses = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 1e9], dtype=torch.float64)
    y = standardise(losses)
    assert y.argsort().tolist() == list(range(6))
    assert y[0] < y[4] - 0.5  # the ordinary ones can still be told apart
    assert torch.allclose(y, standardise(losses.clamp_max(4.75 + 3 * 2.5)))


def test_where_most_losses_are_equal_the_others_stay_as_they_are() -> None:
    y = standardise(torch.tensor([1.0] * 9 + [7.0], dtype=torch.float64))
    assert y[9].item() == pytest.approx(3.0)


def test_the_noise_has_a_wide_prior() -> None:
    prior = Surrogate(*data(4, 2), 2).likelihood.noise_covar.noise_prior
    assert (prior.loc.item(), prior.scale.item()) == (-6.0, 2.0)


@pytest.mark.parametrize("d", [1, 6, 40])
def test_the_length_scales_have_the_dimension_scaled_prior(d: int) -> None:
    model = Surrogate(*data(4, d), d)
    prior = model.covar_module.lengthscale_prior
    assert (prior.loc.item(), prior.scale.item()) == pytest.approx((math.sqrt(2) + math.log(d) / 2, math.sqrt(3)))
    assert model.covar_module.lengthscale.tolist()[0] == pytest.approx([prior.mode.item()] * d)


def test_the_fit_is_a_maximum_of_the_posterior_density() -> None:
    x, y = data(25, 2)
    model = fit(Surrogate(x, y, 2))
    evidence = gpytorch.mlls.ExactMarginalLogLikelihood(model.likelihood, model)

    def density() -> float:
        return float(evidence(model(x), y).detach())

    model.train()
    top = density()
    assert top > -math.log(2 * math.pi) / 2 - 0.5  # better than white noise
    for parameter in model.parameters():
        for place in range(parameter.numel()):
            for change in (-0.05, 0.05):
                with torch.no_grad():
                    parameter.view(-1)[place] += change
                assert density() < top + 1e-6
                with torch.no_grad():
                    parameter.view(-1)[place] -= change


def test_the_fit_finds_the_column_that_matters() -> None:
    x = torch.rand(30, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    model = fit(Surrogate(x, standardise((6 * x[:, 1]).sin()), 3))
    scales = model.covar_module.lengthscale[0].tolist()
    assert scales[1] < min(scales[0], scales[2]) / 5


def test_the_belief_is_gpytorchs_posterior() -> None:
    x, y = data(20, 3)
    model = fit(Surrogate(x, y, 3))
    mean, variance = Belief(model, x, y[None]).moments(new := data(7, 3, seed=1)[0])
    model.eval()
    with torch.no_grad(), gpytorch.settings.fast_pred_var(False):
        expected = model(new)
    assert torch.allclose(mean[:, 0], expected.mean, atol=1e-6)
    assert torch.allclose(variance, expected.variance, atol=1e-6)


def test_the_belief_interpolates_and_is_unsure_far_away() -> None:
    x, y = data(20, 2)
    belief = Belief(fit(Surrogate(x, y, 2)), x, y[None])
    mean, variance = belief.moments(x)
    assert (mean[:, 0] - y).abs().max() < 0.15
    far = belief.moments(torch.full((1, 2), 50.0, dtype=torch.float64))
    assert far[0].item() == pytest.approx(belief.constant.item(), abs=1e-2)
    assert far[1].item() == pytest.approx(1.0, abs=1e-2)
    assert variance.max() < 0.05


def test_fantasies_agree_in_the_mean_and_are_sure_where_trials_run() -> None:
    x, y = data(8, 2)
    belief = Belief(fit(Surrogate(x, y, 2)), x, y[None])
    pending = torch.tensor([[0.1, 0.9], [0.95, 0.05]], dtype=torch.float64)
    normals = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    after = belief.fantasise(pending, normals)
    assert after.batch_shape == (4000,)
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
