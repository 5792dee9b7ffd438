"""Agents whose PostgreSQL is killed in mid-study: they wait and go on; no trial is lost, none is run twice."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hyperhook.address import Address
from hyperhook.records import TrialState
from hyperhook.store import Store

AGENTS, TRIALS = 4, 24

PROGRAM = """
import json, os, sys, time
x, done = float(sys.argv[1].removeprefix("--x=")), os.open("done", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for epoch in range(5):
    print(json.dumps({"hyperhook": {"loss": x + 1 / (epoch + 1), "step": epoch, "epoch": epoch}}), flush=True)
    time.sleep(0.1)
os.write(done, f"{x}\\n".encode())
"""
SWEEP = f"""
program: train.py
command: ["${{interpreter}}", "-I", "-S", "${{program}}", "${{args}}"]
method: grid
metric: {{name: loss}}
run_cap: {TRIALS}
parameters: {{x: {{values: {[n / 32 for n in range(TRIALS)]}}}}}
metrics_from: stdout
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts `hyperhook` in a home of its own; ends what is left of it."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(storage: str, home: str, *words: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "HYPERHOOK_STORAGE": storage, "HYPERHOOK_HOME": str(tmp_path / home)}
        with open(tmp_path / "said", "ab") as said:
            command = [sys.executable, "-m", "hyperhook", *words]
            running.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=said, stderr=said))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.wait()


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {seconds} s"
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_agents_wait_for_a_postgresql_that_was_killed(
    tmp_path: Path, mortal_postgres: Any, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    (tmp_path / "train.py").write_text(PROGRAM)
    (tmp_path / "s.yaml").write_text(SWEEP)
    storage, done = mortal_postgres.database(), tmp_path / "done"

    def said() -> str:
        return (tmp_path / "said").read_text()

    def ended() -> list[str]:
        return done.read_text().split() if done.exists() else []

    assert start(storage, "home", "sweep", "s.yaml").wait(60) == 0, said()
    crew = [start(storage, f"home-{number}", "agent", "s", "--quiet") for number in range(AGENTS)]
    for outage in (1, 2):
        before = len(ended())
        wait_for(lambda before=before: len(ended()) >= before + 5)
        mortal_postgres.crash()
        wait_for(lambda outage=outage: said().count("does not answer") >= outage)
        assert all(agent.poll() is None for agent in crew), said()
        mortal_postgres.start()
    for agent in crew:
        assert agent.wait(120) == 0, said()

    trials = Store(Address(storage)).study("s").trials
    assert Counter(trial.state for trial in trials) == {TrialState.COMPLETE: TRIALS}
    wanted = [n / 32 for n in range(TRIALS)]
    assert sorted(float(trial.params["x"]) for trial in trials) == wanted  # type: ignore[arg-type]
    assert sorted(map(float, ended())) == wanted
    assert all(trial.value == pytest.approx(trial.params["x"] + 0.2) for trial in trials)  # type: ignore[operator]
