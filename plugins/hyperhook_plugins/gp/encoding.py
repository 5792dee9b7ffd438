"""Params, points of the unit cube, and the columns that the Gaussian process sees.

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
D                parameters of the space, active or not
C                columns of the Gaussian process
units   b x D    points of the unit cube, as `Space.to_unit` gives them: the form in which candidates are moved about.
                 Coordinates of discrete parameters always lie in the middle of a value's cell. Those of inactive
                 parameters are kept, so that a candidate that changes its branch has values there.
x       b x C    encoded points: a column for each number, scaled as the parameter asks (log, integer cells), a column
                 for each option of an unordered choice, none for a parameter with a single value
======  =======  ======================================================================================================

Inactive numbers stand at 0.5 and the columns of inactive choices at 0, so that what plays no part makes no difference.
Two options of a choice are at distance 1, the edge of the cube: each has 1/√2 in a column of its own (one-hot).
All tensors are float64 on the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

import torch
from torch import Tensor

from hyperhook import Choice, Float, Int, Params, Scalar, Space

__all__ = ["Encoding", "is_unordered", "neighbours"]


@dataclass(frozen=True)
class Encoding:
    """How the params of one space become columns.

    Attributes:
        space: The space.
        columns: For each parameter the slice of its columns; empty where it has a single value.
        width: C, the number of columns.
    """

    space: Space
    columns: tuple[slice, ...]
    width: int

    @classmethod
    def of(cls, space: Space) -> Encoding:
        """Lay out the columns of a space."""
        columns: list[slice] = []
        width = 0
        for parameter in space.values():
            size = 0 if parameter.cardinality == 1 else len(parameter.options) if is_unordered(parameter) else 1
            columns.append(slice(width, width + size))
            width = columns[-1].stop
        return cls(space, tuple(columns), width)

    @property
    def dimension(self) -> int:
        """How many parameters vary: the dimension that the length-scale prior goes by, whatever their columns."""
        return sum(columns.start < columns.stop for columns in self.columns)

    @property
    def continuous(self) -> list[int]:
        """The positions of the parameters that gradients can move."""
        return [i for i, parameter in enumerate(self.space.values()) if parameter.cardinality is None]

    @property
    def discrete(self) -> list[int]:
        """The positions of the parameters that have two or more countable values."""
        return [i for i, parameter in enumerate(self.space.values()) if (parameter.cardinality or 0) > 1]

    def active(self, units: Tensor) -> Tensor:
        """Tell which parameters take part.

        Args:
            units: ``b x D``.

        Returns:
            ``b x D``, bool.
        """
        names = list(self.space)
        active = torch.ones_like(units, dtype=torch.bool)
        for i, name in enumerate(names):  # parents stand before their children
            condition = self.space.condition(name)
            if condition is not None:
                parent = names.index(condition.parent)
                choice = self.space[condition.parent]
                wanted = choice.index(condition.option) if isinstance(choice, Choice) else 0
                active[:, i] = active[:, parent] & (_option(units[:, parent], choice.cardinality or 1) == wanted)
        return active

    def encode(self, units: Tensor) -> Tensor:
        """Return the columns of points.

        Args:
            units: ``b x D``, snapped.

        Returns:
            ``b x C``.
        """
        active = self.active(units)
        x = torch.zeros(len(units), self.width, dtype=torch.float64)
        for i, (parameter, columns) in enumerate(zip(self.space.values(), self.columns, strict=True)):
            if is_unordered(parameter):
                hot = _option(units[:, i], len(parameter.options))[:, None] == torch.arange(
                    columns.stop - columns.start
                )
                x[:, columns] = (hot & active[:, i : i + 1]) * math.sqrt(0.5)
            elif columns.start < columns.stop:
                x[:, columns.start] = torch.where(active[:, i], units[:, i], 0.5)
        return x

    def snap(self, units: Tensor) -> Tensor:
        """Move discrete coordinates into the middle of their cells, so that each point is one of the space.

        Args:
            units: ``b x D``, anywhere in the unit cube.

        Returns:
            ``b x D``.
        """
        snapped = units.clone()
        parameters = list(self.space.values())
        for i in range(len(parameters)):
            if i not in self.continuous:
                parameter = parameters[i]
                middles = [parameter.to_unit(parameter.from_unit(unit)) for unit in units[:, i].tolist()]
                snapped[:, i] = torch.tensor(middles, dtype=torch.float64)
        return snapped

    def units(self, many: Sequence[Params]) -> Tensor:
        """Return the points, ``b x D``, of b sets of params."""
        rows = [self.space.to_unit(params) for params in many]
        return torch.tensor(rows, dtype=torch.float64).reshape(len(rows), len(self.space))

    def params(self, units: Tensor) -> list[dict[str, Scalar]]:
        """Return the b sets of params of ``b x D`` points."""
        return [self.space.from_unit(row) for row in units.tolist()]


def is_unordered(parameter: Float | Int | Choice) -> TypeGuard[Choice]:
    """Tell whether a parameter's values are all as far from each other.

    Options that bring parameters of their own are taken so, too: an option's column tells where those are active.
    """
    return isinstance(parameter, Choice) and not (parameter.ordered and not any(parameter.branches))


def _option(unit: Tensor, count: int) -> Tensor:
    """Return which of `count` options coordinates stand for; same shape, int64."""
    return (unit * count).long().clamp_max(count - 1)


def neighbours(parameter: Float | Int | Choice, unit: float) -> list[float]:
    """Return the coordinates that a discrete parameter may be moved to in one step.

    For an unordered choice these are all other options. For a number, or an ordered choice, they are values 1, 2, 4,
    8, … places away, so that each value of a wide range is a few steps from any other.

    Args:
        parameter: A parameter with countable values.
        unit: Its coordinate.
    """
    count = parameter.cardinality or 0
    if is_unordered(parameter):
        chosen = parameter.index(parameter.from_unit(unit))
        return [parameter.to_unit(option) for place, option in enumerate(parameter.options) if place != chosen]
    place = _place(parameter, unit)
    strides = [sign << power for power in range(count.bit_length()) for sign in (-1, 1)]
    return [_coordinate(parameter, place + stride) for stride in strides if 0 <= place + stride < count]


def _place(parameter: Float | Int | Choice, unit: float) -> int:
    """Return which value, counted from 0, a coordinate stands for."""
    if isinstance(parameter, Choice):
        return parameter.index(parameter.from_unit(unit))
    value = parameter.from_unit(unit)
    step = parameter.step or 1
    return round((value - parameter.low) / step)


def _coordinate(parameter: Float | Int | Choice, place: int) -> float:
    """Return the coordinate of a value counted from 0."""
    if isinstance(parameter, Int):
        return parameter.to_unit(parameter.low + place * parameter.step)
    return (place + 0.5) / (parameter.cardinality or 1)
