"""The study: ask, run, tell; what a trial is worth, how it ended, and how everything goes on."""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

import hyperhook as hh
from hyperhook.errors import (
    EmptyStudyError,
    MetricError,
    NotFiniteError,
    NothingLeftError,
    ObjectiveError,
    PluginError,
    SpaceError,
    StudyError,
    StudyMismatchError,
    TooManyFailuresError,
    TrialStateError,
)
from hyperhook.events import MetricsLogged, TrialFinished, TrialStarted
from hyperhook.home import Home
from hyperhook.journal import read
from hyperhook.records import TrialState
from hyperhook.study import Study
from hyperhook.testing import RecordingPlugin
from hyperhook.workspace import JOURNAL

OpenStudy = Callable[..., Study]


def good(trial: hh.Trial) -> None:
    trial.log({"loss": float(trial.params["x"]) ** 2})  # type: ignore[arg-type]


def states(study: Study) -> list[str]:
    return [str(trial.state) for trial in study.trials]


def journal(study: Study, trial: hh.Trial | hh.TrialRecord, home: Path) -> list[object]:
    return [event for event, _ in read(Home(home).trial(trial.id) / JOURNAL)]


# What a trial is worth


@pytest.mark.parametrize(
    ("objective", "value", "step"),
    [
        (hh.Minimize("loss"), 0.25, 10),
        (hh.Maximize("loss"), 0.75, 20),
        (hh.Minimize("loss", reduce="last"), 0.5, 30),
    ],
)
def test_the_curve_is_reduced_and_its_step_cited(
    study: OpenStudy, home: Path, objective: hh.Objective, value: float, step: int
) -> None:
    recorder = RecordingPlugin()
    made = study(objective=objective, plugins=[recorder])

    def train(trial: hh.Trial) -> None:
        for loss, step in [(0.25, 10), (0.75, 20), (float("nan"), 25), (0.5, 30)]:
            trial.log({"loss": loss}, step=step, epoch=step // 10)

    made.run(train, trials=1)
    (trial,) = made.trials
    assert (trial.value, trial.step) == (value, step)
    heard = recorder.calls[-2].arguments["trial"]
    finished = journal(made, trial, home)[-1]
    assert isinstance(finished, TrialFinished)
    assert heard == trial == made.best
    assert (finished.value, finished.step, finished.epoch) == (trial.value, trial.step, trial.epoch)


def test_what_the_training_function_returns_wins(study: OpenStudy) -> None:
    made = study()

    def train(trial: hh.Trial) -> float:
        trial.log({"loss": 0.5}, step=3)
        trial.log({"loss": 0.1}, step=5)
        trial.log({"loss": 0.7}, step=8)
        return [0.1, 42.0][trial.number]

    made.run(train, trials=2)
    assert [(trial.value, trial.step) for trial in made.trials] == [(0.1, 5), (42.0, 8)]


def test_the_value_carries_the_standard_error_it_was_logged_with(study: OpenStudy, home: Path) -> None:
    recorder = RecordingPlugin()
    made = study(plugins=[recorder])

    def train(trial: hh.Trial) -> None:
        for loss, stderr in [(0.5, 0.04), (0.25, 0.02), (0.75, None)]:
            trial.log({"loss": loss}, stderr=stderr)

    made.run(train, trials=1)
    (trial,) = made.trials
    assert trial.point == hh.Point(0.25, 1, None, 0.02)
    assert recorder.calls[-2].arguments["trial"] == study().trials[0] == trial
    ended = journal(made, trial, home)[-1]
    assert isinstance(ended, TrialFinished)
    assert ended.stderr == 0.02


def test_a_standard_error_may_be_told(study: OpenStudy) -> None:
    made = study()
    assert made.tell(made.ask(), 0.5, stderr=0.1).point == hh.Point(0.5, stderr=0.1)
    trial = made.ask()
    trial.log({"loss": 0.25}, step=3, stderr=0.2)
    for stderr in (-1, float("nan"), float("inf"), "0.1", True, [0.1]):
        with pytest.raises(MetricError, match="tell: stderr: expected a finite number from 0, got"):
            made.tell(trial, stderr=stderr)  # type: ignore[arg-type]
    assert not trial.record.state.is_finished
    assert made.tell(trial, stderr=0).point == hh.Point(0.25, 3, stderr=0.0)


def test_a_trial_that_goes_on_passes_over_the_standard_errors_of_what_it_had_logged(study: OpenStudy) -> None:
    made = study()
    trial = made.ask()
    trial.log({"loss": 0.5}, step=3, stderr=0.1)
    made.tell(trial)
    again = made.resume(0)
    assert again.record.stderr is None
    again.log({"loss": 0.25, "other": 1.0}, step=3, stderr=0.7)
    assert made.tell(again).point == hh.Point(0.5, 3, stderr=0.1)


def test_a_study_without_an_objective_records_runs(study: OpenStudy) -> None:
    made = study(space=None, objective=None)
    with made.trial() as trial:
        trial.log({"anything": 1.0})
    assert trial.params == {}
    (record,) = made.trials
    assert (record.state, record.value) == (TrialState.COMPLETE, None)
    made.run(lambda trial: None, trials=2)
    assert states(made) == ["COMPLETE", "COMPLETE"]
    made.tell(made.ask(), 3.0)
    assert made.trials[-1].value == 3.0
    with pytest.raises(EmptyStudyError, match="study 's' has no objective to be best at"):
        made.best  # noqa: B018


def test_best_of_an_empty_study_says_what_to_do(study: OpenStudy) -> None:
    made = study()
    made.ask()
    with pytest.raises(EmptyStudyError, match=r"has no trial with a value yet \(1 trials\); run it first"):
        made.best  # noqa: B018


# Ask and tell


def test_ask_and_tell(study: OpenStudy, home: Path) -> None:
    made = study()
    trial = made.ask()
    assert trial.record.state is TrialState.RUNNING
    assert states(made) == ["RUNNING"]
    assert set(trial.params) == {"x"}
    ended = made.tell(trial, 0.5)
    assert ended == trial.record == made.trials[0] == made.best
    assert [type(event) for event in journal(made, trial, home)] == [TrialStarted, TrialFinished]


def test_telling_twice_is_an_error_and_changes_nothing(study: OpenStudy) -> None:
    made = study()
    trial = made.ask()
    ended = made.tell(trial, 0.5)
    with pytest.raises(TrialStateError, match="trial 's-0' has ended already, as COMPLETE"):
        made.tell(trial, 0.1)
    with pytest.raises(TrialStateError, match="log: trial 's-0' ended as COMPLETE"):
        trial.log({"loss": 0.1})
    assert made.trials == (ended,)


def test_a_value_that_is_none_leaves_the_trial_running(study: OpenStudy) -> None:
    made = study()
    trial = made.ask()
    for value in ("0.5", True, [1.0], float("nan"), None):
        with pytest.raises(ObjectiveError):
            made.tell(trial, value)
        assert states(made) == ["RUNNING"]
    trial.log({"loss": 0.5})
    assert made.tell(trial).value == 0.5


@pytest.mark.parametrize("state", [TrialState.FAILED, TrialState.KILLED, TrialState.PRUNED])
def test_a_state_can_be_told(study: OpenStudy, state: TrialState) -> None:
    made = study()
    trial = made.ask()
    trial.log({"loss": 0.5}, step=4)
    ended = made.tell(trial, state=state, error="as told")
    assert (ended.state, ended.error) == (state, "as told")
    assert ended.value == (0.5 if state is TrialState.PRUNED else None)


def test_a_state_may_be_told_by_its_name(study: OpenStudy) -> None:
    made = study()
    assert made.tell(made.ask(), state="FAILED").state is TrialState.FAILED  # type: ignore[arg-type]


@pytest.mark.parametrize("state", [TrialState.RUNNING, TrialState.QUEUED, "DONE", "failed", 3])
def test_a_state_that_ends_no_trial_leaves_it_running(study: OpenStudy, state: object) -> None:
    made = study()
    trial = made.ask()
    with pytest.raises(StudyError, match="tell: expected state COMPLETE, PRUNED, FAILED or KILLED, got "):
        made.tell(trial, 0.5, state=state)  # type: ignore[arg-type]
    assert made.tell(trial, 0.5).state is TrialState.COMPLETE


def test_a_trial_of_another_study_cannot_be_told(study: OpenStudy) -> None:
    trial = study("one").ask()
    with pytest.raises(TrialStateError):
        study("two").tell(trial, 1.0)


def test_a_trial_that_was_ended_elsewhere_keeps_that_end(study: OpenStudy, caplog: pytest.LogCaptureFixture) -> None:
    made = study()
    trial = made.ask()
    made._workspace.store.finish(trial.id, TrialState.KILLED, None, "its lease was over")
    ended = made.tell(trial, 0.5)
    assert (ended.state, ended.value) == (TrialState.KILLED, None)
    assert "had been ended as KILLED elsewhere; this ending does not count" in caplog.text


# Run, and go on


def test_a_study_ends_with_its_budget_however_often_it_is_run(study: OpenStudy) -> None:
    first = study()
    assert first.run(good, trials=5) is first
    assert states(first) == ["COMPLETE"] * 5
    again = study()
    again.run(good, trials=8)
    assert [trial.number for trial in again.trials] == list(range(8))
    assert again.trials[:5] == first.trials[:5]
    again.run(lambda trial: pytest.fail("the budget was used up"), trials=8)
    again.run(lambda trial: pytest.fail("the budget was used up"), trials=3)
    assert len(again.trials) == 8


def test_failed_and_pruned_trials_count_and_killed_ones_do_not(study: OpenStudy) -> None:
    made = study()
    for state in (TrialState.FAILED, TrialState.PRUNED, TrialState.KILLED, TrialState.KILLED):
        made.tell(made.ask(), state=state)
    made.run(good, trials=4)
    assert states(made) == ["FAILED", "PRUNED", "KILLED", "KILLED", "COMPLETE", "COMPLETE"]


def test_threads_that_run_one_study_share_its_budget(study: OpenStudy) -> None:
    made = [study() for _ in range(3)]
    threads = [threading.Thread(target=one.run, args=(good, 12)) for one in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states(made[0]) == ["COMPLETE"] * 12
    assert [trial.number for trial in made[0].trials] == list(range(12))


def test_a_study_opened_by_its_name_alone_is_the_one_that_is_there(study: OpenStudy) -> None:
    there = study(seed=3)
    there.run(lambda trial: trial.params["x"] ** 2, trials=2)
    again = study(space=None, objective=None)
    assert again.record() == there.record()
    assert again.best == there.best
    again.run(lambda trial: trial.params["x"] ** 2, trials=3)
    assert len(there.trials) == 3


def test_the_seed_gives_the_same_search_also_when_it_is_resumed(study: OpenStudy) -> None:
    def params(name: str, *budgets: int, seed: int | None = 5) -> list[object]:
        for budget in budgets:
            made = study(name, seed=seed if budget == budgets[0] else None)
            made.run(good, trials=budget)
        return [trial.params for trial in made.trials]

    assert params("once", 6) == params("resumed", 2, 3, 6)
    assert params("other", 6, seed=6) != params("once", 6)
    assert params("free", 3, seed=None) != params("free again", 3, seed=None)


def test_a_seed_of_numpy_s_is_a_seed(study: OpenStudy) -> None:
    import numpy as np

    params = [study(name, seed=seed).ask().params for name, seed in (("a", np.int64(5)), ("b", 5))]
    assert params[0] == params[1]


def test_another_space_or_objective_is_refused_and_nothing_is_lost(study: OpenStudy) -> None:
    made = study()
    made.run(good, trials=2)
    with pytest.raises(
        StudyMismatchError, match=r"another space: 'x' is .*high=1.0.* there, .*high=2.* here; give this"
    ):
        study(space={"x": hh.Float(-1, 2)})
    with pytest.raises(StudyMismatchError, match="exists with the objective"):
        study(objective=hh.Maximize("loss"))
    assert study().trials == made.trials


# How trials end


class Pruner:
    @hh.hookimpl
    def should_stop(self, last: hh.Point | None) -> bool:
        return last is not None and last.step == 20


def test_a_pruned_trial_keeps_the_value_that_it_had(study: OpenStudy) -> None:
    recorder = RecordingPlugin()
    made = study(plugins=[Pruner(), recorder])

    def train(trial: hh.Trial) -> None:
        for step in (10, 20, 30):
            trial.log({"loss": 1 / step if trial.number else 1.0 * step}, step=step)
            if trial.should_stop:
                return

    made.run(train, trials=2)
    assert [(trial.state, trial.value, trial.step) for trial in made.trials] == [
        (TrialState.PRUNED, 10.0, 10),
        (TrialState.PRUNED, 1 / 20, 20),
    ]
    assert recorder.hooks().count("metrics_logged") == 4
    with pytest.raises(EmptyStudyError):
        made.best  # noqa: B018


def test_a_trial_pruned_before_it_had_a_value_has_none(study: OpenStudy) -> None:
    class Always:
        @hh.hookimpl
        def should_stop(self) -> bool:
            return True

    made = study(plugins=[Always()])
    made.run(lambda trial: trial.should_stop and None, trials=1)
    (trial,) = made.trials
    assert (trial.state, trial.value, trial.error) == (TrialState.PRUNED, None, None)


def test_pruners_see_the_curves_of_all_trials_and_the_trial_its_own(study: OpenStudy) -> None:
    class Looks:
        seen: ClassVar[list[list[list[float]]]] = []

        @hh.hookimpl
        def should_stop(self, study: hh.StudyRecord, trial: hh.TrialRecord) -> None:
            assert trial.curve == study.trials[trial.number].curve
            self.seen.append([[point.value for point in other.curve] for other in study.trials])

    made = study(plugins=[Looks()])
    first, second = made.ask(), made.ask()
    for trial, values in ((first, [3.0, 1.0, 2.0]), (second, [math.nan, 5.0])):
        for value in values:
            trial.log({"loss": value})
            assert not trial.should_stop
            assert not trial.should_stop  # no new point
    whole = [3.0, 1.0, 1.0]
    expected = [[[3.0], []], [[3.0, 1.0], []], [whole, []], [whole, [math.nan]], [whole, [math.nan, 5.0]]]
    assert repr(Looks.seen[::2]) == repr(expected)
    assert repr(Looks.seen[1::2]) == repr(Looks.seen[::2])


def test_without_a_pruner_no_curve_is_kept(study: OpenStudy) -> None:
    made = study()
    trial = made.ask()
    trial.log({"loss": 1.0})
    assert not trial.should_stop
    assert made.trials[0].curve == ()


def test_a_pruner_that_is_never_asked_is_warned_of_once(study: OpenStudy, caplog: pytest.LogCaptureFixture) -> None:
    def train(trial: hh.Trial) -> None:
        for step in range(3):
            trial.log({"loss": 1.0}, step=step)
            assert not (asks and trial.should_stop)

    for plugins, asks, warnings in (([Pruner()], False, 1), ([Pruner()], True, 0), ([], False, 0)):
        caplog.clear()
        study(name=f"s{len(plugins)}{asks}", plugins=plugins).run(train, trials=3)
        assert caplog.text.count("ended without ever reading should_stop") == warnings


def test_a_metric_that_is_missing_ends_the_search_when_it_is_asked_about_twice(study: OpenStudy) -> None:
    made, epochs = study(objective=hh.Minimize("val_los"), plugins=[Pruner()]), []

    def train(trial: hh.Trial) -> None:
        for epoch in range(9):
            epochs.append(epoch)
            trial.log({"loss": 1.0, "val_loss": 1.0}, epoch=epoch)
            assert not trial.should_stop

    with pytest.raises(
        ObjectiveError, match="metric 'val_los' was never logged; logged so far: loss, val_loss; log it"
    ):
        made.run(train, trials=3)
    assert epochs == [0, 1]
    (trial,) = made.trials
    assert trial.state is TrialState.FAILED
    assert (trial.error or "").startswith("ObjectiveError: metric 'val_los' was never logged")


def test_a_metric_that_other_trials_had_fails_one_trial_at_its_end_only(study: OpenStudy) -> None:
    made = study(plugins=[Pruner()])

    def train(trial: hh.Trial) -> None:
        for _ in range(3):
            trial.log({"other" if trial.number == 1 else "loss": 1.0})
            assert not trial.should_stop

    made.run(train, trials=3)
    assert [trial.state for trial in made.trials] == ["COMPLETE", "FAILED", "COMPLETE"]


def test_a_resumed_trial_does_not_double_its_curve(study: OpenStudy) -> None:
    made = study(plugins=[Pruner()])
    with made.trial() as trial:
        for epoch in range(3):
            trial.log({"loss": 1.0}, step=10 * epoch + 5, epoch=epoch)
            assert not trial.should_stop
    before = made.trials[0].curve
    again = study(plugins=[Pruner()]).resume(0)
    assert not again.should_stop
    for epoch in range(5):
        again.log({"loss": 0.5}, step=10 * epoch + 5, epoch=epoch)
        assert not again.should_stop
    curve = made.trials[0].curve
    assert curve[:3] == before
    assert [(point.step, point.value) for point in curve] == [(5, 1.0), (15, 1.0), (25, 1.0), (35, 0.5), (45, 0.5)]


def test_a_pruner_that_raises_fails_the_trial(study: OpenStudy) -> None:
    class Broken:
        @hh.hookimpl
        def should_stop(self) -> bool:
            raise RuntimeError("pruner broke")

    made = study(plugins=[Broken()], max_consecutive_failures=1)
    with pytest.raises(TooManyFailuresError, match="RuntimeError: pruner broke"):
        made.run(lambda trial: trial.should_stop, trials=1)


def test_a_failing_trial_fails_alone(study: OpenStudy, caplog: pytest.LogCaptureFixture) -> None:
    made = study()

    def train(trial: hh.Trial) -> None:
        good(trial)
        if trial.number % 2:
            raise ValueError("bad luck\nwith a second line")

    made.run(train, trials=6)
    assert states(made) == ["COMPLETE", "FAILED"] * 3
    assert {trial.error for trial in made.trials} == {None, "ValueError: bad luck"}
    assert [trial.value for trial in made.trials if trial.state is TrialState.FAILED] == [None] * 3
    assert caplog.text.count("failed; the study goes on") == 3
    assert "Traceback" in caplog.text


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such file: \udcff.txt"), r"ValueError: no such file: \udcff.txt"),
        (ValueError("\0[red]\x1b[31m"), r"ValueError: \x00[red]" + "\x1b[31m"),
        (ValueError("\n\n"), "ValueError"),
        (Mute(), "Mute: <Mute without a text: RuntimeError>"),
    ],
)
def test_whatever_an_error_says_its_trial_fails_by_it(study: OpenStudy, error: Exception, text: str) -> None:
    made = study()

    def train(trial: hh.Trial) -> float:
        if trial.number == 0:
            raise error
        return 0.5

    made.run(train, trials=2)
    assert states(made) == ["FAILED", "COMPLETE"]
    assert made.trials[0].error == text


def test_failure_after_failure_stops_the_study_with_the_reason(study: OpenStudy) -> None:
    made = study(max_consecutive_failures=3)
    calls = iter([False, True, True, False, True, True, True])

    def train(trial: hh.Trial) -> None:
        if next(calls):
            raise ValueError
        good(trial)

    with pytest.raises(
        TooManyFailuresError, match="3 trials in a row failed, the last with: ValueError; mend the train"
    ):
        made.run(train, trials=20)
    assert states(made) == ["COMPLETE", "FAILED", "FAILED", "COMPLETE", "FAILED", "FAILED", "FAILED"]
    made.run(good, trials=8)
    assert states(made)[-1] == "COMPLETE"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_an_interrupt_kills_the_trial_goes_on_to_the_caller_and_costs_no_budget(
    study: OpenStudy, error: BaseException
) -> None:
    recorder = RecordingPlugin()
    made = study(plugins=[recorder])

    def train(trial: hh.Trial) -> None:
        good(trial)
        if trial.number == 1:
            raise error

    with pytest.raises(type(error)):
        made.run(train, trials=3)
    assert states(made) == ["COMPLETE", "KILLED"]
    assert recorder.hooks()[-2:] == ["trial_finished", "study_finished"]
    assert made.trials[1].error == type(error).__name__ + (": 1" if isinstance(error, SystemExit) else "")
    made.run(train, trials=3)
    assert states(made) == ["COMPLETE", "KILLED", "COMPLETE", "COMPLETE"]


def test_a_training_function_may_tell_its_trial_by_itself(study: OpenStudy) -> None:
    made = study()
    made.run(lambda trial: made.tell(trial, 0.5), trials=2)
    assert [trial.value for trial in made.trials] == [0.5, 0.5]


# A metric that is not there


def misspelled(trial: hh.Trial) -> None:
    trial.log({"los": 0.5, "acc": 0.1})


def test_a_metric_never_logged_stops_the_first_run_and_is_mended_without_loss(study: OpenStudy) -> None:
    made = study()
    message = "metric 'loss' was never logged; logged so far: acc, los; log it, or name one of these in the objective"
    with pytest.raises(ObjectiveError, match=message):
        made.run(misspelled, trials=4)
    (trial,) = made.trials
    assert (trial.state, trial.error) == (TrialState.FAILED, message)
    mended = study(objective=hh.Minimize("los"))
    mended.run(misspelled, trials=4)
    assert states(mended) == ["FAILED", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert mended.best.value == 0.5


def test_a_metric_missing_once_there_are_values_fails_that_trial_only(study: OpenStudy) -> None:
    made = study()
    made.run(lambda trial: misspelled(trial) if trial.number == 1 else good(trial), trials=3)
    assert states(made) == ["COMPLETE", "FAILED", "COMPLETE"]


@pytest.mark.parametrize("answer", ["0.5", True, [0.5], {"loss": [0.5]}, object()])
def test_an_answer_that_is_no_number_stops_the_first_run(study: OpenStudy, answer: object) -> None:
    made = study()

    def train(trial: hh.Trial) -> object:
        good(trial)
        return answer if trial.number != 1 else None

    with pytest.raises(ObjectiveError, match=r"the training function returned .* expected a number, or None to take"):
        made.run(train, trials=3)
    made.run(train, trials=3)
    assert states(made) == ["FAILED", "COMPLETE", "FAILED"]


@pytest.mark.parametrize("reduce", ["best", "last"])
def test_a_diverged_trial_fails_and_the_search_goes_on(study: OpenStudy, reduce: str) -> None:
    made = study(objective=hh.Minimize("loss", reduce=reduce))  # type: ignore[arg-type]

    def train(trial: hh.Trial) -> None:
        trial.log({"loss": 0.5 if reduce == "last" else float("inf")}, step=0)
        trial.log({"loss": float("nan") if trial.number == 0 else 0.25}, step=1)

    made.run(train, trials=2)
    assert states(made) == ["FAILED", "COMPLETE"]
    assert made.trials[0].error is not None
    assert made.trials[0].error.startswith("metric 'loss' was nan at ")


# with study.trial()


def test_a_block_ends_its_trial(study: OpenStudy) -> None:
    made = study()
    with made.trial() as trial:
        assert hh.current_trial() is trial
        good(trial)
    assert hh.current_trial() is None
    assert states(made) == ["COMPLETE"]
    with made.trial() as trial:
        made.tell(trial, 0.5)
    assert made.trials[1].value == 0.5


@pytest.mark.parametrize(("error", "state"), [(ValueError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_a_block_that_raises_ends_its_trial_and_raises(study: OpenStudy, error: BaseException, state: str) -> None:
    made = study()
    with pytest.raises(type(error)), made.trial():
        raise error
    assert states(made) == [state]


def test_a_block_without_a_value_fails_its_trial_and_raises(study: OpenStudy) -> None:
    made = study()
    with pytest.raises(ObjectiveError, match="never logged"), made.trial() as trial:
        misspelled(trial)
    with pytest.raises(NotFiniteError), made.trial() as trial:
        trial.log({"loss": float("nan")})
    assert states(made) == ["FAILED", "FAILED"]


def test_the_current_trial_is_the_one_that_runs(study: OpenStudy) -> None:
    made = study()

    def train(trial: hh.Trial) -> None:
        assert hh.current_trial() is trial
        good(trial)

    made.run(train, trials=2)
    assert states(made) == ["COMPLETE"] * 2
    assert hh.current_trial() is None


# Constraints

BOUNDS = {"ms": ("<=", 20), "auc": (">=", 0.8)}


def test_the_best_is_the_best_that_meets_all_constraints(study: OpenStudy, home: Path) -> None:
    made = study(constraints=BOUNDS)
    outcomes = [(0.1, 25.0, 0.9), (0.2, 15.0, 0.7), (0.3, 15.0, 0.9), (0.4, 20.0, 0.8)]

    def train(trial: hh.Trial) -> None:
        loss, ms, auc = outcomes[trial.number]
        trial.log({"ms": ms}, step=7)
        trial.log({"loss": loss}, step=7)
        trial.log({"loss": 9.0, "ms": 999.0}, step=8)
        trial.log({"auc": auc})

    made.run(train, trials=4)
    record = made.record()
    assert [record.is_feasible(trial) for trial in made.trials] == [False, False, True, True]
    assert made.best.number == 2
    assert made.best.point == hh.Point(0.3, 7, metrics={"ms": 15.0, "auc": 0.9})
    assert made.constraints == (hh.Constraint("ms", "<=", 20.0), hh.Constraint("auc", ">=", 0.8))
    again = study()
    assert again.record() == record
    ended = journal(made, made.best, home)[-1]
    assert isinstance(ended, TrialFinished)
    assert ended.metrics == {"ms": 15.0, "auc": 0.9}


def test_where_no_trial_meets_them_the_closest_is_the_best_and_that_is_said(
    study: OpenStudy, caplog: pytest.LogCaptureFixture
) -> None:
    made = study(constraints=BOUNDS)
    made.run(lambda trial: {"loss": float(trial.number), "ms": 40 - 5 * trial.number, "auc": 0.8}, trials=3)
    assert made.best.number == 2
    assert "no trial of study s meets all constraints; s-2 is the closest" in caplog.text
    caplog.clear()
    made.run(lambda trial: {"loss": 9.0, "ms": 20, "auc": 0.8}, trials=4)
    assert made.best.number == 3
    assert "constraints" not in caplog.text


def test_a_constraint_s_metric_never_logged_stops_the_first_run(study: OpenStudy) -> None:
    made = study(constraints=BOUNDS)
    message = "metric 'ms' was never logged; logged so far: auc, loss; log it, or name one of these instead"
    with pytest.raises(ObjectiveError) as raised:
        made.run(lambda trial: trial.log({"loss": 1.0, "auc": 0.9}), trials=2)
    assert str(raised.value) == message
    assert (made.trials[0].state, made.trials[0].error) == (TrialState.FAILED, message)
    mended = study(constraints={"auc": (">=", 0.8)})
    mended.run(lambda trial: trial.log({"loss": 1.0, "auc": 0.9}), trials=2)
    assert states(mended) == ["FAILED", "COMPLETE"]
    trial = mended.ask()
    with pytest.raises(ObjectiveError, match="metric 'auc' was never logged; logged so far: nothing; returned: loss;"):
        mended.tell(trial, {"loss": 0.5})
    assert mended.tell(trial, {"loss": 0.5, "auc": 0.9}).metrics == {"auc": 0.9}


def test_a_constraint_s_metric_that_is_not_finite_fails_its_trial_only(study: OpenStudy) -> None:
    made = study(constraints={"ms": ("<=", 20)})
    made.run(lambda trial: trial.log({"loss": 1.0, "ms": float("nan") if trial.number == 0 else 1.0}), trials=2)
    assert states(made) == ["FAILED", "COMPLETE"]
    assert "metric 'ms' was no finite number where the trial has its value (step 0)" in str(made.trials[0].error)


def test_a_pruned_trial_keeps_what_it_had_of_the_constraints_metrics(study: OpenStudy) -> None:
    asked: list[hh.TrialRecord] = []

    class Pruner:
        @hh.hookimpl
        def should_stop(self, trial: hh.TrialRecord) -> bool:
            asked.append(trial)
            return True

    made = study(constraints=BOUNDS, plugins=[Pruner()])
    trial = made.ask()
    trial.log({"loss": 0.5, "ms": 3.0}, step=2)
    assert trial.should_stop
    ended = made.tell(trial)
    assert ended.state is TrialState.PRUNED
    assert ended.point == asked[0].point == hh.Point(0.5, 2, metrics={"ms": 3.0})
    assert not made.record().is_feasible(ended)


def test_a_trial_that_goes_on_has_its_metrics_again(study: OpenStudy) -> None:
    made = study(constraints={"ms": ("<=", 20)})
    trial = made.ask()
    trial.log({"loss": 0.5, "ms": 3.0}, step=2)
    made.tell(trial)
    again = made.resume(0)
    assert again.record.metrics == {}
    again.log({"loss": 0.75, "ms": 4.0}, step=3)
    assert made.tell(again).point == hh.Point(0.5, 2, metrics={"ms": 3.0})


# Several objectives

GOALS = [hh.Minimize("loss"), hh.Maximize("speed")]


def test_the_best_trials_of_several_objectives_are_their_front(study: OpenStudy, home: Path) -> None:
    made = study(objective=GOALS)
    outcomes = [(0.3, 1.0), (0.2, 2.0), (0.1, 1.0), (0.2, 2.0), (0.4, 3.0)]

    def train(trial: hh.Trial) -> None:
        loss, speed = outcomes[trial.number]
        trial.log({"loss": 9.0, "speed": 99.0}, step=0)
        trial.log({"loss": loss, "speed": speed}, step=1)

    made.run(train, trials=5)
    assert [trial.number for trial in made.best_trials] == [1, 2, 3, 4]
    assert made.trials[2].point == hh.Point(0.1, 1, metrics={"speed": 1.0})
    assert made.record().losses(made.trials[2]) == (0.1, -1.0)
    assert (made.objective, made.objectives) == (GOALS[0], tuple(GOALS))
    with pytest.raises(
        StudyError, match="study 's' has 2 objectives, and no one trial is the best by all; ask for its P"
    ):
        made.best  # noqa: B018
    again = study(objective=None)
    assert again.record() == made.record()


def test_a_further_objective_never_logged_stops_the_first_run(study: OpenStudy) -> None:
    with pytest.raises(ObjectiveError, match="metric 'speed' was never logged; logged so far: loss; log it, or name"):
        study(objective=GOALS).run(good, trials=2)


def test_one_objective_in_a_list_is_that_objective(study: OpenStudy) -> None:
    made = study(objective=GOALS[:1])
    made.run(lambda trial: abs(1.0 - trial.number), trials=3)
    assert made.best.number == 1
    assert [trial.number for trial in made.best_trials] == [1]
    made.tell(made.ask(), 0)
    assert [trial.number for trial in study().best_trials] == [1, 3]


def test_no_pruner_is_asked_about_several_objectives(study: OpenStudy, caplog: pytest.LogCaptureFixture) -> None:
    class Pruner:
        @hh.hookimpl
        def should_stop(self) -> bool:
            return True

    made = study(objective=GOALS, plugins=[Pruner()])
    assert "study s has several objectives: no pruner is asked" in caplog.text
    trial = made.ask()
    trial.log({"loss": 0.5, "speed": 1.0})
    assert not trial.should_stop
    assert made.tell(trial).state is TrialState.COMPLETE


# What plugins hear and answer


def test_events_come_in_order_with_the_study_as_it_stands(study: OpenStudy) -> None:
    recorder = RecordingPlugin()
    made = study(plugins=[recorder])
    made.run(good, trials=2)
    made.run(good, trials=3)
    one = ["trial_started", "trial_opened", "metrics_logged", "trial_finished"]
    assert recorder.hooks() == ["study_started", *one, *one, "study_finished", "study_started", *one, "study_finished"]
    sizes = [len(c.arguments["study"].trials) for c in recorder.calls if "study" in c.arguments]  # type: ignore[attr-defined]
    assert sizes == [0, 2, 2, 3]
    made.close()
    assert recorder.hooks()[-1] == "study_finished"
    assert recorder.hooks().count("study_finished") == 2


def test_closing_ends_the_work_of_those_who_ask_and_tell(study: OpenStudy) -> None:
    recorder = RecordingPlugin()
    with study(plugins=[recorder]) as made:
        made.tell(made.ask(), 0.5)
    made.close()
    assert recorder.hooks() == ["study_started", "trial_started", "trial_opened", "trial_finished", "study_finished"]


def test_study_finished_is_heard_also_when_the_executor_raises(study: OpenStudy) -> None:
    class Executor:
        @hh.hookimpl
        def run_trials(self, study: Study, objective: object, count: int) -> bool:
            raise RuntimeError("no cluster")

    recorder = RecordingPlugin()
    with pytest.raises(RuntimeError, match="no cluster"):
        study(plugins=[Executor(), recorder]).run(good)
    assert recorder.hooks() == ["study_started", "study_finished"]


def test_a_suggester_that_has_nothing_left_ends_the_run(study: OpenStudy, caplog: pytest.LogCaptureFixture) -> None:
    class Twice:
        @hh.hookimpl
        def suggest(self, study: hh.StudyRecord) -> list[hh.Params]:
            return [{"x": 0.5}] if len(study.trials) < 2 else []

    made = study(plugins=[Twice()])
    with caplog.at_level(logging.WARNING, "hyperhook"):
        made.run(lambda trial: 0.0, trials=9)
    assert len(made.trials) == 2
    assert caplog.messages == ["study s: the suggester has nothing left to try after 2 trials; the run ends"]
    with pytest.raises(NothingLeftError, match="ask: study s: the suggester has nothing left to try after 2 trials"):
        made.ask()
    made.enqueue({"x": 0.25})
    assert made.ask().params == {"x": 0.25}


def test_what_a_dead_process_tried_is_left_to_try(study: OpenStudy, home: Path) -> None:
    class Once:
        @hh.hookimpl
        def suggest(self, study: hh.StudyRecord) -> list[hh.Params]:
            lost = (TrialState.KILLED, TrialState.FAILED)
            return [{"x": 0.5}] if all(trial.state in lost for trial in study.trials) else []

    made = study(plugins=[Once()])
    Home(home).alive(made.ask().id).release()  # as its process dies
    made.run(lambda trial: 0.0, trials=9)
    assert [trial.state for trial in made.trials] == [TrialState.KILLED, TrialState.COMPLETE]


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ([{"x": 2.0}], SpaceError, "a suggester answered outside the space: params: 'x' got 2.0, expected"),
        ([{}], SpaceError, "outside the space: params: 'x' is missing"),
        ([{"x": 0.0}] * 2, PluginError, "suggest: expected a list of 1 set of params, got"),
        ({"x": 0.5}, PluginError, "suggest: expected a list of 1 set of params, got"),
        ([0.5], PluginError, "suggest: expected a list of 1 set of params, got"),
        (iter([{"x": 0.5}]), PluginError, "suggest: expected a list of 1 set of params, got"),
    ],
)
def test_a_suggester_that_answers_wrongly_starts_no_trial(
    study: OpenStudy, answer: object, error: type[Exception], message: str
) -> None:
    class Suggester:
        @hh.hookimpl
        def suggest(self) -> object:
            return answer

    made = study(plugins=[Suggester()])
    with pytest.raises(error, match=message):
        made.ask()
    assert made.trials == ()


def test_a_suggester_may_answer_with_numpy_s_numbers(study: OpenStudy, home: Path) -> None:
    import numpy as np

    class Suggester:
        @hh.hookimpl
        def suggest(self) -> object:
            return [{"x": np.float64(0.5)}]

    made = study(plugins=[Suggester()])
    trial = made.ask()
    assert type(trial.params["x"]) is float
    assert made.trials[0].params == {"x": 0.5}
    assert [type(event) for event in journal(made, trial, home)] == [TrialStarted]


def test_a_suggester_sees_running_trials_and_losses(study: OpenStudy) -> None:
    seen: list[hh.StudyRecord] = []

    class Suggester:
        @hh.hookimpl
        def suggest(self, study: hh.StudyRecord) -> None:
            seen.append(study)

    made = study(plugins=[Suggester()], objective=hh.Maximize("acc"))
    made.tell(made.ask(), 0.5)
    running = made.ask()
    made.ask()
    assert [[(t.state, seen[2].loss(t)) for t in record.trials] for record in seen] == [
        [],
        [(TrialState.COMPLETE, -0.5)],
        [(TrialState.COMPLETE, -0.5), (TrialState.RUNNING, None)],
    ]
    assert seen[2].trials[1].params == running.params


def test_progress_shows_each_trial_and_the_best(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Study("s[bold]", {"x": hh.Float(-1, 1)}, hh.Minimize("loss"), home=home)

    def train(trial: hh.Trial) -> float:
        if trial.number == 1:
            raise ValueError("[red]no[/red]")
        return 0.5 - trial.number / 10

    logging.getLogger("hyperhook").setLevel(logging.CRITICAL)
    try:
        made.run(train, trials=3)
    finally:
        logging.getLogger("hyperhook").setLevel(logging.NOTSET)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0].startswith("[1/3] s[bold]-0 complete")
    assert "loss 0.5" in lines[0]
    assert "[2/3] s[bold]-1 failed" in lines[1]
    assert "ValueError: [red]no[/red]" in lines[1]
    assert lines[2].endswith("best 0.3 (trial 2)")
    made.close()


class Reader:
    """Reads another study of the home before the first trial."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.read: list[hh.StudyRecord] = []

    @hh.hookimpl
    def prepare(self, read_study: Callable[[str], hh.StudyRecord]) -> None:
        self.read.append(read_study(self.name))


def test_every_plugin_prepares_before_the_first_trial_and_may_read_another_study(study: OpenStudy) -> None:
    older = study("older").run(good, trials=2)
    readers, recorder = [Reader("older"), Reader("older")], RecordingPlugin()
    made = study("newer", plugins=[*readers, recorder])
    assert [reader.read for reader in readers] == [[], []]  # a study that is only looked at prepares nothing
    made.ask()
    assert [reader.read for reader in readers] == [[older.record()]] * 2
    made.ask()
    assert [len(reader.read) for reader in readers] == [1, 1]
    assert recorder.hooks()[0] == "study_started"


def test_what_a_plugin_refuses_when_it_prepares_reaches_the_caller_and_nothing_begins(study: OpenStudy) -> None:
    reader, recorder = Reader("odler"), RecordingPlugin()
    made = study("newer", plugins=[reader, recorder])
    for begin in (made.ask, lambda: made.run(good, trials=1)):
        with pytest.raises(StudyError, match="there is no study 'odler' here; there are: newer"):
            begin()
    assert made.trials == ()
    assert recorder.hooks() == []
    study("odler")
    assert made.run(good, trials=1).trials  # mended


# One trial, many processes


def test_a_pickled_trial_logs_into_the_same_trial(study: OpenStudy) -> None:
    made = study(plugins=[Pruner()])
    trial = made.ask()
    copy: hh.Trial = pickle.loads(pickle.dumps(trial))
    copy.log({"loss": 0.5}, step=10)
    copy.log({"loss": 0.75}, step=20)
    assert copy.should_stop
    ended = made.tell(trial)
    assert (ended.state, ended.value, ended.step) == (TrialState.PRUNED, 0.5, 10)


def test_a_forked_process_logs_and_is_told_to_stop_and_its_parent_tells(study: OpenStudy, home: Path) -> None:
    made = study(plugins=[Pruner()])

    def child(trial: hh.Trial) -> None:
        trial.log({"loss": 0.125}, step=15, epoch=1)
        trial.log({"loss": 0.25}, step=20, epoch=2)
        assert trial.should_stop

    def train(trial: hh.Trial) -> None:
        trial.log({"loss": 0.5}, step=10)
        process = multiprocessing.get_context("fork").Process(target=child, args=(trial,))
        process.start()
        process.join()
        assert process.exitcode == 0

    made.run(train, trials=1)
    (trial,) = made.trials
    assert (trial.state, trial.value, trial.step, trial.epoch) == (TrialState.PRUNED, 0.125, 15, 1)
    points = [event.step for event in journal(made, trial, home) if isinstance(event, MetricsLogged)]
    assert points == [10, 15, 20]
    assert not Home(home).alive(trial.id).is_held()


def test_a_process_that_ends_leaves_its_trial_killed_for_the_next(study: OpenStudy, home: Path) -> None:
    recorder = RecordingPlugin()
    script = (
        "import os, hyperhook as hh\n"
        f"study = hh.Study('s', {{'x': hh.Float(-1.0, 1.0)}}, hh.Minimize('loss'), home={str(home)!r})\n"
        "study.ask().log({'loss': 0.5})\nos._exit(1)"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    made = study(plugins=[recorder])
    made.run(good, trials=2)
    assert states(made) == ["KILLED", "COMPLETE", "COMPLETE"]
    assert made.trials[0].error == "its process died"
    assert recorder.hooks()[0] == "trial_finished"


def test_a_home_that_was_deleted_is_not_made_again_at_exit(home: Path) -> None:
    script = (
        "import shutil, hyperhook as hh\n"
        f"study = hh.Study('s', home={str(home)!r})\n"
        f"study.tell(study.ask())\nshutil.rmtree({str(home)!r})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert not home.exists()


FOLLOWED = """
import atexit, os, subprocess, sys
import hyperhook as hh
def study():
    return hh.Study("s", {{"x": hh.Float(0, 1)}}, hh.Minimize("loss"), home={home!r}, seed=1)
def train(trial):
    {spawn}
    print(trial.number, trial.params["x"], trial.emits, flush=True)
    trial.log({{"loss": 0.5 if trial.number != 1 else float(os.environ["LOCAL_RANK"])}})
    if trial.number == 1:
        raise ValueError("on every rank")
study().run(train, trials=3, progress=False)
study().run(train, trials=4, progress=False)
print("behind the runs", flush=True)
"""
SPAWN = """if trial.number == 1:
        environment = {**os.environ, "LOCAL_RANK": "1"}
        follower = subprocess.Popen([sys.executable, "-c", os.environ["FOLLOWER"]], env=environment)
        atexit.register(follower.wait)"""


@pytest.mark.parametrize("launcher", ["torchrun", "lightning"])
def test_ranks_follow_the_leader_silently_and_end_when_its_run_ends(
    study: OpenStudy, home: Path, launcher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = study(space={"x": hh.Float(0, 1)}, seed=1)
    made.tell(made.ask(), 0.1)  # of an earlier start: nobody follows it
    follower = FOLLOWED.format(home=str(home), spawn="")

    def start(rank: int, code: str = follower, **environment: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "LOCAL_RANK": str(rank), **environment}
        command = [sys.executable, "-c", code]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    if launcher == "torchrun":
        processes = [start(rank, RANK=str(rank), TORCHELASTIC_RUN_ID="none") for rank in (1, 0)]
    else:  # the leader starts the other rank by itself, in its first trial
        processes = [start(0, FOLLOWED.format(home=str(home), spawn=SPAWN), FOLLOWER=follower)]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert {process.returncode for process in processes} == {0}, outputs
    lines = [line for out, _ in outputs for line in out.splitlines()]
    trials = made.trials
    assert states(made) == ["COMPLETE", "FAILED", "COMPLETE", "COMPLETE"]
    assert lines.count("behind the runs") == 2
    for emits in (True, False):
        seen = [line.split()[:2] for line in lines if line.endswith(str(emits))]
        assert seen == [[str(trial.number), str(trial.params["x"])] for trial in trials[1:]]
    heard = [event.values() for event in journal(made, trials[1], home) if isinstance(event, MetricsLogged)]
    assert heard == [{"loss": 0.0}]  # of the leader alone


def test_a_follower_whose_leader_dies_ends(home: Path) -> None:
    code = f"import hyperhook as hh\nstudy = hh.Study('s', home={str(home)!r})\nstudy.run(print, trials=1)"
    leader = (
        "import os, subprocess, sys\nfrom hyperhook.home import Home, Lock\n"
        f"Lock(Home({str(home)!r}).launches / 'token').acquire()\n"
        "os.environ.update(LOCAL_RANK='1', HYPERHOOK_LAUNCH='token')\n"
        f"subprocess.Popen([sys.executable, '-c', {code!r}])\n"
        "os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", leader], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 9  # the pipe that it shares with its follower has closed: the follower has ended, too
    assert "Traceback" not in done.stderr


# What cannot be


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"name": ""}, StudyError, "study: expected a name, got ''"),
        ({"name": None}, StudyError, "study: expected a name, got None"),
        (
            {"objective": "loss"},
            ObjectiveError,
            r"objective: expected hh.Maximize\(…\) or hh.Minimize\(…\), got 'loss'",
        ),
        ({"delivery": "post"}, StudyError, "delivery: expected 'forwarder' or 'inline', got 'post'"),
        ({"space": {"x": 3}}, SpaceError, "'x' must be a Float, Int or Choice, got 3"),
        ({"space": ["x"]}, SpaceError, r"space: expected names and parameters, as in .*, got \['x'\]"),
        ({"space": []}, SpaceError, "space: expected names and parameters"),
        ({"seed": "5"}, StudyError, "seed: expected None or an int that fits in 64 bits, got '5'"),
        ({"seed": 0.5}, StudyError, "seed: expected None or an int that fits in 64 bits, got 0.5"),
        ({"seed": True}, StudyError, "seed: expected None or an int that fits in 64 bits, got True"),
        ({"seed": 2**63}, StudyError, "seed: expected None or an int that fits in 64 bits, got 9223372036854775808"),
        ({"max_consecutive_failures": 0}, StudyError, "max_consecutive_failures: expected an int from 1, got 0"),
        ({"max_consecutive_failures": None}, StudyError, "max_consecutive_failures: expected an int from 1, got None"),
        ({"flush_timeout_seconds": "60"}, StudyError, "flush_timeout_seconds: expected a number from 0, got '60'"),
        ({"flush_timeout_seconds": -1}, StudyError, "flush_timeout_seconds: expected a number from 0, got -1"),
        ({"flush_timeout_seconds": float("nan")}, StudyError, "flush_timeout_seconds: expected a number from 0, got n"),
    ],
)
def test_a_study_that_cannot_be_leaves_nothing(
    study: OpenStudy, home: Path, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        study(**options)
    assert not home.exists()


@pytest.mark.parametrize(
    ("train", "trials", "message"),
    [
        (None, 1, "run: expected a function that takes a trial, got None"),
        (good, 0, "run: trials must be an int from 1, got 0"),
        (good, 2.5, "run: trials must be an int from 1, got 2.5"),
    ],
)
def test_a_run_that_cannot_be_starts_nothing(study: OpenStudy, train: object, trials: object, message: str) -> None:
    made = study()
    with pytest.raises(StudyError, match=message):
        made.run(train, trials=trials)  # type: ignore[arg-type]
    assert made.trials == ()


def test_repr_says_what_it_is(study: OpenStudy, home: Path) -> None:
    assert repr(study()) == f"Study('s', objective={hh.Minimize('loss')}, home={str(home)!r})"
