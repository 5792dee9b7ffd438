"""Our suggesters as a search algorithm of Ray Tune."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from ray import tune
from ray.tune.search import Searcher

import hyperhook as hh
from hyperhook.errors import PluginError, StudyError
from hyperhook.records import StudyRecord, TrialState
from hyperhook_adapters.ray_tune import HyperhookSearch
from hyperhook_plugins.grid_search import GridSearch


class Seen:
    """A suggester that keeps the studies that it was asked about."""

    def __init__(self) -> None:
        self.studies: list[StudyRecord] = []

    @hh.hookimpl
    def suggest(self, study: StudyRecord) -> list[hh.Params]:
        self.studies.append(study)
        return [{"x": len(study.trials) / 10}]


SPACE = {"x": tune.uniform(0, 1)}


def test_the_suggester_sees_what_tune_reported() -> None:
    seen = Seen()
    search = HyperhookSearch(SPACE, "loss", "min", plugins=[seen], seed=7)
    for name in ("a", "b", "c", "d", "e"):
        assert search.suggest(name) == {"x": "abcde".index(name) / 10}
    search.on_trial_result("a", {"loss": 0.5, "training_iteration": 1})
    search.on_trial_complete("a", {"loss": 0.25, "training_iteration": 2})
    search.on_trial_complete("b", None, error=True)
    search.on_trial_result("c", {"loss": 0.75, "training_iteration": 3})
    search.on_trial_complete("d", {"loss": math.nan, "training_iteration": 1})
    search.on_trial_complete("e", {"accuracy": 1.0})
    search.on_trial_complete("never heard of", {"loss": 1.0})
    search.suggest("f")
    study = seen.studies[-1]
    assert (study.objective, study.seed) == (hh.Minimize("loss", reduce="last"), 7)
    assert [(trial.state, trial.value, trial.step) for trial in study.trials] == [
        (TrialState.COMPLETE, 0.25, 1),
        (TrialState.FAILED, None, None),
        (TrialState.RUNNING, None, None),
        (TrialState.FAILED, None, None),
        (TrialState.FAILED, None, None),
    ]


def test_what_the_tuner_was_given_is_taken_over() -> None:
    search = HyperhookSearch(plugins=["random"], seed=1)
    with pytest.raises(StudyError, match="lacks a space, a metric or a mode"):
        search.suggest("a")
    assert search.set_search_properties("acc", "max", {"m": {"x": tune.uniform(2, 3)}, "epochs": 5})
    config = search.suggest("a")
    assert isinstance(config, dict)
    assert 2 <= config["m"]["x"] <= 3
    assert not HyperhookSearch(SPACE, plugins=["random"]).set_search_properties("acc", "max", SPACE)
    assert HyperhookSearch(SPACE, plugins=["random"]).set_search_properties("acc", "max", {"epochs": 5})


def test_a_grid_ends() -> None:
    search = HyperhookSearch({"n": tune.randint(0, 2)}, "loss", "min", plugins=[GridSearch()])
    assert [search.suggest(name) for name in "abc"] == [{"n": 0}, {"n": 1}, Searcher.FINISHED]


def test_a_search_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    first = HyperhookSearch(SPACE, "loss", "min", plugins=["random"])
    first.suggest("a")
    first.suggest("b")
    first.on_trial_complete("a", {"loss": 0.5, "training_iteration": 4})
    first.save(str(tmp_path / "state"))
    seen = Seen()
    other = HyperhookSearch(SPACE, "loss", "min", plugins=[seen])
    other.restore(str(tmp_path / "state"))
    other.on_trial_complete("b", {"loss": 0.25, "training_iteration": 2})
    other.suggest("c")
    assert [(trial.id, trial.state, trial.value, trial.step) for trial in seen.studies[0].trials] == [
        ("a", TrialState.COMPLETE, 0.5, 3),
        ("b", TrialState.COMPLETE, 0.25, 1),
    ]
    again = HyperhookSearch(SPACE, "loss", "min", plugins=["random"])
    again.restore(str(tmp_path / "state"))
    assert again.suggest("c") == first.suggest("c")


def test_what_cannot_be_is_told() -> None:
    with pytest.raises(StudyError, match="mode must be 'max' or 'min', got 'maximize'"):
        HyperhookSearch(SPACE, "loss", "maximize")
    with pytest.raises(PluginError, match=r"none of \['asha'\] has a hook `suggest`"):
        HyperhookSearch(SPACE, "loss", "min", plugins=["asha"])
