"""Each distribution of a sweep file as a parameter of a space.

A space has bounds, which a normal distribution lacks: its parameter covers all but a millionth of the mass, and has the
distribution as its prior. What is quantised is a multiple of q; the first and the last one have a whole cell each,
where ``round(X / q) * q`` gives them half of one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from statistics import NormalDist
from typing import Any

from hyperhook.errors import SpaceError
from hyperhook.parameters import Choice, Float, Int, Parameter, Prior, Scalar
from hyperhook.priors import Beta, LogNormal, Normal
from hyperhook.scalars import is_number

__all__ = ["TAIL", "as_option", "choice", "implied", "number"]

TAIL = NormalDist().inv_cdf(1 - 0.5e-6)
"""Within so many standard deviations, 4.89, lies all but a millionth of a normal distribution."""

_FLAT = 10.0
"""A log-normal so many times as wide as the bounds is log-uniform between them, to within a thousandth."""


def implied(keys: Mapping[str, object]) -> str | None:
    """Return the distribution of a parameter that names none; None where its keys do not say."""
    if "value" in keys:
        return "constant"
    if "values" in keys:
        return "categorical_w_probabilities" if "probabilities" in keys else "categorical"
    if "min" in keys and "max" in keys:
        whole = all(isinstance(keys[key], int) and not isinstance(keys[key], bool) for key in ("min", "max"))
        return "int_uniform" if whole else "uniform"
    return None


def as_option(value: object) -> Scalar:
    """Return an option as a param can hold it: a list or a mapping as JSON."""
    return value if isinstance(value, Scalar) else json.dumps(value)


def choice(
    values: Sequence[object],
    probabilities: Sequence[float] | None = None,
    when: Mapping[Scalar, Mapping[str, Parameter]] | None = None,
) -> Choice:
    """Return the parameter of options.

    Three or more numbers that rise or fall are an order. An option with the probability 0 is left out.

    Raises:
        SpaceError: The probabilities are not as many as the options or do not sum to 1, or an option stands twice.
    """
    options = [as_option(value) for value in values]
    weights = None
    if probabilities is not None:
        if len(probabilities) != len(options):
            raise SpaceError(f"expected {len(options)} probabilities, one for each value, got {len(probabilities)}")
        if abs(math.fsum(probabilities) - 1) > 0.01:
            raise SpaceError(f"expected probabilities that sum to 1, got {math.fsum(probabilities):.6g}")
        kept = [(option, share) for option, share in zip(options, probabilities, strict=True) if share > 0]
        options, weights = [option for option, _ in kept], [share for _, share in kept]
    whole = Choice(options)  # refuses what stands twice, before a mapping would hide it
    if not when:
        return Choice(options, weights=weights, ordered=_is_ordered(whole.options))
    branches = {option: when.get(option, {}) for option in options}
    return Choice(branches, weights=weights, ordered=_is_ordered(whole.options))


def _is_ordered(options: Sequence[Scalar]) -> bool:
    if len(options) < 3 or not all(map(is_number, options)):
        return False
    pairs = list(pairwise(float(option) for option in options))  # type: ignore[arg-type]
    return all(a < b for a, b in pairs) or all(a > b for a, b in pairs)


def number(distribution: str, keys: Mapping[str, Any]) -> Parameter:
    """Return the parameter of a distribution of numbers.

    Args:
        distribution: Its name.
        keys: What the file gives for it; the rest has its defaults.

    Raises:
        SpaceError: The bounds cannot be.
    """
    if "min" in keys and not keys["min"] < keys["max"]:
        raise SpaceError(f"expected min below max, got min={keys['min']!r}, max={keys['max']!r}")
    return _MADE[distribution](**keys)


def _uniform(min: float, max: float) -> Parameter:  # noqa: A002
    return Float(min, max)


def _int_uniform(min: int, max: int) -> Parameter:  # noqa: A002
    return Int(min, max)


def _q_uniform(min: float, max: float, q: float = 1) -> Parameter:  # noqa: A002
    return _stepped(*_multiples(min, max, q), q)


def _log_uniform(min: float, max: float) -> Parameter:  # noqa: A002
    return Float(_exp(min), _exp(max), log=True)


def _log_uniform_values(min: float, max: float) -> Parameter:  # noqa: A002
    return Float(min, max, log=True)


def _inv_log_uniform(min: float, max: float) -> Parameter:  # noqa: A002
    return Float(_exp(-max), _exp(-min), log=True)


def _q_log_uniform(min: float, max: float, q: float = 1) -> Parameter:  # noqa: A002
    return _q_log_uniform_values(_exp(min), _exp(max), q)


def _q_log_uniform_values(min: float, max: float, q: float = 1) -> Parameter:  # noqa: A002
    """Leave out 0, which rounding makes of what lies below half of q: a logarithmic scale has no place for it."""
    first, last = _multiples(min, max, q)
    first = first or 1
    if last < first:
        raise SpaceError(f"all values round to 0: expected q at most {2 * max:g}, got q={q!r}")
    if q == 1:
        return Int(first, last, log=True)
    middle, spread = math.sqrt(first * q * last * q), math.log(last / first)
    return _stepped(first, last, q, LogNormal(middle, _FLAT * spread) if spread else None)


def _normal(mu: float = 0, sigma: float = 1) -> Parameter:
    return Float(mu - TAIL * sigma, mu + TAIL * sigma, prior=Normal(mu, sigma))


def _q_normal(mu: float = 0, sigma: float = 1, q: float = 1) -> Parameter:
    return _stepped(*_multiples(mu - TAIL * sigma, mu + TAIL * sigma, q), q, Normal(mu, sigma))


def _log_normal(mu: float = 0, sigma: float = 1) -> Parameter:
    prior = LogNormal(_exp(mu), sigma)
    return Float(_exp(mu - TAIL * sigma), _exp(mu + TAIL * sigma), log=True, prior=prior)


def _q_log_normal(mu: float = 0, sigma: float = 1, q: float = 1) -> Parameter:
    first, last = _multiples(_exp(mu - TAIL * sigma), _exp(mu + TAIL * sigma), q)
    return _stepped(first, last, q, LogNormal(_exp(mu), sigma))


def _beta(a: float = 1, b: float = 1) -> Parameter:
    return Float(0.0, 1.0, prior=Beta(a, b))


def _q_beta(a: float = 1, b: float = 1, q: float = 1) -> Parameter:
    return _stepped(*_multiples(0, 1, q), q, Beta(a, b))


_MADE: Mapping[str, Callable[..., Parameter]] = {
    "int_uniform": _int_uniform,
    "uniform": _uniform,
    "q_uniform": _q_uniform,
    "log_uniform": _log_uniform,
    "log_uniform_values": _log_uniform_values,
    "q_log_uniform": _q_log_uniform,
    "q_log_uniform_values": _q_log_uniform_values,
    "inv_log_uniform": _inv_log_uniform,
    "inv_log_uniform_values": _log_uniform_values,  # log(1/X) is uniform where log(X) is
    "normal": _normal,
    "q_normal": _q_normal,
    "log_normal": _log_normal,
    "q_log_normal": _q_log_normal,
    "beta": _beta,
    "q_beta": _q_beta,
}


def _multiples(low: float, high: float, q: float) -> tuple[int, int]:
    """Return the first and the last k for which k·q is the nearest multiple of q to more than one point in between."""
    half = Decimal("0.5")
    below, above = (Decimal(str(bound)) / Decimal(str(q)) for bound in (low, high))
    first = math.floor(below - half) + 1
    return first, max(math.ceil(above + half) - 1, first)


def _stepped(first: int, last: int, q: float, prior: Prior | None = None) -> Parameter:
    """Return the parameter whose values are first·q … last·q: whole numbers where q is one."""
    prior = prior if first < last else None
    if q == int(q):
        step = int(q)
        return Int(first * step, last * step, step=step, prior=prior)
    low, high = (float(k * Decimal(str(q))) for k in (first, last))
    return Float(low, high, step=float(q), prior=prior)


def _exp(exponent: float) -> float:
    try:
        return math.exp(exponent)
    except OverflowError:
        raise SpaceError(f"exp({exponent:g}) is too large; min, max and mu of this one are logarithms") from None
