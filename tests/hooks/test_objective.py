"""What is searched for, and what is taken as a value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hyperhook as hh
from hyperhook.errors import NotFiniteError, ObjectiveError
from hyperhook.objective import as_objectives, as_value


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


def test_objectives_are_none_one_or_several() -> None:
    one, other = hh.Maximize("auc"), hh.Minimize("ms")
    assert as_objectives(None) == ()
    assert as_objectives(one) == as_objectives([one]) == (one,)
    assert as_objectives([one, other]) == as_objectives((one, other)) == (one, other)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("auc", "objective: expected hh.Maximize(…) or hh.Minimize(…), got 'auc'"),
        (["auc"], "objective: expected hh.Maximize(…) or hh.Minimize(…), got 'auc'"),
        ([hh.Maximize("auc"), None], "objective: expected hh.Maximize(…) or hh.Minimize(…), got None"),
        ({"auc": "maximize"}, "objective: expected hh.Maximize(…) or hh.Minimize(…), got {'auc': 'maximize'}"),
        ([], "objective: expected at least one in the list, got none; leave it out for a group of runs"),
        ([hh.Maximize("m"), hh.Minimize("m")], "objective: expected different metrics, got 'm' twice; leave one of"),
    ],
)
def test_objectives_that_cannot_be(given: object, message: str) -> None:
    with pytest.raises(ObjectiveError) as raised:
        as_objectives(given)
    assert str(raised.value).startswith(message)


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
