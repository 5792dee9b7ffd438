"""What the store costs workers: many agents that ask for trials and tell at once, on PostgreSQL and on SQLite.

    python benchmarks/store_load.py [--agents 64] [--trials 10000] [--before 100000] [--pause 1.0] [--quick]

Each agent is a process with a home of its own (on SQLite all share one): it asks, tells a number, and pauses, since
real trials take a while; ``--pause 0`` shows what the machine gives at its most. What an agent waits for is the time of
`Study.next_trial` (the store is read, random search suggests, the trial is claimed, its journal begins) and of
`Study.tell`. Afterwards the store must hold each trial once, COMPLETE, told by one agent. With ``--before`` the study
has so many trials already, and each agent has read them before its clock starts: how long that takes is shown, too.

A PostgreSQL is started where Debian puts one, with fsync off; or name yours by ``--storage``: an empty database.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import hyperhook as hh
from hyperhook.address import Address
from hyperhook.records import TrialState
from hyperhook.store import Store
from hyperhook.study import Study

SPACE = {"lr": hh.Float(1e-5, 1e-1, log=True), "width": hh.Int(16, 512), "net": hh.Choice(["cnn", "mlp"])}


def main() -> None:
    """Run what was asked for, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, help="by default 64 on PostgreSQL, 16 on SQLite")
    parser.add_argument("--trials", type=int, default=10_000, help="how many are run")
    parser.add_argument("--before", type=int, default=0, help="how many the study has already")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between an agent's trials, on the average")
    parser.add_argument("--storage", help="URL of an empty PostgreSQL database; by default one is started")
    parser.add_argument("--only", choices=["postgresql", "sqlite"])
    parser.add_argument("--quick", action="store_true", help="few agents and trials: whether it runs")
    options = parser.parse_args()
    if options.quick:
        options.agents, options.trials, options.before, options.pause = 4, 40, 100, 0.0
    print(f"{'':<12}{'agents':>7}{'before':>8}{'trials':>8}{'trials/s':>9}   {'ask p50':>8}{'p99':>8}", end="")
    print(f"{'tell p50':>10}{'p99':>8}{'both p50':>10}{'p99':>8} ms{'first reading':>16} s")
    for kind in ("postgresql", "sqlite"):
        if options.only in (None, kind):
            with tempfile.TemporaryDirectory() as folder, database(kind, Path(folder), options.storage) as url:
                agents = options.agents or (64 if kind == "postgresql" else 16)
                run(kind, url, Path(folder), agents, options)


@contextmanager
def database(kind: str, folder: Path, given: str | None) -> Iterator[str]:
    """Yield the URL of an empty store."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/hyperhook.db"
    elif given is not None:
        yield given
    else:
        server = servers().Server()
        try:
            yield server.database()
        finally:
            server.close()


def servers() -> ModuleType:
    """The module that the tests start a PostgreSQL by."""
    path = Path(__file__).parents[1] / "tests" / "postgres.py"
    spec = importlib.util.spec_from_file_location("postgres", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["postgres"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(kind: str, url: str, folder: Path, agents: int, options: argparse.Namespace) -> None:
    """Let agents work, print how long they waited, and check what is there."""
    fill(url, options.before)
    fork = multiprocessing.get_context("fork")
    ready, told = fork.Barrier(agents + 1), fork.SimpleQueue()
    budget = options.before + options.trials
    homes = [folder / (f"home-{number}" if kind == "postgresql" else "home") for number in range(agents)]
    arguments = [(url, str(home), budget, options.pause, ready, told) for home in homes]
    crew = [fork.Process(target=work, args=each) for each in arguments]
    for agent in crew:
        agent.start()
    ready.wait()
    began = time.monotonic()
    answers = [json.loads(told.get()) for _ in crew]
    seconds = time.monotonic() - began
    for agent in crew:
        agent.join()
        assert agent.exitcode == 0
    check(url, options.before, budget, [number for answer in answers for number in answer["numbers"]])
    asked, said = ([ms for answer in answers for ms in answer[what]] for what in ("ask", "tell"))
    both = [one + other for one, other in zip(asked, said, strict=True)]
    row = "".join(f"{p50:>10.1f}{p99:>8.1f}" for p50, p99 in map(quantiles, (asked, said, both)))
    first = statistics.median(answer["first"] for answer in answers)
    rate = options.trials / seconds
    print(f"{kind:<12}{agents:>7}{options.before:>8}{options.trials:>8}{rate:>9.0f} {row}{first:>17.2f}", flush=True)


def work(url: str, home: str, budget: int, pause: float, ready: Any, told: Any) -> None:
    """Ask and tell until the budget is used up."""
    study = Study("load", SPACE, hh.Minimize("loss"), home=home, storage=url)
    began = time.perf_counter()
    study.record()
    found: dict[str, Any] = {"first": time.perf_counter() - began, "ask": [], "tell": [], "numbers": []}
    ready.wait()
    time.sleep(random.uniform(0.0, pause))
    while True:
        began = time.perf_counter()
        trial = study.next_trial(budget=budget)
        asked = time.perf_counter()
        if trial is None:
            break
        study.tell(trial, 0.5)
        found["ask"].append(1000 * (asked - began))
        found["tell"].append(1000 * (time.perf_counter() - asked))
        found["numbers"].append(trial.number)
        time.sleep(random.uniform(0.0, 2 * pause))
    told.put(json.dumps(found))
    study.close()


def fill(url: str, count: int) -> None:
    """Make the study, with so many COMPLETE trials."""
    store = Store(Address(url))
    store.open_study("load", hh.Space(SPACE), hh.Minimize("loss"))
    space, rng = hh.Space(SPACE), random.Random(0)
    rows = [
        {
            "id": f"before{number}",
            "study": "load",
            "number": number,
            "params": json.dumps(space.sample(rng)),
            "state": TrialState.COMPLETE.value,
            "value": rng.random(),
            "started_time": 1.0,
            "finished_time": 2.0,
            "changed": number,
        }
        for number in range(count)
    ]
    if rows:
        store._database.write(lambda connection: connection.execute(store._tables.trials.insert(), rows))
    store.close()


def check(url: str, before: int, budget: int, numbers: list[int]) -> None:
    """Each trial was given to one agent, ended once, and none is missing."""
    store = Store(Address(url))
    trials = store.study("load").trials
    store.close()
    assert sorted(numbers) == list(range(before, budget)), "a trial is lost, or was given to two agents"
    assert [trial.number for trial in trials] == list(range(budget))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}


def quantiles(samples: list[float]) -> tuple[float, float]:
    """The median and the 99th percentile."""
    ordered = sorted(samples)
    return ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]


if __name__ == "__main__":
    main()
