"""The JSON schema of sweep files, for editors: made of the tables in `form`.

``python -m hyperhook.sweep.schema`` prints it; the package holds it as ``schema.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hyperhook.sweep.form import DISTRIBUTIONS, EARLY_TERMINATE, IMPLIED, METRIC, NAME, TOP, Key

__all__ = ["json_schema"]


def json_schema() -> dict[str, Any]:
    """Return the schema, of draft 7."""
    top = _object(TOP)
    top["properties"]["metric"] = {"description": TOP["metric"].about, **_object(METRIC)}
    top["properties"]["early_terminate"] = {
        "description": TOP["early_terminate"].about,
        **_object(EARLY_TERMINATE),
        "anyOf": [{"required": ["min_iter"]}, {"required": ["max_iter", "s"]}],
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "hyperhook sweep file",
        "description": "The sweep configuration of Weights & Biases, and what hyperhook adds to it.",
        **top,
        "definitions": {
            "parameters": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": NAME},
                "additionalProperties": {"$ref": "#/definitions/parameter"},
            },
            "parameter": {
                "anyOf": [
                    *(_parameter(name, keys) for name, keys in DISTRIBUTIONS.items()),
                    _object({"parameters": Key(TOP["parameters"].kind, "Nested parameters.", required=True)}),
                ]
            },
        },
    }


def _parameter(distribution: str, keys: Mapping[str, Key]) -> dict[str, Any]:
    made = _object(keys)
    made["properties"]["distribution"] = {"const": distribution}
    if distribution not in IMPLIED:
        made["required"] = ["distribution", *made.get("required", [])]
    return made


def _object(keys: Mapping[str, Key]) -> dict[str, Any]:
    properties = {name: {"description": key.about, **key.kind.schema} for name, key in keys.items()}
    required = [name for name, key in keys.items() if key.required]
    made: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**made, "required": required} if required else made


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
