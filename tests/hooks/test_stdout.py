"""Lines of JSON on standard output."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperhook.follower import Reading
from hyperhook.stdout import Stdout


def test_a_line_is_a_reading() -> None:
    follower = Stdout()
    line = '{"hyperhook": {"loss": 0.5, "acc": 1, "step": 4, "epoch": 2, "time": 7, "note": "x", "ok": true}}'
    assert list(follower.read_line(line)) == [Reading({"loss": 0.5, "acc": 1.0}, 4, 2, 7.0)]
    assert list(follower.read_line('  {"hyperhook": {"loss": 0.25}}')) == [Reading({"loss": 0.25}, 5)]
    (reading,) = follower.read_line('{"hyperhook": {"loss": NaN, "step": 9.0}}')
    assert math.isnan(reading.metrics["loss"])
    assert reading.step == 9
    (reading,) = follower.read_line('{"hyperhook": {"loss": 1, "much": 1%s, "step": 1e300}}' % ("0" * 400))
    assert reading == Reading({"loss": 1.0}, 10)


@pytest.mark.parametrize(
    "line",
    ["", "epoch 1", "{", '{"loss": 1}', '{"hyperhook": 3}', '{"hyperhook": {}}', '{"hyperhook": {"step": 3}}', "[1]",
     '{"hyperhook": {"loss": "1"}}', "[" * 100_000, "{" * 100_000],
)  # fmt: skip
def test_other_lines_are_none(line: str) -> None:
    assert list(Stdout().read_line(line)) == []


def test_any_object_where_it_is_asked_for() -> None:
    follower = Stdout(any_object=True)
    assert list(follower.read_line('{"loss": 1}')) == [Reading({"loss": 1.0}, 0)]
    assert list(follower.read_line('{"loss": 2, "step": -1}')) == [Reading({"loss": 2.0}, 1)]
    assert list(follower.read_line('{"hyperhook": {"loss": 3}}')) == [Reading({"loss": 3.0}, 2)]


@given(st.text() | st.recursive(st.none() | st.integers() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_no_line_is_too_odd(line: str) -> None:
    for reading in Stdout(any_object=True).read_line(line):
        assert reading.step >= 0
