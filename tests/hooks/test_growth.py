"""A space that grows: what it holds, what it infers, and that suggesters see trials which fit it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hyperhook as hh
from hyperhook.errors import SpaceError
from hyperhook.growth import aligned, grown, nested, united
from hyperhook.records import StudyRecord, TrialRecord, TrialState
from hyperhook.space import Condition

FLAT = hh.Space(
    {
        "model": hh.Choice(["svm", "forest"]),
        "kernel": hh.Choice(["rbf", "linear"]),
        "gamma": hh.Float(0.0, 1.0),
        "depth": hh.Int(1, 9),
        "lr": hh.Float(0.0, 1.0),
    }
)


def trial(params: hh.Params, state: TrialState = TrialState.COMPLETE, proposed: hh.Params | None = None) -> TrialRecord:
    return TrialRecord("t", 0, "s", params, state, proposed=proposed or {})


def study(*trials: TrialRecord, space: hh.Space = FLAT) -> StudyRecord:
    return StudyRecord("s", space, hh.Minimize("loss"), trials=trials, grows=True)


def conditions(*trials: TrialRecord) -> dict[str, Condition | None]:
    space = nested(study(*trials)).space
    return {name: space.condition(name) for name in space}


SVM = {"model": "svm", "kernel": "rbf", "gamma": 0.1, "lr": 0.5}
LINEAR = {"model": "svm", "kernel": "linear", "lr": 0.5}
FOREST = {"model": "forest", "depth": 3, "lr": 0.5}


def test_what_all_met_below_one_option_hangs_there() -> None:
    assert conditions(trial(SVM), trial(LINEAR), trial(FOREST)) == {
        "model": None,
        "kernel": Condition("model", "svm"),
        "gamma": Condition("kernel", "rbf"),
        "depth": Condition("model", "forest"),
        "lr": None,
    }


def test_without_a_complete_trial_that_did_without_it_nothing_is_inferred() -> None:
    assert set(conditions(trial(SVM)).values()) == {None}
    assert conditions(trial(SVM), trial(FOREST, TrialState.FAILED))["kernel"] is None


def test_a_trial_that_broke_off_refutes_nothing() -> None:
    broke_off = trial({"model": "svm"}, TrialState.FAILED)
    assert conditions(trial(SVM), trial(FOREST), broke_off)["kernel"] == Condition("model", "svm")


def test_what_was_met_below_two_options_is_always_active() -> None:
    assert conditions(trial(SVM), trial({**FOREST, "kernel": "rbf"}), trial(FOREST))["kernel"] is None


def test_a_choice_that_is_asked_for_later_makes_nothing_active() -> None:
    late = {"lr": 0.5, "model": "svm", "kernel": "rbf", "gamma": 0.1}
    without = {"model": "forest", "depth": 1}
    assert conditions(trial(late), trial(without))["lr"] is None


def test_trials_get_what_they_lack_and_lose_nothing() -> None:
    broke_off = trial({"model": "forest", "lr": 0.9}, TrialState.FAILED)
    running = trial({"model": "svm"}, TrialState.RUNNING, {"model": "svm", "kernel": "linear", "depth": 7})
    seen = aligned(study(trial(SVM), trial(LINEAR), trial(FOREST), running, broke_off))
    assert [dict(each.params) for each in seen.trials] == [
        SVM,
        LINEAR,
        {"model": "forest", "depth": 3, "lr": 0.5},
        {"model": "svm", "kernel": "linear", "lr": 0.5},
        {"model": "forest", "depth": 5, "lr": 0.9},
    ]
    for each in seen.trials:
        seen.space.validate(each.params)


def test_what_was_proposed_and_not_asked_for_stays_in_the_view() -> None:
    without = trial({"lr": 0.1}, proposed={"depth": 8, "lr": 0.1, "gone": 5})
    space = hh.Space({"lr": hh.Float(0.0, 1.0), "depth": hh.Int(1, 9)})
    seen = aligned(study(without, trial({"lr": 0.2, "depth": 2}), space=space))
    assert [dict(each.params) for each in seen.trials] == [{"lr": 0.1, "depth": 8}, {"lr": 0.2, "depth": 2}]


def test_a_fixed_space_is_left_as_it_is() -> None:
    fixed = StudyRecord("s", FLAT, trials=(trial({}),))
    assert nested(fixed) is aligned(fixed) is fixed


@st.composite
def ran(draw: st.DrawFn) -> list[TrialRecord]:
    """Trials of one define-by-run function, which may break off anywhere."""
    trials = []
    for _ in range(draw(st.integers(1, 8))):
        params: dict[str, hh.Scalar] = {"model": draw(st.sampled_from(["svm", "forest"]))}
        if params["model"] == "svm":
            params["kernel"] = draw(st.sampled_from(["rbf", "linear"]))
            if params["kernel"] == "rbf":
                params["gamma"] = draw(st.floats(0.0, 1.0))
        elif draw(st.booleans()):
            params["depth"] = draw(st.integers(1, 9))
        params["lr"] = draw(st.floats(0.0, 1.0))
        state = draw(st.sampled_from(list(TrialState)))
        count = len(params) if state is TrialState.COMPLETE else draw(st.integers(0, len(params)))
        proposed = draw(st.dictionaries(st.sampled_from([*FLAT, "other"]), st.integers(0, 9) | st.just("rbf")))
        trials.append(trial(dict(list(params.items())[:count]), state, proposed))
    return trials


@given(ran())
def test_any_trials_fit_the_space_that_is_inferred_from_them(trials: list[TrialRecord]) -> None:
    seen = aligned(study(*trials))
    assert set(seen.space) == set(FLAT)
    for before, after in zip(trials, seen.trials, strict=True):
        seen.space.validate(after.params)
        if before.state is not TrialState.QUEUED:
            assert before.params.items() <= after.params.items()
    assert aligned(seen).space == seen.space


numbers = st.integers(-50, 50)


@given(numbers, st.integers(0, 40), st.integers(1, 6), numbers, st.integers(0, 40), st.integers(1, 6))
def test_ints_united_hold_the_values_of_both(
    low: int, width: int, step: int, other: int, wide: int, stride: int
) -> None:
    one, two = hh.Int(low, low + width, step=step), hh.Int(other, other + wide, step=stride)
    both = united("n", one, two)
    for each in (one, two):
        for place in range(each.cardinality):
            assert both.contains(each.low + place * each.step)
    assert united("n", both, one) == united("n", one, both) == both


tenths = st.integers(-50, 50).map(lambda tenth: tenth / 10)


@given(tenths, st.integers(0, 9), st.sampled_from([None, 0.1, 0.3, 0.5]), tenths, st.sampled_from([None, 0.1, 0.3]))
def test_floats_united_hold_the_values_of_both(
    low: float, width: int, step: float | None, other: float, stride: float | None
) -> None:
    one, two = hh.Float(low, low + width, step=step), hh.Float(other, other + 1, step=stride)
    both = united("x", one, two)
    for each in (one, two):
        for unit in (0.0, 0.3, 0.5, 1.0):
            assert both.contains(each.from_unit(unit))
    assert united("x", both, two) == both or both.step is None


def test_the_union_keeps_what_goes_together() -> None:
    assert united("x", hh.Float(0.0, 1.0, step=0.25), hh.Float(0.5, 2.0, step=0.25)) == hh.Float(0.0, 2.0, step=0.25)
    assert united("x", hh.Float(0.1, 1.0, log=True), hh.Float(0.01, 0.5, log=True)) == hh.Float(0.01, 1.0, log=True)
    assert united("n", hh.Int(1, 8, log=True), hh.Int(4, 64, log=True)) == hh.Int(1, 64, log=True)
    assert list(grown(hh.Space({"b": hh.Int(0, 1)}), "a", hh.Int(0, 1))) == ["b", "a"]


@pytest.mark.parametrize(
    ("known", "asked"),
    [
        (hh.Int(0, 1), hh.Float(0, 1)),
        (hh.Float(0, 1), hh.Choice([0, 1])),
        (hh.Choice(["a", "b"]), hh.Choice(["b", "a"])),
        (hh.Choice([0, 1]), hh.Choice([False, True])),
        (hh.Float(1, 2), hh.Float(1, 2, log=True)),
    ],
)
def test_what_does_not_go_together_is_refused(known: hh.Float, asked: hh.Float) -> None:
    with pytest.raises(SpaceError, match=r"suggest: 'p' (was|had) .* in another trial, now .*another name"):
        united("p", known, asked)


def test_the_middle_is_what_nobody_knew() -> None:
    early, later = trial({"lr": 0.5}), trial({"lr": 0.5, "gamma": 0.9})
    space = hh.Space({"lr": hh.Float(0.0, 1.0), "gamma": hh.Float(1e-4, 1.0, log=True)})
    middle = aligned(study(early, later, space=space)).trials[0].params["gamma"]
    assert isinstance(middle, float)
    assert math.isclose(middle, 1e-2)
