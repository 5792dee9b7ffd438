"""The form of a sweep file: which keys there are, and what each may hold.

The reader goes by these tables, and the JSON schema is made of them: `hyperhook.sweep.schema`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hyperhook.scalars import is_number

__all__ = [
    "DISTRIBUTIONS",
    "EARLY_TERMINATE",
    "IGNORED",
    "IMPLIED",
    "METRIC",
    "NAME",
    "PARAMETER",
    "TOP",
    "Key",
    "Kind",
]

NAME = r"^[A-Za-z_][A-Za-z0-9_.-]*$"
"""What a parameter may be called."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a key may hold.

    Attributes:
        words: What is expected, for errors.
        schema: The same as JSON schema.
        fits: Tells whether a plain value is one.
    """

    words: str
    schema: Mapping[str, Any]
    fits: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Key:
    """A key: what it holds and means, and whether it must be there."""

    kind: Kind
    about: str
    required: bool = False


def _is_finite(value: Any) -> bool:
    return is_number(value) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_addon(value: object) -> bool:
    if not isinstance(value, dict):
        return _is_text(value)
    (options,) = value.values() if len(value) == 1 else (0,)
    return all(_is_text(name) for name in value) and (options is None or isinstance(options, dict))


def _one_of(*names: str) -> Kind:
    return Kind(f"one of {', '.join(names)}", {"enum": list(names)}, lambda value: value in names)


TEXT = Kind("a text", {"type": "string", "minLength": 1}, _is_text)
NUMBER = Kind("a number", {"type": "number"}, _is_finite)
POSITIVE = Kind(
    "a number above 0", {"type": "number", "exclusiveMinimum": 0}, lambda value: _is_finite(value) and value > 0
)
FACTOR = Kind(
    "a number above 1", {"type": "number", "exclusiveMinimum": 1}, lambda value: _is_finite(value) and value > 1
)
WHOLE = Kind("a whole number", {"type": "integer"}, _is_whole)
COUNT = Kind("a whole number from 1", {"type": "integer", "minimum": 1}, lambda value: _is_whole(value) and value >= 1)
TIMES = Kind("a whole number from 0", {"type": "integer", "minimum": 0}, lambda value: _is_whole(value) and value >= 0)
SWITCH = Kind("true or false", {"type": "boolean"}, lambda value: isinstance(value, bool))
ANYTHING = Kind("a value", {}, lambda value: True)
LIST = Kind(
    "a list of values", {"type": "array", "minItems": 1}, lambda value: isinstance(value, list) and len(value) > 0
)
SHARES = Kind(
    "a list of probabilities, numbers from 0",
    {"type": "array", "minItems": 1, "items": {"type": "number", "minimum": 0}},
    lambda value: isinstance(value, list) and len(value) > 0 and all(_is_finite(v) and v >= 0 for v in value),
)
COMMAND = Kind(
    "a list of words and macros",
    {"type": "array", "minItems": 1, "items": {"type": ["string", "number", "boolean"]}},
    lambda value: isinstance(value, list) and len(value) > 0 and all(isinstance(v, str | int | float) for v in value),
)
SOURCE = Kind(
    "a name, or a name with options: {name: {option: value}}",
    {
        "anyOf": [
            {"type": "string", "minLength": 1},
            {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "propertyNames": {"minLength": 1},
                "additionalProperties": {"type": ["object", "null"]},
            },
        ]
    },
    _is_addon,
)
ADDONS = Kind(
    "a list of names, or of names with options: [name, {name: {option: value}}]",
    {"type": "array", "items": SOURCE.schema},
    lambda value: isinstance(value, list) and all(map(_is_addon, value)),
)
MAPPING = Kind("keys and values", {"type": "object"}, lambda value: isinstance(value, dict))
PARAMETERS = Kind(
    "names and parameters",
    {"$ref": "#/definitions/parameters"},
    lambda value: isinstance(value, dict) and len(value) > 0,
)
WHEN = Kind(
    "options, and the parameters that each brings",
    {"type": "object", "additionalProperties": {"$ref": "#/definitions/parameters"}},
    lambda value: isinstance(value, dict),
)

METRIC = {
    "name": Key(TEXT, "Name of the metric, as the program reports it.", required=True),
    "goal": Key(_one_of("minimize", "maximize"), "What to do with it; minimize by default."),
    "target": Key(NUMBER, "No further trial begins once one has ended with this value, or a better one."),
    "impute": Key(_one_of("latest", "best", "worst"), "Accepted and ignored."),
    "impute_while_running": Key(_one_of("latest", "best", "worst", "false"), "Accepted and ignored."),
}

EARLY_TERMINATE = {
    "type": Key(_one_of("hyperband"), "How to stop trials early.", required=True),
    "min_iter": Key(COUNT, "The first rung, counted in reported values; the next is eta times as far."),
    "max_iter": Key(COUNT, "With s: rungs at max_iter / eta, max_iter / eta^2, …; without it, the end of the rungs."),
    "s": Key(COUNT, "How many rungs there are below max_iter."),
    "eta": Key(FACTOR, "The distance of the rungs; one of eta trials goes on from each. 3 by default."),
    "strict": Key(SWITCH, "Whether no more than one of eta goes on; without it, one more does."),
}

_RANGE = {"min": Key(NUMBER, "The lower bound.", True), "max": Key(NUMBER, "The upper bound, above min.", True)}
_LOGS = {
    "min": Key(NUMBER, "The natural logarithm of a bound.", True),
    "max": Key(NUMBER, "Likewise, above min.", True),
}
_ABOVE = {"min": Key(POSITIVE, "The lower bound, above 0.", True), "max": Key(POSITIVE, "The upper bound.", True)}
_BELL = {"mu": Key(NUMBER, "The mean, 0 by default."), "sigma": Key(POSITIVE, "The standard deviation, 1 by default.")}
_LOG_BELL = {
    "mu": Key(NUMBER, "The mean of the natural logarithm, 0 by default."),
    "sigma": Key(POSITIVE, "The standard deviation of the natural logarithm, 1 by default."),
}
_BETA = {"a": Key(POSITIVE, "The first shape, 1 by default."), "b": Key(POSITIVE, "The second shape, 1 by default.")}
_Q = {"q": Key(POSITIVE, "The step: values are its multiples; 1 by default.")}
_WHEN = {"when": Key(WHEN, "Beyond W&B: parameters that take part only while their option is chosen.")}

DISTRIBUTIONS: Mapping[str, Mapping[str, Key]] = {
    "constant": {"value": Key(ANYTHING, "The value.", True)},
    "categorical": {"values": Key(LIST, "The options.", True), **_WHEN},
    "categorical_w_probabilities": {
        "values": Key(LIST, "The options.", True),
        "probabilities": Key(SHARES, "One for each option; they sum to 1.", True),
        **_WHEN,
    },
    "int_uniform": {
        "min": Key(WHOLE, "The lower bound.", True),
        "max": Key(WHOLE, "The upper bound, included.", True),
    },
    "uniform": _RANGE,
    "q_uniform": {**_RANGE, **_Q},
    "log_uniform": _LOGS,
    "log_uniform_values": _ABOVE,
    "q_log_uniform": {**_LOGS, **_Q},
    "q_log_uniform_values": {**_ABOVE, **_Q},
    "inv_log_uniform": _LOGS,
    "inv_log_uniform_values": _ABOVE,
    "normal": _BELL,
    "q_normal": {**_BELL, **_Q},
    "log_normal": _LOG_BELL,
    "q_log_normal": {**_LOG_BELL, **_Q},
    "beta": _BETA,
    "q_beta": {**_BETA, **_Q},
}

IMPLIED = ("constant", "categorical", "categorical_w_probabilities", "int_uniform", "uniform")
"""The distributions that may be left unnamed."""

PARAMETER = tuple(
    dict.fromkeys([*(key for keys in DISTRIBUTIONS.values() for key in keys), "distribution", "parameters"])
)
"""All keys of a parameter."""

TOP = {
    "program": Key(TEXT, "The script, relative to the folder that the agents work in."),
    "command": Key(COMMAND, "How it is started: words, and macros that stand alone, such as ${program} and ${args}."),
    "method": Key(_one_of("bayes", "random", "grid"), "How params are chosen.", required=True),
    "metric": Key(MAPPING, "What is searched for."),
    "parameters": Key(PARAMETERS, "What may vary.", required=True),
    "early_terminate": Key(MAPPING, "How trials are stopped early."),
    "run_cap": Key(COUNT, "How many trials the study gets, across all agents."),
    "name": Key(TEXT, "The study's name; by default the file's."),
    "description": Key(TEXT, "What it is about."),
    "project": Key(TEXT, "The project of the wandb tracker."),
    "entity": Key(TEXT, "The user or team of the wandb tracker."),
    "trackers": Key(ADDONS, "Beyond W&B: what mirrors the trials, such as [tensorboard, mlflow]."),
    "plugins": Key(ADDONS, "Beyond W&B: further plugins; one that is named again takes the place of the method's."),
    "storage": Key(TEXT, "Beyond W&B: the URL of the database that all agents share."),
    "metrics_from": Key(
        SOURCE,
        "Beyond W&B: where the program's metrics are read: stdout, wandb, tensorboard, mlflow, or another follower, "
        "also with options; auto, the default, takes whichever has them.",
    ),
    "max_retries": Key(TIMES, "Beyond W&B: how often a trial whose agent died is tried again."),
    "apiVersion": Key(ANYTHING, "Accepted and ignored."),
    "kind": Key(_one_of("sweep"), "Accepted and ignored."),
    "controller": Key(MAPPING, "Accepted and ignored."),
}

IGNORED = ("apiVersion", "kind", "controller")
"""Keys that W&B's format has and that mean nothing here."""
