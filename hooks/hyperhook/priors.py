"""What a user believes about where good values of a number lie: `Normal`, `LogNormal` and `Beta`.

======  ===============================================================================================================
symbol  meaning
======  ===============================================================================================================
v       value of a parameter
u       coordinate in [0, 1]: where a value lies between the ends of its scale, which may be logarithmic
p       probability in [0, 1]: how much of the prior lies below a value
z       how many of a bell's widths a value lies above its centre
======  ===============================================================================================================

A prior is cut off at the ends of its parameter's scale. Its density is relative to what is drawn without a prior: one
that is uniform in u has the log density 0 everywhere, on a logarithmic scale, too.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import TypeAlias

from hyperhook.errors import SpaceError
from hyperhook.incomplete_beta import LARGEST_SHAPE, incomplete_beta, inverse_incomplete_beta, log_beta_density
from hyperhook.scale import Scale

__all__ = ["Beta", "LogNormal", "Normal", "Prior", "prior_from_json", "prior_to_json"]

FARTHEST = 6.0
"""How many widths outside of the bounds a bell's centre may lie: there a billionth of its mass is left."""
WIDEST = 1e6
"""How many times as wide as the bounds a bell may be: wider ones are flat."""
_STRAIGHT = 1e-5  # so near to each other, the difference of two probabilities has fewer digits than density times width
_STANDARD = NormalDist()


class _Prior(ABC):
    """What `Normal`, `LogNormal` and `Beta` have in common; parameters ask it, with the scale that they are on."""

    __slots__ = ()

    @abstractmethod
    def check(self, kind: str, low: float, scale: Scale) -> None:
        """Check that the prior says something about a scale.

        Args:
            kind: What the parameter is called in errors.
            low: Its lower bound.
            scale: Its scale.

        Raises:
            SpaceError: It does not.
        """

    @abstractmethod
    def quantile(self, p: float, scale: Scale) -> float:
        """Return the value below which a share `p`, in (0, 1), of the prior lies."""

    @abstractmethod
    def mass(self, low: float, high: float, scale: Scale) -> float:
        """Return which share of the prior, in [0, 1], lies between two values of the scale."""

    @abstractmethod
    def log_density(self, value: float, scale: Scale) -> float:
        """Return the logarithm of the density, by u, at a value of the scale; -inf where there is none."""


class _Bell(_Prior):
    """A normal distribution of values or of their logarithms."""

    __slots__ = ()

    @abstractmethod
    def _z(self, value: float) -> float: ...

    @abstractmethod
    def _value(self, z: float) -> float: ...

    @abstractmethod
    def _log_slope(self, value: float) -> float:
        """Return log dz/dv."""

    def check(self, kind: str, low: float, scale: Scale) -> None:
        bottom, top = self._z(scale.bottom), self._z(scale.top)
        ends = f"[{scale.bottom:.6g}, {scale.top:.6g}]"
        outside = max(bottom, -top)
        if outside > FARTHEST:
            raise SpaceError(
                f"{kind}: prior {self!r} is centred {outside:.3g} of its widths outside of {ends}, expected at most "
                f"{FARTHEST:g}; move it, make it wider, or change the bounds"
            )
        if (top - bottom) * WIDEST < 1:
            raise SpaceError(
                f"{kind}: prior {self!r} is flat over {ends}, expected one at most {WIDEST:,.0f} times as wide as "
                "that; leave the prior out"
            )

    def quantile(self, p: float, scale: Scale) -> float:
        bottom, top = self._z(scale.bottom), self._z(scale.top)
        if bottom > 0:  # the lower tail has all digits
            return self._value(-_between(1 - p, -top, -bottom))
        return self._value(_between(p, bottom, top))

    def mass(self, low: float, high: float, scale: Scale) -> float:
        whole = _probability(self._z(scale.bottom), self._z(scale.top))
        return _probability(self._z(low), self._z(high)) / whole

    def log_density(self, value: float, scale: Scale) -> float:
        z = self._z(value)
        if z == -math.inf:
            return -math.inf
        whole = _probability(self._z(scale.bottom), self._z(scale.top))
        bell = -z * z / 2 - math.log(math.tau) / 2
        return bell + self._log_slope(value) + scale.log_slope(value) - math.log(whole)


@dataclass(frozen=True, slots=True)
class Normal(_Bell):
    """Good values lie around a mean, most of them (two in three) within one standard deviation.

    It is a distribution of values, on a logarithmic scale, too; a learning rate is better served by `LogNormal`.

    Args:
        mean: The most likely value, in the parameter's own unit.
        std: Standard deviation, above 0, in the same unit.

    Raises:
        SpaceError: One of them is not a finite number, or `std` is not above 0.

    Example:
        >>> hh.Float(0.0, 1.0, prior=hh.Normal(0.3, 0.1)).quantile(0.5).__round__(3)
        0.3
    """

    mean: float
    std: float

    def __post_init__(self) -> None:
        _require_numbers("Normal", mean=self.mean, std=self.std)
        _require_positive("Normal", "Float(…) without a prior searches evenly", std=self.std)

    def _z(self, value: float) -> float:
        return (value - self.mean) / self.std

    def _value(self, z: float) -> float:
        return self.mean + z * self.std

    def _log_slope(self, value: float) -> float:
        return -math.log(self.std)


@dataclass(frozen=True, slots=True)
class LogNormal(_Bell):
    """Good values lie around a median, most of them (two in three) within a factor of exp(`sigma`).

    Args:
        median: As many good values lie below as above it; above 0, in the parameter's own unit.
        sigma: Standard deviation of the natural logarithm, above 0, without a unit: 0.7 is a factor of 2, 1.1 of 3,
            2.3 of 10.

    Raises:
        SpaceError: One of them is not a finite number above 0.

    Example:
        >>> lr = hh.Float(1e-5, 1e-1, log=True, prior=hh.LogNormal(1e-3, 0.7))
        >>> [float(f"{lr.quantile(p):.2g}") for p in (0.16, 0.5, 0.84)]
        [0.0005, 0.001, 0.002]
    """

    median: float
    sigma: float

    def __post_init__(self) -> None:
        _require_numbers("LogNormal", median=self.median, sigma=self.sigma)
        hint = "median is a value, not its logarithm, and sigma the spread of natural logarithms"
        _require_positive("LogNormal", hint, median=self.median, sigma=self.sigma)

    def check(self, kind: str, low: float, scale: Scale) -> None:
        """Check also that no value is below 0."""
        if low < 0:
            raise SpaceError(
                f"{kind}: prior {self!r} says nothing of values below 0, got low={low!r}; raise low, or take a Normal"
            )
        _Bell.check(self, kind, low, scale)

    def _z(self, value: float) -> float:
        return (math.log(value) - math.log(self.median)) / self.sigma if value > 0 else -math.inf

    def _value(self, z: float) -> float:
        return math.exp(math.log(self.median) + z * self.sigma)

    def _log_slope(self, value: float) -> float:
        return -math.log(self.sigma) - math.log(value)


@dataclass(frozen=True, slots=True)
class Beta(_Prior):
    """Good values lie between the bounds as a beta distribution says, on the parameter's own scale.

    ``Beta(2, 5)`` prefers the lower third, ``Beta(5, 5)`` the middle, ``Beta(1, 1)`` nothing. With ``log=True`` the
    middle is the geometric one.

    Args:
        a: First shape, from 1 to 10,000: the larger, the farther from the lower bound.
        b: Second shape, from 1 to 10,000: the larger, the farther from the upper bound. Below 1 the density would be
            infinite at a bound.

    Raises:
        SpaceError: One of them is not a number from 1 to 10,000.

    Example:
        >>> hh.Float(1e-4, 1e-2, log=True, prior=hh.Beta(5, 5)).quantile(0.5).__round__(6)
        0.001
    """

    a: float
    b: float

    def __post_init__(self) -> None:
        _require_numbers("Beta", a=self.a, b=self.b)
        for name in ("a", "b"):
            if not 1 <= getattr(self, name) <= LARGEST_SHAPE:
                raise SpaceError(
                    f"Beta: {name} must be from 1 to {LARGEST_SHAPE:,.0f}, got {name}={getattr(self, name)!r}; "
                    "less would be certain of a bound, and for more there is Normal"
                )

    def check(self, kind: str, low: float, scale: Scale) -> None:
        """Do nothing: a beta distribution lies between any bounds."""

    def quantile(self, p: float, scale: Scale) -> float:
        """Return the value below which a share `p` lies."""
        return scale.value(inverse_incomplete_beta(self.a, self.b, p))

    def mass(self, low: float, high: float, scale: Scale) -> float:
        """Return which share lies between two values."""
        a, b, start, end = self.a, self.b, scale.unit(low), scale.unit(high)
        if start > a / (a + b):  # the lower tail has all digits
            a, b, start, end = b, a, 1 - end, 1 - start
        if end - start < _STRAIGHT * min(start, 1 - end) / (a + b):
            return math.exp(log_beta_density(a, b, (start + end) / 2)) * (end - start)
        return incomplete_beta(a, b, end) - incomplete_beta(a, b, start)

    def log_density(self, value: float, scale: Scale) -> float:
        """Return the logarithm of the density at a value."""
        return log_beta_density(self.a, self.b, scale.unit(value))


def _probability(low: float, high: float) -> float:
    """Return the probability that a standard normal variable lies between two values."""
    if low > 0:  # the lower tail has all digits
        low, high = -high, -low
    if high - low < _STRAIGHT:
        return _STANDARD.pdf((low + high) / 2) * (high - low)
    return _below(high) - _below(low)


def _below(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2


def _between(p: float, low: float, high: float) -> float:
    """Return the quantile `p` of a standard normal variable that lies between two values, `low` at most 0."""
    if high - low < _STRAIGHT:
        return low + p * (high - low)
    probability = _below(low) + p * (_below(high) - _below(low))
    if not 0 < probability < 1:
        return low if probability <= 0 else high
    return min(max(_STANDARD.inv_cdf(probability), low), high)


def _require_numbers(kind: str, **values: object) -> None:
    for name, value in values.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise SpaceError(f"{kind}: {name} must be a finite number, got {value!r} ({type(value).__name__})")


def _require_positive(kind: str, hint: str, **values: float) -> None:
    for name, value in values.items():
        if value <= 0:
            raise SpaceError(f"{kind}: {name} must be above 0, got {name}={value!r}; {hint}")


Prior: TypeAlias = Normal | LogNormal | Beta
_KINDS: dict[str, type[Prior]] = {"normal": Normal, "log_normal": LogNormal, "beta": Beta}


def prior_to_json(prior: Prior) -> dict[str, object]:
    """Return a prior as plain JSON, as the store keeps it."""
    (kind,) = [name for name, made in _KINDS.items() if isinstance(prior, made)]
    return {"type": kind, **asdict(prior)}


def prior_from_json(entry: object) -> Prior | None:
    """Rebuild a prior from `prior_to_json`, and None from None.

    Raises:
        SpaceError: It is of a kind that this version does not know.
    """
    match entry:
        case None:
            return None
        case {"type": "normal", "mean": mean, "std": std}:
            return Normal(mean, std)
        case {"type": "log_normal", "median": median, "sigma": sigma}:
            return LogNormal(median, sigma)
        case {"type": "beta", "a": a, "b": b}:
            return Beta(a, b)
    raise SpaceError(f"space: a prior is stored as {entry!r}, which is none of this version; update hyperhook")
