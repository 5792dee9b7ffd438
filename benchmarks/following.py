"""What following a script costs, and how soon a point is read.

For each follower a real program logs at 50 steps a second, and says in the value when: the latency is from before the
call to the reading, the follower being asked every 100 ms as an agent does. Then the program logs as fast as it can,
and the follower reads what lies there. The script's own cost is beside that with the library's default settings.

    python benchmarks/following.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

from hyperhook import TrialRecord
from hyperhook.follower import Follower
from hyperhook_adapters.followers.mlflow import MLflowFollower
from hyperhook_adapters.followers.tensorboard import TensorBoardFollower
from hyperhook_adapters.followers.wandb import WandBFollower

STEPS, MANY, POLL_SECONDS = 200, 20_000, 0.1

COMMON = """
import sys, time
began = time.perf_counter()
{begin}
ready = time.perf_counter()
steps, pause = int(sys.argv[1]), float(sys.argv[2])
costs = []
for step in range(steps):
    before = time.perf_counter()
    {log}
    costs.append(time.perf_counter() - before)
    if pause:
        time.sleep(pause)
{end}
costs.sort()
print(ready - began, costs[len(costs) // 2], sum(costs) / len(costs))
"""
SCRIPTS = {
    "wandb": (
        "import wandb; run = wandb.init(mode='offline')",
        "run.log({'loss': 0.5, 'at': time.time() - 1.7e9})",
        "run.finish()",
    ),
    "tensorboard": (
        "from torch.utils.tensorboard import SummaryWriter; writer = SummaryWriter('runs')",
        "writer.add_scalar('loss', 0.5, step); writer.add_scalar('at', (time.time() - 1.7e9) % 10000, step)",
        "writer.close()",
    ),
    "mlflow": (
        "import mlflow; mlflow.start_run()",
        "mlflow.log_metrics({'loss': 0.5, 'at': time.time() - 1.7e9}, step=step)",
        "mlflow.end_run()",
    ),
}
FOLLOWERS = {"wandb": WandBFollower, "tensorboard": TensorBoardFollower, "mlflow": MLflowFollower}


def start(name: str, folder: Path, variables: dict[str, str], steps: int, pause: float) -> subprocess.Popen[str]:
    """Start the program of a follower."""
    begin, log, end = SCRIPTS[name]
    (folder / "program.py").write_text(COMMON.format(begin=begin, log=log, end=end))
    arguments = [sys.executable, "program.py", str(steps), str(pause)]
    return subprocess.Popen(
        arguments,
        cwd=folder,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def prepared(name: str, folder: Path) -> tuple[Follower, dict[str, str]]:
    """Return a follower, and the variables for its program."""
    os.chdir(folder)
    follower = FOLLOWERS[name]()
    return follower, follower.environment(folder / "trial", {}, "bench", TrialRecord("trial-0", 0, "bench", {}))


def cost(process: subprocess.Popen[str]) -> str:
    """Return what the program says it paid."""
    starting, typical, mean = map(float, process.communicate()[0].split()[-3:])
    return f"start {starting:5.2f} s, a step p50 {typical * 1e6:6.0f} µs, mean {mean * 1e6:6.0f} µs"


def latency(name: str, folder: Path) -> None:
    """Follow a program that logs fifty times a second."""
    follower, variables = prepared(name, folder)
    process = start(name, folder, variables, STEPS, 0.02)
    follower.started(process.pid)
    waits, spent, asked = [], 0.0, 0
    while process.poll() is None:
        before = time.thread_time()
        for reading in follower.read():
            if "at" in reading.metrics:
                now = time.time() - 1.7e9
                at = reading.metrics["at"]
                waits.append((now % 10000) - at if name == "tensorboard" else now - at)
        spent += time.thread_time() - before
        asked += 1
        time.sleep(POLL_SECONDS)
    follower.close()
    print(
        f"{name:12} followed: {cost(process)}; latency p50 {median(waits) * 1e3:.0f} ms, "
        f"p95 {quantiles(waits, n=20)[-1] * 1e3:.0f} ms; a look {spent / asked * 1e6:.0f} µs"
    )


def backlog(name: str, folder: Path) -> None:
    """Read many steps at once, then look where nothing is new."""
    follower, variables = prepared(name, folder)
    process = start(name, folder, variables, MANY, 0.0)
    paid = cost(process)
    before = time.perf_counter()
    points = sum(len(reading.metrics) for reading in follower.read())
    read = time.perf_counter() - before
    before = time.perf_counter()
    for _ in range(100):
        list(follower.read())
    idle = (time.perf_counter() - before) / 100
    follower.close()
    print(
        f"{name:12} at full speed: {paid}; {points} points read in {read:.2f} s, {read / points * 1e6:.1f} µs each; "
        f"then {idle * 1e6:.0f} µs a look"
    )


def alone(name: str, folder: Path) -> None:
    """Run the program as it is."""
    print(f"{name:12} alone:    {cost(start(name, folder, {}, STEPS, 0.02))}")


def main() -> None:
    """Measure each follower."""
    for name in FOLLOWERS:
        for measure in (alone, latency, backlog):
            with tempfile.TemporaryDirectory() as folder:
                measure(name, Path(folder))
                os.chdir("/")


if __name__ == "__main__":
    main()
