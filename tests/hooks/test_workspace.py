"""Trials begin and end once, and what a crash left half done is completed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook.errors import StoreError
from hyperhook.events import MetricsLogged, TrialFinished, TrialStarted, encode
from hyperhook.home import Home, Lock
from hyperhook.journal import Journal, read
from hyperhook.objective import Point
from hyperhook.records import TrialRecord, TrialState
from hyperhook.store import Store
from hyperhook.workspace import Begun, Workspace


@pytest.fixture
def workspace(home: Path) -> Workspace:
    made = Workspace(Home(home))
    for name in ("s", "other"):
        made.store.open_study(name, hh.Space({"x": hh.Float(0, 1)}), hh.Minimize("loss"))
    return made


def enter(workspace: Workspace, study: str = "s", **options: object) -> Begun:
    begun = workspace.begin(study, {"x": 0.5}, ["t"], **options)  # type: ignore[arg-type]
    assert begun is not None
    begun.lease.end()  # nobody renews it here
    return begun


def begin(workspace: Workspace, study: str = "s", **options: object) -> tuple[TrialRecord, Journal]:
    begun = enter(workspace, study, **options)
    return begun.trial, begun.journal


def kinds(workspace: Workspace, trial: TrialRecord) -> list[str]:
    return [type(event).__name__ for event, _ in read(workspace.journal_path(trial.id))]


def abandon(workspace: Workspace, trial: TrialRecord) -> None:
    """Let go of a trial as a process does that dies."""
    workspace.home.alive(trial.id).release()


def in_another_process(home: Path, code: str) -> None:
    script = (
        "import os\nfrom pathlib import Path\nfrom hyperhook.home import Home\n"
        "from hyperhook.workspace import Begun, Workspace\n"
        f"workspace = Workspace(Home(Path({str(home)!r})))\n{code}"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_trial_begins_in_store_journal_and_outbox_and_is_alive(workspace: Workspace) -> None:
    trial, journal = begin(workspace)
    assert workspace.store.trial(trial.id) == trial
    assert kinds(workspace, trial) == ["TrialStarted"]
    assert workspace.home.posted("s", "t") == [trial.id]
    assert workspace.home.alive(trial.id).is_held()
    assert not journal.grew_elsewhere


def test_a_trial_ends_in_store_and_journal_and_leaves_nothing_running(workspace: Workspace) -> None:
    begun = enter(workspace)
    trial, journal = begun.trial, begun.journal
    ended = workspace.end(begun, TrialState.COMPLETE, Point(0.25, 3, 1, 0.5), None)
    assert ended == workspace.store.trial(trial.id)
    assert [event for event, _ in read(journal.path)][-1] == TrialFinished.of(ended)  # type: ignore[arg-type]
    assert list(workspace.home.started()) == []
    assert workspace.end(begun, TrialState.FAILED, None, "again") is None
    assert kinds(workspace, trial) == ["TrialStarted", "TrialFinished"]


def test_nothing_is_left_of_a_trial_that_the_budget_refused(workspace: Workspace) -> None:
    begin(workspace, budget=1)
    before = sorted(workspace.home.path.rglob("*"))
    assert workspace.begin("s", {"x": 0.1}, ["t"], budget=1) is None
    assert sorted(workspace.home.path.rglob("*")) == before


def test_nothing_is_left_of_a_trial_that_the_store_refused(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(Store, "claim", refuse)
    with pytest.raises(StoreError):
        begin(workspace)
    assert list(workspace.home.started()) == []


def test_a_trial_whose_journal_cannot_begin_is_killed_and_frees_its_place(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append", fail)
        with pytest.raises(OSError, match="No space left"):
            begin(workspace, budget=1)
    (killed,) = workspace.reap("s", ["t"])
    assert (killed.state, killed.error) == (TrialState.KILLED, "its process died")
    assert kinds(workspace, killed) == ["TrialStarted", "TrialFinished"]
    assert workspace.home.posted("s", "t") == [killed.id]
    begin(workspace, budget=1)


def test_a_trial_whose_end_cannot_be_journalled_is_completed_later(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = enter(workspace)
    trial, journal = begun.trial, begun.journal
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append", fail)
        ended = workspace.end(begun, TrialState.COMPLETE, Point(1.0), None)
    assert ended is not None
    assert kinds(workspace, trial) == ["TrialStarted"]
    assert workspace.home.alive(trial.id).is_held()  # nobody waits for what only comes once this process is gone
    workspace.home.alive(trial.id).release()  # as its death does
    assert workspace.reap("s", ["t"]) == []  # it had ended, so it was not killed
    assert [event for event, _ in read(journal.path)][-1] == TrialFinished.of(ended)
    assert workspace.store.trial(trial.id) == ended
    assert list(workspace.home.started()) == []


def fail(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_reaper_that_looks_at_a_lock_just_made_does_not_keep_the_trial_from_having_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire: Callable[[Lock], bool] = Lock.acquire
    answers = iter([False, False])
    monkeypatch.setattr(Lock, "acquire", lambda lock: next(answers, None) is None and acquire(lock))
    trial, _ = begin(workspace)
    assert workspace.home.alive(trial.id).is_held()


def test_reap_leaves_the_living_and_other_studies_alone(workspace: Workspace) -> None:
    alive, _ = begin(workspace)
    dead, _ = begin(workspace)
    other, _ = begin(workspace, study="other")
    abandon(workspace, dead)
    abandon(workspace, other)
    assert [trial.id for trial in workspace.reap("s", ["t"])] == [dead.id]
    assert workspace.reap("s", ["t"]) == []
    states = [trial.state for trial in workspace.store.study("s").trials]
    assert states == [TrialState.RUNNING, TrialState.KILLED]
    assert kinds(workspace, dead) == ["TrialStarted", "TrialFinished"]
    assert sorted(workspace.home.started()) == sorted([alive.id, other.id])
    assert [trial.id for trial in workspace.reap("other", [])] == [other.id]


@pytest.mark.parametrize(
    "left",
    ["nothing", "a torn start", "a start", "a start and a torn point", "all"],
)
def test_reap_completes_a_journal_wherever_its_process_died(workspace: Workspace, left: str) -> None:
    trial, journal = begin(workspace)
    journal.close()
    start, point = encode(TrialStarted.of(trial)), encode(MetricsLogged(time=0.0, metrics={"m": 1.0}, step=0))
    content = {"a torn start": start[:20], "a start": start, "a start and a torn point": start + point[:15]}
    if left == "nothing":
        journal.path.unlink()
    elif left == "all":
        ended = workspace.store.finish(trial.id, TrialState.COMPLETE, Point(0.5), None)
        assert ended is not None
        journal.path.write_bytes(start + point + encode(TrialFinished.of(ended)))
    else:
        journal.path.write_bytes(content[left])
    abandon(workspace, trial)
    assert len(workspace.reap("s", ["t"])) == (left != "all")
    found = kinds(workspace, trial)
    assert found == (
        ["TrialStarted", "MetricsLogged", "TrialFinished"] if left == "all" else ["TrialStarted", "TrialFinished"]
    )


def test_a_lock_whose_trial_was_never_claimed_is_cleared_away(workspace: Workspace) -> None:
    in_another_process(workspace.home.path, "workspace.home.alive('abc').acquire(); os._exit(0)")
    assert list(workspace.home.started()) == ["abc"]
    assert workspace.reap("s", []) == []
    assert list(workspace.home.started()) == []


def test_a_process_that_ends_lets_its_trials_be_reaped(workspace: Workspace) -> None:
    in_another_process(workspace.home.path, "workspace.begin('s', {'x': 0.5}, ['t']); os._exit(0)")
    (killed,) = workspace.reap("s", ["t"])
    assert killed.state is TrialState.KILLED


def test_no_descriptor_is_left_behind(workspace: Workspace) -> None:
    def cycle() -> int:
        begun = enter(workspace)
        workspace.end(begun, TrialState.COMPLETE, None, None)
        begun.journal.close()
        dead, journal = begin(workspace)
        journal.close()
        abandon(workspace, dead)
        workspace.reap("s", ["t"])
        return len(os.listdir("/proc/self/fd"))

    assert cycle() == cycle() == cycle()
