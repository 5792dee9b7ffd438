"""Workers that share a study, and what may happen to them: killed, told to end, their database away or locked.

Each test runs real processes, each in a home of its own where the store is a PostgreSQL, and reads the truth back.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hyperhook.address import Address
from hyperhook.events import MetricsLogged, TrialResumed
from hyperhook.home import Home
from hyperhook.journal import read
from hyperhook.records import StudyRecord, TrialState
from hyperhook.store import Store
from hyperhook.workspace import JOURNAL, Workspace

WORKER = """
import json, os, sys, time
import hyperhook as hh

options = json.loads(sys.argv[1])
done = os.open(options["done"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def train(trial):
    start = 0
    if trial.last_checkpoint is not None:
        start = int(trial.last_checkpoint.read_text()) + 1
        assert trial.last_step is None or trial.last_step >= start - 1
    for step in range(start, options["steps"]):
        trial.log({"loss": trial.params["x"] + step}, step=step, epoch=step)
        file = f"{trial.id}.ckpt"
        with open(file, "w") as checkpoint:
            checkpoint.write(str(step))
        trial.log_artifact(file, name=f"{step}.ckpt", kind="checkpoint", step=step, link=False)
        os.write(done, f"{trial.number} {step} {os.getpid()}\\n".encode())
        time.sleep(options["seconds"])
        if trial.should_stop:
            return
    os.write(done, f"{trial.number} end {os.getpid()}\\n".encode())

study = hh.Study(
    "s", {"x": hh.Float(0, 1)}, hh.Minimize("loss"), home=options["home"], storage=options.get("storage"),
    max_retries=options["retries"], lease_seconds=options["lease"],
)
study.run(train, trials=options["trials"], progress=False)
"""


class Workers:
    """Starts workers and keeps what they say."""

    def __init__(self, folder: Path, storage: str, **options: Any) -> None:
        self.folder, self.storage = folder, storage
        self.options = {"steps": 5, "seconds": 0.02, "retries": 50, "lease": 60.0, "trials": 4, **options}
        self.done = folder / "done"
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, home: str = "a") -> subprocess.Popen[bytes]:
        (self.folder / home).mkdir(exist_ok=True)
        options = {**self.options, "home": str(self.folder / home / "home"), "done": str(self.done)}
        environment = {**os.environ, "HYPERHOOK_STORAGE": self.storage}
        with open(self.folder / "said", "ab") as said:
            process = subprocess.Popen(
                [sys.executable, "-c", WORKER, json.dumps(options)],
                cwd=self.folder / home,
                env=environment,
                stderr=said,
            )
        self.running.append(process)
        return process

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    def lines(self) -> list[tuple[int, str]]:
        """The number of a trial and the step that it logged, or "end"."""
        rows = self.done.read_text().splitlines() if self.done.exists() else []
        return [(int(number), what) for number, what, _ in map(str.split, rows)]

    def processes(self) -> set[int]:
        """Those that have logged something."""
        rows = self.done.read_text().splitlines() if self.done.exists() else []
        return {int(row.split()[2]) for row in rows}

    def study(self) -> StudyRecord:
        return Store(Address(self.storage)).study("s")

    def close(self) -> None:
        for process in self.running:
            process.kill()
            process.wait()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Callable[..., Workers]]:
    """Makes workers of one study."""
    made: list[Workers] = []

    def make(storage: str, **options: Any) -> Workers:
        made.append(Workers(tmp_path, storage, **options))
        return made[-1]

    yield make
    for group in made:
        group.close()


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {seconds} s"
        time.sleep(0.01)


def check(group: Workers, budget: int) -> None:
    """The study has exactly its budget, no trial ended twice, and every journal agrees with the store."""
    trials = group.study().trials
    assert Counter(trial.state for trial in trials) == {TrialState.COMPLETE: budget}
    ends = Counter(number for number, what in group.lines() if what == "end")
    assert set(ends) == set(range(budget))
    homes = [Home(path) for path in group.folder.glob("*/home")]
    for trial in trials:
        assert trial.value == pytest.approx(trial.params["x"])
    assert not [item for home in homes for item in home.started()]


@pytest.mark.parametrize(
    ("count", "budget", "kills"),
    [(2, 5, 3), pytest.param(7, 50, 40, marks=[pytest.mark.slow, pytest.mark.timeout(600)])],
)
def test_killed_workers_lose_no_trial_and_double_none(
    workers: Callable[..., Workers], storage: str, count: int, budget: int, kills: int
) -> None:
    group, rng = workers(storage, trials=budget), random.Random(count)
    crew = [group.start(f"machine-{index}") for index in range(count)]
    for _ in range(kills):
        before = len(group.lines())
        wait_for(lambda before=before: len(group.lines()) > before + rng.randint(0, 3) or not any(map(alive, crew)))
        index = rng.randrange(count)
        crew[index].kill()
        crew[index].wait()
        crew[index] = group.start(f"machine-{index}")
    for process in crew:
        assert process.wait(300) == 0, group.said
    for index in range(count):  # whoever was killed last, with nobody left to see it
        assert group.start(f"machine-{index}").wait(120) == 0, group.said
    check(group, budget)


def alive(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is None


def test_a_worker_that_is_told_to_end_puts_its_trial_back_with_its_checkpoint(
    workers: Callable[..., Workers], storage: str
) -> None:
    group = workers(storage, trials=1, retries=1, steps=20, seconds=0.05)
    for _ in range(2):  # it does not count as a retry
        before = len(group.lines())
        process = group.start()
        wait_for(lambda before=before: len(group.lines()) >= before + 4)
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
        assert [trial.state for trial in group.study().trials] == [TrialState.QUEUED]
    assert group.start().wait(60) == 0, group.said
    check(group, 1)
    steps = Counter(what for _, what in group.lines())
    assert set(steps) == {*map(str, range(20)), "end"}
    assert sum(steps.values()) <= 21 + 2  # the step that was interrupted, each time
    (trial,) = group.study().trials
    events = [event for event, _ in read(Home(group.folder / "a" / "home").trial(trial.id) / JOURNAL)]
    assert sum(isinstance(event, TrialResumed) for event in events) == 2
    logged = [event.step for event in events if isinstance(event, MetricsLogged)]
    assert logged == list(range(20))


def test_without_retries_a_worker_that_is_told_to_end_ends_as_always(
    workers: Callable[..., Workers], tmp_path: Path
) -> None:
    group = workers(f"sqlite:///{tmp_path}/x.db", trials=1, retries=0, steps=300)
    process = group.start()
    wait_for(lambda: len(group.lines()) >= 2)
    process.terminate()
    assert process.wait(60) == -signal.SIGTERM
    (killed,) = Workspace(Home(group.folder / "a" / "home"), group.storage).reap("s", [])
    assert killed.state is TrialState.KILLED


def test_a_database_that_is_away_for_a_while_is_waited_for(
    workers: Callable[..., Workers], mortal_postgres: Any
) -> None:
    group = workers(mortal_postgres.database(), trials=20, steps=4, retries=0, seconds=0.1)
    crew = [group.start(f"machine-{index}") for index in range(2)]
    wait_for(lambda: group.processes() == {process.pid for process in crew})
    mortal_postgres.kill()
    wait_for(lambda: "does not answer" in group.said)
    assert all(map(alive, crew))
    mortal_postgres.start()
    for process in crew:
        assert process.wait(60) == 0, group.said
    check(group, 20)
    assert "answers again" in group.said
    assert group.said.count("does not answer") <= 2  # once for each outage and worker
    assert "cret" not in group.said


@pytest.mark.parametrize("seconds", [1.5, pytest.param(35.0, marks=pytest.mark.slow)])
def test_an_sqlite_file_that_another_program_locks_is_waited_for(
    workers: Callable[..., Workers], tmp_path: Path, seconds: float
) -> None:
    path = tmp_path / "hyperhook.db"
    group = workers(f"sqlite:///{path}", trials=3)
    process = group.start()
    wait_for(lambda: len(group.lines()) >= 1)
    with sqlite3.connect(path, isolation_level=None, timeout=30) as other:
        other.execute("BEGIN EXCLUSIVE")
        timer = threading.Event()
        timer.wait(seconds)
        assert alive(process)
        other.execute("COMMIT")
    other.close()
    assert process.wait(120) == 0, group.said
    check(group, 3)


def test_the_password_is_nowhere(workers: Callable[..., Workers], postgres: Any) -> None:
    group = workers(postgres.database(), trials=2, steps=2)
    group.options["storage"] = group.storage
    process = group.start()
    secrets = [b"se cret@", postgres.password.encode()]
    wait_for(lambda: len(group.lines()) >= 1 or not alive(process))
    assert process.wait(60) == 0, group.said
    for file in group.folder.rglob("*"):
        if file.is_file():
            assert not any(secret in file.read_bytes() for secret in secrets), file
