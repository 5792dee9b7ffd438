"""Priors: what they draw, how dense they are, both on every scale; the store; bad ones."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import betainc

import hyperhook as hh
from hyperhook.errors import SpaceError
from hyperhook.parameters import Parameter, Prior, Scalar

shares = st.floats(0, 1) | st.sampled_from([0.0, 1.0, 1e-300, 1e-12, math.nextafter(1.0, 0.0)])


@st.composite
def priors(draw: st.DrawFn, low: float, high: float) -> Prior:
    """Sharp and wide ones, centred inside and up to four widths outside."""
    if draw(st.booleans()):
        return hh.Beta(draw(st.floats(1, 50)), draw(st.floats(1, 50)))
    if low > 0 and draw(st.booleans()):
        size = math.log(high / low)
        sigma = size * 10 ** draw(st.floats(-2, 2))
        centre = draw(st.floats(math.log(low) - 4 * sigma, math.log(high) + 4 * sigma))
        return hh.LogNormal(math.exp(min(max(centre, -600), 600)), sigma)
    std = (high - low) * 10 ** draw(st.floats(-2, 2))
    return hh.Normal(draw(st.floats(low - 4 * std, high + 4 * std)), std)


@st.composite
def continuous(draw: st.DrawFn) -> hh.Float:
    log = draw(st.booleans())
    low = 10 ** draw(st.floats(-6, 2)) if log else draw(st.sampled_from([-7.5, 0.0, 1e-3, 100.0]))
    high = low * 10 ** draw(st.floats(0.5, 6)) if log else low + 10 ** draw(st.floats(-3, 3))
    return hh.Float(low, high, log=log, prior=draw(priors(low, high)))


@st.composite
def discrete(draw: st.DrawFn) -> hh.Float | hh.Int:
    kind = draw(st.sampled_from(["step", "int", "log"]))
    count = draw(st.integers(2, 40))
    if kind == "step":
        low, step = draw(st.sampled_from([0.0, -0.7, 3.0])), draw(st.sampled_from([0.1, 1e-3, 2.0]))
        return hh.Float(low, low + (count - 0.5) * step, step=step, prior=draw(priors(low, low + count * step)))
    if kind == "log":
        first = draw(st.integers(1, 100))
        return hh.Int(first, first + count, log=True, prior=draw(priors(first, first + count)))
    first, stride = draw(st.integers(-50, 50)), draw(st.integers(1, 5))
    return hh.Int(first, first + count * stride, step=stride, prior=draw(priors(first, first + count * stride)))


@st.composite
def weighted(draw: st.DrawFn) -> hh.Choice:
    weights = draw(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=5))
    return hh.Choice([f"option {i}" for i in range(len(weights))], weights=weights)


parameters = continuous() | discrete() | weighted()


def values_of(parameter: hh.Float | hh.Int | hh.Choice) -> list[Scalar]:
    """Return all values of a discrete parameter, in order."""
    if isinstance(parameter, hh.Choice):
        return list(parameter.options)
    if isinstance(parameter, hh.Int):
        return list(range(parameter.low, parameter.high + 1, parameter.step))
    count = parameter.cardinality or 1
    return [parameter.from_unit((i + 0.5) / count) for i in range(count)]


def share_of(parameter: hh.Float | hh.Int | hh.Choice, value: Scalar) -> float:
    """Return the probability of a discrete value without a prior."""
    if isinstance(parameter, hh.Int) and parameter.log:
        number = int(value or 0)
        return math.log((number + 0.5) / (number - 0.5)) / math.log((parameter.high + 0.5) / (parameter.low - 0.5))
    return 1 / (parameter.cardinality or 1)


@given(parameters, shares)
def test_a_quantile_is_one_of_the_values(parameter: Parameter, p: float) -> None:
    assert parameter.contains(parameter.quantile(p))


@given(continuous() | discrete(), shares, shares)
def test_quantiles_are_in_order(parameter: hh.Float | hh.Int, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert parameter.quantile(low) <= parameter.quantile(high) + 1e-12 * (parameter.high - parameter.low)


@given(continuous())
def test_the_density_of_a_continuous_parameter_is_that_of_its_quantiles(parameter: hh.Float) -> None:
    """Between two quantiles lies, by numeric integration over the unit interval, the probability between them."""
    inner, steps = (0.1, 0.35, 0.5, 0.75, 0.9), 400
    units = [parameter.to_unit(parameter.quantile(p)) for p in inner]
    for (start, end), share in zip(pairwise(units), np.diff(inner), strict=True):
        middles = start + (np.arange(steps) + 0.5) / steps * (end - start)
        density = [math.exp(parameter.log_density(parameter.from_unit(unit))) for unit in middles.tolist()]
        assert np.mean(density) * (end - start) == pytest.approx(share, rel=1e-2)


@given(discrete() | weighted())
def test_the_shares_of_discrete_values_are_a_distribution_and_those_of_their_quantiles(parameter: Parameter) -> None:
    values = values_of(parameter)
    shares = [share_of(parameter, value) * math.exp(parameter.log_density(value)) for value in values]
    assert sum(shares) == pytest.approx(1, rel=1e-6)
    below = 0.0
    for value, share in zip(values, shares, strict=True):
        if share > 1e-6:
            for p in (below + 1e-3 * share, below + 0.999 * share):
                assert parameter.quantile(p) == value
        below += share


@given(st.floats(-1, 2), st.floats(-2, 2), st.floats(0.05, 3), st.floats(0.001, 0.999))
def test_a_normal_prior_is_scipys_truncated_one(inside: float, outside: float, std: float, p: float) -> None:
    mean = inside + outside * std
    expected = stats.truncnorm((-1 - mean) / std, (2 - mean) / std, loc=mean, scale=std)
    parameter = hh.Float(-1, 2, prior=hh.Normal(mean, std))
    assert parameter.quantile(p) == pytest.approx(float(expected.ppf(p)), abs=1e-6)
    value = float(parameter.quantile(p))
    assert parameter.log_density(value) == pytest.approx(float(expected.logpdf(value)) + math.log(3), abs=1e-4)


@given(st.floats(1, 30), st.floats(1, 30), st.integers(0, 9))
def test_a_beta_prior_gives_each_cell_its_mass(a: float, b: float, value: int) -> None:
    expected = betainc(a, b, (value + 1) / 10) - betainc(a, b, value / 10)
    assert math.exp(hh.Int(0, 9, prior=hh.Beta(a, b)).log_density(value)) / 10 == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("parameter", "median", "sixth"),
    [
        (hh.Float(0, 1, prior=hh.Normal(0.5, 0.1)), 0.5, 0.4),
        (hh.Float(1e-5, 1, log=True, prior=hh.LogNormal(1e-3, math.log(2))), 1e-3, 5e-4),
        (hh.Float(0, 100, prior=hh.LogNormal(1, math.log(2))), 1, 0.5),
        (hh.Int(1, 1000, log=True, prior=hh.LogNormal(64, math.log(2))), 64, 32),
        (hh.Int(0, 100, step=10, prior=hh.Normal(50, 10)), 50, 40),
        (hh.Float(1e-4, 1e-2, log=True, prior=hh.Beta(20, 20)), 1e-3, 7e-4),
        (hh.Float(1e-5, 1e-1, log=True, prior=hh.Normal(1e-3, 1e-4)), 1e-3, 9e-4),
    ],
)
def test_priors_mean_what_they_say(parameter: hh.Float | hh.Int, median: float, sixth: float) -> None:
    assert parameter.quantile(0.5) == pytest.approx(median, rel=0.02)
    assert parameter.quantile(stats.norm.cdf(-1)) == pytest.approx(sixth, rel=0.03)


def test_what_is_sampled_is_distributed_as_the_densities_say() -> None:
    space = hh.Space(
        {
            "lr": hh.Float(1e-5, 1e-1, log=True, prior=hh.LogNormal(1e-3, 0.7)),
            "layers": hh.Int(1, 6, prior=hh.Normal(2, 1)),
            "net": hh.Choice({"cnn": {"drop": hh.Float(0, 1, prior=hh.Beta(2, 5))}, "mlp": {}}, weights=[3, 1]),
        }
    )
    rng = random.Random(0)
    drawn = [space.sample(rng) for _ in range(8000)]
    for params in drawn:
        space.validate(params)
    for name in ("layers", "net"):
        found = Counter(params[name] for params in drawn)
        values = values_of(space[name])
        expected = [math.exp(space[name].log_density(value)) / len(values) * len(drawn) for value in values]
        assert stats.chisquare([found[value] for value in values], expected).pvalue > 1e-3
    logs = [math.log(float(params["lr"] or 0)) for params in drawn]
    assert stats.kstest(logs, stats.norm(math.log(1e-3), 0.7).cdf).pvalue > 1e-3
    drops = [float(params["drop"] or 0) for params in drawn if "drop" in params]
    assert stats.kstest(drops, stats.beta(2, 5).cdf).pvalue > 1e-3


def test_without_a_prior_nothing_changes() -> None:
    bare: list[Parameter] = [hh.Float(1e-3, 1, log=True), hh.Float(0, 1, step=0.1), hh.Int(1, 9), hh.Choice(["a", "b"])]
    for parameter in bare:
        for p in (0.0, 0.3, 0.9, 1.0):
            assert parameter.quantile(p) == parameter.from_unit(p)
            assert parameter.log_density(parameter.from_unit(p)) == 0
        assert "prior" not in repr(parameter)
        assert "weights" not in repr(parameter)
    space = hh.Space({f"p{i}": parameter for i, parameter in enumerate(bare)})
    assert not space.has_prior
    assert space.log_prior(space.sample(random.Random(0))) == 0
    rng = random.Random(0)
    assert space.sample(random.Random(0)) == space.from_unit([rng.random() for _ in bare])


@given(parameters, st.floats(0, 1))
def test_a_prior_leaves_the_coordinates_alone(parameter: Parameter, unit: float) -> None:
    bare = hh.Choice(parameter.options) if isinstance(parameter, hh.Choice) else without(parameter)
    value = parameter.from_unit(unit)
    assert value == bare.from_unit(unit)
    assert parameter.to_unit(value) == bare.to_unit(value)
    assert parameter.cardinality == bare.cardinality


def without(parameter: hh.Float | hh.Int) -> hh.Float | hh.Int:
    if isinstance(parameter, hh.Float):
        return hh.Float(parameter.low, parameter.high, log=parameter.log, step=parameter.step)
    return hh.Int(parameter.low, parameter.high, log=parameter.log, step=parameter.step)


@given(parameters)
def test_priors_go_to_the_store_and_back_and_count_for_equality(parameter: Parameter) -> None:
    space = hh.Space({"x": parameter})
    back = hh.Space.from_json(json.loads(json.dumps(space.to_json(), allow_nan=False)))
    assert back == space
    assert space.has_prior
    bare = hh.Choice(parameter.options) if isinstance(parameter, hh.Choice) else without(parameter)
    assert parameter != bare
    assert "prior" in repr(parameter) or "weights" in repr(parameter)


def test_what_was_stored_before_there_were_priors_still_loads() -> None:
    stored = {
        "lr": {"type": "float", "low": 0.0, "high": 1.0, "log": False, "step": None},
        "n": {"type": "int", "low": 0, "high": 3, "log": False, "step": 1},
        "c": {"type": "choice", "options": ["a", "b"], "branches": [{}, {}]},
    }
    space = hh.Space({"lr": hh.Float(0.0, 1.0), "n": hh.Int(0, 3), "c": hh.Choice(["a", "b"])})
    assert hh.Space.from_json(stored) == space
    assert space.to_json() == stored


def test_a_kind_of_prior_that_is_not_known_is_named() -> None:
    entry = {"type": "float", "low": 0, "high": 1, "log": False, "step": None, "prior": {"type": "cauchy"}}
    with pytest.raises(SpaceError, match=r"a prior is stored as {'type': 'cauchy'}, which is none of this version"):
        hh.Space.from_json({"x": entry})


def test_log_prior_is_the_sum_over_what_is_active() -> None:
    drop = hh.Float(0, 1, prior=hh.Beta(2, 2))
    space = hh.Space({"net": hh.Choice({"cnn": {"drop": drop}, "mlp": {}}, weights=[1, 3]), "x": hh.Float(0, 1)})
    assert space.log_prior({"net": "mlp", "x": 0.1}) == pytest.approx(math.log(1.5))
    assert space.log_prior({"net": "cnn", "drop": 0.5, "x": 0.1}) == pytest.approx(math.log(0.5 * 1.5))
    assert space.log_prior({"net": "cnn", "drop": 0.0, "x": 0.1}) == -math.inf
    with pytest.raises(SpaceError, match="'drop' is missing"):
        space.log_prior({"net": "cnn", "x": 0.1})
    with pytest.raises(SpaceError, match="quantile: expected 3 coordinates, got 1"):
        space.quantile([0.5])


@pytest.mark.parametrize(
    "parameter",
    [
        hh.Float(1.0, 1.0, prior=hh.Normal(3, 0.1)),
        hh.Float(0.5, 0.5, step=0.1, prior=hh.Beta(2, 2)),
        hh.Int(3, 3, prior=hh.LogNormal(3, 1)),
        hh.Choice(["only"], weights=[5]),
    ],
)
def test_a_single_value_is_certain(parameter: Parameter) -> None:
    value = parameter.quantile(0.3)
    assert parameter.contains(value)
    assert parameter.log_density(value) == pytest.approx(0)


def test_the_largest_numbers_have_densities() -> None:
    huge = hh.Int(-(2**62), 2**62, prior=hh.Normal(2**61, 2**60))
    assert huge.log_density(2**61) == pytest.approx(math.log(2**63 / 2**60 / math.sqrt(math.tau)), abs=0.05)
    wide = hh.Float(-8e307, 8e307, prior=hh.Normal(0, 1e-3))
    assert abs(wide.quantile(0.9)) < 1
    assert math.isfinite(wide.log_density(0.0))
    assert wide.log_density(8e307) == -math.inf


BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: hh.Normal(0.5, 0), "Normal: std must be above 0, got std=0; Float(…) without a prior searches evenly"),
    (lambda: hh.Normal(0.5, -1.0), "Normal: std must be above 0, got std=-1.0"),
    (lambda: hh.Normal(math.nan, 1), "Normal: mean must be a finite number, got nan (float)"),
    (lambda: hh.Normal("a", 1), "Normal: mean must be a finite number, got 'a' (str)"),  # type: ignore[arg-type]
    (lambda: hh.Normal(0, True), "Normal: std must be a finite number, got True (bool)"),
    (
        lambda: hh.LogNormal(-6.9, 1),
        "LogNormal: median must be above 0, got median=-6.9; median is a value, not its log",
    ),
    (lambda: hh.LogNormal(1e-3, math.inf), "LogNormal: sigma must be a finite number, got inf (float)"),
    (lambda: hh.Beta(0.5, 2), "Beta: a must be from 1 to 10,000, got a=0.5; less would be certain of a bound"),
    (lambda: hh.Beta(2, 1e6), "Beta: b must be from 1 to 10,000, got b=1000000.0"),
    (
        lambda: hh.Float(0, 1, prior=0.5),  # type: ignore[arg-type]
        "Float: prior must be a Normal, LogNormal or Beta, got 0.5 (float); as in prior=hh.Normal(0.5, 0.1)",
    ),
    (
        lambda: hh.Float(0, 1, prior=hh.Normal(10, 1)),
        "Float: prior Normal(mean=10, std=1) is centred 9 of its widths outside of [0, 1], expected at most 6; "
        "move it, make it wider, or change the bounds",
    ),
    (
        lambda: hh.Float(1e-5, 1e-1, log=True, prior=hh.LogNormal(1e3, 1)),
        "Float: prior LogNormal(median=1000.0, sigma=1) is centred 9.21 of its widths outside of [1e-05, 0.1]",
    ),
    (
        lambda: hh.Int(1, 8, prior=hh.Normal(-100, 2)),
        "Int: prior Normal(mean=-100, std=2) is centred 50.2 of its widths outside of [0.5, 8.5]",
    ),
    (
        lambda: hh.Float(0, 1, prior=hh.Normal(0, 1e9)),
        "Float: prior Normal(mean=0, std=1000000000.0) is flat over [0, 1], expected one at most 1,000,000 times",
    ),
    (
        lambda: hh.Float(-1, 1, prior=hh.LogNormal(0.1, 1)),
        "Float: prior LogNormal(median=0.1, sigma=1) says nothing of values below 0, got low=-1; raise low, or take",
    ),
    (
        lambda: hh.Choice(["a", "b"], weights=[1]),
        "Choice: weights must be a list of 2 numbers, one for each of ['a', 'b'], got [1]",
    ),
    (lambda: hh.Choice(["a", "b"], weights="ab"), "Choice: weights must be a list of 2 numbers"),  # type: ignore[arg-type]
    (
        lambda: hh.Choice(["a", "b"], weights=[1, 0]),
        "Choice: weights must be numbers from 1e-09 to 1e+09, got 0 in [1, 0]; leave out an option that is never to be",
    ),
    (lambda: hh.Choice(["a"], weights=[math.nan]), "Choice: weights must be numbers from 1e-09 to 1e+09, got nan"),
    (lambda: hh.Choice(["a"], weights=[True]), "Choice: weights must be numbers from 1e-09 to 1e+09, got True"),
]


@pytest.mark.parametrize(("make", "message"), BAD, ids=[message[:48] for _, message in BAD])
def test_a_prior_that_cannot_be(make: Callable[[], object], message: str) -> None:
    with pytest.raises(SpaceError) as raised:
        make()
    assert message in str(raised.value)
