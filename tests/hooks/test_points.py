"""Points that come one by one become readings."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hyperhook.follower import Reading
from hyperhook.points import Points, as_index

POINT = st.tuples(st.sampled_from("abc"), st.floats(), st.integers(-3, 5))


def gathered(*sent: tuple[str, float, int]) -> list[Reading]:
    points = Points()
    found = [reading for name, value, step in sent for reading in points.add(name, value, step)]
    return [*found, *points.flush(), *points.flush()]


def test_what_follows_each_other_at_a_step_is_one_reading() -> None:
    assert gathered(("a", 1.0, 1), ("b", 2.0, 1), ("a", 3.0, 1), ("b", 4.0, 2), ("a", 5.0, 1)) == [
        Reading({"a": 1.0, "b": 2.0}, 1),
        Reading({"a": 3.0}, 1),
        Reading({"b": 4.0}, 2),
        Reading({"a": 5.0}, 1),
    ]


def test_the_epoch_is_a_metric_of_that_name() -> None:
    assert gathered(("epoch", 2.7, 1), ("a", 1.0, 1), ("epoch", 3.0, 1), ("a", 2.0, 2), ("epoch", -1.0, 2)) == [
        Reading({"a": 1.0}, 1, 2),
        Reading({"a": 2.0, "epoch": -1.0}, 2),
    ]


def test_steps_that_are_never_given_are_counted() -> None:
    assert [reading.step for reading in gathered(*[("a", 0.0, 0)] * 3)] == [0, 1, 2]
    assert [reading.step for reading in gathered(("a", 0.0, 5), ("a", 0.0, 0), ("a", 0.0, 0))] == [5, 0, 0]
    assert [reading.step for reading in gathered(("a", 0.0, 0), ("a", 0.0, 1), ("a", 0.0, 0))] == [0, 1, 0]


def test_what_may_not_be_complete_is_kept_back() -> None:
    points = Points()
    assert list(points.add("a", 1.0, 1, 100.0)) == []
    assert list(points.flush(until=99.0)) == []
    assert list(points.add("b", 2.0, 1, 100.5)) == []
    assert list(points.flush(until=100.0)) == [Reading({"a": 1.0, "b": 2.0}, 1, None, 100.0)]


@given(st.lists(POINT))
def test_each_point_is_there_once_in_order(sent: list[tuple[str, float, int]]) -> None:
    found = gathered(*sent)
    assert all(reading.metrics and reading.step >= 0 for reading in found)
    for wanted in "abc":
        values = [repr(reading.metrics[wanted]) for reading in found if wanted in reading.metrics]
        assert values == [repr(value) for name, value, _ in sent if name == wanted]


@given(st.one_of(st.floats(), st.integers(), st.booleans(), st.text()))
def test_an_index_is_one_that_databases_keep(number: object) -> None:
    index = as_index(number)
    assert index is None or 0 <= index < 2**63
