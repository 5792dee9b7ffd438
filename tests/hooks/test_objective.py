"""How a trial's curve becomes one value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hyperhook as hh
from hyperhook.errors import NotFiniteError, ObjectiveError
from hyperhook.objective import Curve, Point, as_value

numbers = st.floats(allow_nan=True, allow_infinity=True)


def curve(objective: hh.Objective | None, values: list[float]) -> Curve:
    made = Curve(objective)
    for step, value in enumerate(values):
        made.add({"noise": 1.0, "m": value}, step * 10, step)
    return made


@given(st.lists(numbers, max_size=20), st.sampled_from([hh.Maximize("m"), hh.Minimize("m")]))
def test_best_is_the_earliest_of_the_best_finite_points(values: list[float], objective: hh.Objective) -> None:
    finite = [value for value in values if math.isfinite(value)]
    made = curve(objective, values)
    if finite:
        best = max(finite) if objective.direction == "maximize" else min(finite)
        step = next(i for i, value in enumerate(values) if value == best)
        assert made.reduced() == Point(values[step], step * 10, step)
    else:
        with pytest.raises(ObjectiveError):
            made.reduced()


@given(st.lists(numbers, min_size=1, max_size=20))
def test_last_is_the_last_point(values: list[float]) -> None:
    made = curve(hh.Minimize("m", reduce="last"), values)
    if math.isfinite(values[-1]):
        assert made.reduced() == Point(values[-1], (len(values) - 1) * 10, len(values) - 1)
    else:
        with pytest.raises(NotFiniteError, match="at its last point"):
            made.reduced()


def test_a_metric_that_was_never_logged_names_those_that_were() -> None:
    made = Curve(hh.Maximize("val_los"))
    made.add({"val_loss": 1.0, "loss": 2.0}, 0, None)
    with pytest.raises(ObjectiveError) as raised:
        made.reduced()
    assert str(raised.value).startswith("metric 'val_los' was never logged; logged so far: loss, val_loss; ")
    with pytest.raises(ObjectiveError, match="logged so far: nothing"):
        Curve(hh.Maximize("m")).reduced()


def test_nan_at_all_points_says_how_many_and_where() -> None:
    with pytest.raises(NotFiniteError, match="was inf at all of its 2 points \\(last at step 10\\)"):
        curve(hh.Minimize("m"), [math.nan, math.inf]).reduced()


def test_without_an_objective_only_names_are_kept() -> None:
    made = curve(None, [1.0])
    assert list(made.names) == ["noise", "m"]
    with pytest.raises(ObjectiveError, match="has no objective; give it one"):
        made.reduced()


def test_a_returned_value_stands_where_the_curve_had_it_else_at_its_end() -> None:
    made = curve(hh.Maximize("m"), [0.1, 0.9, 0.5])
    assert made.point_of(0.9) == Point(0.9, 10, 1)
    assert made.point_of(0.7) == Point(0.7, 20, 2)
    assert Curve(None).point_of(0.7) == Point(0.7)


@pytest.mark.parametrize(("reduce", "stderr"), [("best", 0.02), ("last", None)])
def test_a_point_carries_the_standard_error_it_was_logged_with(reduce: str, stderr: float | None) -> None:
    made = Curve(hh.Maximize("m", reduce=reduce))  # type: ignore[arg-type]
    made.add({"m": 0.9}, 0, None, {"m": 0.02, "noise": 7.0})
    made.add({"m": 0.5}, 1, None, {"noise": 7.0})
    assert made.reduced().stderr == stderr
    assert made.point_of(0.9) == Point(0.9, 0, None, 0.02)
    assert made.point_of(0.7).stderr is None


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_less_loss_is_better_in_both_directions(one: float, other: float) -> None:
    assert hh.Maximize("m").is_better(one, other) == (one > other)
    assert hh.Minimize("m").is_better(one, other) == (one < other)


@pytest.mark.parametrize("value", [1, 2.5, np.float32(0.5), np.array([3.0]).sum(), np.int64(2), np.array(1.5)])
def test_anything_with_one_number_in_it_is_a_value(value: object) -> None:
    assert as_value(value) == float(value)  # type: ignore[arg-type]
    assert type(as_value(value)) is float


@pytest.mark.parametrize("value", ["0.5", b"1", True, False, [0.5], {"m": 1}, object(), 1j, np.ones(2), 10**400])
def test_anything_else_is_not(value: object) -> None:
    with pytest.raises(ObjectiveError, match="the training function returned") as raised:
        as_value(value)
    assert not isinstance(raised.value, NotFiniteError)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_a_value_that_is_not_finite_means_divergence(value: float) -> None:
    with pytest.raises(NotFiniteError, match="diverged"):
        as_value(value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", "minimize"), "expected the name of a metric, got ''"),
        ((None, "minimize"), "expected the name of a metric, got None"),
        (("m", "up"), "direction must be 'maximize' or 'minimize', got 'up'"),
        (("m", "minimize", "mean"), "reduce must be 'best' or 'last', got 'mean'"),
    ],
)
def test_an_objective_that_cannot_be(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ObjectiveError) as raised:
        hh.Objective(*arguments)  # type: ignore[arg-type]
    assert message in str(raised.value)


def test_best_of_a_study_is_the_earliest_complete_trial_of_the_best_value() -> None:
    def trial(number: int, value: float | None, state: str = "COMPLETE") -> hh.TrialRecord:
        return hh.TrialRecord(str(number), number, "s", state=hh.TrialState(state), value=value)

    trials = (trial(0, 1.0), trial(1, 0.5), trial(2, 0.5), trial(3, 0.1, "PRUNED"), trial(4, None), trial(5, 2.0))

    def best(objective: hh.Objective | None, *chosen: hh.TrialRecord) -> hh.TrialRecord | None:
        return hh.StudyRecord("s", hh.Space({}), objective, trials=chosen).best

    assert best(hh.Minimize("m"), *trials) == trials[1]
    assert best(hh.Maximize("m"), *trials) == trials[5]
    assert best(hh.Minimize("m"), trials[3], trials[4]) is None
    assert best(None, *trials) is None
