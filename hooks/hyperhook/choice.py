"""One of several options: `Choice`, which also makes other parameters depend on it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from hyperhook.errors import SpaceError
from hyperhook.scalars import Scalar, is_number, plain

if TYPE_CHECKING:
    from hyperhook.parameters import Parameter

__all__ = ["Choice"]

LIGHTEST, HEAVIEST = 1e-9, 1e9
"""Between these an option's weight lies, so that their sum keeps the digits of each."""


@dataclass(frozen=True, slots=True, init=False)
class Choice:
    """One of several options, in no order unless it is said; an option may bring parameters of its own.

    Args:
        options: The options (strings, numbers, booleans or None), or a mapping from each option to the parameters
            that are active while it is chosen.
        weights: How likely each option is believed to be a good one, in proportion; one number above 0 for each. All
            the same, by default.
        ordered: The options go from one end to the other, such as ``["small", "medium", "large"]`` or
            ``[16, 64, 1024]``: what is learned of one tells something of those next to it.

    Raises:
        SpaceError: There is no option, one stands twice, or one is not a plain scalar; the weights are not as many
            positive numbers; `ordered` is neither True nor False.

    Example:
        >>> Choice({"sgd": {"momentum": hh.Float(0.0, 0.99)}, "adam": {}}).options
        ('sgd', 'adam')
        >>> Choice(["sgd", "adam"], weights=[1, 3]).quantile(0.3)
        'adam'
    """

    options: tuple[Scalar, ...]
    branches: tuple[Mapping[str, Parameter], ...]
    weights: tuple[float, ...] | None
    ordered: bool

    def __init__(
        self,
        options: Sequence[Scalar] | Mapping[Scalar, Mapping[str, Parameter]],
        *,
        weights: Sequence[float] | None = None,
        ordered: bool = False,
    ) -> None:
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
        object.__setattr__(self, "weights", None if weights is None else _weights(weights, self.options))
        if not isinstance(ordered, bool):
            raise SpaceError(f"Choice: ordered must be True or False, got {ordered!r}")
        object.__setattr__(self, "ordered", ordered)

    def __repr__(self) -> str:
        weights = "" if self.weights is None else f", weights={self.weights!r}"
        ordered = ", ordered=True" if self.ordered else ""
        return f"Choice(options={self.options!r}, branches={self.branches!r}{weights}{ordered})"

    def __eq__(self, other: object) -> bool:
        """Tell whether the options are the same, type included: ``[0, 1]`` is not ``[False, True]``."""
        return (
            isinstance(other, Choice)
            and (self.options, self.branches) == (other.options, other.branches)
            and (self.weights, self.ordered) == (other.weights, other.ordered)
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

    def quantile(self, p: float) -> Scalar:
        """Map a probability in [0, 1] to an option, each having the share that its weight gives it."""
        if self.weights is None:
            return self.from_unit(p)
        sums = list(accumulate(self.weights))
        return self.options[min(bisect_right(sums, p * sums[-1]), len(self.options) - 1)]

    def log_density(self, value: Scalar) -> float:
        """Tell how likely an option is, by its weight: the log of how many times as likely as without, so 0 there."""
        position = self.index(value)
        if self.weights is None:
            return 0.0
        return math.log(self.weights[position]) - math.log(math.fsum(self.weights) / len(self.options))


def _weights(weights: object, options: Sequence[Scalar]) -> tuple[float, ...]:
    """Return checked weights, as plain numbers."""
    if isinstance(weights, str) or not isinstance(weights, Sequence) or len(weights) != len(options):
        raise SpaceError(
            f"Choice: weights must be a list of {len(options)} numbers, one for each of {list(options)!r}, "
            f"got {weights!r}"
        )
    for weight in weights:
        if not is_number(weight) or not LIGHTEST <= weight <= HEAVIEST:
            raise SpaceError(
                f"Choice: weights must be numbers from {LIGHTEST:g} to {HEAVIEST:g}, got {weight!r} in "
                f"{list(weights)!r}; leave out an option that is never to be tried"
            )
    return tuple(float(weight) for weight in weights)
