"""The values that parameters have: strings, numbers, booleans and None."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

__all__ = ["Params", "Scalar", "is_number", "plain"]

Scalar: TypeAlias = str | int | float | bool | None
Params: TypeAlias = Mapping[str, Scalar]


def plain(value: Scalar) -> Scalar:
    """Return a value as JSON gives it back: without the subclasses of NumPy and of enums."""
    if isinstance(value, str):
        return str.__str__(value)  # `str` of an enum's member is its name
    if isinstance(value, float):
        return float(value)
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def is_number(value: object) -> bool:
    """Tell whether a value is an int or a float, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)
