"""Every suggester and pruner in the box works on a space that grows; the GP finds more than luck does."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook.errors import SpaceError
from hyperhook_plugins.gp import GP

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # BoTorch's, when it is imported


def conditional(trial: hh.Trial) -> float:
    """A valley below each option; the deepest, 0.05, lies where the net has two layers."""
    kind = trial.suggest_categorical("model", ["svm", "forest", "net"])
    if kind == "svm":
        c = math.log10(trial.suggest_float("C", 1e-3, 1e3, log=True))
        gamma = math.log10(trial.suggest_float("gamma", 1e-5, 1e1, log=True))
        return 0.1 + 0.05 * (c - 1.3) ** 2 + 0.04 * (gamma + 2.2) ** 2
    if kind == "forest":
        depth = trial.suggest_int("depth", 2, 32)
        return 0.25 + 0.001 * (depth - 13) ** 2 + 0.1 * trial.suggest_float("features", 0.1, 1.0, step=0.1)
    layers = trial.suggest_int("layers", 1, 3)
    widths = [math.log2(trial.suggest_int(f"width{i}", 8, 256, log=True)) for i in range(layers)]
    lr = math.log10(trial.suggest_float("lr", 1e-5, 1e-1, log=True))
    uneven = sum(0.05 * (width - 6 - i) ** 2 for i, width in enumerate(widths))
    return 0.05 + 0.1 * (layers - 2) ** 2 + uneven + 0.08 * (lr + 3) ** 2


def reported(trial: hh.Trial) -> float:
    value = conditional(trial)
    for step in range(4):
        trial.report(value + 1 / (1 + step), step)
        if trial.should_prune():
            raise hh.TrialPruned
    return value


def small(trial: hh.Trial) -> float:
    if trial.suggest_categorical("model", ["svm", "forest"]) == "forest":
        return 0.1 + 0.01 * abs(trial.suggest_int("depth", 2, 32) - 13)
    c = math.log10(trial.suggest_float("C", 1e-3, 1e3, log=True))
    gamma = math.log10(trial.suggest_float("gamma", 1e-5, 1e1, log=True))
    return 0.05 * (c - 1.3) ** 2 + 0.04 * (gamma + 2.2) ** 2


def best(home: Path, objective: Callable[[hh.Trial], float], plugin: str, seed: int, trials: int) -> float:
    with hh.Study("s", objective=hh.Minimize("value"), plugins=[plugin], home=home, seed=seed) as study:
        study.run(objective, trials=trials, progress=False)
        return study.best.value or math.inf


@pytest.mark.parametrize(
    "plugin", ["random", "gp", "tpe", "evolution", "refine", "sobol", "asha", "hyperband", "median"]
)
def test_it_works_on_a_space_that_grows(plugin: str, tmp_path: Path) -> None:
    with hh.Study("s", objective=hh.Minimize("value"), plugins=[plugin], home=tmp_path, seed=0) as study:
        study.run(reported, trials=15, progress=False)
        states = [trial.state for trial in study.trials]
        assert len(states) == 15
        assert set(states) <= {hh.TrialState.COMPLETE, hh.TrialState.PRUNED}
        assert study.best.value is not None
        assert {"model"} < set(study.space)
        for trial in study.trials:
            assert ("C" in trial.params) == (trial.params["model"] == "svm")


def test_the_gp_answers_about_a_space_that_grew(tmp_path: Path) -> None:
    with hh.Study("s", objective=hh.Minimize("value"), plugins=["gp"], home=tmp_path, seed=0) as study:
        study.run(conditional, trials=14, progress=False)
        assert study.best in study.trials
        assert math.isfinite(study.predict(study.best.params).mean)
        assert set(study.importance()) == set(study.space)
        with pytest.raises(SpaceError, match="'other' is not in the space"):
            study.predict({**study.best.params, "other": 1})


def test_the_gp_learns_from_an_earlier_study_that_grew(tmp_path: Path) -> None:
    with hh.Study("old", objective=hh.Minimize("value"), home=tmp_path, seed=0) as old:
        old.run(conditional, trials=12, progress=False)
        record = old.record()
    assert set(GP(device="cpu").diagnose(record).length_scales) <= set(record.space)
    for source in ("old", record):
        gp = GP(device="cpu", warm_start=[source])
        with hh.Study(f"new-{source == 'old'}", objective=hh.Minimize("value"), plugins=[gp], home=tmp_path) as new:
            new.run(conditional, trials=3, progress=False)
            assert len(new.trials) == 3


def test_a_grid_of_it_is_refused_before_a_trial_begins(tmp_path: Path) -> None:
    with hh.Study("s", objective=hh.Minimize("value"), plugins=["grid"], home=tmp_path) as study:
        with pytest.raises(SpaceError, match="grid: study 's' has no space of its own"):
            study.run(conditional, trials=15, progress=False)
        assert study.trials == ()


@pytest.mark.parametrize(
    ("objective", "seeds", "trials", "good"),
    [
        pytest.param(small, range(3), 20, 0.005, id="quick"),
        pytest.param(conditional, range(5), 40, 0.06, id="whole", marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
def test_the_gp_finds_more_than_luck_on_the_same_budget(
    objective: Callable[[hh.Trial], float], seeds: range, trials: int, good: float, tmp_path: Path
) -> None:
    found = {
        plugin: statistics.median(best(tmp_path / f"{plugin}{seed}", objective, plugin, seed, trials) for seed in seeds)
        for plugin in ("random", "gp")
    }
    assert found["gp"] < good < found["random"]
