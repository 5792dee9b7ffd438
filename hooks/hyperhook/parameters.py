"""The parameters of a search: `Float`, `Int` and `Choice`.

Each maps its values to a coordinate in the unit interval and back, whatever its scale. Discrete values sit in the
middle of equal cells, so that a uniform coordinate gives uniform values.

A prior, or an option's weight, changes none of that. It changes which values are drawn: `quantile` maps a uniform
number to a value that is distributed as the prior says, and `log_density` tells how much more likely a value is than
without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, cast

from hyperhook.choice import Choice
from hyperhook.errors import SpaceError
from hyperhook.priors import Prior, prior_from_json, prior_to_json
from hyperhook.ranges import Float, Int
from hyperhook.scalars import Params, Scalar, plain

__all__ = [
    "Choice",
    "Float",
    "Int",
    "Parameter",
    "Params",
    "Prior",
    "Scalar",
    "parameter_from_json",
    "parameter_to_json",
    "plain",
]

Parameter: TypeAlias = Float | Int | Choice


def parameter_to_json(parameter: Parameter) -> dict[str, object]:
    """Return a parameter as plain JSON, as the store keeps it; prior, weights and order only where there are any."""
    if isinstance(parameter, Choice):
        branches = [{name: parameter_to_json(child) for name, child in b.items()} for b in parameter.branches]
        weights = {} if parameter.weights is None else {"weights": list(parameter.weights)}
        ordered = {"ordered": True} if parameter.ordered else {}
        return {"type": "choice", "options": list(parameter.options), "branches": branches, **weights, **ordered}
    kind = "float" if isinstance(parameter, Float) else "int"
    prior = {} if parameter.prior is None else {"prior": prior_to_json(parameter.prior)}
    bounds = {"low": parameter.low, "high": parameter.high, "log": parameter.log, "step": parameter.step}
    return {"type": kind, **bounds, **prior}


def parameter_from_json(name: str, entry: object) -> Parameter:
    """Rebuild a parameter from `parameter_to_json`.

    Raises:
        SpaceError: It is of a kind that this version does not know.
    """
    match entry:
        case {"type": "float", "low": low, "high": high, "log": log, "step": step, **rest}:
            return Float(low, high, log=log, step=step, prior=prior_from_json(rest.get("prior")))
        case {"type": "int", "low": low, "high": high, "log": log, "step": step, **rest}:
            return Int(low, high, log=log, step=step, prior=prior_from_json(rest.get("prior")))
        case {"type": "choice", "options": options, "branches": branches, **rest}:
            children = [{key: parameter_from_json(key, child) for key, child in b.items()} for b in branches]
            return Choice(
                dict(zip(options, children, strict=True)),
                weights=cast("Sequence[float] | None", rest.get("weights")),
                ordered=bool(rest.get("ordered")),
            )
    raise SpaceError(f"space: {name!r} is stored as {entry!r}, which is no parameter of this version")
