"""A grid over a space: `Grid`, the product of the values that each parameter is tried at."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

from hyperhook.errors import SpaceError
from hyperhook.parameters import Choice, Float, Int, Parameter, Scalar
from hyperhook.space import Condition, Space

__all__ = ["Grid"]

_FLOAT_POINTS = 5


class Grid:
    """The product of the values of each parameter, without those that a choice makes inactive.

    A discrete parameter has all of its values, in ascending order, a choice its options as they were given. A
    continuous one has some points, both bounds included, evenly on its own scale: in log where it is logarithmic.
    Iterating gives each set of params once, in the space's order of parameters: the last one changes fastest.

    Args:
        space: What may vary.
        points: How many points a continuous parameter has, 1 or more (1: the middle of its scale); or this for some
            parameters by their names, where 5 holds for the other continuous ones. A discrete one that is named has
            at most as many values, spread evenly.

    Raises:
        SpaceError: A number of points is below 1, or a name is none of a number's in the space.

    Example:
        >>> [params["lr"] for params in Grid(Space({"lr": Float(0.01, 1.0, log=True)}), 3)]
        [0.01, 0.1, 1.0]
        >>> Grid(Space({"net": Choice({"cnn": {"kernel": Int(1, 7, step=2)}, "mlp": {}})})).size
        5
    """

    def __init__(self, space: Space, points: int | Mapping[str, int] = _FLOAT_POINTS) -> None:
        named = dict(points) if isinstance(points, Mapping) else {}
        for name in named:
            if name not in space or isinstance(space[name], Choice):
                raise SpaceError(
                    f"grid: points are named for {name!r}, expected a Float or an Int of the space: "
                    f"{', '.join(n for n, p in space.items() if not isinstance(p, Choice)) or 'it has none'}"
                )
        every = _FLOAT_POINTS if isinstance(points, Mapping) else points
        self._space = space
        self._values = {name: _values(name, parameter, named.get(name), every) for name, parameter in space.items()}
        self.size = self._count(None)
        """How many sets of params there are."""

    def __iter__(self) -> Iterator[dict[str, Scalar]]:
        return self._from(tuple(self._space), {})

    def sample(self, rng: random.Random) -> dict[str, Scalar]:
        """Draw one of the sets of params: each active parameter evenly from its values."""
        params: dict[str, Scalar] = {}
        for name, values in self._values.items():
            if self._space.is_active(name, params):
                params[name] = values[rng.randrange(len(values))]
        return params

    def _from(self, names: tuple[str, ...], params: dict[str, Scalar]) -> Iterator[dict[str, Scalar]]:
        """Yield what begins with `params`; `names` are yet to be set, in order."""
        if not names:
            yield dict(params)
        elif not self._space.is_active(names[0], params):
            yield from self._from(names[1:], params)
        else:
            for value in self._values[names[0]]:
                yield from self._from(names[1:], {**params, names[0]: value})

    def _count(self, condition: Condition | None) -> int:
        total = 1
        for name, values in self._values.items():
            if self._space.condition(name) == condition:
                parameter = self._space[name]
                if isinstance(parameter, Choice):
                    total *= sum(self._count(Condition(name, option)) for option in parameter.options)
                else:
                    total *= len(values)
        return total


@dataclass(frozen=True, slots=True)
class _Values(Sequence[Scalar]):
    """Values made when they are looked at: there may be billions."""

    size: int
    at: Callable[[int], Scalar]

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> Scalar: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Scalar]: ...
    def __getitem__(self, index: int | slice) -> Scalar | Sequence[Scalar]:
        if isinstance(index, slice):
            return [self.at(i) for i in range(*index.indices(self.size))]
        if not 0 <= index < self.size:
            raise IndexError(index)
        return self.at(index)


def _values(name: str, parameter: Parameter, named: int | None, every: int) -> Sequence[Scalar]:
    """Return the values of a parameter; `named` is how many points the user named for it."""
    if isinstance(parameter, Choice):
        return parameter.options
    whole = parameter.cardinality
    count = every if named is None else named
    if whole is not None and (named is None or named >= whole):
        return _whole(parameter, whole)
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise SpaceError(f"grid: {name!r} needs 1 point or more, got {count!r}")
    return _spread(parameter, count)


def _whole(parameter: Float | Int, count: int) -> Sequence[Scalar]:
    if isinstance(parameter, Int):
        return range(parameter.low, parameter.high + 1, parameter.step)
    return _Values(count, lambda index: parameter.from_unit((index + 0.5) / count))


def _spread(parameter: Float | Int, count: int) -> Sequence[Scalar]:
    """Return values that are spread evenly over the scale, the bounds included."""
    if parameter.cardinality is None:
        if count == 1:
            return (_neat(parameter, parameter.from_unit(0.5)),)
        return _Values(count, lambda index: _neat(parameter, parameter.from_unit(index / (count - 1))))
    units = [0.5] if count == 1 else [index / (count - 1) for index in range(count)]
    return tuple(dict.fromkeys(parameter.from_unit(unit) for unit in units))


def _neat(parameter: Float | Int, value: float) -> Scalar:
    """Return 0.1 in place of 0.10000000000000002."""
    short = float(f"{value:.12g}")
    return short if parameter.contains(short) else value
