"""SIGTERM while a trial runs: it goes back into the queue where the study says so, and nowhere else."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook.errors import TooManyFailuresError, TrialStateError
from hyperhook.preemption import Preempted, Preemptible
from hyperhook.records import TrialState
from hyperhook.study import Study
from hyperhook.testing import RecordingPlugin

OpenStudy = Callable[..., Study]


@pytest.fixture(autouse=True)
def _default_signal() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    signal.signal(signal.SIGTERM, before)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_run_that_is_told_to_end_puts_its_trial_back_and_another_goes_on(study: OpenStudy, tmp_path: Path) -> None:
    recorder = RecordingPlugin()
    made = study(max_retries=1, plugins=[recorder])
    saved = tmp_path / "model.ckpt"

    def train(trial: hh.Trial) -> float:
        start = 0 if trial.last_checkpoint is None else int(trial.last_checkpoint.read_text()) + 1
        for step in range(start, 6):
            trial.log({"loss": 1.0 + step}, step=step)
            if not start and step == 4:
                terminate()
            saved.write_text(str(step))
            trial.log_artifact(saved, kind="checkpoint", step=step, link=False)
        return 0.5

    with pytest.raises(SystemExit) as raised:
        made.run(train, trials=1)
    assert raised.value.code == 143
    (queued,) = made.trials
    assert (queued.state, queued.value) == (TrialState.QUEUED, None)
    assert made.flush_timeout_seconds <= 5.0
    with study(plugins=[recorder]) as other:
        other.run(train, trials=1)
        (done,) = other.trials
    assert (done.id, done.number, done.params, done.state) == (queued.id, 0, queued.params, TrialState.COMPLETE)
    assert [step for name, step, _, _ in recorder.points() if name == "loss"] == list(range(6))
    heard = [hook for hook in recorder.hooks() if hook.startswith("trial_") and hook != "trial_opened"]
    assert heard == ["trial_started", "trial_finished", "trial_resumed", "trial_finished"]


def test_a_block_that_is_told_to_end_puts_its_trial_back(study: OpenStudy) -> None:
    made = study(max_retries=1)
    with pytest.raises(Preempted), made.trial():
        terminate()
    assert [trial.state for trial in made.trials] == [TrialState.QUEUED]


def test_a_trial_is_put_back_by_hand_and_a_retry_is_not_used_up(study: OpenStudy) -> None:
    made = study()
    trial = made.ask()
    trial.log({"loss": 1.0}, step=0)
    here = made.requeue(trial)
    assert (here.state, here.error) == (TrialState.KILLED, "preempted; it is queued again")
    assert trial.has_ended
    with pytest.raises(TrialStateError, match="does not run here"):
        made.requeue(trial)
    with pytest.raises(TrialStateError, match="has ended already"):
        made.tell(trial, 1.0)
    with pytest.raises(TrialStateError):
        trial.log({"loss": 1.0})
    again = made.ask()
    assert (again.id, again.last_step) == (trial.id, 0)
    made.tell(again, 0.5)
    assert [found.state for found in made.trials] == [TrialState.COMPLETE]


def test_the_signal_interrupts_the_training_and_nothing_else() -> None:
    told: list[str] = []

    def behind() -> None:
        with Preemptible(True) as preemptible:
            with preemptible.training():
                pass
            terminate()
            told.append("the end is written")

    def before() -> None:
        with Preemptible(True) as preemptible:
            terminate()
            with preemptible.training():
                told.append("trained")

    def twice() -> None:
        with Preemptible(True) as preemptible:
            try:
                with preemptible.training():
                    terminate()
            finally:
                terminate()  # while the trial is put back
                told.append("put back")

    for part in (behind, before, twice):
        with pytest.raises(Preempted):
            part()
    assert told == ["the end is written", "put back"]


def test_who_handles_the_signal_already_keeps_it() -> None:
    heard: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    with Preemptible(True) as preemptible, preemptible.training():
        terminate()
    assert heard == [signal.SIGTERM]
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_other_threads_and_studies_without_retries_leave_the_signal_alone(study: OpenStudy) -> None:
    handlers: list[object] = []

    def look(active: bool) -> None:
        with Preemptible(active) as preemptible, preemptible.training():
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look, args=(True,))
    thread.start()
    thread.join()
    look(False)
    study().run(lambda trial: handlers.append(signal.getsignal(signal.SIGTERM)) or 0.5, trials=1)
    assert handlers == [signal.SIG_DFL] * 3


def test_a_forked_child_ends_as_it_always_did(study: OpenStudy) -> None:
    made = study(max_retries=1)
    status: list[int] = []

    def train(trial: hh.Trial) -> float:
        child = os.fork()
        if child == 0:
            terminate()
            signal.pause()
        status.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        return 0.5

    made.run(train, trials=1)
    assert status == [-signal.SIGTERM]
    assert [trial.state for trial in made.trials] == [TrialState.COMPLETE]


def test_failures_in_a_row_are_counted_over_all_workers(study: OpenStudy) -> None:
    first, second = study(max_consecutive_failures=3), study(max_consecutive_failures=3)

    def fail(made: Study) -> None:
        made.tell(made.ask(), state=TrialState.FAILED, error="out of memory")

    fail(first), fail(second)
    first.check_failures()
    fail(second)
    for made in (first, second):
        with pytest.raises(TooManyFailuresError, match="3 trials in a row failed, the last with: out of memory; mend"):
            made.check_failures()
    second.tell(second.ask(), state=TrialState.KILLED)  # says nothing about the training function
    with pytest.raises(TooManyFailuresError):
        first.check_failures()
    second.tell(second.ask(), 0.5)
    first.check_failures()


def test_the_last_checkpoint_is_the_one_with_the_highest_step_that_is_there(study: OpenStudy, tmp_path: Path) -> None:
    made = study()
    trial = made.ask()
    assert trial.last_checkpoint is None

    def save(name: str, step: int | None, kind: str = "checkpoint") -> None:
        file = tmp_path / name
        file.write_text(f"{name} {step}")
        trial.log_artifact(file, kind=kind, step=step, link=False)  # type: ignore[arg-type]

    def last() -> str | None:
        return None if trial.last_checkpoint is None else trial.last_checkpoint.read_text()

    save("loose", None)
    assert last() == "loose None"
    save("best", 7)
    save("last", 9)
    save("best", 3)
    save("table", 20, "file")
    assert last() == "last 9"
    trial.remove_artifact("last", kind="checkpoint")
    assert last() == "best 3"
    made.tell(trial, state=TrialState.FAILED)
    trial = made.resume(0)
    assert last() == "best 3"
    made.tell(trial, 0.5)
