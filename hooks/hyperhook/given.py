"""Params that a user gives for a trial, all of them or some: checked, and completed."""

from __future__ import annotations

import random
from collections.abc import Mapping

from hyperhook.errors import SpaceError
from hyperhook.parameters import Float, Params, Scalar, plain
from hyperhook.scalars import is_number
from hyperhook.space import Space

__all__ = ["completed", "given", "holds"]


def given(space: Space, params: object) -> dict[str, Scalar]:
    """Check params that a user gives.

    What a param depends on is given with it: `momentum` below the option ``"sgd"`` says that this one is chosen.

    Args:
        space: What may vary.
        params: Values for some of its parameters, or for all.

    Returns:
        The values as plain scalars, those that they depend on included.

    Raises:
        SpaceError: There are none, a name is not in the space, a value is out of bounds, or two exclude each other.
    """
    if not isinstance(params, Mapping) or not params:
        raise SpaceError(f"params: expected values by their names, as in {{'lr': 0.01}}, got {params!r}")
    wanted = {name: _value(space, name, plain(value)) for name, value in params.items()}
    for name in reversed(list(space)):
        condition = space.condition(name)
        if name in wanted and condition is not None:
            wanted.setdefault(condition.parent, condition.option)
    completed(space, wanted, {}, random.Random(0))
    return wanted


def completed(space: Space, wanted: Params, proposed: Params, rng: random.Random) -> dict[str, Scalar]:
    """Return a whole set of params.

    Args:
        space: What may vary.
        wanted: What it must hold.
        proposed: Where the rest comes from, if it has a value; what only `wanted` makes active is drawn by its prior.
        rng: Draws.

    Raises:
        SpaceError: `wanted` is not of this space.
    """
    params: dict[str, Scalar] = {}
    for name, parameter in space.items():
        if space.is_active(name, params):
            drawn = parameter.quantile(rng.random())
            params[name] = wanted[name] if name in wanted else proposed.get(name, drawn)
    params.update(wanted)  # the check names what is not in the space, or not active
    space.validate(params)
    return params


def holds(params: Params, wanted: Params) -> bool:
    """Tell whether params have all these values, in which 1, 1.0 and True differ."""
    return all(
        name in params and type(params[name]) is type(value) and params[name] == value for name, value in wanted.items()
    )


def _value(space: Space, name: str, value: Scalar) -> Scalar:
    """Return an int that is meant as a float as one, and one on a step as the number that stands there."""
    parameter = space.get(name)
    if not isinstance(parameter, Float) or not is_number(value):
        return value
    if not parameter.low <= value <= parameter.high:  # type: ignore[operator]
        return value  # the check says so
    number = float(value)  # type: ignore[arg-type]
    is_on_a_step = parameter.step is not None and parameter.contains(number)
    return parameter.from_unit(parameter.to_unit(number)) if is_on_a_step else number
