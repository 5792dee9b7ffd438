"""How fast a journal is sent into each backend, and how that grows with its length.

    python benchmarks/replay.py [--most 1000000] [--tracker tensorboard]

A trial's journal of five metrics a step is written, then delivered as ``hyperhook sync`` does, into an empty backend.
The first row of a length reads the journal and sends it nowhere. To reach: seconds that grow with the points, memory
that does not. ``--most 10000000`` takes about an hour with MLflow, a quarter of that without.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import hyperhook as hh
from hyperhook.events import MetricsLogged
from hyperhook.forwarder import deliver
from hyperhook.home import Home
from hyperhook.journal import Journal, read
from hyperhook.workspace import Workspace
from hyperhook_adapters.csv import Csv
from hyperhook_adapters.mlflow import MLflow
from hyperhook_adapters.tensorboard import TensorBoard
from hyperhook_adapters.wandb import WandB

METRICS: dict[str, float | str] = {"loss": 0.31, "accuracy": 0.9023, "lr": 0.001, "grad_norm": 1.73, "rate": 1234.5}
MAKERS: dict[str, Callable[[Path], hh.Tracker]] = {
    "csv": lambda folder: Csv(folder / "csv"),
    "tensorboard": lambda folder: TensorBoard(folder / "runs"),
    "wandb": lambda folder: WandB(dir=folder, mode="offline"),
    "mlflow": lambda folder: MLflow(f"sqlite:///{folder}/mlflow.db"),
}


def main() -> None:
    """Send each length into each backend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--least", type=int, default=10_000)
    parser.add_argument("--most", type=int, default=1_000_000)
    parser.add_argument("--tracker", action="append", choices=MAKERS)
    options = parser.parse_args()
    print("| points | into | seconds | points/s | peak memory, MB |\n|---|---|---|---|---|", flush=True)
    points = options.least
    while points <= options.most:
        for name in ("nothing", *(options.tracker or MAKERS)):
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                seconds, memory = in_a_process(Path(folder), name, points)
            print(f"| {points:,} | {name} | {seconds:.2f} | {points / seconds:,.0f} | {memory:.0f} |", flush=True)
        points *= 10


def in_a_process(folder: Path, tracker: str, points: int) -> tuple[float, float]:
    """Write a journal and send it, in a fresh process, whose memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(write, (folder, points))
        seconds: float = pool.apply(send, (folder, tracker))
        return seconds, pool.apply(peak_memory)


def write(folder: Path, points: int) -> None:
    """Write the journal of a trial that ended."""
    study = hh.Study("replay", home=folder / "home")
    trial = study.ask()
    journal = Journal(folder / "home" / "trials" / trial.id / "journal.jsonl")
    for step in range(points // len(METRICS)):
        journal.append(MetricsLogged(time=1.7e9 + step * 0.01, metrics=METRICS, step=step, epoch=step // 1000))
    journal.close()
    study.tell(trial, state=hh.TrialState.COMPLETE)
    study.close()


def send(folder: Path, name: str) -> float:
    """Deliver it; return how many seconds that took."""
    workspace = Workspace(Home(folder / "home"))
    (trial,) = workspace.store.study("replay").trials
    if name == "nothing":
        began = time.perf_counter()
        for _ in read(workspace.journal_path(trial.id)):
            pass
        return time.perf_counter() - began
    tracker = MAKERS[name](folder)
    workspace.home.post("replay", name, trial.id)
    began = time.perf_counter()
    left = deliver(workspace, "replay", {name: tracker})
    seconds = time.perf_counter() - began
    if left:
        raise RuntimeError(f"{name}: not everything arrived: {left}")
    return seconds


def peak_memory() -> float:
    """Return the most memory that this process had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
