"""What a trial is judged by besides one value: bounds, further objectives, standard errors, and time."""

from __future__ import annotations

import logging
import math
import random
import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest

from hyperhook import (
    Choice,
    Constraint,
    Float,
    Int,
    Minimize,
    Objective,
    Params,
    Space,
    StudyRecord,
    TrialRecord,
    TrialState,
)
from hyperhook_plugins.gp import GP
from hyperhook_plugins.gp.plugin import Acquisition
from hyperhook_plugins.random_search import RandomSearch

PLANE = Space({"a": Float(0.0, 1.0), "b": Float(0.0, 1.0)})
MIXED = Space({"a": Float(0.0, 1.0), "n": Int(1, 9), "c": Choice({"x": {"w": Float(0.0, 1.0)}, "y": {}})})
DONE = TrialState.COMPLETE


def number(params: Params, name: str) -> float:
    return float(params.get(name) or 0.0)


def search(
    study: StudyRecord,
    suggester: GP | RandomSearch,
    evaluate: Callable[[Params], dict[str, float]],
    count: int,
    *,
    stderr: float | None = None,
) -> StudyRecord:
    """Run trials whose values are those of the objectives, by name, then the other metrics."""
    for n in range(len(study.trials), count):
        (params,) = suggester.suggest(study, 1)
        study.space.validate(params)
        values = evaluate(params)
        first = values.pop("loss")
        seconds = values.pop("seconds", 0.0)
        trial = TrialRecord(
            f"t{n}", n, "s", dict(params), DONE, first, stderr=stderr, metrics=values,
            started_time=1.0, finished_time=1.0 + seconds,
        )  # fmt: skip
        study = replace(study, trials=(*study.trials, trial))
    return study


def gp(**options: object) -> GP:
    return GP(device="cpu", **options)  # type: ignore[arg-type]


def test_the_best_trial_within_bounds_lies_at_the_bound() -> None:
    def evaluate(params: Params) -> dict[str, float]:
        a, b = number(params, "a"), number(params, "b")
        return {"loss": (a - 0.9) ** 2 + (b - 0.9) ** 2, "size": a + b}

    study = StudyRecord("s", PLANE, Minimize("loss"), 3, constraints=(Constraint("size", "<=", 1.2),))
    found = search(study, gp(), evaluate, 20)
    assert found.best is not None
    assert found.is_feasible(found.best)
    assert found.best.value == pytest.approx(2 * 0.3**2, abs=0.01)
    assert sum(map(found.is_feasible, found.trials[8:])) >= 5


def test_what_no_trial_has_met_yet_is_looked_for() -> None:
    def evaluate(params: Params) -> dict[str, float]:
        a, b = number(params, "a"), number(params, "b")
        return {"loss": a, "distance": math.hypot(a - 0.83, b - 0.17)}

    def feasible(suggester: GP | RandomSearch, seed: int) -> int:
        study = StudyRecord("s", PLANE, Minimize("loss"), seed, constraints=(Constraint("distance", "<=", 0.06),))
        return sum(map(study.is_feasible, search(study, suggester, evaluate, 20).trials))

    assert all(feasible(gp(), seed) >= 2 for seed in range(3))
    assert statistics.mean(feasible(RandomSearch(), seed) for seed in range(3)) < 1


def test_constraints_without_values_and_failed_trials_are_no_trouble() -> None:
    study = StudyRecord(
        "s", MIXED, Minimize("loss"), 0, constraints=(Constraint("ms", "<=", 3.0), Constraint("never", ">=", 1.0))
    )
    rng = random.Random(0)
    trials = [
        TrialRecord(f"t{n}", n, "s", MIXED.sample(rng), state, value, metrics=metrics)
        for n, (state, value, metrics) in enumerate(
            [
                (DONE, 1.0, {"ms": 2.0}),
                (TrialState.FAILED, None, {}),
                (DONE, 2.0, {"ms": math.inf}),
                (TrialState.PRUNED, 0.5, {}),
                (DONE, math.nan, {"ms": 1e300}),
                (TrialState.RUNNING, None, {}),
            ]
        )
    ]
    for count in range(1, len(trials) + 1):
        (params,) = gp(startup=1).suggest(replace(study, trials=tuple(trials[:count])), 1)
        MIXED.validate(params)


def front_volume(study: StudyRecord) -> float:
    volume, top = 0.0, 8.0
    for trial in sorted(study.best_trials, key=lambda trial: trial.value or 0.0):
        left, low = trial.value or 0.0, trial.metrics["late"]
        if left < 1.0 and low < top:
            volume, top = volume + (1.0 - left) * (top - low), low
    return volume


def test_several_objectives_widen_the_front() -> None:
    def zdt1(params: Params) -> dict[str, float]:
        a, g = number(params, "a"), 1 + 3 * number(params, "w") + (params["c"] == "y") + number(params, "n") / 9
        return {"loss": a, "late": g * (1 - math.sqrt(a / g))}

    study = StudyRecord("s", MIXED, Minimize("loss"), 1, further=(Minimize("late"),))
    found, guessed = (search(study, suggester, zdt1, 18) for suggester in (gp(), RandomSearch()))
    assert front_volume(found) > front_volume(guessed)
    assert len(found.best_trials) >= 2
    two = gp().suggest(found, 2)
    assert two[0] != two[1]
    assert gp().suggest(found, 2) == two  # reproducible, draws included


def test_four_objectives_give_two_legal_points_again_and_again() -> None:
    rng = random.Random(0)
    trials = tuple(
        TrialRecord(
            f"t{n}", n, "s", p, DONE, number(p, "a"),
            metrics={"b": number(p, "w"), "c": -number(p, "a") * number(p, "n"), "d": float(p["c"] == "x")},
        )
        for n, p in enumerate(MIXED.sample(rng) for _ in range(14))
    )  # fmt: skip
    goals = tuple(map(Minimize, "bcd"))
    study = StudyRecord("s", MIXED, Minimize("loss"), 0, trials, further=goals)
    two = gp().suggest(study, 2)
    assert two == gp().suggest(study, 2)
    assert two[0] != two[1]
    for params in two:
        MIXED.validate(params)


@pytest.mark.parametrize("further", [(), (Minimize("late"),)])
def test_a_region_that_fails_is_left_alone(further: tuple[Objective, ...]) -> None:
    study = StudyRecord("s", PLANE, Minimize("loss"), 0, further=further, constraints=(Constraint("ms", "<=", 1.0),))
    for n in range(20):
        (params,) = gp().suggest(study, 1)
        a, b = number(params, "a"), number(params, "b")
        failed = a < 0.5 and b < 0.5  # where the loss is lowest
        trial = TrialRecord(
            f"t{n}", n, "s", dict(params), TrialState.FAILED if failed else DONE, None if failed else a + b,
            metrics={} if failed else {"ms": 0.5, "late": (a - 0.3) ** 2 - b},
        )  # fmt: skip
        study = replace(study, trials=(*study.trials, trial))
    assert sum(trial.state is TrialState.FAILED for trial in study.trials[8:]) <= 4
    assert min(trial.value for trial in study.trials if trial.value is not None) < (0.8 if further else 0.6)


@pytest.mark.parametrize("further", [(), (Minimize("late"),)])
def test_losses_near_the_greatest_number_there_is_overflow_nowhere(further: tuple[Objective, ...]) -> None:
    huge = 1.7e308
    rng = random.Random(0)
    trials = tuple(
        TrialRecord(f"t{n}", n, "s", PLANE.sample(rng), DONE, value, metrics={"late": -value, "ms": value})
        for n, value in enumerate([huge, -huge] * 7)
    )
    bounds = (Constraint("ms", "<=", -1e308),)
    study = StudyRecord("s", PLANE, Minimize("loss"), 0, trials, further=further, constraints=bounds)
    for params in gp().suggest(study, 2):
        PLANE.validate(params)
    answers = gp().predict(study, [trial.params for trial in trials])
    assert answers is not None
    for trial, answer in zip(trials, answers, strict=True):
        assert answer.mean == pytest.approx(trial.value, rel=0.2)
        assert answer.std < 0.2 * huge


def test_a_lucky_value_with_a_great_standard_error_is_not_followed() -> None:
    rng = random.Random(1)
    tried = [PLANE.sample(rng) for _ in range(14)]
    trials = [
        TrialRecord(f"t{n}", n, "s", params, DONE, (number(params, "a") - 0.2) ** 2, stderr=0.01)
        for n, params in enumerate(tried)
    ]
    lucky = TrialRecord("lucky", 14, "s", {"a": 0.95, "b": 0.5}, DONE, -3.0, stderr=3.0)
    study = StudyRecord("s", PLANE, Minimize("loss"), 0, (*trials, lucky))
    assert study.best == lucky
    best = gp().which_is_best(study)
    assert best is not None
    assert abs(number(best.params, "a") - 0.2) < 0.15
    (params,) = gp().suggest(study, 1)
    assert number(params, "a") < 0.6
    sure = replace(study, trials=(*trials, replace(lucky, stderr=0.0)))
    assert number(gp().suggest(sure, 1)[0], "a") > 0.6  # without the error it would be


def test_per_second_prefers_what_is_quick() -> None:
    def evaluate(params: Params) -> dict[str, float]:
        loss = min(abs(number(params, "a") - 0.2), abs(number(params, "a") - 0.8))
        return {"loss": loss, "seconds": 1.0 if number(params, "a") < 0.5 else 100.0}

    def seconds(suggester: GP) -> float:
        study = search(StudyRecord("s", PLANE, Minimize("loss"), 2), suggester, evaluate, 16)
        assert study.best is not None
        assert (study.best.value or 0.0) < 0.05
        return sum((trial.finished_time or 0.0) - trial.started_time for trial in study.trials)

    assert seconds(gp(per_second=True)) < 0.8 * seconds(gp())


@pytest.mark.parametrize("acquisition", get_args(Acquisition))
def test_each_acquisition_finds_the_valley(acquisition: Acquisition) -> None:
    def evaluate(params: Params) -> dict[str, float]:
        return {"loss": (number(params, "a") - 0.3) ** 2 + 0.1 * (params["c"] == "y") + 0.02 * number(params, "n")}

    study = search(StudyRecord("s", MIXED, Minimize("loss"), 0), gp(acquisition=acquisition), evaluate, 16)
    assert study.best is not None
    assert (study.best.value or 0.0) < (0.15 if acquisition == "pi" else 0.06)  # PI is content with little
    three = gp(acquisition=acquisition).suggest(study, 3)
    assert len({str(params) for params in three}) == 3
    assert gp(acquisition=acquisition).suggest(study, 3) == three


@pytest.mark.parametrize("wild", [[1e13], [1e6] * 5, [1e308]])
def test_trials_that_diverged_do_not_blind_it(wild: list[float]) -> None:
    rng = random.Random(0)
    tried = [PLANE.sample(rng) for _ in range(25)]
    losses = [(number(p, "a") - 0.3) ** 2 + (number(p, "b") - 0.6) ** 2 for p in tried]
    losses[: len(wild)] = wild
    trials = tuple(TrialRecord(f"t{n}", n, "s", p, DONE, y) for n, (p, y) in enumerate(zip(tried, losses, strict=True)))
    study = StudyRecord("s", PLANE, Minimize("loss"), 0, trials)
    answer = gp().predict(study, [{"a": 0.3, "b": 0.6}])
    assert answer is not None
    assert answer[0].mean == pytest.approx(0.0, abs=0.3)  # the losses go up to 0.8


def test_standard_errors_count_with_several_objectives_too() -> None:
    rng = random.Random(1)
    trials = tuple(
        TrialRecord(f"t{n}", n, "s", p, DONE, number(p, "a"), metrics={"late": 1 - number(p, "b")})
        for n, p in enumerate(PLANE.sample(rng) for _ in range(12))
    )
    study = StudyRecord("s", PLANE, Minimize("loss"), 0, trials, further=(Minimize("late"),))
    unsure = replace(study, trials=tuple(replace(trial, stderr=3.0) for trial in trials))
    assert gp().suggest(study, 1) != gp().suggest(unsure, 1)


def test_a_metric_that_no_trial_has_yet_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    rng = random.Random(1)
    trials = tuple(TrialRecord(f"t{n}", n, "s", PLANE.sample(rng), TrialState.PRUNED, float(n)) for n in range(8))
    study = StudyRecord("s", PLANE, Minimize("loss"), 0, trials, constraints=(Constraint("ms", "<=", 1.0),))
    with caplog.at_level(logging.WARNING, logger="hyperhook"):
        gp().suggest(study, 1)
    assert not caplog.records


def test_only_an_expected_improvement_is_divided_by_seconds() -> None:
    with pytest.raises(ValueError, match="per_second needs an expected improvement, got acquisition='ucb'"):
        gp(per_second=True, acquisition="ucb")


def test_an_unknown_acquisition_is_an_error() -> None:
    with pytest.raises(ValueError, match="acquisition must be one of auto, ei, pi, ucb, thompson, nei, got 'eii'"):
        gp(acquisition="eii")


def test_a_space_that_is_exhausted_is_said_to_be(caplog: pytest.LogCaptureFixture) -> None:
    study = StudyRecord("s", Space({"n": Int(1, 5)}), Minimize("loss"), 0)
    with caplog.at_level(logging.WARNING, logger="hyperhook"):
        study = search(study, gp(), lambda params: {"loss": number(params, "n")}, 5)
        assert len({trial.params["n"] for trial in study.trials}) == 5
        assert not caplog.records
        suggester = gp()
        suggester.suggest(study, 1)
        suggester.suggest(study, 2)
    assert [record.getMessage() for record in caplog.records] == [
        "gp: all 5 sets of params of the space were tried; some come again"
    ]


def test_trials_that_run_keep_their_distance_although_one_failed() -> None:
    space = Space({"x": Float(0.0, 1.0), "y": Float(0.0, 1.0)})
    rng = random.Random(0)
    trials = []
    for number in range(12):
        params = space.sample(rng)
        value = None if number in (3, 7) else sum((float(v or 0) - 0.4) ** 2 for v in params.values())
        state = TrialState.FAILED if value is None else TrialState.COMPLETE
        trials.append(TrialRecord(f"t{number}", number, "s", params, state, value))
    many = GP(device="cpu").suggest(StudyRecord("s", space, Minimize("loss"), 1, tuple(trials)), 8)
    points = [space.to_unit(params) for params in many]
    apart = min(math.dist(a, b) for place, a in enumerate(points) for b in points[:place])
    assert apart > 0.02
