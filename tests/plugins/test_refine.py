"""Coarse to fine: the ranges of each stage, around the best, in spaces of every kind."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hyperhook as hh
from hyperhook.records import StudyRecord, TrialRecord, TrialState
from hyperhook.testing.spaces import MIXED
from hyperhook_plugins.refine import Refine

LINE = hh.Space({"x": hh.Float(0.0, 1.0)})


def study_of(count: int, best: float = 0.7, space: hh.Space = LINE, **facts: object) -> StudyRecord:
    """Return a study of so many trials; the loss is the distance from `best`, which the last one has found."""
    rng = random.Random(1)
    params = [space.sample(rng) for _ in range(count - 1)] + [space.from_unit([best] * len(space))] * (count > 0)
    losses = [max(abs(unit - best) for unit in space.to_unit(one)) for one in params]
    trials = tuple(
        TrialRecord(f"t{i}", i, "s", one, TrialState.COMPLETE, loss)
        for i, (one, loss) in enumerate(zip(params, losses, strict=True))
    )
    return StudyRecord("s", space, hh.Minimize("m"), 0, trials, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("done", "width"), [(0, 1.0), (9, 1.0), (10, 0.5), (19, 0.5), (20, 0.25), (30, 0.25), (99, 0.25)]
)
def test_each_stage_has_its_range(done: int, width: float) -> None:
    refine = Refine(stages=3, trials_per_stage=10, shrink=0.5, around=1)
    best = 0.6
    study = study_of(done, best)
    drawn = [float(refine.suggest(replace(study, seed=seed), 1)[0]["x"] or 0) for seed in range(400)]
    low, high = (0.0, 1.0) if width == 1.0 else (best - width / 2, best + width / 2)
    assert low <= min(drawn) < low + 0.03
    assert high - 0.03 < max(drawn) <= high


def test_a_range_at_the_bound_is_as_wide_and_inside() -> None:
    refine = Refine(trials_per_stage=1, stages=2, shrink=0.5, around=1)
    study = study_of(1, best=1.0)
    drawn = [float(refine.suggest(replace(study, seed=seed), 1)[0]["x"] or 0) for seed in range(300)]
    assert 0.5 <= min(drawn) < 0.55
    assert 0.95 < max(drawn) <= 1.0


def test_a_call_may_reach_into_the_next_stage() -> None:
    refine = Refine(stages=2, trials_per_stage=10, shrink=0.01, around=1)
    drawn = [float(params["x"] or 0) for params in refine.suggest(study_of(8), 40)]
    assert all(abs(x - 0.7) <= 0.005 for x in drawn[2:])


def test_options_are_kept_more_and_more_and_steps_stand_still_when_ranges_are_narrower() -> None:
    space = hh.Space({"net": hh.Choice(list("abcd")), "n": hh.Int(1, 9), "x": hh.Float(0.0, 1.0)})
    refine = Refine(stages=2, trials_per_stage=5, shrink=0.1, around=1)
    drawn = refine.suggest(study_of(5, 0.6, space), 300)
    assert 260 < sum(params["net"] == "c" for params in drawn) < 300  # 1 in 10 is drawn anew, of these 3 in 4 differ
    assert {params["n"] for params in drawn} <= {5, 6, 7}


def test_what_an_option_makes_active_is_drawn_from_its_whole_range() -> None:
    space = hh.Space({"net": hh.Choice({"a": {"k": hh.Float(0.0, 1.0)}, "b": {"m": hh.Float(0.0, 1.0)}})})
    best = TrialRecord("t0", 0, "s", {"net": "a", "k": 0.5}, TrialState.COMPLETE, 0.0)
    study = StudyRecord("s", space, hh.Minimize("m"), 0, (best,))
    refine = Refine(stages=2, trials_per_stage=1, shrink=0.2)
    drawn = refine.suggest(study, 2000)
    assert all(0.4 <= float(params["k"] or 0) <= 0.6 for params in drawn if "k" in params)
    others = [float(params["m"] or 0) for params in drawn if "m" in params]
    assert (min(others) < 0.05, max(others) > 0.95) == (True, True)


@given(st.integers(0, 60), st.integers(1, 5), st.integers(0, 2**31))
def test_whatever_the_stage_params_are_valid(done: int, around: int, seed: int) -> None:
    study = replace(study_of(done, 0.3, MIXED), seed=seed)
    for params in Refine(trials_per_stage=7, around=around).suggest(study, 3):
        MIXED.validate(params)


def test_constraints_and_pareto_fronts_choose_the_centre() -> None:
    trials = tuple(
        TrialRecord(f"t{i}", i, "s", {"x": x}, TrialState.COMPLETE, x, metrics={"ms": 10 - 10 * x})
        for i, x in enumerate([0.1, 0.5, 0.9])
    )
    refine = Refine(stages=2, trials_per_stage=3, shrink=0.02, around=1)
    constrained = StudyRecord("s", LINE, hh.Minimize("m"), 0, trials, (hh.Constraint("ms", "<=", 5.5),))
    assert refine.suggest(constrained, 1)[0]["x"] == pytest.approx(0.5, abs=0.01)
    several = StudyRecord("s", LINE, hh.Minimize("m"), 0, trials, further=(hh.Minimize("ms"),))
    every = Refine(stages=2, trials_per_stage=3, shrink=0.02, around=3).suggest(several, 60)
    assert {round(float(params["x"] or 0), 1) for params in every} == {0.1, 0.5, 0.9}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stages": 0}, "stages must be an int from 1, got 0"),
        ({"trials_per_stage": 2.5}, "trials_per_stage must be an int from 1, got 2.5"),
        ({"around": True}, "around must be an int from 1, got True"),
        ({"shrink": 1.0}, "shrink must be above 0 and below 1, got 1.0"),
        ({"shrink": "half"}, "shrink must be above 0 and below 1, got 'half'"),
    ],
)
def test_options_that_cannot_be(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Refine(**options)  # type: ignore[arg-type]
