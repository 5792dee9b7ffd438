"""Many agents on one study: a W&B-format sweep, a PostgreSQL, and `hyperhook agent` as often as is asked for.

    python benchmarks/many_agents.py [--agents 64] [--trials 200] [--storage URL]

Each agent is the command itself, in a home of its own, as on a machine of its own; its program is a Python that imports
nothing and prints three lines of JSON. All connections are to the loopback. Afterwards the store must hold exactly the
sweep's ``run_cap`` of COMPLETE trials, each run by one agent alone, and none that is RUNNING or QUEUED.

Shown are the time from the first agent's start to the last one's end, the same without the start (until half of the
agents had begun a trial), and what an agent takes: processor time, and memory while it works (RSS: with what processes
share; PSS: the shared parts divided among them), its guard included and its program left out.

A PostgreSQL is started where Debian puts one, with fsync off; or name yours by ``--storage``: an empty database.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from hyperhook.address import Address
from hyperhook.records import TrialState
from hyperhook.store import Store

PROGRAM = """
import json, sys
x = float(sys.argv[1].removeprefix("--x="))
for step in range(3):
    print(json.dumps({"hyperhook": {"loss": (x - 0.3) ** 2 + 1 / (step + 1), "step": step}}), flush=True)
"""
SWEEP = """
program: train.py
command: ["${interpreter}", "-I", "-S", "${program}", "${args}"]
method: random
metric: {name: loss}
run_cap: %d
parameters: {x: {min: 0.0, max: 1.0}}
metrics_from: stdout
"""


def main() -> None:
    """Run what was asked for, print what it took, and check what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=64)
    parser.add_argument("--trials", type=int, default=200, help="the sweep's run_cap")
    parser.add_argument("--storage", help="URL of an empty PostgreSQL database; by default one is started")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, database(options.storage) as url:
        run(Path(folder), url, options.agents, options.trials)


@contextmanager
def database(given: str | None) -> Iterator[str]:
    """Yield the URL of an empty database."""
    if given is not None:
        yield given
        return
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


def run(folder: Path, url: str, agents: int, trials: int) -> None:
    """Make the sweep, let agents work on it, and look."""
    (folder / "train.py").write_text(PROGRAM)
    (folder / "load.yaml").write_text(SWEEP % trials)
    command(folder, url, folder / "home", "sweep", "load.yaml").wait()
    began = time.monotonic()
    crew = [command(folder, url, folder / f"home-{n}", "agent", "load", "--quiet") for n in range(agents)]
    memory: dict[int, tuple[int, int]] = {}
    half_time = None
    while any(agent.poll() is None for agent in crew):
        for agent in crew:
            memory[agent.pid] = max(memory.get(agent.pid, (0, 0)), footprint(agent.pid))
        if half_time is None and sum(any(folder.glob(f"home-{n}/trials/*")) for n in range(agents)) >= agents / 2:
            half_time = time.monotonic()
        time.sleep(0.5)
    seconds = time.monotonic() - began
    codes = Counter(agent.wait() for agent in crew)
    assert codes == {0: agents}, f"exit codes {dict(codes)}; {(folder / 'said').read_text()[-3000:]}"
    shares = check(folder, url, agents, trials)
    rss, pss = (statistics.median(found[place] for found in memory.values()) / 1024 for place in (0, 1))
    children = os.times()
    print(f"{agents} agents, {trials} trials: each COMPLETE, run once; none left RUNNING or QUEUED")
    print(f"  {seconds:.1f} s in all, {trials / seconds:.2f} trials/s", end="")
    print("" if half_time is None else f"; {time.monotonic() - half_time:.1f} s behind half of the agents' start")
    print(f"  trials an agent: {min(shares)} to {max(shares)}")
    print(f"  memory an agent: RSS {rss:.0f} MiB, PSS {pss:.0f} MiB; together PSS {agents * pss / 1024:.1f} GiB")
    cost = children.children_user + children.children_system
    print(f"  processor time an agent, with its programs and PostgreSQL's start: {cost / agents:.1f} s", flush=True)


def command(folder: Path, url: str, home: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start `hyperhook` with words, in a home."""
    environment = {**os.environ, "HYPERHOOK_STORAGE": url, "HYPERHOOK_HOME": str(home), "OMP_NUM_THREADS": "1"}
    with open(folder / "said", "ab") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "hyperhook", *words], cwd=folder, env=environment, stdout=said, stderr=said
        )


def footprint(pid: int) -> tuple[int, int]:
    """Return RSS and PSS of an agent and its guard in KiB, as far as they run."""
    rss = pss = 0
    for process in [pid, *children(pid)]:
        try:
            if process != pid and b"guard.py" not in Path(f"/proc/{process}/cmdline").read_bytes():
                continue
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended
            continue
        sizes = {line.split()[0]: int(line.split()[1]) for line in lines[1:]}
        rss, pss = rss + sizes.get("Rss:", 0), pss + sizes.get("Pss:", 0)
    return rss, pss


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def check(folder: Path, url: str, agents: int, trials: int) -> list[int]:
    """Check that each trial is COMPLETE and was run by one agent, once; return how many each agent ran."""
    store = Store(Address(url))
    found = store.study("load").trials
    store.close()
    assert [trial.number for trial in found] == list(range(trials)), f"{len(found)} trials in place of {trials}"
    assert Counter(trial.state for trial in found) == {TrialState.COMPLETE: trials}
    runs = [[path.name for path in folder.glob(f"home-{n}/trials/*")] for n in range(agents)]
    assert Counter(name for names in runs for name in names) == Counter(trial.id for trial in found)
    for trial in found:
        (output,) = folder.glob(f"home-*/trials/{trial.id}/output.log")
        assert [json.loads(line)["hyperhook"]["step"] for line in output.read_text().splitlines()] == [0, 1, 2]
    return [len(names) for names in runs]


if __name__ == "__main__":
    main()
