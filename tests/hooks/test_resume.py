"""A trial that ended goes on: in the same run everywhere, and what is trained again is not doubled."""

from __future__ import annotations

from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook.errors import StudyError, TrialStateError
from hyperhook.home import Home
from hyperhook.records import TrialState
from hyperhook.testing import RecordingPlugin
from hyperhook.workspace import Workspace


@pytest.fixture
def recorder() -> RecordingPlugin:
    return RecordingPlugin()


@pytest.fixture
def study(tmp_path: Path, recorder: RecordingPlugin) -> hh.Study:
    space = {"x": hh.Float(0, 1)}
    return hh.Study("s", space, hh.Minimize("loss"), home=tmp_path, plugins=[recorder], seed=0)


def broken(study: hh.Study, steps: int = 5) -> hh.TrialRecord:
    """Train, and fail."""
    trial = study.ask()
    for step in range(steps):
        trial.log({"loss": 10.0 - step, "lr": 0.1}, step=step, epoch=0)
    return study.tell(trial, state=TrialState.FAILED, error="power cut")


def test_what_is_trained_again_is_not_doubled(study: hh.Study, recorder: RecordingPlugin) -> None:
    before = broken(study)
    assert before.state is TrialState.FAILED
    with study.trial(resume=0) as trial:
        assert (trial.id, trial.params, trial.last_step) == (before.id, before.params, 4)
        for step in range(3, 8):
            trial.log({"loss": 1.0 + step, "lr": 0.1}, step=step, epoch=0)
        trial.log({"acc": 0.5}, step=2)
    after = study.trials[0]
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE]
    assert (after.value, after.step, after.error) == (6.0, 4, None)
    losses = [(step, value) for name, step, _, value in recorder.points() if name == "loss"]
    assert losses == [(0, 10.0), (1, 9.0), (2, 8.0), (3, 7.0), (4, 6.0), (5, 6.0), (6, 7.0), (7, 8.0)]
    assert ("acc", 2, None, 0.5) in recorder.points()
    assert recorder.hooks().count("trial_resumed") == 1
    assert recorder.hooks()[-2:] == ["metrics_logged", "trial_finished"]


def test_a_trial_is_found_by_its_id_and_may_go_on_twice(study: hh.Study) -> None:
    first = broken(study)
    for last in (6, 7):
        with study.trial(resume=first.id) as trial:
            trial.log({"loss": float(last)}, step=last)
    assert study.trials[0].value == 6.0
    assert len(study.to_dataframe(points=True)) == 12


def test_a_fork_is_another_trial_that_names_its_parent(study: hh.Study, recorder: RecordingPlugin) -> None:
    parent = broken(study)
    with study.trial(resume=0, fork=True) as trial:
        trial.log({"loss": 0.5}, step=3)
    assert [trial.state for trial in study.trials] == [TrialState.FAILED, TrialState.COMPLETE]
    assert study.trials[1].params == parent.params
    assert [c.arguments["tags"] for c in recorder.calls if c.hook == "tags_logged"] == [{"parent": "s-0"}]


def test_what_cannot_go_on(study: hh.Study) -> None:
    with pytest.raises(StudyError, match="study 's' has no trial 7; it has 0 trials"):
        study.resume(7)
    running = study.ask()
    with pytest.raises(TrialStateError, match="'s-0' is running; wait for its end, or use fork=True"):
        study.resume(0)
    study.tell(running, 1.0)


def test_a_resumed_trial_that_dies_again_is_marked(study: hh.Study, tmp_path: Path) -> None:
    broken(study)
    trial = study.resume(0)
    trial.log({"loss": 1.0}, step=9)
    workspace = Workspace(Home(tmp_path))
    workspace.home.alive(trial.id).release()  # as its process's death does
    (killed,) = workspace.reap("s", [])
    assert (killed.state, killed.id) == (TrialState.KILLED, trial.id)
    again = study.resume(0)
    assert again.last_step == 9
    study.tell(again, 0.5)
    assert study.trials[0].value == 0.5


def test_a_pruned_trial_may_go_on_and_is_asked_again(tmp_path: Path) -> None:
    class Pruner:
        calls = 0

        @hh.hookimpl
        def should_stop(self) -> bool:
            self.calls += 1
            return self.calls == 1

    study = hh.Study("s", objective=hh.Minimize("loss"), home=tmp_path, plugins=[Pruner()])
    with study.trial() as trial:
        trial.log({"loss": 1.0})
        assert trial.should_stop
    assert study.trials[0].state is TrialState.PRUNED
    with study.trial(resume=0) as trial:
        trial.log({"loss": 0.5})
        assert not trial.should_stop
    assert (study.trials[0].state, study.trials[0].value) == (TrialState.COMPLETE, 0.5)
