"""Constraints: what meets them, by how much others do not, and which trial is then the best."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hyperhook as hh
from hyperhook.constraint import as_constraints
from hyperhook.errors import ObjectiveError
from hyperhook.records import StudyRecord, TrialRecord, TrialState

numbers = st.floats(allow_nan=False, allow_infinity=False)
constraints = st.builds(hh.Constraint, st.sampled_from("ab"), st.sampled_from(["<=", ">="]), numbers)
trials = st.lists(
    st.builds(
        TrialRecord,
        st.just("t"),
        st.just(0),
        st.just("s"),
        state=st.sampled_from([TrialState.COMPLETE, TrialState.PRUNED]),
        value=st.none() | st.integers(0, 3).map(float),
        metrics=st.dictionaries(st.sampled_from("ab"), st.integers(-4, 4).map(float)),
    ),
    max_size=8,
).map(lambda drawn: tuple(replace(trial, id=str(i), number=i) for i, trial in enumerate(drawn)))
small = st.builds(hh.Constraint, st.sampled_from("ab"), st.sampled_from(["<=", ">="]), st.integers(-3, 3).map(float))


@given(constraints, numbers)
def test_a_violation_is_above_zero_where_the_bound_is_passed_and_only_there(
    constraint: hh.Constraint, value: float
) -> None:
    met = value <= constraint.bound if constraint.relation == "<=" else value >= constraint.bound
    assert (constraint.violation(value) <= 0) == met
    assert constraint.violation(constraint.bound) == 0
    assert constraint.excess(value) >= 0
    assert constraint.excess(value) == 0 or not met


def test_a_violation_is_in_the_metric_s_unit_and_an_excess_a_part_of_the_bound() -> None:
    latency, auc = hh.Constraint("latency_ms", "<=", 20), hh.Constraint("auc", ">=", 0.8)
    assert (latency.violation(25), latency.violation(15)) == (5, -5)
    assert (latency.excess(25), latency.excess(15)) == (0.25, 0)
    assert auc.violation(0.7) == pytest.approx(0.1)
    assert auc.excess(0.6) == pytest.approx(0.25)
    assert hh.Constraint("drift", "<=", 0).excess(3) == 3
    assert str(latency) == "latency_ms <= 20"
    assert pickle.loads(pickle.dumps(auc)) == auc


@given(trials, st.lists(small, max_size=2), st.sampled_from([hh.Maximize("m"), hh.Minimize("m")]))
def test_the_best_is_the_best_of_the_feasible_else_the_closest(
    drawn: tuple[TrialRecord, ...], bounds: list[hh.Constraint], objective: hh.Objective
) -> None:
    study = StudyRecord("s", hh.Space({}), objective, trials=drawn, constraints=tuple(bounds))
    valued = [trial for trial in drawn if trial.state is TrialState.COMPLETE and trial.value is not None]
    feasible = [trial for trial in valued if study.is_feasible(trial)]
    for trial in drawn:
        met = [c.metric in trial.metrics and c.violation(trial.metrics[c.metric]) <= 0 for c in bounds]
        assert study.is_feasible(trial) == all(met) == (study.excess(trial) == 0)
    best = study.best
    if not valued:
        assert best is None
        return
    assert best is not None
    losses = [study.loss(trial) for trial in feasible]
    if feasible:
        assert best == feasible[losses.index(min(losses))]  # type: ignore[type-var]
    else:
        assert study.excess(best) == min(map(study.excess, valued))


def test_constraints_are_given_by_their_metrics() -> None:
    found = as_constraints({"latency_ms": ("<=", 20), "auc": [">=", np.float32(0.5)]})
    assert found == (hh.Constraint("latency_ms", "<=", 20.0), hh.Constraint("auc", ">=", 0.5))
    assert [type(constraint.bound) for constraint in found] == [float, float]
    assert as_constraints({}) == ()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["latency_ms"], "constraints: expected metrics with bounds, as in {'latency_ms': ('<=', 20)}, got ['latency"),
        ({"ms": 20}, "constraint: expected a relation and a bound for 'ms', as in {'latency_ms': ('<=', 20)}, got 20"),
        (
            {"ms": "<="},
            "constraint: expected a relation and a bound for 'ms', as in {'latency_ms': ('<=', 20)}, got '<=",
        ),
        ({"ms": ("<", 20)}, "constraint: expected '<=' or '>=' between 'ms' and its bound, got '<'"),
        ({"ms": (20, "<=")}, "constraint: expected '<=' or '>=' between 'ms' and its bound, got 20"),
        ({"ms": ("<=", "20")}, "constraint: expected a finite number as bound of 'ms', got '20'"),
        ({"ms": ("<=", True)}, "constraint: expected a finite number as bound of 'ms', got True"),
        ({"ms": ("<=", float("nan"))}, "constraint: expected a finite number as bound of 'ms', got nan"),
        ({"ms": ("<=", float("inf"))}, "constraint: expected a finite number as bound of 'ms', got inf"),
        ({"ms": ("<=", 10**400)}, "constraint: expected a finite number as bound of 'ms', got 1000"),
        ({"": ("<=", 20)}, "constraint: expected the name of a metric, got ''"),
        ({1: ("<=", 20)}, "constraint: expected the name of a metric, got 1"),
    ],
)
def test_constraints_that_cannot_be(given: object, message: str) -> None:
    with pytest.raises(ObjectiveError) as raised:
        as_constraints(given)
    assert str(raised.value).startswith(message)
