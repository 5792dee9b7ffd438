"""Ray Tune's search space as one of ours.

- ``uniform``, ``loguniform``, ``randint`` and ``lograndint``, their quantized forms, and ``choice`` are known. Tune's
  integers end before their upper bound, its quantized ones at it; multiples of the quantum are what both hold.
- A ``choice`` is one between the positions of its options, which may thus be any objects.
- What lies in nested dictionaries is named by its path, as in ``model/lr``. What is no domain is left to Tune.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.search.sample import Categorical, Domain, Float, Integer, LogUniform, Quantized, Uniform
from ray.tune.search.variant_generator import parse_spec_vars

import hyperhook as hh
from hyperhook.errors import SpaceError
from hyperhook.parameters import Parameter

__all__ = ["TuneSpace"]


@dataclass(frozen=True, slots=True)
class _Axis:
    """A parameter, and how its values stand in Tune's configurations."""

    path: tuple[Any, ...]
    parameter: Parameter
    quantum: float | None = None
    options: tuple[Any, ...] | None = None

    def value(self, chosen: hh.Scalar) -> object:
        """Return a value of the parameter as Tune has it."""
        if self.options is not None:
            assert isinstance(chosen, int)
            return self.options[chosen]
        if self.quantum is None:
            return chosen
        assert isinstance(chosen, int)
        return chosen * self.quantum


class TuneSpace:
    """A search space, by Tune's domains or by our parameters.

    Args:
        given: What ``param_space`` of a Tuner takes: domains, nested dictionaries, constants. Or parameters of ours.

    Raises:
        SpaceError: It holds a domain that has no bounds, a grid or a function.

    Example:
        >>> from ray import tune
        >>> TuneSpace({"lr": tune.loguniform(1e-4, 1e-1), "epochs": 10}).space
        Space({'lr': Float(0.0001, 0.1, log=True)})
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._axes = dict(_axes(given))
        self.space = hh.Space({name: axis.parameter for name, axis in self._axes.items()})

    def config(self, params: hh.Params) -> dict[str, Any]:
        """Return params as the configuration, nested, that Tune gives its trial."""
        config: dict[str, Any] = {}
        for name, chosen in params.items():
            place = config
            *folders, last = self._axes[name].path
            for folder in folders:
                place = place.setdefault(folder, {})
            place[last] = self._axes[name].value(chosen)
        return config


def _axes(given: Mapping[str, Any]) -> Iterator[tuple[str, _Axis]]:
    ours = {name: value for name, value in given.items() if isinstance(value, hh.Float | hh.Int | hh.Choice)}
    yield from ((name, _Axis((name,), parameter)) for name, parameter in ours.items())
    _, domains, grids = parse_spec_vars({name: value for name, value in given.items() if name not in ours})
    if grids:
        raise SpaceError(
            f"HyperhookSearch: {_name(grids[0][0])!r} is a tune.grid_search, which Tune goes through by itself; "
            "write tune.choice([…]), with plugins=['grid'] for all combinations"
        )
    for path, domain in domains:
        yield _name(path), _axis(path, domain)


def _name(path: tuple[Any, ...]) -> str:
    return "/".join(map(str, path))


def _axis(path: tuple[Any, ...], domain: Domain) -> _Axis:
    sampler, quantum = domain.get_sampler(), None
    if isinstance(sampler, Quantized):
        sampler, quantum = sampler.get_sampler(), sampler.q
    if isinstance(domain, Categorical):
        return _Axis(path, hh.Choice(range(len(domain.categories))), options=tuple(domain.categories))
    log = isinstance(sampler, LogUniform)
    if not isinstance(domain, Float | Integer) or not isinstance(sampler, Uniform | LogUniform):
        raise SpaceError(
            f"HyperhookSearch: {_name(path)!r} is {domain.domain_str or type(domain).__name__} with {sampler}, "
            "expected a uniform or logarithmic domain, or a choice; give it bounds, as in tune.uniform(-3, 3)"
        )
    if quantum not in (None, 1) or (quantum is not None and isinstance(domain, Float)):
        low, high = math.ceil(domain.lower / quantum - 1e-9), math.floor(domain.upper / quantum + 1e-9)
        return _Axis(path, hh.Int(low, high, log=log), quantum=quantum)
    if isinstance(domain, Integer):
        return _Axis(path, hh.Int(domain.lower, domain.upper - 1, log=log))
    return _Axis(path, hh.Float(domain.lower, domain.upper, log=log))
