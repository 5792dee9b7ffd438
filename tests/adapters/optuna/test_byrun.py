"""An objective written for Optuna, as its documentation publishes such, runs unchanged in a study of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.svm import SVC

import hyperhook as hh


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(level)


def choose_a_classifier(trial: Any) -> float:
    x, y = load_iris(return_X_y=True)
    name = trial.suggest_categorical("classifier", ["SVC", "RandomForest"])
    if name == "SVC":
        model = SVC(C=trial.suggest_float("svc_c", 1e-10, 1e10, log=True), gamma="auto")
    else:
        depth = trial.suggest_int("rf_max_depth", 2, 32, log=True)
        model = RandomForestClassifier(max_depth=depth, n_estimators=5, random_state=0)
    trial.set_user_attr("classifier", name)
    return float(cross_val_score(model, x, y, n_jobs=1, cv=3).mean())


def stop_early(trial: Any) -> float:
    x, y = load_iris(return_X_y=True)
    x, x_valid, y, y_valid = train_test_split(x, y, test_size=0.25, random_state=0)
    model = SGDClassifier(alpha=trial.suggest_float("alpha", 1e-5, 1e-1, log=True), random_state=0)
    for step in range(8):
        model.partial_fit(x, y, classes=np.unique(y))
        trial.report(1.0 - model.score(x_valid, y_valid), step)
        if trial.should_prune():
            raise optuna.TrialPruned()
    return 1.0 - float(model.score(x_valid, y_valid))


def test_a_conditional_objective_runs_in_both(tmp_path: Path) -> None:
    theirs = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    theirs.optimize(choose_a_classifier, n_trials=8)
    ours = hh.Study("iris", objective=hh.Maximize("accuracy"), plugins=["tpe"], home=tmp_path, seed=0)
    with ours:
        ours.run(choose_a_classifier, trials=8, progress=False)
        assert {name for trial in ours.trials for name in trial.params} <= {"classifier", "svc_c", "rf_max_depth"}
        for trial in ours.trials:
            assert choose_a_classifier(optuna.trial.FixedTrial(dict(trial.params))) == trial.value
        assert min(ours.best.value or 0, theirs.best_value) > 0.9


def test_a_pruned_objective_runs_in_both(tmp_path: Path) -> None:
    theirs = optuna.create_study(sampler=optuna.samplers.RandomSampler(0), pruner=optuna.pruners.MedianPruner(2))
    theirs.optimize(stop_early, n_trials=12)
    ours = hh.Study("sgd", objective=hh.Minimize("error"), plugins=["median"], home=tmp_path, seed=0)
    with ours:
        ours.run(stop_early, trials=12, progress=False)
        states = {trial.state for trial in ours.trials}
    assert states <= {hh.TrialState.COMPLETE, hh.TrialState.PRUNED}
    assert hh.TrialState.PRUNED in states
    assert optuna.trial.TrialState.PRUNED in {trial.state for trial in theirs.trials}


@pytest.mark.parametrize(
    "asks",
    [
        [("suggest_float", "x", (0.0, 1.0), {}), ("suggest_float", "x", (0.5, 2.0), {})],
        [("suggest_float", "x", (0.0, 1.0), {}), ("suggest_int", "x", (0, 1), {})],
        [("suggest_int", "n", (1, 4), {}), ("suggest_int", "n", (2, 8), {"step": 3})],
        [("suggest_float", "x", (0.1, 1.0), {}), ("suggest_float", "x", (0.1, 1.0), {"log": True})],
        [("suggest_categorical", "c", (["a", "b"],), {}), ("suggest_categorical", "c", (["a"],), {})],
        [("suggest_float", "x", (1.0, 0.0), {})],
        [("suggest_int", "n", (0, 4), {"log": True})],
        [("suggest_float", "x", (0.0, 1.0), {"step": 0.25})],
    ],
)
def test_what_optuna_refuses_from_trial_to_trial_is_refused_here(asks: list[Any], tmp_path: Path) -> None:
    def refused(trials: list[Any]) -> list[bool]:
        answers = []
        for trial, (method, name, args, options) in zip(trials, asks, strict=True):
            try:
                getattr(trial, method)(name, *args, **options)
                answers.append(False)
            except ValueError:
                answers.append(True)
        return answers

    theirs = optuna.create_study()
    with hh.Study("s", objective=hh.Minimize("value"), home=tmp_path) as ours:
        trials = [ours.ask() for _ in asks]
        assert refused(trials) == refused([theirs.ask() for _ in asks])
        for trial in trials:
            ours.tell(trial, 1.0)
