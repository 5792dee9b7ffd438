"""What plugins learned reaches the user: asked through hooks, checked on the way in and on the way out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import hyperhook as hh
from hyperhook import insight
from hyperhook.errors import EmptyStudyError, PluginError, SpaceError
from hyperhook.manager import Manager
from hyperhook.study import Study

OpenStudy = Callable[..., Study]
SPACE = hh.Space({"lr": hh.Float(0.0, 1.0), "net": hh.Choice({"cnn": {"width": hh.Int(1, 9)}, "mlp": {}})})
MLP: hh.Params = {"lr": 0.5, "net": "mlp"}
CNN: hh.Params = {"lr": 0.5, "net": "cnn", "width": 3}


class Knowing:
    """Answers what it is told to answer, and remembers what it was asked."""

    def __init__(
        self, predictions: Any = None, shares: Any = None, trial: Callable[[hh.StudyRecord], Any] | None = None
    ):
        self.predictions, self.shares, self.trial = predictions, shares, trial or (lambda study: None)
        self.asked: list[Sequence[hh.Params]] = []

    @hh.hookimpl
    def predict(self, study: hh.StudyRecord, many: Sequence[hh.Params]) -> Sequence[hh.Prediction] | None:
        self.asked.append(many)
        return self.predictions  # type: ignore[no-any-return]

    @hh.hookimpl
    def importance(self, study: hh.StudyRecord) -> Mapping[str, float] | None:
        return self.shares  # type: ignore[no-any-return]

    @hh.hookimpl
    def which_is_best(self, study: hh.StudyRecord) -> hh.TrialRecord | None:
        return self.trial(study)  # type: ignore[no-any-return]


def record(*values: float | None, state: hh.TrialState = hh.TrialState.COMPLETE) -> hh.StudyRecord:
    trials = tuple(hh.TrialRecord(f"t{i}", i, "s", MLP, state, value) for i, value in enumerate(values))
    return hh.StudyRecord("s", SPACE, hh.Maximize("acc"), 0, trials)


def prediction(mean: float, std: float = 0.1) -> hh.Prediction:
    return hh.Prediction(mean, std)


# Predictions


def test_a_prediction_for_each_set_of_params() -> None:
    plugin = Knowing((prediction(0.7), prediction(0.8)))
    assert insight.predict(record(0.5), Manager([plugin]), [MLP, CNN]) == [prediction(0.7), prediction(0.8)]
    assert plugin.asked == [[MLP, CNN]]


def test_nothing_to_predict_asks_nobody() -> None:
    plugin = Knowing("never seen")
    assert insight.predict(record(0.5), Manager([plugin]), []) == []
    assert plugin.asked == []


def test_values_reach_plugins_without_the_subclasses_of_numpy() -> None:
    plugin = Knowing([prediction(0.7)])
    insight.predict(record(0.5), Manager([plugin]), [{"lr": np.float64(0.5), "net": "mlp"}])
    assert type(plugin.asked[0][0]["lr"]) is float


@pytest.mark.parametrize(
    ("many", "message"),
    [
        ([{"lr": 0.5}], r"^predict: params: 'net' is missing"),
        ([MLP, {"lr": 2.0, "net": "mlp"}], r"^predict: set 1 of 2: params: 'lr' got 2\.0, expected a value of Float"),
        ([{**MLP, "width": 3}], "'width' takes part only while 'net' is 'cnn'"),
        ([{**MLP, "depth": 3}], "'depth' is not in the space"),
        ("lr", "expected params by name, such as trial.params, or a list of such, got 'lr'"),
        ([0.5], r"expected params by name, .* got \[0\.5\]"),
        (None, "expected params by name, .* got None"),
    ],
)
def test_params_outside_the_space_are_refused(many: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        insight.predict(record(0.5), Manager([Knowing()]), many)


@pytest.mark.parametrize(
    "answer",
    [
        "no",
        [],
        [prediction(0.1), prediction(0.2)],
        [0.5],
        [prediction(math.nan)],
        [prediction(math.inf)],
        [prediction(0.5, -0.1)],
        [prediction(0.5, math.nan)],
        [prediction(0.5, math.inf)],
    ],
)
def test_a_wrong_prediction_is_the_plugin_s_error(answer: Any) -> None:
    with pytest.raises(PluginError, match=r"predict: expected a list of 1 hyperhook\.Prediction.* mend the plugin"):
        insight.predict(record(0.5), Manager([Knowing(answer)]), [MLP])


# Importance


def test_shares_come_from_the_greatest_to_the_least() -> None:
    shares = insight.importance(record(0.5), Manager([Knowing(shares={"width": 0.3, "lr": 0.6, "net": 0.1})]))
    assert [*shares.items()] == [("lr", 0.6), ("width", 0.3), ("net", 0.1)]


@pytest.mark.parametrize(
    "answer",
    [
        {},
        0.5,
        {"lr": 0.5, "net": 0.5},
        {"lr": 0.5, "net": 0.5, "width": 0.0, "depth": 0.0},
        {"lr": 0.5, "net": 0.2, "width": 0.2},
        {"lr": 1.5, "net": -0.5, "width": 0.0},
        {"lr": math.nan, "net": 0.5, "width": 0.5},
    ],
)
def test_wrong_shares_are_the_plugin_s_error(answer: Any) -> None:
    with pytest.raises(
        PluginError, match=r"importance: expected a share from 0 for each of lr, net, width, together 1"
    ):
        insight.importance(record(0.5), Manager([Knowing(shares=answer)]))


# What both ask of a study and of its plugins


def asks(study: hh.StudyRecord, manager: Manager) -> dict[str, Callable[[], object]]:
    return {
        "predict": lambda: insight.predict(study, manager, [MLP]),
        "importance": lambda: insight.importance(study, manager),
    }


@pytest.mark.parametrize("question", ["predict", "importance"])
def test_without_a_plugin_that_learns_the_error_names_one(question: str) -> None:
    with pytest.raises(PluginError) as raised:
        asks(record(0.5), Manager(["random"]))[question]()
    assert str(raised.value) == (
        f"{question}: no plugin of study 's' learns from its trials; add one that does: plugins=['gp']"
    )


@pytest.mark.parametrize("question", ["predict", "importance"])
def test_where_all_plugins_pass_the_error_names_them(question: str) -> None:
    with pytest.raises(PluginError, match=f"{question}: no plugin of study 's' has an answer.*; asked: Knowing$"):
        asks(record(0.5), Manager([Knowing()]))[question]()


@pytest.mark.parametrize("question", ["predict", "importance"])
@pytest.mark.parametrize(
    ("study", "message"),
    [
        (replace(record(0.5), objective=None), "study 's' has no objective; give it one to learn about"),
        (record(), r"study 's' has no trial with a value yet \(0 trials\); run it first"),
        (record(None, math.nan, math.inf), r"has no trial with a value yet \(3 trials\)"),
        (record(0.5, state=hh.TrialState.KILLED), r"has no trial with a value yet \(1 trials\)"),
    ],
)
def test_a_study_that_teaches_nothing_says_what_to_do(study: hh.StudyRecord, message: str, question: str) -> None:
    with pytest.raises(EmptyStudyError, match=f"^{question}: .*{message}"):
        asks(study, Manager([Knowing()]))[question]()


# The best trial


def test_the_best_value_is_best_where_all_pass() -> None:
    study = record(0.5, 0.7, 0.6)
    assert insight.best(study, Manager([])) == insight.best(study, Manager([Knowing()])) == study.trials[1]


def test_a_plugin_may_choose_another_trial() -> None:
    study = record(0.5, 0.7, 0.6)
    assert insight.best(study, Manager([Knowing(trial=lambda study: study.trials[2])])) == study.trials[2]


def test_nobody_is_asked_where_no_trial_could_be_it() -> None:
    def never(study: hh.StudyRecord) -> hh.TrialRecord:
        raise AssertionError("asked")

    for study in (
        record(),
        record(None),
        replace(record(0.5), objective=None),
        record(0.5, state=hh.TrialState.PRUNED),
    ):
        assert insight.best(study, Manager([Knowing(trial=never)])) is None


@pytest.mark.parametrize(
    "answer",
    [
        2,
        SimpleNamespace(state=hh.TrialState.COMPLETE, value=1.0),
        hh.TrialRecord("t9", 9, "s", MLP, hh.TrialState.COMPLETE, 0.9),
    ],
)
def test_what_is_no_trial_of_the_study_is_the_plugin_s_error(answer: Any) -> None:
    with pytest.raises(PluginError, match="which_is_best: expected a COMPLETE trial of study 's' that has a value"):
        insight.best(record(0.5), Manager([Knowing(trial=lambda study: answer)]))


def test_a_trial_without_a_value_is_the_plugin_s_error() -> None:
    with pytest.raises(PluginError, match="which_is_best: expected a COMPLETE trial"):
        insight.best(record(0.5, None), Manager([Knowing(trial=lambda study: study.trials[1])]))


# Through the study


def test_a_study_asks_its_plugins(study: OpenStudy) -> None:
    plugin = Knowing([prediction(0.7)], {"lr": 0.2, "net": 0.3, "width": 0.5}, lambda study: study.trials[0])
    made = study(space=SPACE, objective=hh.Minimize("loss"), plugins=[plugin])
    made.run(lambda trial: 1.0 - trial.number, trials=2)
    assert made.predict(MLP) == prediction(0.7)
    assert made.predict([CNN]) == [prediction(0.7)]
    assert made.predict([]) == []
    assert list(made.importance()) == ["width", "net", "lr"]
    assert made.best == made.trials[0]
    assert made.record().best == made.trials[1]


def test_what_a_plugin_raises_reaches_the_user(study: OpenStudy) -> None:
    def broken(study: hh.StudyRecord) -> hh.TrialRecord:
        raise RuntimeError("broken")

    made = study(plugins=[Knowing(trial=broken)])
    made.run(lambda trial: 1.0, trials=1)
    with pytest.raises(RuntimeError, match="broken"):
        made.best  # noqa: B018


def test_only_trials_that_meet_the_constraints_come_into_question() -> None:
    constraint = hh.Constraint("ms", "<=", 20.0)
    trials = tuple(
        replace(trial, metrics={"ms": ms})
        for trial, ms in zip(record(0.5, 0.9, 0.7).trials, (10.0, 30.0, 15.0), strict=True)
    )
    study = replace(record(), trials=trials, constraints=(constraint,))
    asked: list[hh.StudyRecord] = []
    answer = insight.best(study, Manager([Knowing(trial=lambda seen: asked.append(seen) or seen.trials[0])]))
    assert answer == trials[0]
    assert [trial.number for trial in asked[0].trials] == [0, 2]
    with pytest.raises(PluginError, match="which_is_best"):
        insight.best(study, Manager([Knowing(trial=lambda seen: trials[1])]))
    hopeless = replace(study, constraints=(hh.Constraint("ms", "<=", 1.0),))
    assert insight.best(hopeless, Manager([Knowing(trial=lambda seen: pytest.fail("asked"))])) == trials[0]


def test_answers_of_another_type_are_the_plugins_fault() -> None:
    with pytest.raises(PluginError, match="predict: expected a list"):
        insight.predict(record(0.5), Manager([Knowing([hh.Prediction("a", 0.0)])]), [MLP])  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="importance: expected a share"):
        insight.importance(record(0.5), Manager([Knowing(shares={"lr": "a", "net": 1.0, "width": 0.0})]))
