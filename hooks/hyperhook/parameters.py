"""The parameters of a search: `Float`, `Int` and `Choice`.

Each maps its values to a coordinate in the unit interval and back, whatever its scale. Discrete values sit in the
middle of equal cells, so that a uniform coordinate gives uniform values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

from hyperhook.errors import SpaceError

__all__ = [
    "Choice",
    "Float",
    "Int",
    "Parameter",
    "Params",
    "Scalar",
    "parameter_from_json",
    "parameter_to_json",
    "plain",
]

Scalar: TypeAlias = str | int | float | bool | None
Params: TypeAlias = Mapping[str, Scalar]


def plain(value: Scalar) -> Scalar:
    """Return a value as JSON gives it back: without the subclasses of NumPy and of enums."""
    if isinstance(value, str):
        return str.__str__(value)  # `str` of an enum's member is its name
    if isinstance(value, float):
        return float(value)
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_bounds(kind: str, low: float, high: float, log: bool, step: float | None) -> None:
    if not math.isfinite(high - low):
        raise SpaceError(f"{kind}: bounds and their distance must be finite, got low={low!r}, high={high!r}")
    if low > high:
        raise SpaceError(f"{kind}: low must not exceed high, got low={low!r}, high={high!r}; swap them")
    if log and low <= 0:
        raise SpaceError(f"{kind}: log=True needs low > 0, got low={low!r}; raise low, or drop log=True")
    if step is not None and not (math.isfinite(step) and step > 0):
        raise SpaceError(f"{kind}: step must be a finite number above 0, got step={step!r}")


@dataclass(frozen=True, slots=True)
class Float:
    """A real number between two bounds, both included.

    Args:
        low: Lower bound.
        high: Upper bound.
        log: Search on a logarithmic scale; needs ``low > 0``.
        step: Allow only ``low, low + step, …`` up to `high`; not together with `log`.

    Raises:
        SpaceError: The bounds, the scale and the step do not go together.

    Example:
        >>> Float(1e-4, 1e-1, log=True).from_unit(0.0)
        0.0001
    """

    low: float
    high: float
    log: bool = field(default=False, kw_only=True)
    step: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            if not _is_number(value) and not (name == "step" and value is None):
                raise SpaceError(f"Float: {name} must be a number, got {value!r} ({type(value).__name__})")
        _check_bounds("Float", self.low, self.high, self.log, self.step)
        if self.log and self.step is not None:
            raise SpaceError(f"Float: log=True and step={self.step!r} exclude each other; drop one of them")

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
        if not _is_number(value) or not self.low <= float(value) <= self.high:  # type: ignore[arg-type]
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


@dataclass(frozen=True, slots=True)
class Int:
    """A whole number between two bounds, both included.

    Args:
        low: Lower bound.
        high: Upper bound.
        log: Search on a logarithmic scale; needs ``low > 0``.
        step: Allow only ``low, low + step, …`` up to `high`; with `log` it must stay 1.

    Raises:
        SpaceError: The bounds, the scale and the step do not go together.

    Example:
        >>> Int(16, 256, log=True).from_unit(0.5)
        63
    """

    low: int
    high: int
    log: bool = field(default=False, kw_only=True)
    step: int = field(default=1, kw_only=True)

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


@dataclass(frozen=True, slots=True, init=False)
class Choice:
    """One of several options, in no order; an option may bring parameters of its own.

    Args:
        options: The options (strings, numbers, booleans or None), or a mapping from each option to the parameters
            that are active while it is chosen.

    Raises:
        SpaceError: There is no option, one stands twice, or one is not a plain scalar.

    Example:
        >>> Choice({"sgd": {"momentum": Float(0.0, 0.99)}, "adam": {}}).options
        ('sgd', 'adam')
    """

    options: tuple[Scalar, ...]
    branches: tuple[Mapping[str, Parameter], ...]

    def __init__(self, options: Sequence[Scalar] | Mapping[Scalar, Mapping[str, Parameter]]) -> None:
        if isinstance(options, str) or not isinstance(options, Sequence | Mapping):
            raise SpaceError(f"Choice: expected a list of options, got {options!r} ({type(options).__name__})")
        branches = tuple(dict(b) for b in options.values()) if isinstance(options, Mapping) else ({},) * len(options)
        object.__setattr__(self, "options", tuple(map(plain, options)))
        object.__setattr__(self, "branches", branches)
        if not self.options:
            raise SpaceError("Choice: there is no option to choose from; give at least one")
        for position, option in enumerate(self.options):
            if option is not None and not isinstance(option, str | int | float | bool):
                raise SpaceError(
                    f"Choice: options must be strings, numbers, booleans or None, got {option!r} "
                    f"({type(option).__name__}); name it by a string and look it up in the training function"
                )
            if isinstance(option, float) and not math.isfinite(option):
                raise SpaceError(f"Choice: options must be finite, got {option!r}")
            if self.options.index(option) != position:
                raise SpaceError(
                    f"Choice: option {option!r} stands twice in {list(self.options)!r} "
                    "(to Python, 1, 1.0 and True are equal)"
                )

    def __eq__(self, other: object) -> bool:
        """Tell whether the options are the same, type included: ``[0, 1]`` is not ``[False, True]``."""
        return (
            isinstance(other, Choice)
            and (self.options, self.branches) == (other.options, other.branches)
            and [*map(type, self.options)] == [*map(type, other.options)]
        )

    def _find(self, value: Scalar) -> int | None:
        for position, option in enumerate(self.options):
            if type(option) is type(value) and option == value:
                return position
        return None

    @property
    def cardinality(self) -> int:
        """How many options there are."""
        return len(self.options)

    def contains(self, value: Scalar) -> bool:
        """Tell whether `value` is one of the options, type included."""
        return self._find(value) is not None

    def index(self, value: Scalar) -> int:
        """Return the position of an option.

        Raises:
            SpaceError: `value` is none of the options.
        """
        position = self._find(value)
        if position is None:
            raise SpaceError(f"Choice: {value!r} is none of the options {list(self.options)!r}")
        return position

    def to_unit(self, value: Scalar) -> float:
        """Map an option to its coordinate in [0, 1]."""
        return (self.index(value) + 0.5) / len(self.options)

    def from_unit(self, unit: float) -> Scalar:
        """Map a coordinate in [0, 1] to the option whose cell it lies in."""
        return self.options[min(int(unit * len(self.options)), len(self.options) - 1)]


Parameter: TypeAlias = Float | Int | Choice


def parameter_to_json(parameter: Parameter) -> dict[str, object]:
    """Return a parameter as plain JSON, as the store keeps it."""
    if isinstance(parameter, Choice):
        branches = [{name: parameter_to_json(child) for name, child in b.items()} for b in parameter.branches]
        return {"type": "choice", "options": list(parameter.options), "branches": branches}
    kind = "float" if isinstance(parameter, Float) else "int"
    return {"type": kind, "low": parameter.low, "high": parameter.high, "log": parameter.log, "step": parameter.step}


def parameter_from_json(name: str, entry: object) -> Parameter:
    """Rebuild a parameter from `parameter_to_json`.

    Raises:
        SpaceError: It is of a kind that this version does not know.
    """
    match entry:
        case {"type": "float", "low": low, "high": high, "log": log, "step": step}:
            return Float(low, high, log=log, step=step)
        case {"type": "int", "low": low, "high": high, "log": log, "step": step}:
            return Int(low, high, log=log, step=step)
        case {"type": "choice", "options": options, "branches": branches}:
            children = [{key: parameter_from_json(key, child) for key, child in b.items()} for b in branches]
            return Choice(dict(zip(options, children, strict=True)))
    raise SpaceError(f"space: {name!r} is stored as {entry!r}, which is no parameter of this version")
