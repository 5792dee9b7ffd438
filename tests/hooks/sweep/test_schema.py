"""The JSON schema for editors: made of what the reader goes by, and so of one mind with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hyperhook.sweep
from hyperhook.errors import SweepError
from hyperhook.sweep import read_sweep
from hyperhook.sweep.document import load
from hyperhook.sweep.form import DISTRIBUTIONS, EARLY_TERMINATE, METRIC, TOP
from hyperhook.sweep.schema import json_schema

ROOT = Path(__file__).parents[3]
VALIDATOR = jsonschema.Draft7Validator(json_schema())


def reader_takes(document: object) -> bool:
    try:
        read_sweep(json.dumps(document), "sweep.yaml")
    except SweepError:
        return False
    return True


def test_the_file_in_the_package_is_the_schema() -> None:
    file = Path(hyperhook.sweep.__file__).with_name("schema.json")
    made = json.dumps(json_schema(), indent=2) + "\n"
    assert file.read_text() == made, (
        "make it again: python -m hyperhook.sweep.schema > hooks/hyperhook/sweep/schema.json"
    )


def test_it_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(json_schema())


EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_every_example_is_valid(file: Path) -> None:
    VALIDATOR.validate(load(file.read_text(), file.name).plain())
    read_sweep(file.read_text(), file.name)


def test_there_are_examples() -> None:
    assert EXAMPLES


WHOLE: dict[str, Any] = {
    "program": "t.py",
    "command": ["${program}", "${args}", 3],
    "method": "bayes",
    "metric": {"name": "m", "goal": "maximize", "target": 1, "impute": "worst", "impute_while_running": "best"},
    "parameters": {
        "constant": {"value": [1]},
        "categorical": {"values": ["a", 1], "when": {"a": {"below": {"min": 0, "max": 1}}}},
        "likely": {"values": [1, 2], "probabilities": [0.5, 0.5], "distribution": "categorical_w_probabilities"},
        "nested": {"parameters": {"inner": {"min": 0.5, "max": 1}}},
        **{
            name: {
                "distribution": name,
                **{key: {"min": 1, "max": 4, "q": 2, "mu": 0.5, "sigma": 2, "a": 2, "b": 3}[key] for key in keys},
            }
            for name, keys in DISTRIBUTIONS.items()
            if "values" not in keys and "value" not in keys
        },
    },
    "early_terminate": {"type": "hyperband", "min_iter": 1, "max_iter": 9, "s": 2, "eta": 3, "strict": True},
    "run_cap": 3,
    "name": "n",
    "description": "d",
    "project": "p",
    "entity": "e",
    "trackers": ["csv", {"wandb": {"mode": "offline"}}, {"mlflow": None}],
    "plugins": [],
    "storage": "sqlite:///x",
    "metrics_from": "stdout",
    "max_retries": 0,
    "apiVersion": "1",
    "kind": "sweep",
    "controller": {"type": "local"},
}


def test_the_whole_form_is_in_the_document_that_is_changed_below() -> None:
    assert WHOLE.keys() == TOP.keys()
    assert WHOLE["metric"].keys() == METRIC.keys()
    assert WHOLE["early_terminate"].keys() == EARLY_TERMINATE.keys()
    assert reader_takes(WHOLE)
    VALIDATOR.validate(WHOLE)


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in inner for place in places(child, (*path, key)))]


def changed(place: tuple[str | int, ...], value: object) -> object:
    """Return the document with another value at a place."""
    document = json.loads(json.dumps(WHOLE))
    if not place:
        return value
    inner: Any = document
    for key in place[:-1]:
        inner = inner[key]
    if value is Ellipsis:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return document


ODD = st.sampled_from([..., None, True, False, 0, 1, -1, 2.5, "", "x", "hyperband", [], [1], ["x"], {}, {"x": 1}])
PLACES = st.sampled_from(places(WHOLE))


@given(place=PLACES, value=ODD)
def test_what_the_reader_takes_is_valid(place: tuple[str | int, ...], value: object) -> None:
    if value is ... and not place:
        return
    document = changed(place, value)
    if reader_takes(document):
        VALIDATOR.validate(document)


KINDS = st.sampled_from(
    [
        (*path, key)
        for path, keys in [((), TOP), (("metric",), METRIC), (("early_terminate",), EARLY_TERMINATE)]
        for key in keys
    ]
    + [
        ("parameters", name, key)
        for name, keys in DISTRIBUTIONS.items()
        if name in WHOLE["parameters"]
        for key in keys
        if key in WHOLE["parameters"][name]
    ]
)


@given(place=KINDS, value=st.sampled_from([None, [], {}, "", True, "x", 1.5, -1]))
def test_a_wrong_value_is_refused_by_both_or_by_none(place: tuple[str, ...], value: object) -> None:
    document = changed(place, value)
    if not VALIDATOR.is_valid(document):
        assert not reader_takes(document)


@given(place=PLACES, key=st.sampled_from(["x", "Min", "value ", "args"]))
def test_an_unknown_key_is_refused_by_both(place: tuple[str | int, ...], key: str) -> None:
    value: Any = WHOLE
    for part in place:
        value = value[part]
    free = ("controller",), ("parameters",), ("trackers", 1), ("trackers", 1, "wandb")
    if not isinstance(value, dict) or place in free or place[-1:] in (("parameters",), ("when",), ("a",)):
        return
    document = changed(place, {**value, key: 1})
    assert not reader_takes(document)
    assert not VALIDATOR.is_valid(document)
