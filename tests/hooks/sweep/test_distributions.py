"""Every distribution of W&B: the values that its documentation promises, as often as it promises them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import hyperhook as hh
from hyperhook.sweep.distributions import number

Quantile = Callable[[float], float]

CONTINUOUS: list[tuple[str, dict[str, float], Quantile]] = [
    ("uniform", {"min": -1, "max": 3}, stats.uniform(-1, 4).ppf),
    ("log_uniform", {"min": -5.0, "max": 2.0}, stats.loguniform(math.exp(-5), math.exp(2)).ppf),
    ("log_uniform_values", {"min": 1e-5, "max": 0.1}, stats.loguniform(1e-5, 0.1).ppf),
    ("inv_log_uniform", {"min": -1.0, "max": 3.0}, stats.loguniform(math.exp(-3), math.exp(1)).ppf),
    ("inv_log_uniform_values", {"min": 0.1, "max": 10}, stats.loguniform(0.1, 10).ppf),
    ("normal", {}, stats.norm.ppf),
    ("normal", {"mu": 3, "sigma": 0.5}, stats.norm(3, 0.5).ppf),
    ("log_normal", {}, stats.lognorm(1).ppf),
    ("log_normal", {"mu": -2.0, "sigma": 0.5}, stats.lognorm(0.5, scale=math.exp(-2)).ppf),
    ("beta", {}, stats.uniform.ppf),
    ("beta", {"a": 2, "b": 5}, stats.beta(2, 5).ppf),
]

QUANTISED: list[tuple[str, dict[str, float], Quantile, float]] = [
    ("q_uniform", {"min": 0, "max": 100}, stats.uniform(0, 100).ppf, 1),
    ("q_uniform", {"min": 0.0, "max": 1.0, "q": 0.05}, stats.uniform.ppf, 0.05),
    ("q_log_uniform", {"min": 1.0, "max": 7.0}, stats.loguniform(math.exp(1), math.exp(7)).ppf, 1),
    ("q_log_uniform_values", {"min": 8, "max": 2048}, stats.loguniform(8, 2048).ppf, 1),
    ("q_log_uniform_values", {"min": 64, "max": 4096, "q": 8}, stats.loguniform(64, 4096).ppf, 8),
    ("q_log_uniform_values", {"min": 0.1, "max": 10, "q": 0.01}, stats.loguniform(0.1, 10).ppf, 0.01),
    ("q_normal", {"mu": 5, "sigma": 20, "q": 2}, stats.norm(5, 20).ppf, 2),
    ("q_log_normal", {"mu": 1.0, "sigma": 1.0, "q": 0.5}, stats.lognorm(1, scale=math.e).ppf, 0.5),
    ("q_log_normal", {}, stats.lognorm(1).ppf, 1),
    ("q_beta", {"a": 2, "b": 5, "q": 0.02}, stats.beta(2, 5).ppf, 0.02),
]


@pytest.mark.parametrize(("name", "keys", "ppf"), CONTINUOUS)
def test_a_continuous_one_has_the_quantiles_of_its_distribution(
    name: str, keys: dict[str, float], ppf: Quantile
) -> None:
    parameter = number(name, keys)
    for p in (0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999):
        assert parameter.quantile(p) == pytest.approx(ppf(p), rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(("name", "keys", "ppf", "q"), QUANTISED)
def test_a_quantised_one_is_rounded_to_a_multiple_of_q(
    name: str, keys: dict[str, float], ppf: Quantile, q: float
) -> None:
    parameter = number(name, keys)
    assert isinstance(parameter, hh.Int if q == int(q) else hh.Float)
    for p in (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95):
        value = parameter.quantile(p)
        assert value / q == pytest.approx(round(value / q), abs=1e-9)
        outside = value * q / (2 * parameter.low) if parameter.low > 0 else 0.0  # the first cell is whole
        assert abs(value - ppf(p)) <= 1.05 * q + outside


@pytest.mark.parametrize(("name", "keys"), [("normal", {"mu": 1.0, "sigma": 2.0}), ("log_normal", {"sigma": 0.3})])
def test_what_has_no_bounds_gets_them_where_a_millionth_is_left(name: str, keys: dict[str, Any]) -> None:
    parameter = number(name, keys)
    spread = stats.norm(1, 2) if name == "normal" else stats.lognorm(0.3)
    assert isinstance(parameter, hh.Float)
    assert spread.cdf(parameter.low) + spread.sf(parameter.high) == pytest.approx(1e-6, rel=1e-6)


BOUNDS = st.integers(-1000, 1000).map(lambda n: n / 8)
STEPS = st.sampled_from([0.05, 0.1, 0.25, 0.3, 1, 1.0, 2, 7])


@given(a=BOUNDS, b=BOUNDS, q=STEPS, seed=st.integers(0, 99))
def test_q_uniform_has_the_values_that_rounding_gives_and_no_others(a: float, b: float, q: float, seed: int) -> None:
    if a == b:
        return
    low, high = sorted((a, b))
    parameter = number("q_uniform", {"min": low, "max": high, "q": q})
    assert isinstance(parameter, hh.Int | hh.Float)
    rng = random.Random(seed)
    for _ in range(20):
        rounded = round(round(rng.uniform(low, high) / q) * q, 9)
        assert parameter.contains(round(rounded) if isinstance(parameter, hh.Int) else rounded)
    for end in (parameter.low, parameter.high):
        assert low - q / 2 < end < high + q / 2 or math.isclose(end, low) or math.isclose(end, high)


def test_zero_has_no_place_on_a_logarithmic_scale() -> None:
    assert number("q_log_uniform_values", {"min": 0.1, "max": 8}) == hh.Int(1, 8, log=True)
    with pytest.raises(ValueError, match="all values round to 0: expected q at most"):
        number("q_log_uniform_values", {"min": 0.1, "max": 0.3})


def test_one_multiple_is_one_value() -> None:
    assert number("q_uniform", {"min": 0.6, "max": 0.9}) == hh.Int(1, 1)
    assert number("q_log_uniform_values", {"min": 60, "max": 70, "q": 64}) == hh.Int(64, 64, step=64)
    assert number("q_log_normal", {"mu": -9.0, "sigma": 0.1}) == hh.Int(0, 0)
