"""A disk that is full, a home that is gone, a clock that goes back, two processes at once: training goes on.

The trainings run in processes of their own; what they kept is read back afterwards.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hyperhook.cli import app
from hyperhook.events import MetricsLogged
from hyperhook.home import Home
from hyperhook.journal import read
from hyperhook.records import TrialRecord, TrialState
from hyperhook.workspace import JOURNAL, Workspace

ROOT = Path(__file__).parents[2]
PATHS = [str(ROOT / "examples" / "third_party" / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
STEPS = 30


START = f"""
import os, resource, shutil, signal, sys, time
import hyperhook as hh
from hyperhook_jsonl import JsonLines

STEPS = {STEPS}
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]


def log(trial, step):
    trial.log({{"loss": float(step)}}, step=step)
    say("logged", trial.number, step)


def say(*words):
    print(*words, flush=True)  # into a pipe, which is never full


def fill(trial, room):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = os.stat(f".hyperhook/trials/{{trial.id}}/journal.jsonl").st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(size + room, 0), hard))


def free():
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def open_study(**options):
    defaults = dict(trackers=[JsonLines("out")], seed=0, flush_timeout_seconds=10)
    return hh.Study("s", {{"x": hh.Float(0, 1)}}, hh.Minimize("loss"), **{{**defaults, **options}})
"""


def start(folder: Path, script: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(PATHS)}
    return subprocess.Popen(
        [sys.executable, "-c", START + script],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@dataclass(frozen=True)
class Done:
    """A training that ended: its exit status, the words and points that it printed, and its standard error."""

    status: int
    words: list[str]
    logged: list[tuple[int, int]]
    errors: str

    @classmethod
    def of(cls, process: subprocess.Popen[str]) -> Done:
        """Wait for the end of a training."""
        try:
            said, errors = process.communicate(timeout=100)
        finally:
            process.kill()
        lines = [line.split() for line in said.splitlines()]
        points = [(int(line[1]), int(line[2])) for line in lines if line[0] == "logged"]
        return cls(process.returncode, [" ".join(line) for line in lines if line[0] != "logged"], points, errors)


def run(folder: Path, script: str) -> Done:
    """Run a training to its end."""
    return Done.of(start(folder, script))


def hyperhook(folder: Path, *command: str) -> str:
    done = CliRunner().invoke(app, [*command, "--home", str(folder / ".hyperhook")])
    assert done.exit_code == 0, done.output
    return done.output


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {seconds} s"
        time.sleep(0.01)


def trials(folder: Path) -> tuple[TrialRecord, ...]:
    return Workspace(Home(folder / ".hyperhook")).store.study("s").trials


def journalled(folder: Path) -> list[tuple[int, int]]:
    """The (trial number, step) in the journals, in their order."""
    home = Home(folder / ".hyperhook")
    return [
        (trial.number, event.step)
        for trial in trials(folder)
        for event, _ in read(home.trial(trial.id) / JOURNAL)
        if isinstance(event, MetricsLogged)
    ]


def received(folder: Path) -> tuple[Counter[tuple[int, int]], dict[int, str]]:
    """The (trial number, step) that the tracker holds, and how each trial ended there."""
    points: Counter[tuple[int, int]] = Counter()
    states = {}
    for file in (folder / "out").glob("*.jsonl"):
        number = int(file.stem.removeprefix("s-"))
        for row in map(json.loads, file.read_text().splitlines()):
            if "name" in row:
                points[(number, row["step"])] += 1
            elif "state" in row:
                states[number] = row["state"]
    return points, states


def wait_for_delivery(folder: Path) -> None:
    wait_for(lambda: not Home(folder / ".hyperhook").posted("s", "jsonlines"))


def test_a_disk_that_is_full_for_a_while_costs_what_was_logged_then_and_no_more(tmp_path: Path) -> None:
    script = """
def train(trial):
    for step in range(STEPS):
        if trial.number == 0 and step == 10:
            fill(trial, 20)  # a part of the next line is written
        if trial.number == 0 and step == 20:
            free()
        log(trial, step)
    say("trained")

open_study().run(train, trials=2, progress=False)
"""
    done = run(tmp_path, script)
    assert (done.status, done.words) == (0, ["trained"] * 2), done.errors
    (line,) = done.errors.splitlines()
    assert re.fullmatch(r"journal \S+ cannot be written \(.*File too large.*\); training goes on unrecorded", line)
    lost = {(0, step) for step in range(10, 20)}
    kept = [point for point in done.logged if point not in lost]
    assert journalled(tmp_path) == kept
    assert [trial.state for trial in trials(tmp_path)] == ["COMPLETE"] * 2
    wait_for_delivery(tmp_path)
    assert received(tmp_path) == (Counter(kept), {0: "COMPLETE", 1: "COMPLETE"})


WAYS = {
    "run": """
try:
    study.run(train, trials=1, progress=False)
except hh.HyperhookError as error:
    print(f"hyperhook: {error}", file=sys.stderr)
""",
    "with": """
with study.trial() as trial:
    train(trial)
""",
    "ask": """
trial = study.ask()
train(trial)
study.tell(trial)
""",
}
"""How a training may be tied to a study. `run` cannot go on without a store, and may say so."""


@pytest.mark.parametrize("way", ["with", *(pytest.param(way, marks=pytest.mark.slow) for way in ("run", "ask"))])
def test_a_disk_that_stays_full_lets_the_training_end(tmp_path: Path, way: str) -> None:
    """Not even the store can be written: the trial cannot end there, so that it is ended afterwards."""
    script = f"""
def train(trial):
    for step in range(STEPS):
        if step == 10:
            fill(trial, -10**9)
        log(trial, step)
    say("trained")

study = open_study(flush_timeout_seconds=1)
{WAYS[way]}
say("went on")
"""
    done = run(tmp_path, script)
    assert (done.status, done.words) == (0, ["trained", "went on"]), done.errors
    assert done.errors.count("training goes on unrecorded") == 1
    assert "Traceback" not in done.errors
    kept = [(0, step) for step in range(10)]
    assert journalled(tmp_path) == kept
    wait_for_delivery(tmp_path)
    (trial,) = trials(tmp_path)
    assert trial.state.is_finished
    assert received(tmp_path) == (Counter(kept), {0: trial.state})


@pytest.mark.parametrize("way", ["with", *(pytest.param(way, marks=pytest.mark.slow) for way in ("run", "ask"))])
def test_a_home_that_is_removed_in_mid_training_costs_the_records_and_not_the_training(
    tmp_path: Path, way: str
) -> None:
    script = f"""
def train(trial):
    for step in range(STEPS):
        if step == 10:
            shutil.rmtree(".hyperhook")
        log(trial, step)
    say("trained")

study = open_study()
{WAYS[way]}
say("went on")
"""
    done = run(tmp_path, script)
    assert (done.status, done.words) == (0, ["trained", "went on"]), done.errors
    assert done.logged == [(0, step) for step in range(STEPS)]
    assert "Traceback" not in done.errors
    assert 1 <= len(done.errors.splitlines()) <= 3  # for the trial, for the study, and where `run` cannot go on
    assert not (tmp_path / ".hyperhook").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes where nobody may")
def test_a_home_that_becomes_read_only_lets_the_training_end(tmp_path: Path) -> None:
    script = """
def train(trial):
    for step in range(STEPS):
        if step == 10:
            for folder, _, files in os.walk(".hyperhook"):
                os.chmod(folder, 0o500)
        log(trial, step)
    say("trained")

study = open_study(trackers=[])
with study.trial() as trial:
    train(trial)
say("went on")
"""
    try:
        done = run(tmp_path, script)
    finally:
        for folder, _, _ in os.walk(tmp_path / ".hyperhook"):
            os.chmod(folder, 0o700)
    assert (done.status, done.words) == (0, ["trained", "went on"]), done.errors
    assert "Traceback" not in done.errors
    assert journalled(tmp_path) == done.logged  # the journal was open, and stays so


BACKWARDS = """
import itertools
now, times = time.time, itertools.count()
time.time = lambda: now() - 10 * next(times)  # each look at the clock is ten seconds before the last one


def train(trial):
    for step in range(STEPS):
        log(trial, step)

open_study().run(train, trials=2)
"""


def test_a_clock_that_goes_back_leaves_the_points_in_their_order(tmp_path: Path) -> None:
    done = run(tmp_path, BACKWARDS)
    assert done.status == 0, done.errors
    assert journalled(tmp_path) == done.logged == [(number, step) for number in range(2) for step in range(STEPS)]
    assert {trial.state for trial in trials(tmp_path)} == {TrialState.COMPLETE}
    wait_for_delivery(tmp_path)
    assert received(tmp_path) == (Counter(done.logged), {0: "COMPLETE", 1: "COMPLETE"})


def test_a_clock_that_goes_back_shows_no_negative_time(tmp_path: Path) -> None:
    done = run(tmp_path, BACKWARDS)
    assert done.status == 0, done.errors
    shown = hyperhook(tmp_path, "show", "s") + hyperhook(tmp_path, "status", "s") + hyperhook(tmp_path, "export", "s")
    assert "COMPLETE" in shown
    assert not re.findall(r"(?<![\w.])-\d", done.errors + shown)
    assert all((trial.finished_time or 0.0) >= trial.started_time for trial in trials(tmp_path))


def test_two_processes_on_one_study_share_its_budget_and_lose_nothing(tmp_path: Path) -> None:
    script = """
def train(trial):
    for step in range(STEPS):
        log(trial, step)
        time.sleep(0.002)

study = open_study(seed=None)
say("ready")
sys.stdin.readline()
study.run(train, trials=10, progress=False)
"""
    processes = [start(tmp_path, script) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    both = [Done.of(process) for process in processes]
    assert [done.status for done in both] == [0, 0], both
    numbers = [{number for number, _ in done.logged} for done in both]
    assert all(numbers)
    assert not numbers[0] & numbers[1]
    everything = Counter((number, step) for number in range(10) for step in range(STEPS))
    assert Counter(both[0].logged + both[1].logged) == everything
    assert [(trial.number, str(trial.state)) for trial in trials(tmp_path)] == [(n, "COMPLETE") for n in range(10)]
    assert Counter(journalled(tmp_path)) == everything
    wait_for_delivery(tmp_path)
    assert received(tmp_path) == (everything, dict.fromkeys(range(10), "COMPLETE"))
