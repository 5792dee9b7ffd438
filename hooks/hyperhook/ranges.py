"""Numbers between two bounds: `Float` and `Int`.

======  ===============================================================================================================
symbol  meaning
======  ===============================================================================================================
unit    coordinate in [0, 1] of a value on its scale; discrete values sit in the middle of cells
p       probability in [0, 1]: how much of the prior lies below a value; the same as `unit` without a prior
======  ===============================================================================================================
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from decimal import Decimal

from hyperhook.errors import SpaceError
from hyperhook.priors import Prior
from hyperhook.scalars import Scalar, is_number
from hyperhook.scale import Scale

__all__ = ["Float", "Int"]


def _check_bounds(kind: str, low: float, high: float, log: bool, step: float | None) -> None:
    if not math.isfinite(high - low):
        raise SpaceError(f"{kind}: bounds and their distance must be finite, got low={low!r}, high={high!r}")
    if low > high:
        raise SpaceError(f"{kind}: low must not exceed high, got low={low!r}, high={high!r}; swap them")
    if log and low <= 0:
        raise SpaceError(f"{kind}: log=True needs low > 0, got low={low!r}; raise low, or drop log=True")
    if step is not None and not (math.isfinite(step) and step > 0):
        raise SpaceError(f"{kind}: step must be a finite number above 0, got step={step!r}")


def _check_prior(kind: str, prior: object, low: float, scale: Scale) -> None:
    if not isinstance(prior, Prior):
        raise SpaceError(
            f"{kind}: prior must be a Normal, LogNormal or Beta, got {prior!r} ({type(prior).__name__}); "
            "as in prior=hh.Normal(0.5, 0.1)"
        )
    if scale.bottom < scale.top:
        prior.check(kind, low, scale)


@dataclass(frozen=True, slots=True)
class Float:
    """A real number between two bounds, both included.

    Args:
        low: Lower bound.
        high: Upper bound.
        log: Search on a logarithmic scale; needs ``low > 0``.
        step: Allow only ``low, low + step, …`` up to `high`; not together with `log`.
        prior: Where good values are believed to lie; evenly on the scale, by default.

    Raises:
        SpaceError: The bounds, the scale, the step and the prior do not go together.

    Example:
        >>> Float(1e-4, 1e-1, log=True).from_unit(0.0)
        0.0001
    """

    low: float
    high: float
    log: bool = field(default=False, kw_only=True)
    step: float | None = field(default=None, kw_only=True)
    prior: Prior | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            if not is_number(value) and not (name == "step" and value is None):
                raise SpaceError(f"Float: {name} must be a number, got {value!r} ({type(value).__name__})")
        _check_bounds("Float", self.low, self.high, self.log, self.step)
        if self.log and self.step is not None:
            raise SpaceError(f"Float: log=True and step={self.step!r} exclude each other; drop one of them")
        if self.prior is not None:
            _check_prior("Float", self.prior, self.low, self._scale)

    def __repr__(self) -> str:
        return _shown(self)

    @property
    def _scale(self) -> Scale:
        if self.step is None:
            return Scale(self.low, self.high, self.log)
        bottom = self.low - self.step / 2
        return Scale(bottom, bottom + (self.cardinality or 1) * self.step)

    @property
    def cardinality(self) -> int | None:
        """How many values there are; None where they are not countable."""
        if self.low == self.high:
            return 1
        if self.step is None:
            return None
        return int((Decimal(str(self.high)) - Decimal(str(self.low))) / Decimal(str(self.step))) + 1

    def contains(self, value: Scalar) -> bool:
        """Tell whether `value` is one of this parameter's values."""
        if not is_number(value) or not self.low <= float(value) <= self.high:  # type: ignore[arg-type]
            return False
        return self.step is None or math.isclose(
            self.from_unit(self.to_unit(value)),
            float(value),  # type: ignore[arg-type]
            rel_tol=1e-9,
            abs_tol=1e-9 * self.step,
        )

    def to_unit(self, value: Scalar) -> float:
        """Map a value to its coordinate in [0, 1]."""
        number = float(value)  # type: ignore[arg-type]
        count = self.cardinality
        if count is not None:
            index = 0 if self.step is None else round((number - self.low) / self.step)
            return (index + 0.5) / count
        if self.log:
            return (math.log(number) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (number - self.low) / (self.high - self.low)

    def from_unit(self, unit: float) -> float:
        """Map a coordinate in [0, 1] to the value it stands for, never outside the bounds."""
        count = self.cardinality
        if count is not None:
            index = min(int(unit * count), count - 1)
            return float(Decimal(str(self.low)) + index * Decimal(str(self.step or 0)))
        if unit in (0.0, 1.0):
            return float(self.high if unit else self.low)  # exactly
        if self.log:
            value = math.exp(math.log(self.low) + unit * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + unit * (self.high - self.low)
        return float(min(max(value, self.low), self.high))

    def quantile(self, p: float) -> float:
        """Map a probability in [0, 1] to the value below which that share of the prior lies."""
        if self.prior is None or self.cardinality == 1 or p in (0.0, 1.0):
            return self.from_unit(p)
        value = self.prior.quantile(p, self._scale)
        if self.step is not None:
            return self.from_unit(self._scale.unit(value))
        return float(min(max(value, self.low), self.high))

    def log_density(self, value: Scalar) -> float:
        """Tell how likely a value is, to the prior: the log of how many times as likely as without one, so 0 there."""
        number = float(value)  # type: ignore[arg-type]
        if self.prior is None or self.cardinality == 1:
            return 0.0
        if self.step is None:
            return self.prior.log_density(number, self._scale)
        return _log_ratio(self.prior, number, self.step, self._scale)


@dataclass(frozen=True, slots=True)
class Int:
    """A whole number between two bounds, both included.

    Args:
        low: Lower bound.
        high: Upper bound.
        log: Search on a logarithmic scale; needs ``low > 0``.
        step: Allow only ``low, low + step, …`` up to `high`; with `log` it must stay 1.
        prior: Where good values are believed to lie; evenly on the scale, by default. A value has the share of the
            prior that lies within half a step of it.

    Raises:
        SpaceError: The bounds, the scale, the step and the prior do not go together.

    Example:
        >>> Int(16, 256, log=True).from_unit(0.5)
        63
    """

    low: int
    high: int
    log: bool = field(default=False, kw_only=True)
    step: int = field(default=1, kw_only=True)
    prior: Prior | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise SpaceError(
                    f"Int: {name} must be an int, got {value!r} ({type(value).__name__}); use Float for reals"
                )
            if abs(value) >= 2**63:
                raise SpaceError(f"Int: {name} must fit in 64 bits, got {value!r}; use Float for such sizes")
        _check_bounds("Int", self.low, self.high, self.log, self.step)
        if self.log and self.step != 1:
            raise SpaceError(f"Int: log=True and step={self.step!r} exclude each other; drop one of them")
        if self.prior is not None:
            _check_prior("Int", self.prior, self.low, self._scale)

    def __repr__(self) -> str:
        return _shown(self)

    @property
    def _scale(self) -> Scale:
        bottom = self.low - self.step / 2
        return Scale(bottom, bottom + self.cardinality * self.step, self.log)

    @property
    def cardinality(self) -> int:
        """How many values there are."""
        return (self.high - self.low) // self.step + 1

    def contains(self, value: Scalar) -> bool:
        """Tell whether `value` is one of this parameter's values."""
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high and (value - self.low) % self.step == 0

    def to_unit(self, value: Scalar) -> float:
        """Map a value to its coordinate in [0, 1]."""
        number = int(value)  # type: ignore[arg-type]
        if self.log:
            bottom, top = math.log(self.low - 0.5), math.log(self.high + 0.5)
            return (math.log(number) - bottom) / (top - bottom)
        return ((number - self.low) // self.step + 0.5) / self.cardinality

    def from_unit(self, unit: float) -> int:
        """Map a coordinate in [0, 1] to the value whose cell it lies in."""
        if self.log:
            bottom, top = math.log(self.low - 0.5), math.log(self.high + 0.5)
            return min(max(round(math.exp(bottom + unit * (top - bottom))), self.low), self.high)
        return self.low + min(int(unit * self.cardinality), self.cardinality - 1) * self.step

    def quantile(self, p: float) -> int:
        """Map a probability in [0, 1] to the value below which that share of the prior lies."""
        if self.prior is None or p in (0.0, 1.0):
            return self.from_unit(p)
        return self.from_unit(self._scale.unit(self.prior.quantile(p, self._scale)))

    def log_density(self, value: Scalar) -> float:
        """Tell how likely a value is, to the prior: the log of how many times as likely as without one, so 0 there."""
        return 0.0 if self.prior is None else _log_ratio(self.prior, int(value), self.step, self._scale)  # type: ignore[arg-type]


def _shown(parameter: Float | Int) -> str:
    """Return the `repr`, which leaves out a prior that is none."""
    names = [each.name for each in fields(parameter) if each.name != "prior" or parameter.prior is not None]
    return f"{type(parameter).__name__}({', '.join(f'{name}={getattr(parameter, name)!r}' for name in names)})"


def _log_ratio(prior: Prior, value: float, step: float, scale: Scale) -> float:
    """Return the log of a discrete value's share of a prior, over its share of the scale."""
    low, high = max(value - step / 2, scale.bottom), min(value + step / 2, scale.top)
    width = math.log(high / low) if scale.log else high - low
    if width == 0:  # a whole number so large that the next float is farther away than the next number
        return prior.log_density(value, scale)
    mass = prior.mass(low, high, scale)
    return math.log(mass) - math.log(width / scale.size) if mass > 0 else -math.inf
