"""The user's priors in the search: as dense as the core says, differentiable, fading; good ones help."""

from __future__ import annotations

import math
import random
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hyperhook import (
    Beta,
    Choice,
    Float,
    Int,
    LogNormal,
    Minimize,
    Normal,
    Params,
    Space,
    StudyRecord,
    TrialRecord,
    TrialState,
)
from hyperhook.testing.spaces import spaces
from hyperhook_plugins.gp import GP
from hyperhook_plugins.gp.encoding import Encoding
from hyperhook_plugins.gp.prior import BETA, DOUBT, by_quantiles, log_prior, with_prior

SPACE = Space(
    {
        "lr": Float(1e-5, 1e-1, log=True, prior=LogNormal(1e-3, 0.7)),
        "decay": Float(0.0, 0.1, prior=LogNormal(1e-2, 1.0)),
        "width": Int(8, 512, log=True, prior=Normal(64, 20)),
        "net": Choice({"cnn": {"drop": Float(0.0, 1.0, prior=Beta(2, 5))}, "mlp": {}}, weights=[3, 1]),
        "only": Choice({"one": {"gain": Float(0.1, 10.0, log=True, prior=Normal(1.0, 0.5))}}),
        "free": Float(0.0, 1.0),
    }
)


def expected(space: Space, params: Params) -> float:
    """Return log π by the core's densities, each mixed with a little doubt."""
    return sum(
        math.log(math.exp(space[name].log_density(value)) + DOUBT)
        for name, value in params.items()
        if (p.weights if isinstance(p := space[name], Choice) else p.prior) is not None and p.cardinality != 1
    )


def check(space: Space, seed: int) -> None:
    encoding, rng = Encoding.of(space), random.Random(seed)
    many = [*(space.sample(rng) for _ in range(4)), *(space.from_unit([rng.random() for _ in space]) for _ in range(4))]
    found = log_prior(encoding)(encoding.encode(encoding.units(many)))
    wanted = torch.tensor([expected(space, params) for params in many], dtype=torch.float64)
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-3)


@given(st.integers(0, 2**32))
def test_the_density_is_the_cores(seed: int) -> None:
    check(SPACE, seed)


@pytest.mark.parametrize("prior", [Normal(0.02, 0.01), LogNormal(0.02, 0.5), Beta(3, 4)])
@pytest.mark.parametrize("log", [False, True])
def test_gradients_are_right_and_finite_also_at_the_ends(prior: Normal | LogNormal | Beta, log: bool) -> None:
    belief = log_prior(Encoding.of(Space({"x": Float(1e-3, 0.1, log=log, prior=prior)})))
    x = torch.tensor([[0.0], [0.1], [0.5], [0.9], [1.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda inner: belief(inner), (x[1:4].detach().requires_grad_(),))
    (gradient,) = torch.autograd.grad(belief(x).sum(), x)
    assert belief(x).isfinite().all()
    assert gradient.isfinite().all()


def test_what_is_not_active_plays_no_part() -> None:
    encoding = Encoding.of(SPACE)
    params = {"lr": 1e-3, "decay": 0.01, "width": 64, "net": "mlp", "only": "one", "gain": 1.0, "free": 0.5}
    low, high = (
        encoding.encode(
            encoding.units([params]).index_put((torch.tensor(0), torch.tensor(4)), torch.tensor(unit).double())
        )
        for unit in (0.01, 0.99)
    )
    assert torch.equal(log_prior(encoding)(low), log_prior(encoding)(high))


def test_it_fades_and_does_nothing_without_priors() -> None:
    def flat(x: Tensor) -> Tensor:
        return x.new_zeros(len(x))

    bare = Encoding.of(Space({"x": Float(0, 1)}))
    assert with_prior(flat, bare, 1) is flat
    encoding = Encoding.of(Space({"x": Float(0, 1, prior=Normal(0.3, 0.1))}))
    x = torch.rand(5, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for trials in (1, 10, 1000):
        weighed = with_prior(flat, encoding, trials)(x)
        assert torch.allclose(weighed, BETA / trials * log_prior(encoding)(x))


def test_points_are_drawn_through_the_quantiles() -> None:
    units = torch.rand(2000, len(SPACE), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    moved = by_quantiles(SPACE, units)
    drawn = Encoding.of(SPACE).params(moved)
    assert statistics.median(float(params["lr"] or 0) for params in drawn) == pytest.approx(1e-3, rel=0.1)
    assert sum(params["net"] == "cnn" for params in drawn) == pytest.approx(1500, abs=80)
    free = list(SPACE).index("free")
    assert torch.equal(moved[:, free], units[:, free])


def search(space: Space, seed: int, trials: int) -> list[float]:
    """Return the best value after each trial, of a bowl with its bottom at (0.3, 0.3, 0.3, 0.3)."""
    study, best = StudyRecord("bowl", space, Minimize("loss"), seed), math.inf
    curve: list[float] = []
    gp = GP(device="cpu")
    for number in range(trials):
        (params,) = gp.suggest(study, 1)
        value = math.fsum((float(x or 0) - 0.3) ** 2 * (1 + i) for i, x in enumerate(params.values()))
        trial = TrialRecord(f"t{number}", number, "bowl", params, TrialState.COMPLETE, value)
        study = StudyRecord("bowl", space, study.objective, seed, (*study.trials, trial))
        best = min(best, value)
        curve.append(best)
    return curve


def bowl(mean: float | None) -> Space:
    prior = None if mean is None else Normal(mean, 0.1)
    return Space({f"x{i}": Float(0.0, 1.0, prior=prior) for i in range(4)})


def test_the_startup_and_the_search_follow_a_prior() -> None:
    study = StudyRecord("bowl", bowl(0.8), Minimize("loss"), 0)
    for params in GP(device="cpu").suggest(study, 4):
        assert all(abs(float(value or 0) - 0.8) < 0.4 for value in params.values())
    with_one, without = (search(bowl(mean), 0, 8) for mean in (0.3, None))
    assert with_one[4] < without[4]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_good_prior_helps_and_a_misleading_one_only_delays() -> None:
    """Medians over ten seeds: after 8 trials half the loss or less, and after 40 a small part of that all the same."""
    without, good, misleading = (
        statistics.median(search(bowl(mean), seed, trials)[-1] for seed in range(10))
        for mean, trials in ((None, 8), (0.35, 8), (0.8, 40))
    )
    assert good < 0.5 * without
    assert misleading < 0.05 * without


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(spaces(), st.integers(0, 2**32))
def test_the_density_of_any_space_is_finite(space: Space, seed: int) -> None:
    encoding, rng = Encoding.of(space), random.Random(seed)
    units = encoding.units([space.sample(rng) for _ in range(4)])
    assert log_prior(encoding)(encoding.encode(units)).isfinite().all()
