"""Leases: a trial belongs to who says that it lives; whoever comes back too late is told, and nothing is doubled."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook import lease as lease_module
from hyperhook.address import Address
from hyperhook.errors import StoreError, StudyError
from hyperhook.events import TrialFinished, TrialResumed, TrialStarted
from hyperhook.home import Home
from hyperhook.journal import read
from hyperhook.leases import Holder
from hyperhook.objective import Point
from hyperhook.records import TrialState
from hyperhook.store import Store
from hyperhook.workspace import Begun, Workspace

LEASE = 0.4


@pytest.fixture
def open_workspace(storage: str, tmp_path: Path) -> Callable[..., Workspace]:
    """Opens homes that share a store, as machines do."""

    def opened(name: str = "a", seconds: float = LEASE, retries: int | None = None) -> Workspace:
        made = Workspace(Home(tmp_path / name), storage, lease_seconds=seconds)
        made.store.open_study("s", hh.Space({}), hh.Minimize("loss"), max_retries=retries)
        return made

    return opened


def begin(workspace: Workspace, **options: object) -> Begun:
    begun = workspace.begin("s", {}, ["t"], **options)  # type: ignore[arg-type]
    assert begun is not None
    return begun


def stopped(begun: Begun) -> Begun:
    """Keep a worker from saying that it lives, as SIGSTOP does."""
    begun.lease.end()
    return begun


def reap(workspace: Workspace) -> list[hh.TrialRecord]:
    """Reap until something was lost, or nothing is suspected any more."""
    deadline = time.monotonic() + 30
    while not (lost := workspace.reap("s", ["t"])):
        if not workspace.suspects and not any(h.has_lapsed for h in workspace.store.holdings("s")):
            return []
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return lost


def queued_in(workspace: Workspace) -> tuple[hh.TrialRecord, ...]:
    workspace.store.study("s")
    return workspace.store.queued("s")


def wait_until_lapsed(workspace: Workspace) -> None:
    deadline = time.monotonic() + 30
    while not any(holding.has_lapsed for holding in workspace.store.holdings("s")):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def kinds(workspace: Workspace, trial: hh.TrialRecord) -> list[type]:
    return [type(event) for event, _ in read(workspace.journal_path(trial.id))]


def test_a_worker_that_lives_keeps_its_trial_whatever_other_machines_see(
    open_workspace: Callable[..., Workspace],
) -> None:
    here, there = open_workspace("a"), open_workspace("b")
    begun = begin(here)
    renewed = [here.store.holdings("s")[0].renewed]
    deadline = time.monotonic() + 30
    while len(renewed) < 8:  # twice as long as it lasts
        assert there.reap("s", []) == []
        now = here.store.holdings("s")[0].renewed
        renewed += [now] if now != renewed[-1] else []
        assert time.monotonic() < deadline
    assert not begun.lease.is_lost()
    ended = here.end(begun, TrialState.COMPLETE, Point(0.5), None)
    assert ended is not None
    assert ended.state is TrialState.COMPLETE


def test_a_trial_of_another_machine_is_not_judged_by_a_lock(open_workspace: Callable[..., Workspace]) -> None:
    here, there = open_workspace("a", 3600), open_workspace("b", 3600)
    begin(here)
    assert there.reap("s", []) == []
    assert not there.suspects
    assert there.store.study("s").trials[0].state is TrialState.RUNNING


def test_a_lapsed_trial_is_killed_and_its_worker_fenced_off(
    open_workspace: Callable[..., Workspace], caplog: pytest.LogCaptureFixture
) -> None:
    here, there = open_workspace("a"), open_workspace("b")
    begun = stopped(begin(here))
    wait_until_lapsed(there)
    (killed,) = reap(there)
    assert (killed.state, killed.error) == (TrialState.KILLED, "its worker said nothing for longer than its lease")
    assert there.store.trial(killed.id) == killed
    assert kinds(there, killed) == [TrialStarted, TrialFinished]  # for the trackers: that machine may be gone for good
    assert here.end(begun, TrialState.COMPLETE, Point(0.5), None) is None
    left = here.left(begun)
    assert left is not None
    assert left.state is TrialState.KILLED
    assert kinds(here, killed) == [TrialStarted, TrialFinished]
    assert list(here.home.started()) == []
    assert there.store.trial(killed.id) == killed
    assert begun.lease.is_lost()


def test_a_lease_that_is_renewed_while_it_is_watched_is_left_alone(open_workspace: Callable[..., Workspace]) -> None:
    """As after the jump of a clock: all leases seem to have run out, and the living renew theirs."""
    here, there = open_workspace("a"), open_workspace("b")
    begun = stopped(begin(here))
    wait_until_lapsed(there)
    assert there.reap("s", []) == []
    assert there.suspects
    deadline = time.monotonic() + 30
    while there.suspects:  # a machine that stalls for longer than the lease sees it run out again
        begun.lease.renew()
        assert there.reap("s", []) == []
        assert time.monotonic() < deadline
    assert not begun.lease.is_lost()


def test_a_worker_that_renews_at_the_last_moment_wins(open_workspace: Callable[..., Workspace]) -> None:
    here = open_workspace("a")
    begun = stopped(begin(here))
    wait_until_lapsed(here)
    (seen,) = here.store.holdings("s")
    begun.lease.renew()
    assert here.store.lose(seen, "too late", lapsed=True) is None
    assert here.store.holdings("s")[0].trial.state is TrialState.RUNNING


def test_a_lost_trial_goes_on_as_often_as_the_study_says(open_workspace: Callable[..., Workspace]) -> None:
    here = open_workspace("a", retries=2)
    assert here.store.study("s").max_retries == 2
    first = begin(here)
    for _ in range(2):
        here.home.alive(first.trial.id).release()  # as its process's death does
        (lost,) = here.reap("s", ["t"])
        assert (lost.state, lost.error) == (TrialState.KILLED, "its process died; it is queued again")
        (queued,) = queued_in(here)
        assert (queued.id, queued.number, queued.started_time) == (first.trial.id, 0, first.trial.started_time)
        again = begin(here, queued=queued)
        assert again.goes_on
        assert again.trial.started_time == first.trial.started_time
    here.home.alive(first.trial.id).release()
    (killed,) = here.reap("s", ["t"])
    assert (killed.state, killed.error) == (TrialState.KILLED, "its process died")
    assert here.store.trial(killed.id) == killed
    ran = [TrialStarted, TrialFinished]
    assert kinds(here, killed) == [*ran, TrialResumed, TrialFinished, TrialResumed, TrialFinished]


def test_a_trial_that_goes_on_elsewhere_is_the_new_worker_s(open_workspace: Callable[..., Workspace]) -> None:
    here, there = open_workspace("a", retries=1), open_workspace("b")
    late = stopped(begin(here))
    wait_until_lapsed(there)
    (lost,) = reap(there)
    assert "queued again" in (lost.error or "")
    now = begin(there, queued=queued_in(there)[0])
    assert not now.goes_on  # its journal is on the other machine
    assert here.end(late, TrialState.COMPLETE, Point(9.0), None) is None
    left = here.left(late)
    assert left is not None
    assert left.state is TrialState.RUNNING
    assert here.store.report(late.trial.id, Point(9.0, 1, 1), late.lease.worker).trials[0].curve == ()
    ended = there.end(now, TrialState.COMPLETE, Point(0.5), None)
    assert there.store.study("s").trials == (ended,)
    assert here.reap("s", ["t"]) == []


def test_a_trial_of_a_stopped_process_waits_in_the_queue_for_its_lock(
    open_workspace: Callable[..., Workspace],
) -> None:
    here = open_workspace("a", retries=1)
    late = stopped(begin(here))
    wait_until_lapsed(here)
    reap(here)
    (queued,) = queued_in(here)
    assert not here.can_begin(queued)
    assert here.end(late, TrialState.COMPLETE, Point(9.0), None) is None
    left = here.left(late)
    assert left is not None
    assert left.state is TrialState.QUEUED
    assert here.can_begin(queued)
    assert begin(here, queued=queued).goes_on


def test_what_a_worker_says_again_since_the_answer_was_lost_changes_nothing(storage: str) -> None:
    store = Store(Address(storage))
    store.open_study("s", hh.Space({}), hh.Minimize("loss"))
    holder, other = Holder("w", "here", 60.0), Holder("v", "there", 60.0)
    first = store.claim("s", "a", {}, budget=1, holder=holder)
    assert first is not None
    queued = store.enqueue("s", "b", {})
    started = store.start(queued, holder=holder)
    assert store.start(queued, holder=holder) == started
    assert store.start(queued, holder=other) is None
    ended = store.finish("a", TrialState.COMPLETE, Point(0.5), None, "w")
    assert store.finish("a", TrialState.COMPLETE, Point(0.5), None, "w") == ended
    assert store.finish("a", TrialState.FAILED, None, None, "w") is None
    assert store.finish("a", TrialState.COMPLETE, Point(0.1), None, "v") is None
    reopened = store.reopen("a", other)
    assert store.reopen("a", other) == reopened
    assert store.reopen("a", holder) is None
    assert store.requeue("a", "w") is None
    assert len(store.study("s").trials) == 2


def test_an_unreachable_store_costs_the_training_nothing(
    open_workspace: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = stopped(begin(open_workspace("a", 60)))
    asked: list[str] = []

    def refuse(self: Store, trial_id: str, worker: str) -> bool:
        asked.append(trial_id)
        raise StoreError("no answer")

    monkeypatch.setattr(Store, "renew", refuse)
    now = lease_module._now()
    monkeypatch.setattr(lease_module, "_now", lambda: now + 100)
    for _ in range(100):
        assert not begun.lease.is_lost()
    assert len(asked) == 1


def test_a_pickled_lease_and_a_forked_one_find_out_by_themselves(
    open_workspace: Callable[..., Workspace], wait_for: Callable[..., None]
) -> None:
    here = open_workspace("a")
    begun = stopped(begin(here))
    copy = pickle.loads(pickle.dumps(begun.lease))
    wait_until_lapsed(here)
    reap(here)
    wait_for(copy.is_lost)
    child = os.fork()
    if child == 0:
        os._exit(0 if begun.lease.is_lost() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "60", None])
def test_a_lease_that_cannot_be(tmp_path: Path, seconds: object) -> None:
    with pytest.raises(StudyError, match=r"lease_seconds: expected a number above 0, got"):
        hh.Study("s", home=tmp_path, lease_seconds=seconds)  # type: ignore[arg-type]


@pytest.mark.parametrize("retries", [-1, 1.5, "1", True])
def test_retries_that_cannot_be(tmp_path: Path, retries: object) -> None:
    with pytest.raises(StudyError, match=r"max_retries: expected an int from 0, got"):
        hh.Study("s", home=tmp_path, max_retries=retries)  # type: ignore[arg-type]


def test_retries_are_the_study_s(tmp_path: Path) -> None:
    hh.Study("s", home=tmp_path, max_retries=3).close()
    with hh.Study("s", home=tmp_path) as study:
        assert study.record().max_retries == 3
    hh.Study("s", home=tmp_path, max_retries=0).close()
    with hh.Study("s", home=tmp_path) as study:
        assert study.record().max_retries == 0


STOPPED = """
import os, sys, time
import hyperhook as hh

def train(trial):
    for step in range(1000):
        trial.log({"loss": float(os.getpid())}, step=step)
        if trial.number == 0:
            open(f"trained-{step}", "w").close()
            time.sleep(0.01)
            if trial.should_stop:
                return
    return 0.5

study = hh.Study("s", {"x": hh.Float(0, 1)}, hh.Minimize("loss"), lease_seconds=0.5, seed=0)
study.run(train, trials=2, progress=False)
print(*[trial.state for trial in study.trials])
"""


def test_a_process_that_was_stopped_goes_on_with_another_trial(
    tmp_path: Path, wait_for: Callable[..., None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-c", STOPPED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for((tmp_path / "trained-3").exists, 60)
        process.send_signal(signal.SIGSTOP)
        other = Workspace(Home(tmp_path / ".hyperhook"))
        caplog.set_level(logging.WARNING)
        wait_until_lapsed(other)
        (killed,) = reap(other)
        process.send_signal(signal.SIGCONT)
        said, warned = process.communicate(timeout=60)
    assert (process.returncode, said.split()) == (0, ["KILLED", "COMPLETE", "COMPLETE"]), warned
    assert "trial s-0 is not this process's any more" in warned
    assert "trial s-0 had been ended as KILLED elsewhere; this ending does not count" in warned
    assert "Traceback" not in warned
    assert killed.number == 0
    assert list(other.home.started()) == []
    assert kinds(other, killed)[-1] is TrialFinished
    assert kinds(other, killed).count(TrialFinished) == 1
