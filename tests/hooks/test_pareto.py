"""The Pareto front, of numbers and of a study's trials."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hyperhook as hh
from hyperhook.pareto import dominates, front
from hyperhook.records import StudyRecord, TrialRecord, TrialState

small = st.integers(-2, 2).map(float)
losses = st.integers(1, 3).flatmap(lambda count: st.lists(st.tuples(*[small] * count), max_size=12))
GOALS = (hh.Maximize("m"), hh.Minimize("ms"))
trials = st.lists(
    st.builds(
        TrialRecord,
        st.just("t"),
        st.just(0),
        st.just("s"),
        state=st.sampled_from([TrialState.COMPLETE] * 4 + [TrialState.PRUNED, TrialState.RUNNING, TrialState.FAILED]),
        value=st.none() | small,
        metrics=st.dictionaries(st.sampled_from(["ms", "auc"]), small),
    ),
    max_size=10,
).map(lambda drawn: tuple(replace(trial, id=str(i), number=i) for i, trial in enumerate(drawn)))


@given(losses)
def test_the_front_is_what_nothing_dominates(drawn: list[tuple[float, ...]]) -> None:
    assert front(drawn) == [i for i, one in enumerate(drawn) if not any(dominates(other, one) for other in drawn)]


@given(losses, st.randoms())
def test_the_front_is_the_same_in_any_order(drawn: list[tuple[float, ...]], random: object) -> None:
    mixed = list(drawn)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert sorted(mixed[i] for i in front(mixed)) == sorted(drawn[i] for i in front(drawn))


@given(losses)
def test_what_is_not_in_the_front_is_dominated_from_there(drawn: list[tuple[float, ...]]) -> None:
    kept = front(drawn)
    assert bool(kept) == bool(drawn)
    for i, one in enumerate(drawn):
        assert i in kept or any(dominates(drawn[k], one) for k in kept)


@given(st.tuples(small, small), st.tuples(small, small))
def test_nothing_dominates_itself_and_of_two_at_most_one(one: tuple[float, ...], other: tuple[float, ...]) -> None:
    assert not dominates(one, one)
    assert not (dominates(one, other) and dominates(other, one))


def test_losses_of_different_numbers_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="shorter"):
        dominates((1.0, 2.0), (1.0,))


@given(trials, st.booleans())
def test_the_best_trials_are_feasible_complete_and_undominated(drawn: tuple[TrialRecord, ...], bounded: bool) -> None:
    bounds = (hh.Constraint("auc", ">=", 0.0),) if bounded else ()
    study = StudyRecord("s", hh.Space({}), GOALS[0], trials=drawn, constraints=bounds, further=GOALS[1:])
    able = [t for t in drawn if t.state is TrialState.COMPLETE and study.is_feasible(t) and study.losses(t) is not None]

    def beats(one: TrialRecord, other: TrialRecord) -> bool:
        pairs = [(one.value, other.value), (-one.metrics["ms"], -other.metrics["ms"])]
        return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)  # type: ignore[operator]

    assert study.best_trials == tuple(t for t in able if not any(beats(other, t) for other in able))
    assert study.best is None
    assert study.objectives == GOALS
    assert study.watched == (("ms", "auc") if bounded else ("ms",))


@given(trials, st.sampled_from(GOALS))
def test_with_one_objective_the_best_trials_are_as_good_as_the_best(
    drawn: tuple[TrialRecord, ...], objective: hh.Objective
) -> None:
    study = StudyRecord("s", hh.Space({}), objective, trials=drawn)
    if study.best is None:
        assert study.best_trials == ()
    else:
        assert study.best_trials[0] == study.best
        complete = [trial for trial in drawn if trial.state is TrialState.COMPLETE]
        assert study.best_trials == tuple(trial for trial in complete if trial.value == study.best.value)


def test_losses_are_all_the_less_the_better() -> None:
    study = StudyRecord("s", hh.Space({}), GOALS[0], further=GOALS[1:])
    trial = TrialRecord("a", 0, "s", value=0.75, metrics={"ms": 12.0})
    assert study.losses(trial) == (-0.75, 12.0)
    assert study.losses(replace(trial, metrics={})) is None
    assert study.losses(replace(trial, value=None)) is None
    assert StudyRecord("s", hh.Space({})).losses(trial) is None
    assert StudyRecord("s", hh.Space({}), GOALS[0]).losses(trial) == (-0.75,)
    assert StudyRecord("s", hh.Space({})).best_trials == StudyRecord("s", hh.Space({})).objectives == ()
