"""Trials in local worker processes."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook.errors import ObjectiveError, PluginError, StudyError, TooManyFailuresError
from hyperhook.study import Study
from hyperhook.trial import Trial
from hyperhook_plugins.workers import Workers


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_closure_runs_in_workers_each_trial_once_and_all_is_shown_here(
    study: Callable[..., Study], capsys: pytest.CaptureFixture[str]
) -> None:
    middle = 0.25

    def train(trial: Trial) -> float:
        for _ in range(5):
            print(f"trial {trial.number} stands", flush=False)
        assert os.environ["OMP_NUM_THREADS"] == "3"
        return abs(trial.params["x"] - middle)

    made = study()
    made.run(train, trials=8, executor=Workers(2, threads=3))
    assert [trial.number for trial in made.trials] == list(range(8))
    assert {trial.state for trial in made.trials} == {hh.TrialState.COMPLETE}
    assert all(trial.value == abs(trial.params["x"] - middle) for trial in made.trials)
    shown = capsys.readouterr()
    printed = Counter(re.fullmatch(r"\[worker [01]\] (trial \d stands)", line)[1] for line in shown.out.splitlines())  # type: ignore[index]
    assert printed == {f"trial {number} stands": 5 for number in range(8)}
    counts = re.findall(r"^\[(\d)/8\] s-\d complete", shown.err, re.MULTILINE)
    assert counts == [str(number) for number in range(1, 9)]


@pytest.mark.parametrize("delivery", ["forwarder", "inline"])
def test_trackers_get_everything_from_this_process(
    delivery: str, study: Callable[..., Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def train(trial: Trial) -> None:
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
        if children.exists():  # it is there on Linux
            assert children.read_text() == "", "a worker has a forwarder of its own"
        for step in range(3):
            trial.log({"loss": trial.params["x"] ** 2}, step=step)

    made = study(trackers=["csv"], delivery=delivery)
    made.run(train, trials=4, executor=Workers(2), progress=False)
    assert [trial.error for trial in made.trials] == [None] * 4
    for trial in made.trials:
        rows = (tmp_path / "csv" / "s" / f"{trial.name}.csv").read_text().splitlines()[1:]
        assert [row.split(",")[1] for row in rows] == ["0", "1", "2"]


def test_a_worker_that_dies_costs_its_trial_and_the_budget_stays_exact(
    study: Callable[..., Study], caplog: pytest.LogCaptureFixture
) -> None:
    def train(trial: Trial) -> float:
        if trial.number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if trial.number == 3:
            os._exit(7)
        return 1.0

    made = study()
    made.run(train, trials=5, executor=Workers(2), progress=False)
    states = Counter(trial.state for trial in made.trials)
    assert states == {hh.TrialState.COMPLETE: 5, hh.TrialState.KILLED: 2}
    assert "was ended by SIGKILL; a new one takes its place" in caplog.text
    assert "ended with status 7; a new one takes its place" in caplog.text


def test_a_worker_that_is_told_to_end_is_replaced_and_one_that_ends_itself_ends_the_run(
    study: Callable[..., Study], caplog: pytest.LogCaptureFixture
) -> None:
    def train(trial: Trial) -> float:
        if trial.number < 2:
            sys.exit(143 if trial.number == 0 else 4)
        return 1.0

    made = study()
    with pytest.raises(SystemExit) as caught:
        made.run(train, trials=3, executor=Workers(1), progress=False)
    assert caught.value.code == 4
    assert "worker 0 ended with status 143; a new one takes its place" in caplog.text
    assert [trial.state for trial in made.trials] == [hh.TrialState.KILLED] * 2


def test_workers_that_only_die_end_the_run(study: Callable[..., Study]) -> None:
    made = study(max_consecutive_failures=2)
    with pytest.raises(
        TooManyFailuresError, match="2 worker processes in a row died, the last one ended with status 3"
    ):
        made.run(lambda trial: os._exit(3), trials=5, executor=Workers(1), progress=False)
    assert [trial.state for trial in made.trials] == [hh.TrialState.KILLED] * 2


def test_a_study_that_is_set_up_wrongly_stops_with_the_workers_own_error(study: Callable[..., Study]) -> None:
    def train(trial: Trial) -> None:
        trial.log({"lozz": 1.0})

    with pytest.raises(ObjectiveError, match="'loss' was never logged") as caught:
        study().run(train, trials=3, executor=Workers(1), progress=False)
    (note,) = caught.value.__notes__
    assert re.search(r"in worker process \d+:\nTraceback", note)


def test_each_worker_sees_its_own_gpus_and_plugins_hear_what_happens_in_it(
    study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-ab12")
    monkeypatch.setenv("OMP_NUM_THREADS", "9")

    class Seen:
        @hh.hookimpl
        def tags_logged(self, trial: hh.TrialRecord, tags: dict[str, str]) -> None:
            print("heard", tags)  # in the worker

    def train(trial: Trial) -> float:
        trial.log_tags({"gpu": os.environ["CUDA_VISIBLE_DEVICES"], "threads": os.environ["OMP_NUM_THREADS"]})
        return 1.0

    made = study(plugins=[Seen()])
    made.run(train, trials=1, executor=Workers(gpus_per_trial=2), progress=False)
    made.run(train, trials=2, executor=Workers(1, gpus_per_trial=0.5), progress=False)
    assert capsys.readouterr().out.splitlines() == [
        "[worker 0] heard {'gpu': '5,GPU-ab12', 'threads': '9'}",
        "[worker 0] heard {'gpu': '5', 'threads': '9'}",
    ]
    with pytest.raises(StudyError, match="3 of 1 GPUs each do not fit"):
        made.run(train, trials=9, executor=Workers(3, gpus_per_trial=1), progress=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workers": 0}, "workers must be an int from 1, got 0"),
        ({"workers": True}, "workers must be an int from 1"),
        ({"workers": 2.0}, "workers must be an int from 1"),
        ({"threads": -1}, "threads must be an int from 1, got -1"),
        ({"gpus_per_trial": 1.5}, "gpus_per_trial must be a whole number"),
        ({"gpus_per_trial": -1}, "gpus_per_trial must be"),
        ({"gpus_per_trial": float("nan")}, "gpus_per_trial must be"),
        ({"gpus_per_trial": float("inf")}, "gpus_per_trial must be"),
        ({"gpus_per_trial": "1"}, "gpus_per_trial must be"),
    ],
)
def test_options_that_cannot_be(options: dict[str, object], words: str) -> None:
    with pytest.raises(PluginError, match=words):
        Workers(**options)  # type: ignore[arg-type]


def test_a_function_that_cannot_travel_is_told(study: Callable[..., Study]) -> None:
    lock = threading.Lock()

    def train(trial: Trial) -> float:
        with lock:
            return 1.0

    with pytest.raises(
        StudyError, match=r"cannot be sent to a worker process \(TypeError: .*lock.*inside the function"
    ):
        study().run(train, executor=Workers(1), progress=False)


SCRIPT = """
import os, sys, time
import hyperhook as hh
from hyperhook_plugins.workers import Workers

def train(trial):
    open(os.path.join(sys.argv[1], f"{os.getpid()}.pid"), "w").close()
    while True:
        time.sleep(0.01)
        print("working")

study = hh.Study("s", {"x": hh.Float(0, 1)}, hh.Minimize("loss"), home=sys.argv[1] + "/home")
study.run(train, trials=9, executor=Workers(2), progress=False)
"""


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_the_parent_ends_its_workers_and_kills_their_trials(kind: signal.Signals, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)  # it has no main guard: nothing imports it again
    parent = subprocess.Popen(
        [sys.executable, script, tmp_path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while len(pids := [int(file.stem) for file in tmp_path.glob("*.pid")]) < 2:
        assert time.monotonic() < deadline
        assert parent.poll() is None, parent.stderr and parent.stderr.read()
        time.sleep(0.05)
    parent.send_signal(kind)
    parent.communicate(timeout=60)
    while any(map(alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    made = Study("s", home=tmp_path / "home")
    made.watch()
    assert [trial.state for trial in made.trials] == [hh.TrialState.KILLED] * 2
    made.close()


@pytest.mark.slow
def test_workers_that_are_killed_at_random_cost_no_trial_of_the_budget(study: Callable[..., Study]) -> None:
    """Seven workers, one of which dies every few tenths of a second, and a budget of 50."""
    me, rng, ends = os.getpid(), random.Random(0), threading.Event()

    def train(trial: Trial) -> float:
        time.sleep(0.3)
        return 1.0

    def kill() -> None:
        while not ends.wait(rng.uniform(0.2, 0.8)):
            children = Path(f"/proc/{me}/task/{me}/children").read_text().split()
            workers = [pid for pid in children if b"workers.process" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            if workers:
                os.kill(int(rng.choice(workers)), signal.SIGKILL)

    made = study(max_consecutive_failures=50)
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        made.run(train, trials=50, executor=Workers(7), progress=False)
    finally:
        ends.set()
        killer.join()
    states = Counter(trial.state for trial in made.trials)
    assert states[hh.TrialState.COMPLETE] == 50
    assert states.keys() <= {hh.TrialState.COMPLETE, hh.TrialState.KILLED}
    assert [trial.number for trial in made.trials] == list(range(len(made.trials)))
