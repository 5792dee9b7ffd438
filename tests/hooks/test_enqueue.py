"""Queued trials: they run first, each once, whoever comes; what they lack the suggester fills in."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import hyperhook as hh
from hyperhook.errors import SpaceError, TrialStateError
from hyperhook.home import Home
from hyperhook.records import StudyRecord, TrialState
from hyperhook.testing import RecordingPlugin

OpenStudy = Callable[..., hh.Study]

SPACE = {
    "x": hh.Float(0.0, 1.0),
    "net": hh.Choice({"cnn": {"kernel": hh.Int(1, 7)}, "mlp": {}}),
}


class Fixed:
    """Suggests the same params, and keeps what the study looked like."""

    def __init__(self, params: hh.Params) -> None:
        self.params = params
        self.asked: list[StudyRecord] = []

    @hh.hookimpl
    def suggest(self, study: StudyRecord, count: int) -> list[hh.Params]:
        self.asked.append(study)
        return [self.params] * count


def loss(trial: hh.Trial) -> float:
    return float(trial.params["x"] or 0)


def test_what_is_queued_runs_first_in_its_order_and_counts(study: OpenStudy) -> None:
    made = study(space=SPACE, plugins=[Fixed({"x": 0.9, "net": "mlp"})])
    for x in (0.3, 0.1, 0.2):
        queued = made.enqueue({"x": x, "net": "mlp"})
        assert queued is not None
        assert queued.state is TrialState.QUEUED
    made.run(loss, trials=4)
    assert [(t.number, t.state, t.value) for t in made.trials] == [
        (number, TrialState.COMPLETE, value) for number, value in enumerate([0.3, 0.1, 0.2, 0.9])
    ]
    assert made.best.params == {"x": 0.1, "net": "mlp"}


def test_what_is_beyond_the_budget_stays_queued(study: OpenStudy) -> None:
    made = study(space=SPACE)
    for x in (0.1, 0.2, 0.3):
        made.enqueue({"x": x})
    made.run(loss, trials=2)
    assert [t.state.value for t in made.trials] == ["COMPLETE", "COMPLETE", "QUEUED"]
    made.run(loss, trials=4)
    assert [t.params["x"] for t in made.trials][:3] == [0.1, 0.2, 0.3]
    assert [t.state.value for t in made.trials] == ["COMPLETE"] * 4


def test_the_suggester_chooses_the_rest_at_once_and_sees_what_is_queued(study: OpenStudy) -> None:
    plugin = Fixed({"x": 0.5, "net": "cnn", "kernel": 3})
    made = study(space=SPACE, plugins=[plugin])
    made.enqueue({"x": 0.25})
    made.enqueue({"kernel": 7})  # which there is only with a cnn
    made.enqueue({"net": "mlp"})
    assert [(t.state.value, dict(t.params)) for t in made.trials] == [
        ("QUEUED", {"x": 0.25, "net": "cnn", "kernel": 3}),
        ("QUEUED", {"x": 0.5, "net": "cnn", "kernel": 7}),
        ("QUEUED", {"x": 0.5, "net": "mlp"}),
    ]
    assert [len(asked.trials) for asked in plugin.asked] == [0, 1, 2]
    made.enqueue({"x": 0.75, "net": "mlp"})
    assert len(plugin.asked) == 3  # it was whole


def test_an_option_whose_params_were_not_proposed_has_them_drawn(study: OpenStudy) -> None:
    made = study(space=SPACE, plugins=[Fixed({"x": 0.5, "net": "mlp"})], seed=0)
    made.enqueue({"net": "cnn"})
    (queued,) = made.trials
    assert queued.params.keys() == {"x", "net", "kernel"}
    assert queued.params["x"] == 0.5


def test_a_script_that_is_run_again_queues_nothing_twice(study: OpenStudy) -> None:
    first = study(space=SPACE).enqueue({"x": 0.5})
    assert study(space=SPACE).enqueue({"x": 0.5}) == first
    made = study(space=SPACE)
    made.run(loss, trials=1)
    again = study(space=SPACE).enqueue({"x": 0.5})
    assert again is not None
    assert (again.number, again.state) == (0, TrialState.COMPLETE)
    assert len(made.trials) == 1


def test_a_repeat_has_to_be_asked_for(study: OpenStudy) -> None:
    made = study(space=SPACE)
    for _ in range(3):
        made.enqueue({"x": 0.5, "net": "mlp"}, repeat=True)
    made.run(loss, trials=3)
    assert [t.params["x"] for t in made.trials] == [0.5] * 3


@pytest.mark.parametrize("state", [state for state in TrialState if state.is_finished])
def test_what_failed_or_was_killed_may_be_queued_again(study: OpenStudy, state: TrialState) -> None:
    made = study(space=SPACE)
    made.enqueue({"x": 0.5})
    made.tell(made.ask(), 0.5 if state is TrialState.COMPLETE else None, state=state)
    made.enqueue({"x": 0.5})
    assert len(made.trials) == (2 if state in (TrialState.FAILED, TrialState.KILLED) else 1)


@pytest.mark.parametrize(
    ("params", "message"),
    [({}, "expected values by their names"), ({"y": 1}, "'y' is not in the space"), ({"x": 7.0}, "'x' got 7.0")],
)
def test_what_cannot_be_is_refused_at_once(study: OpenStudy, params: dict[str, Any], message: str) -> None:
    made = study(space=SPACE)
    with pytest.raises(SpaceError, match=message):
        made.enqueue(params)
    assert made.trials == ()


def test_a_queued_trial_is_heard_of_when_it_starts(study: OpenStudy) -> None:
    recorder = RecordingPlugin()
    made = study(space=SPACE, plugins=[recorder])
    queued = made.enqueue({"x": 0.5})
    assert [call.hook for call in recorder.calls] == ["study_started"]
    trial = made.ask()
    assert queued is not None
    assert trial.id == queued.id
    (started,) = [call.arguments["trial"] for call in recorder.calls if call.hook == "trial_started"]
    assert (started.state, started.params["x"]) == (TrialState.RUNNING, 0.5)
    assert started.started_time >= queued.started_time


def test_a_queued_trial_is_not_resumed_but_may_be_forked(study: OpenStudy) -> None:
    made = study(space=SPACE)
    made.enqueue({"x": 0.5})
    with pytest.raises(TrialStateError, match="trial 's-0' is queued, and starts by itself"):
        made.resume(0)
    assert made.resume(0, fork=True).params["x"] == 0.5
    assert made.ask().number == 0


def test_a_worker_that_dies_before_its_claim_leaves_the_trial_queued(study: OpenStudy, home: Path) -> None:
    made = study(space=SPACE)
    queued = made.enqueue({"x": 0.5})
    assert queued is not None
    lock = Home(home).alive(queued.id)
    lock.acquire()
    lock.release()  # as its process dies
    made.run(loss, trials=1)
    assert [(t.id, t.state, t.value) for t in made.trials] == [(queued.id, TrialState.COMPLETE, 0.5)]
    assert not (Home(home).path / "running" / queued.id).exists()


def test_a_follower_of_a_launch_queues_nothing(study: OpenStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERHOOK_LAUNCH", "token")
    monkeypatch.setenv("RANK", "1")
    made = study(space=SPACE)
    assert made.enqueue({"x": 0.5}) is None
    with pytest.raises(SpaceError):
        made.enqueue({"x": 2.0})
    assert made.trials == ()


def _work(home: str, trials: int) -> None:
    with hh.Study("s", home=home) as made:
        made.run(loss, trials=trials, progress=False)


def test_workers_that_come_at_once_run_each_once(study: OpenStudy, home: Path) -> None:
    made = study(space=SPACE)
    wanted = [number / 32 for number in range(24)]
    for x in wanted:
        made.enqueue({"x": x})
    _together(_work, 4, str(home), 24)
    trials = made.trials
    assert [t.params["x"] for t in trials] == wanted
    assert Counter(t.state.value for t in trials) == {"COMPLETE": 24}


def _ask(home: str, count: int) -> None:
    with hh.Study("grid", home=home, plugins=[_Counting()]) as made:
        for _ in range(count):
            made.tell(made.ask(), 0.0)


class _Counting:
    """Suggests the first number that no trial has, as a grid does."""

    @hh.hookimpl
    def suggest(self, study: StudyRecord, count: int) -> Sequence[hh.Params]:
        tried = {trial.params["n"] for trial in study.trials}
        return [{"n": next(n for n in range(1000) if n not in tried)}]


def test_workers_that_ask_at_once_are_not_given_the_same(study: OpenStudy, home: Path) -> None:
    made = study("grid", space={"n": hh.Int(0, 999)})
    _together(_ask, 4, str(home), 12)
    assert sorted(int(t.params["n"] or 0) for t in made.trials) == list(range(48))


def _together(target: Callable[..., None], workers: int, *arguments: object) -> None:
    """Run a function in several processes at once."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=target, args=arguments) for _ in range(workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [os.EX_OK] * workers


def test_the_suggester_is_prepared_before_it_fills_in(study: OpenStudy) -> None:
    heard: list[str] = []

    class Prepared:
        @hh.hookimpl
        def prepare(self, study: StudyRecord) -> None:
            heard.append("prepare")

        @hh.hookimpl
        def suggest(self, study: StudyRecord, count: int) -> list[hh.Params]:
            heard.append("suggest")
            return [{"x": 0.25, "net": "mlp"}]

    queued = study(space=SPACE, plugins=[Prepared()]).enqueue({"net": "mlp"})
    assert queued is not None
    assert queued.params == {"x": 0.25, "net": "mlp"}
    assert heard == ["prepare", "suggest"]
