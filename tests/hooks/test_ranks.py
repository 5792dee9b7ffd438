"""Which process leads, and how those that follow find its trials and its end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook.home import Home, Lock
from hyperhook.ranks import Launch, Silence
from hyperhook.study import Study
from hyperhook.testing import RecordingPlugin
from hyperhook.trial import Trial

VARIABLES = ("RANK", "LOCAL_RANK", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "HYPERHOOK_LAUNCH")
RECORD = hh.TrialRecord("a", 0, "s", {"x": 0.5})
TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_RESTART_COUNT": "0"}

Process = Callable[..., Launch]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "launches"


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Process]:
    """Makes this process look like one that has just been started with an environment."""
    for name in VARIABLES:  # what a leader writes there is gone behind the test
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)

    def start(study: str = "s", **environment: str) -> Launch:
        for name in VARIABLES:
            os.environ.pop(name, None)
        os.environ.update(environment)
        monkeypatch.setattr(Launch, "_counts", Counter())
        monkeypatch.setattr(Launch, "_own_token", None)
        return Launch(study, folder)

    yield start
    for file in folder.glob("*"):
        Lock(file).release()


def follower(process: Process, leader: Launch, study: str = "s") -> Launch:
    leader.mark()
    return process(study, LOCAL_RANK="1", HYPERHOOK_LAUNCH=os.environ["HYPERHOOK_LAUNCH"])


def marks(launch: Launch, count: int = 3) -> list[str]:
    found = []
    for _ in range(count):
        found.append(launch.mark())
        launch.count()
    return found


def never(mark: str) -> None:
    return None


@pytest.mark.parametrize(
    ("environment", "follows"),
    [
        ({}, False),
        ({"RANK": "0", "LOCAL_RANK": "0", **TORCHRUN}, False),
        ({"RANK": "1", "LOCAL_RANK": "1", **TORCHRUN}, True),
        ({"RANK": "8", "LOCAL_RANK": "0", **TORCHRUN}, True),
        ({"LOCAL_RANK": "1", "HYPERHOOK_LAUNCH": "token"}, True),
        ({"LOCAL_RANK": "0", "HYPERHOOK_LAUNCH": "token"}, False),
        ({"HYPERHOOK_LAUNCH": "token"}, False),
        ({"RANK": "", "LOCAL_RANK": "", "HYPERHOOK_LAUNCH": "token"}, False),
        ({"RANK": "1", "LOCAL_RANK": "1"}, False),  # nobody to follow
    ],
)
def test_rank_zero_leads_and_others_follow_whom_they_know(
    process: Process, environment: dict[str, str], follows: bool
) -> None:
    assert process(**environment).follows is follows


def test_a_leader_is_known_to_what_it_starts_and_holds_a_lock_while_it_lives(process: Process, folder: Path) -> None:
    launch = process()
    assert "HYPERHOOK_LAUNCH" not in os.environ
    launch.mark()
    token = os.environ["HYPERHOOK_LAUNCH"]
    assert [file.name for file in folder.iterdir()] == [token]
    assert Lock(folder / token).is_held()
    marks(launch)
    Launch("other", folder).mark()
    assert os.environ["HYPERHOOK_LAUNCH"] == token  # one for the process


def test_a_process_that_leads_does_not_go_on_with_the_token_of_the_one_that_started_it(process: Process) -> None:
    launch = process(HYPERHOOK_LAUNCH="token")
    launch.mark()
    assert os.environ["HYPERHOOK_LAUNCH"] != "token"


def test_marks_are_the_same_in_every_process_and_each_stands_for_one_thing(process: Process) -> None:
    leader = process()
    led = marks(leader)
    assert len(set(led)) == 3
    assert marks(follower(process, leader)) == led
    leader = process(RANK="0", **TORCHRUN)
    elastic = marks(leader)
    assert marks(process(RANK="1", **TORCHRUN)) == elastic
    assert not set(elastic) & set(led)


@pytest.mark.parametrize("other", [{"TORCHELASTIC_RESTART_COUNT": "1"}, {"TORCHELASTIC_RUN_ID": "another"}])
def test_a_restart_finds_nothing_of_the_start_before(process: Process, other: dict[str, str]) -> None:
    first = marks(process(RANK="0", **TORCHRUN))
    assert not set(first) & set(marks(process(RANK="0", **{**TORCHRUN, **other})))


def test_studies_are_counted_apart_and_another_object_of_one_goes_on_counting(process: Process, folder: Path) -> None:
    leader = process("one")
    first = marks(leader, 2)
    assert marks(Launch("two", folder), 2) != first
    assert Launch("one", folder).mark() not in first


def test_those_who_follow_have_the_trials_in_order_until_the_run_ends(process: Process) -> None:
    leader = process()
    started = {}
    for number in range(2):
        started[leader.mark()] = hh.TrialRecord(str(number), number, "s")
        leader.count()
    leader.end_run()
    started[leader.mark()] = hh.TrialRecord("2", 2, "s")  # of the next run
    following = follower(process, leader)
    found = [following.await_trial(started.get) for _ in range(4)]
    assert [None if trial is None else trial.number for trial in found] == [0, 1, None, 2]


def test_a_trial_is_waited_for(process: Process, wait_for: Callable[..., None]) -> None:
    following = follower(process, process())
    asked: list[str] = []
    there = threading.Event()

    def find(mark: str) -> hh.TrialRecord | None:
        asked.append(mark)
        return RECORD if there.is_set() else None

    found: list[hh.TrialRecord | None] = []
    waiting = threading.Thread(target=lambda: found.append(following.await_trial(find)))
    waiting.start()
    wait_for(lambda: len(asked) > 2)
    assert found == []
    there.set()
    waiting.join(20)
    assert found == [RECORD]
    assert len(set(asked)) == 1


def test_nobody_waits_for_a_leader_that_is_gone(process: Process, folder: Path) -> None:
    leader = process()
    following = follower(process, leader)
    Lock(folder / os.environ["HYPERHOOK_LAUNCH"]).release()  # as its process dies
    assert following.await_trial(never) is None
    assert following.await_trial(lambda mark: RECORD) == RECORD  # it is still the one that was waited for


def test_nobody_waits_without_the_parent_that_started_it(
    process: Process, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    following = process(RANK="1", **TORCHRUN)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert following.await_trial(never) is None


def test_a_silent_trial_writes_nothing_and_goes_on() -> None:
    trial = Trial(RECORD, Silence(), objective=hh.Minimize("loss"), emits=False)
    trial.log({"loss": 0.5})
    trial.log_params({"p": 1})
    assert not trial.should_stop
    assert trial.params == {"x": 0.5}


def test_a_silent_trial_that_is_put_back_ends_here_and_nowhere_else(study: Callable[..., Study]) -> None:
    made = study(max_retries=1)
    trial = made.ask()
    silent = Trial(trial.record, Silence(), objective=made.objective, emits=False)
    assert made.requeue(silent).state == "KILLED"
    assert silent.has_ended
    assert [found.state for found in made.trials] == ["RUNNING"]
    made.tell(trial, 0.5)


FOLLOWER = """
import hyperhook as hh
plugins = [__import__("hyperhook.testing").testing.RecordingPlugin()]
study = hh.Study("s", {{"x": hh.Float(-1.0, 1.0)}}, hh.Minimize("loss"), home={home!r}, plugins=plugins)
with study.trial() as trial:
    assert hh.current_trial() is trial
    trial.log({{"loss": 0.0}})
    trial.log({{"not a number": "x"}})
print(trial.number, trial.params["x"], trial.emits, trial.should_stop, trial.record.state, plugins[0].hooks())
study.tell(trial, 0.5)
study.flush()
study.close()
try:
    study.ask()
except hh.HyperhookError as error:
    print(error)
"""


def test_a_follower_asks_and_tells_in_silence(study: Callable[..., Study], home: Path) -> None:
    recorder = RecordingPlugin()
    made = study(plugins=[recorder])
    trial = made.ask()
    before = sorted(path for path in home.rglob("*") if path.is_file() and "hyperhook.db" not in path.name)
    token = os.environ["HYPERHOOK_LAUNCH"]
    counts = made._launch._counts["s"]
    skip = f"from hyperhook.ranks import Launch\nLaunch._counts['s'] = {counts - 1}\n"  # what this process asked before
    environment = {**os.environ, "LOCAL_RANK": "1", "HYPERHOOK_LAUNCH": token}
    made._launch.end_run()
    done = subprocess.run(
        [sys.executable, "-c", skip + FOLLOWER.format(home=str(home))],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"0 {trial.params['x']} False False COMPLETE []",
        "ask: this process follows another one, which has ended",
    ]
    (record,) = made.trials
    assert record.state is hh.TrialState.RUNNING
    after = sorted(path for path in home.rglob("*") if path.is_file() and "hyperhook.db" not in path.name)
    assert [path for path in after if path.parent != Home(home).launches] == [
        path for path in before if path.parent != Home(home).launches
    ]
    assert recorder.hooks() == ["study_started", "trial_started", "trial_opened"]
    assert made.tell(trial, 0.25).value == 0.25
