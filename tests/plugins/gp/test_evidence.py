"""The fit finds the most probable hyperparameters."""

from __future__ import annotations

import math

import gpytorch
import numpy as np
import pytest
import torch
from torch import Tensor

from hyperhook_plugins.gp.evidence import FITTED, Evidence, fit
from hyperhook_plugins.gp.model import LOUD, QUIET, Noise, Surrogate
from hyperhook_plugins.gp.warping import BEND_PRIOR, Scale


def data(n: int, d: int, seed: int = 0) -> tuple[Tensor, Scale]:
    x = torch.rand(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x, Scale.of((x * torch.arange(1, d + 1)).sum(-1).sin().exp())


def theta_of(model: Surrogate) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    hyperparameters = torch.cat([model.covar_module.lengthscale[0], model.likelihood.noise]).detach().log()
    return np.append(hyperparameters.numpy(), model.log_bend)


def test_the_gradient_is_the_one_of_the_value() -> None:
    evidence = Evidence(Surrogate(*data(30, 3), 3), torch.arange(4, 28))
    theta = np.array([0.1, -0.5, 0.3, -3.0, 0.5])
    for place, slope in enumerate(evidence(theta)[1]):
        step = np.zeros(5)
        step[place] = 1e-6
        assert slope == pytest.approx((evidence(theta + step)[0] - evidence(theta - step)[0]) / 2e-6, rel=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_gradient_is_the_one_of_the_value_with_a_trend_too(sign: int) -> None:
    x, scale = data(30, 3)
    errors = torch.linspace(0.0, 0.5, 30, dtype=torch.float64)
    told = Scale.of(scale.u, errors)
    model = Surrogate(x, told, 3, trend=lambda points: sign * (points * torch.arange(1, 4)).sum(-1).sin())
    evidence = Evidence(model, torch.arange(4, 28))
    theta = np.array([0.1, -0.5, 0.3, -3.0, 0.5, -0.7])
    for place, slope in enumerate(evidence(theta)[1]):
        step = np.zeros(6)
        step[place] = 1e-6
        assert slope == pytest.approx((evidence(theta + step)[0] - evidence(theta - step)[0]) / 2e-6, rel=1e-5)
    assert (evidence.slope > 0) == (sign == 1)


def test_a_trend_that_is_right_leaves_little_to_explain() -> None:
    x, scale = data(20, 3)
    right = fit(Surrogate(x, scale, 3, trend=lambda points: 5 + 2 * (points * torch.arange(1, 4)).sum(-1).sin()))
    wrong = fit(Surrogate(x, scale, 3, trend=lambda points: -(points * torch.arange(1, 4)).sum(-1).sin()))
    assert right.slope > 0.3
    assert right.amplitude < 0.5
    assert right.log_likelihood > fit(Surrogate(x, scale, 3)).log_likelihood + 5
    assert wrong.slope == 0


def test_the_value_is_gpytorchs_with_the_bends_own_terms() -> None:
    model = fit(Surrogate(*data(25, 2), 2))
    evidence = Evidence(model, torch.arange(25))
    value = -evidence(theta_of(model))[0]
    model.train()
    theirs = gpytorch.mlls.ExactMarginalLogLikelihood(model.likelihood, model)(
        model(model.train_inputs[0]), model.train_targets
    )
    bent = model.scale.bent(model.log_bend)
    own = bent.log_density - ((model.log_bend - BEND_PRIOR[0]) / BEND_PRIOR[1]) ** 2 / 2
    constants = sum(
        -math.log(prior.scale) - math.log(2 * math.pi) / 2 for prior in [model.priors[0]] * 2 + [model.priors[1]]
    )
    assert 25 * value == pytest.approx(25 * theirs.item() - constants + own, abs=1e-4)


@pytest.mark.parametrize("noise", [QUIET, LOUD])
def test_the_fit_is_a_maximum(noise: Noise) -> None:
    model = fit(Surrogate(*data(25, 2), 2, noise))
    evidence, theta = Evidence(model, torch.arange(25)), theta_of(model)
    top = evidence(theta)[0]
    assert evidence.constant == pytest.approx(model.mean_module.constant.item())
    assert evidence.log_likelihood == pytest.approx(model.log_likelihood)
    for place in range(len(theta)):
        for change in (-0.1, 0.1):
            moved = theta.copy()
            moved[place] += change
            assert evidence(moved)[0] > top - 1e-5


def test_the_fit_finds_the_column_that_matters() -> None:
    x = torch.rand(30, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    model = fit(Surrogate(x, Scale.of((6 * x[:, 1]).sin()), 3))
    scales = model.covar_module.lengthscale[0].tolist()
    assert scales[1] < min(scales[0], scales[2]) / 5


def test_losses_over_orders_of_magnitude_are_bent_and_others_are_not() -> None:
    x = torch.rand(60, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    smooth = (4 * x[:, 0]).sin() + x[:, 1]
    straight, bent = (fit(Surrogate(x, Scale.of(losses), 2)) for losses in (smooth, (5 * smooth).exp()))
    assert straight.log_bend > 1.5
    assert bent.log_bend < -1.0
    together = torch.stack([bent.train_targets, smooth])
    assert torch.corrcoef(together)[0, 1] > 0.95  # it has found the smooth function below the exponential


def test_a_fit_of_many_sees_the_telling_ones() -> None:
    x, scale = data(FITTED + 200, 2)
    model = fit(Surrogate(x, scale, 2))
    assert model.train_targets.shape == (FITTED + 200,)
    assert model.covar_module.lengthscale.isfinite().all()


def test_equal_losses_are_no_trouble() -> None:
    x = data(9, 2)[0]
    model = fit(Surrogate(x, Scale.of(torch.full((9,), 4.0, dtype=torch.float64)), 2))
    assert model.train_targets.tolist() == [0.0] * 9
