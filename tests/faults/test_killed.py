"""SIGKILL to the trainer, to its forwarder, or to both, at random moments; then the same command again.

Whatever dies, the study ends with its budget, no finished trial is lost or run twice, each killed one is marked, and
the tracker holds every point that `Trial.log` returned from, once.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from hyperhook.home import Home
from hyperhook.records import TrialState
from hyperhook.workspace import Workspace

ROOT = Path(__file__).parents[2]
PATHS = [str(ROOT / "examples" / "third_party" / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
BUDGET, STEPS = 4, 25

SCRIPT = f"""
import os, time
import hyperhook as hh
from hyperhook_jsonl import JsonLines

study = hh.Study("s", {{"x": hh.Float(0, 1)}}, hh.Minimize("loss"), trackers=[JsonLines("out")], seed=0)
acknowledged = os.open("acknowledged", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def train(trial):
    for step in range({STEPS}):
        trial.log({{"loss": trial.params["x"] + step}}, step=step, epoch=0)
        os.write(acknowledged, f"{{trial.number}} {{step}}\\n".encode())
        time.sleep(0.01)

study.run(train, trials={BUDGET}, progress=False)
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(PATHS)}
    return subprocess.Popen([sys.executable, "-c", SCRIPT], cwd=folder, env=environment, stderr=subprocess.DEVNULL)


def children(process: subprocess.Popen[bytes]) -> list[int]:
    return list(map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()))


def wait_for(condition: object, seconds: float = 60.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {seconds} s"
        time.sleep(0.01)


def acknowledged(folder: Path) -> list[tuple[int, int]]:
    """The (trial number, step) that `log` returned from."""
    file = folder / "acknowledged"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(int(number), int(step)) for number, step in map(str.split, lines)]


def received(folder: Path) -> Counter[tuple[int, int]]:
    """The (trial number, step) that the tracker holds."""
    points: Counter[tuple[int, int]] = Counter()
    for file in (folder / "out").glob("*.jsonl"):
        number = int(file.stem.removeprefix("s-"))
        rows = map(json.loads, file.read_text().splitlines())
        points.update((number, row["step"]) for row in rows if "name" in row)
    return points


def check_everything(folder: Path, killed: int) -> None:
    trials = Workspace(Home(folder / ".hyperhook")).store.study("s").trials
    states = Counter(trial.state for trial in trials)
    assert states == Counter({TrialState.COMPLETE: BUDGET} | ({TrialState.KILLED: killed} if killed else {}))
    points = received(folder)
    assert set(points.values()) <= {1}, [point for point, count in points.items() if count > 1]
    assert set(acknowledged(folder)) <= set(points)
    for trial in trials:
        last = (folder / "out" / f"s-{trial.number}.jsonl").read_text().splitlines()[-1]
        assert json.loads(last)["state"] == trial.state
        if trial.state is TrialState.COMPLETE:
            assert sorted(step for number, step in points if number == trial.number) == list(range(STEPS))
    assert not list((folder / ".hyperhook" / "running").iterdir())


def run_to_the_end(folder: Path) -> None:
    process = start(folder)
    assert process.wait(120) == 0


def kill_after(folder: Path, points: int, *, trainer: bool, forwarder: bool) -> None:
    """Start the command, and kill it (or its forwarder, or both) once that many points were acknowledged."""
    before = len(acknowledged(folder))
    process = start(folder)
    wait_for(lambda: len(acknowledged(folder)) >= before + points)
    forwarders = children(process)
    assert len(forwarders) == 1
    if trainer:
        os.kill(process.pid, signal.SIGKILL)
    if forwarder:
        os.kill(forwarders[0], signal.SIGKILL)
    process.wait(120)
    wait_for(lambda: not Path(f"/proc/{forwarders[0]}").exists())


def test_killed_trainer_is_marked_by_its_forwarder_and_the_study_goes_on(tmp_path: Path) -> None:
    kill_after(tmp_path, STEPS + 5, trainer=True, forwarder=False)
    states = [trial.state for trial in Workspace(Home(tmp_path / ".hyperhook")).store.study("s").trials]
    assert states == [TrialState.COMPLETE, TrialState.KILLED]
    assert set(acknowledged(tmp_path)) <= set(received(tmp_path))
    run_to_the_end(tmp_path)
    check_everything(tmp_path, killed=1)


def test_killed_with_its_forwarder_is_marked_by_the_next_run(tmp_path: Path) -> None:
    kill_after(tmp_path, STEPS + 5, trainer=True, forwarder=True)
    states = [trial.state for trial in Workspace(Home(tmp_path / ".hyperhook")).store.study("s").trials]
    assert states == [TrialState.COMPLETE, TrialState.RUNNING]
    run_to_the_end(tmp_path)
    check_everything(tmp_path, killed=1)


def test_killed_forwarder_is_started_again(tmp_path: Path) -> None:
    kill_after(tmp_path, STEPS + 5, trainer=False, forwarder=True)
    check_everything(tmp_path, killed=0)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(20))
def test_killed_at_random_moments(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    kills = [(rng.randint(1, 40), rng.random() < 0.5) for _ in range(2)]
    for points, forwarder in kills:
        kill_after(tmp_path, points, trainer=True, forwarder=forwarder)
    run_to_the_end(tmp_path)
    trials = Workspace(Home(tmp_path / ".hyperhook")).store.study("s").trials
    check_everything(tmp_path, killed=sum(trial.state is TrialState.KILLED for trial in trials))
