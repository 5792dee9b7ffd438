"""The scale that a number is searched on: `Scale`, linear or logarithmic."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Scale"]


@dataclass(frozen=True, slots=True)
class Scale:
    """The values of a parameter as one interval; that of a discrete one reaches half a step beyond its bounds.

    Attributes:
        bottom: Where it begins.
        top: Where it ends, above `bottom`.
        log: Whether it is logarithmic; then `bottom` is above 0.
    """

    bottom: float
    top: float
    log: bool = False

    @property
    def size(self) -> float:
        """Its length, in logarithms where it is logarithmic."""
        return math.log(self.top) - math.log(self.bottom) if self.log else self.top - self.bottom

    def unit(self, value: float) -> float:
        """Return the coordinate, in [0, 1], of a value."""
        above = math.log(value) - math.log(self.bottom) if self.log else value - self.bottom
        return min(max(above / self.size, 0.0), 1.0)

    def value(self, unit: float) -> float:
        """Return the value at a coordinate in [0, 1]."""
        if self.log:
            return math.exp(math.log(self.bottom) + unit * self.size)
        return self.bottom + unit * self.size

    def log_slope(self, value: float) -> float:
        """Return log dv/du at a value."""
        return math.log(self.size) + (math.log(value) if self.log else 0.0)
