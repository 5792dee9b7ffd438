"""Lines of JSON on standard output."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperhook.follower import Reading
from hyperhook.stdout import Stdout


def read(*lines: str, any_object: bool = True) -> list[Reading]:
    follower = Stdout(any_object=any_object)
    return [reading for line in lines for reading in follower.read_line(line)]


def test_numbers_are_metrics_and_the_rest_is_passed_over() -> None:
    (reading,) = read(
        '{"loss": 0.3, "step": 4, "epoch": 2.0, "time": 1700000000.5, "name": "x", "ok": true, "no": null}'
    )
    assert reading == Reading({"loss": 0.3}, 4, 2, 1700000000.5)


def test_numbers_under_one_key_and_deeper() -> None:
    lines = '{"hyperhook": {"val": {"acc": 0.5, "top": {"5": 1}}, "_step": 7}, "loss": 9}', '{"loss": 1}'
    assert read(*lines) == [Reading({"val.acc": 0.5, "val.top.5": 1.0}, 7), Reading({"loss": 1.0}, 8)]
    assert read(*lines, any_object=False) == [Reading({"val.acc": 0.5, "val.top.5": 1.0}, 7)]


def test_without_a_step_it_is_the_one_behind_the_last() -> None:
    found = read('{"a": 1}', '{"a": 2}', '{"a": 3, "step": 10}', '{"a": 4}', '{"a": 5, "step": 3}', '{"a": 6}')
    assert [reading.step for reading in found] == [0, 1, 10, 11, 3, 4]


@pytest.mark.parametrize("step", ["-1", "1e400", "NaN", '"4"', "true", "null", "[1]"])
def test_a_step_that_is_none_is_a_value_or_nothing(step: str) -> None:
    (reading,) = read(f'{{"a": 1, "step": {step}}}')
    assert reading.step == 0
    assert set(reading.metrics) <= {"a", "step"}


def test_values_that_are_not_finite() -> None:
    (reading,) = read('{"a": NaN, "b": -Infinity, "c": "NaN", "d": "Infinity", "e": "nan?", "f": 1e999}')
    assert {name: str(value) for name, value in reading.metrics.items()} == {
        "a": "nan",
        "b": "-inf",
        "c": "nan",
        "d": "inf",
        "f": "inf",
    }


@pytest.mark.parametrize(
    "line",
    [
        "",
        "epoch 3: loss 0.5",
        "0.5",
        "[1, 2]",
        '{"a": 1',
        '{"step": 3}',
        '{"a": "b"}',
        '{"": 1}',
        '{"hyperhook": 3}',
        '{"a": ' * 3000 + "1" + "}" * 3000,
        '{"a": ' * 100 + "1" + "}" * 100,
        '{"a": 1' + " " * 1_000_000 + "}",
        '{"a": ' + "9" * 400 + "}",
        '{"a": ' + "9" * 5000 + "}",
        "\x00{\ud800}",
    ],
)
def test_lines_that_report_nothing(line: str) -> None:
    assert read(line) == []


@given(st.text(max_size=50))
def test_no_line_is_an_error(line: str) -> None:
    read(line, "{" + line, json.dumps({"hyperhook": line}))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


@given(st.dictionaries(st.sampled_from(["step", "epoch", "time", "a", ""]) | st.text(max_size=3), _JSON, max_size=5))
def test_every_object_gives_what_can_be_logged(found: dict[str, object]) -> None:
    for reading in read(json.dumps(found)):
        assert reading.metrics
        assert all(name and isinstance(value, float) for name, value in reading.metrics.items())
        assert 0 <= reading.step < 2**63
        assert reading.epoch is None or 0 <= reading.epoch < 2**63
        assert reading.time is None or math.isfinite(reading.time)
