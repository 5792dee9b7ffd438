"""The search space: all parameters of a study, flat, and what makes each of them active.

A space maps names to `Float`, `Int` and `Choice`. A `Choice` may carry parameters below its options; these are
*active* only while their option is chosen, and only active parameters appear in a set of params:

>>> optimizer = Choice({"sgd": {"momentum": Float(0, 1)}, "adam": {}})
>>> space = Space({"lr": Float(1e-4, 1e-1, log=True), "optimizer": optimizer})
>>> sorted(space.from_unit([0.5, 0.0, 0.5]))
['lr', 'momentum', 'optimizer']

Every parameter has one coordinate in the unit cube, active or not: `to_unit` and `from_unit` go there and back.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hyperhook.errors import SpaceError
from hyperhook.parameters import (
    Choice,
    Float,
    Int,
    Parameter,
    Params,
    Scalar,
    parameter_from_json,
    parameter_to_json,
)

__all__ = ["Condition", "Space"]


@dataclass(frozen=True, slots=True)
class Condition:
    """What makes a parameter active: its parent has this option."""

    parent: str
    option: Scalar


class Space(Mapping[str, Parameter]):
    """All parameters of a search, flat and in order, parents before their children.

    Args:
        parameters: Names and parameters; children hang below the options of a `Choice`.

    Raises:
        SpaceError: A name is not a non-empty string or stands twice, or a value is not a parameter.

    Example:
        >>> space = Space({"lr": Float(0.0, 1.0), "net": Choice({"cnn": {"width": Int(8, 64)}, "mlp": {}})})
        >>> list(space), space.condition("width")
        (['lr', 'net', 'width'], Condition(parent='net', option='cnn'))
    """

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        if not isinstance(parameters, Mapping):
            raise SpaceError(
                f"space: expected names and parameters, as in {{'lr': hh.Float(0, 1)}}, got {parameters!r}"
            )
        self._parameters: dict[str, Parameter] = {}
        self._conditions: dict[str, Condition] = {}
        self._add(parameters, None)

    def _add(self, parameters: Mapping[str, Parameter], condition: Condition | None) -> None:
        for name, parameter in parameters.items():
            if not isinstance(name, str) or not name:
                raise SpaceError(f"space: names must be non-empty strings, got {name!r}")
            if not isinstance(parameter, Float | Int | Choice):
                raise SpaceError(
                    f"space: {name!r} must be a Float, Int or Choice, got {parameter!r} ({type(parameter).__name__}); "
                    "a constant needs no parameter"
                )
            if name in self._parameters:
                raise SpaceError(f"space: the name {name!r} stands twice; give each parameter a name of its own")
            self._parameters[name] = parameter
            if condition is not None:
                self._conditions[name] = condition
            if isinstance(parameter, Choice):
                for option, branch in zip(parameter.options, parameter.branches, strict=True):
                    self._add(branch, Condition(name, option))

    def __getitem__(self, name: str) -> Parameter:
        return self._parameters[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self._parameters == other._parameters

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Space({self._parameters!r})"

    @property
    def cardinality(self) -> int | None:
        """How many different sets of params there are; None where they are not countable."""
        return self._count(None)

    def _count(self, condition: Condition | None) -> int | None:
        total = 1
        for name, parameter in self._parameters.items():
            if self._conditions.get(name) != condition:
                continue
            if isinstance(parameter, Choice):
                below = [self._count(Condition(name, option)) for option in parameter.options]
                count = None if None in below else sum(n for n in below if n is not None)
            else:
                count = parameter.cardinality
            if count is None:
                return None
            total *= count
        return total

    def condition(self, name: str) -> Condition | None:
        """Return what makes a parameter active; None where it always is."""
        return self._conditions.get(name)

    def is_active(self, name: str, params: Params) -> bool:
        """Tell whether a parameter takes part, given the params of its parents."""
        condition = self._conditions.get(name)
        if condition is None:
            return True
        chosen = params.get(condition.parent)
        return condition.parent in params and type(chosen) is type(condition.option) and chosen == condition.option

    def validate(self, params: Params) -> None:
        """Check that `params` holds exactly the active parameters, each within its bounds.

        Raises:
            SpaceError: It does not; the message names the parameter.
        """
        for name, parameter in self._parameters.items():
            if not self.is_active(name, params):
                continue
            if name not in params:
                raise SpaceError(f"params: {name!r} is missing; expected a value of {parameter!r}")
            if not parameter.contains(params[name]):
                raise SpaceError(f"params: {name!r} got {params[name]!r}, expected a value of {parameter!r}")
        for name in params:
            if name not in self._parameters:
                raise SpaceError(
                    f"params: {name!r} is not in the space; it has {', '.join(self._parameters) or 'nothing'}"
                )
            if not self.is_active(name, params):
                condition = self._conditions[name]
                raise SpaceError(
                    f"params: {name!r} takes part only while {condition.parent!r} is {condition.option!r}, "
                    f"got {params.get(condition.parent)!r}; leave it out"
                )

    def sample(self, rng: random.Random) -> dict[str, Scalar]:
        """Draw params: each parameter by its prior, or else evenly on its own scale; children only where active."""
        return self.quantile([rng.random() for _ in self._parameters])

    def to_unit(self, params: Params) -> list[float]:
        """Map params to a point of the unit cube, one coordinate a parameter; inactive ones sit at 0.5."""
        return [
            parameter.to_unit(params[name]) if self.is_active(name, params) else 0.5
            for name, parameter in self._parameters.items()
        ]

    def from_unit(self, point: Sequence[float]) -> dict[str, Scalar]:
        """Map a point of the unit cube to params, leaving out what its choices make inactive.

        Raises:
            SpaceError: The point has not one coordinate in [0, 1] for each parameter.
        """
        return self._place("from_unit", point, lambda parameter, unit: parameter.from_unit(unit))

    def quantile(self, point: Sequence[float]) -> dict[str, Scalar]:
        """Map a point of the unit cube to params as their priors say: uniform points give params drawn from the priors.

        Without priors this is `from_unit`.

        Raises:
            SpaceError: The point has not one coordinate in [0, 1] for each parameter.

        Example:
            >>> Space({"net": Choice(["cnn", "mlp"], weights=[9, 1])}).quantile([0.8])
            {'net': 'cnn'}
        """
        return self._place("quantile", point, lambda parameter, p: parameter.quantile(p))

    def _place(
        self, called: str, point: Sequence[float], value: Callable[[Parameter, float], Scalar]
    ) -> dict[str, Scalar]:
        if len(point) != len(self._parameters):
            raise SpaceError(f"{called}: expected {len(self._parameters)} coordinates, got {len(point)}")
        params: dict[str, Scalar] = {}
        for (name, parameter), unit in zip(self._parameters.items(), point, strict=True):
            if not 0.0 <= unit <= 1.0:
                raise SpaceError(f"{called}: {name!r} got the coordinate {unit!r}, expected one in [0, 1]")
            if self.is_active(name, params):
                params[name] = value(parameter, unit)
        return params

    @property
    def has_prior(self) -> bool:
        """Whether any parameter has a prior or weights."""
        return any(p.weights if isinstance(p, Choice) else p.prior for p in self._parameters.values())

    def log_prior(self, params: Params) -> float:
        """Tell how likely params are, to the priors: the log of how many times as likely as without, so 0 there.

        Args:
            params: A value for each active parameter.

        Raises:
            SpaceError: The params are not of this space.

        Example:
            >>> space = Space({"net": Choice(["cnn", "mlp"], weights=[3, 1]), "x": Float(0, 1)})
            >>> math.exp(space.log_prior({"net": "mlp", "x": 0.7}))
            0.5
        """
        self.validate(params)
        return math.fsum(self._parameters[name].log_density(value) for name, value in params.items())

    def to_json(self) -> dict[str, object]:
        """Return the space as plain JSON, as the store keeps it."""
        roots = {name: p for name, p in self._parameters.items() if name not in self._conditions}
        return {name: parameter_to_json(parameter) for name, parameter in roots.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Space:
        """Rebuild a space from `to_json`."""
        return cls({name: parameter_from_json(name, entry) for name, entry in data.items()})
