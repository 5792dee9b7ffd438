"""Leaving one out by the formula is leaving one out; scales and noise are those that the data was made with."""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import replace
from typing import Any, cast

import pytest
import torch

from hyperhook import (
    Choice,
    Float,
    HyperhookError,
    Int,
    Maximize,
    Minimize,
    Space,
    StudyRecord,
    TrialRecord,
    TrialState,
)
from hyperhook_plugins.gp import GP
from hyperhook_plugins.gp.belief import Belief
from hyperhook_plugins.gp.diagnostics import Diagnostics, diagnostics_of
from hyperhook_plugins.gp.insight import Insight

SPACE = Space({"a": Float(0.0, 1.0), "b": Float(0.0, 1.0), "net": Choice(["cnn", "mlp"]), "fixed": Int(3, 3)})
NOISE = 5.0


def study(count: int, noise: float, *, maximise: bool = False) -> StudyRecord:
    rng = random.Random(5)
    trials: list[TrialRecord] = []
    for i in range(count):
        params = SPACE.sample(rng)
        loss = 100 + 50 * math.sin(6 * float(params["a"] or 0)) + 10 * float(params["b"] or 0) + noise * rng.gauss(0, 1)
        trials.append(TrialRecord(f"t{i}", i, "s", params, TrialState.COMPLETE, -loss if maximise else loss))
    return StudyRecord("s", SPACE, Maximize("acc") if maximise else Minimize("loss"), 0, tuple(trials))


def diagnose(record: StudyRecord) -> Diagnostics:
    return GP(device="cpu").diagnose(record)


@pytest.mark.parametrize("noise", [0.0, NOISE])
def test_each_is_predicted_as_by_a_model_that_never_saw_it(noise: float) -> None:
    record = study(25, noise)
    found = Insight.of(record, "cpu")
    assert found is not None
    x, y = found.learned.belief.x, found.learned.belief.y
    for place, left_out in enumerate(diagnostics_of(found, record).left_out):
        others = torch.arange(len(x)) != place
        mean, variance = Belief(found.learned.belief.surrogate, x[others], y[:, others]).moments(x[place : place + 1])
        std = (variance + found.learned.belief.noise).sqrt()
        (expected,) = found.predictions(mean[:, 0], std)
        assert left_out.number == place
        assert left_out.value == pytest.approx(record.trials[place].value)
        assert left_out.prediction.mean == pytest.approx(expected.mean, rel=1e-6)
        assert left_out.prediction.std == pytest.approx(expected.std, rel=1e-6)
        normal = torch.distributions.Normal(mean[0, 0], std[0])
        assert left_out.residual == pytest.approx(((y[0, place] - mean[0, 0]) / std[0]).item(), abs=1e-5)
        assert left_out.log_density == pytest.approx(normal.log_prob(y[0, place]).item(), abs=1e-5)


def test_the_noise_and_the_length_scales_are_told() -> None:
    found = diagnose(study(80, NOISE))
    assert found.is_noisy
    assert found.noise_std == pytest.approx(NOISE, rel=0.4)
    assert list(found.length_scales) == list(SPACE)
    assert found.length_scales["a"] < found.length_scales["b"] / 2
    assert found.length_scales["a"] < found.length_scales["net"] / 2
    assert found.length_scales["fixed"] == math.inf
    assert found.log_density > -1.0
    residuals = [one.residual for one in found.left_out]
    assert 0.7 < statistics.stdev(residuals) < 1.3
    assert abs(statistics.fmean(residuals)) < 0.2


def test_without_noise_hardly_any_is_told() -> None:
    found = diagnose(study(60, 0.0))
    assert not found.is_noisy
    assert found.noise_std < 0.5


def test_what_is_maximised_is_told_in_its_own_direction_and_residuals_stay_those_of_losses() -> None:
    less, more = diagnose(study(25, NOISE)), diagnose(study(25, NOISE, maximise=True))
    for one, other in zip(less.left_out, more.left_out, strict=True):
        assert one.value == pytest.approx(-other.value)
        assert one.prediction.mean == pytest.approx(-other.prediction.mean)
        assert one.prediction.std == pytest.approx(other.prediction.std)
        assert one.residual == pytest.approx(other.residual, abs=1e-6)


def test_a_failed_trial_counts_as_the_worst_and_one_that_runs_or_was_killed_is_left_out() -> None:
    record = study(12, NOISE)
    states = {3: TrialState.FAILED, 5: TrialState.RUNNING, 7: TrialState.KILLED}
    trials = tuple(
        replace(trial, state=states[trial.number], value=None) if trial.number in states else trial
        for trial in record.trials
    )
    found = {one.number: one for one in diagnose(replace(record, trials=trials)).left_out}
    assert found.keys() == set(range(12)) - {5, 7}
    worst = max(trial.value for trial in trials if trial.value is not None)
    assert found[3].value == pytest.approx(worst)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (study(0, 0.0), "study 's' teaches nothing yet"),
        (replace(study(5, 0.0), objective=None), "expected an objective, a trial with a finite value"),
        (StudyRecord("s", Space({}), Minimize("loss")), "a parameter that varies; run it first"),
        (cast(Any, "s"), r"expected a StudyRecord, got 's'; write study\.record\(\)"),
    ],
)
def test_what_cannot_be_diagnosed_says_why(record: StudyRecord, message: str) -> None:
    with pytest.raises(HyperhookError, match=message):
        diagnose(record)
