"""Noise or ripples: the trial that tells one from the other, and what follows from it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

import hyperhook as hh
from hyperhook import Params, StudyRecord, TrialRecord, TrialState
from hyperhook_plugins.gp import GP

SPACE = hh.Space({"x": hh.Float(0.0, 1.0), "y": hh.Float(0.0, 1.0)})
Loss = Callable[[Params], float]


def bowl(params: Params) -> float:
    return sum((float(value or 0) - 0.4) ** 2 for value in params.values())


def rippled(params: Params) -> float:
    """Return a bowl with waves of which no two trials lie on the same one."""
    return bowl(params) + 0.2 * math.cos(300 * float(params["x"] or 0)) * math.cos(300 * float(params["y"] or 0))


def noisy() -> Loss:
    rng = random.Random(3)
    return lambda params: bowl(params) + 0.2 * rng.gauss(0.0, 1.0)


def after(study: StudyRecord, params: Params, loss: Loss) -> StudyRecord:
    number = len(study.trials)
    trial = TrialRecord(f"t-{number}", number, "s", params, state=TrialState.COMPLETE, value=loss(params))
    return replace(study, trials=(*study.trials, trial))


def study_of(space: hh.Space, loss: Loss, count: int = 60) -> StudyRecord:
    rng = random.Random(0)
    study = StudyRecord("s", space, hh.Minimize("loss"), seed=1)
    for _ in range(count):
        study = after(study, space.sample(rng), loss)
    return study


def luckiest(study: StudyRecord) -> TrialRecord:
    return min(study.trials, key=lambda trial: math.inf if trial.value is None else trial.value)


def distance(one: Params, other: Params) -> float:
    return max(abs(a - b) for a, b in zip(SPACE.to_unit(one), SPACE.to_unit(other), strict=True))


@pytest.mark.parametrize("loss", [noisy(), rippled], ids=["noisy", "rippled"])
def test_where_losses_look_noisy_the_best_trial_is_all_but_repeated_once(loss: Loss) -> None:
    study, gp = study_of(SPACE, loss), GP(device="cpu")
    best = luckiest(study)
    probe, other = gp.suggest(study, 2)
    assert 0 < distance(probe, best.params) < 1e-4
    assert distance(other, best.params) > 1e-4
    (following,) = gp.suggest(after(study, probe, loss), 1)
    assert all(distance(following, trial.params) > 1e-4 for trial in study.trials)


def test_a_repeat_that_differs_is_noise_and_one_that_does_not_is_a_ripple() -> None:
    for loss, is_noise in ((noisy(), True), (rippled, False)):
        study, gp = study_of(SPACE, loss), GP(device="cpu")
        study = after(study, gp.suggest(study, 1)[0], loss)
        chosen = gp.which_is_best(study)
        assert (chosen is not None) == is_noise


def test_known_noise_and_an_acquisition_that_was_named_need_no_probe() -> None:
    study = study_of(SPACE, noisy())
    told = replace(study, trials=tuple(replace(trial, stderr=0.2) for trial in study.trials))
    for record, gp in ((told, GP(device="cpu")), (study, GP(device="cpu", acquisition="ei"))):
        (params,) = gp.suggest(record, 1)
        assert distance(params, luckiest(record).params) > 1e-4


def test_what_cannot_be_moved_a_little_is_not_probed() -> None:
    space = hh.Space({"n": hh.Int(1, 60), "m": hh.Int(1, 60)})
    rng = random.Random(3)
    study = study_of(space, lambda params: rng.gauss(0.0, 1.0))
    (params,) = GP(device="cpu").suggest(study, 1)
    assert params not in [trial.params for trial in study.trials]


def test_trials_that_failed_or_were_stopped_are_no_repeats() -> None:
    study = study_of(SPACE, noisy())
    best, number = luckiest(study), len(study.trials)
    again = {name: float(value or 0) + 1e-6 for name, value in best.params.items()}
    for state, value in ((TrialState.FAILED, None), (TrialState.PRUNED, best.value)):
        twin = TrialRecord("twin", number, "s", again, state=state, value=value)
        (probe,) = GP(device="cpu").suggest(replace(study, trials=(*study.trials, twin)), 1)
        assert distance(probe, best.params) < 1e-4


def test_a_trial_that_was_stopped_is_not_the_one_that_is_repeated() -> None:
    study = study_of(SPACE, noisy())
    best, number = luckiest(study), len(study.trials)
    stopped = TrialRecord("stopped", number, "s", {"x": 0.9, "y": 0.9}, state=TrialState.PRUNED, value=-5.0)
    (probe,) = GP(device="cpu").suggest(replace(study, trials=(*study.trials, stopped)), 1)
    assert distance(probe, best.params) < 1e-4
