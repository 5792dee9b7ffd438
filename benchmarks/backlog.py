"""Memory of trainer and forwarder while points pile up behind a server that is dead.

    python benchmarks/backlog.py [--points 1000000]

A trial logs five metrics at a time, as fast as it can, to an MLflow server that nobody runs, and to a folder that takes
everything. The resident memory of both processes is read as it goes: to reach is that it stays flat.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import psutil

import hyperhook as hh
from hyperhook_adapters.csv import Csv
from hyperhook_adapters.mlflow import MLflow

METRICS = {"loss": 0.31415926, "accuracy": 0.9023, "lr": 0.001, "grad_norm": 1.7320508, "throughput": 1234.5}


def main() -> None:
    """Log, and print a row for each tenth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1_000_000)
    calls = parser.parse_args().points // len(METRICS)
    os.environ |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        trackers = [MLflow("http://127.0.0.1:9"), Csv(Path(folder) / "csv")]
        study = hh.Study("backlog", trackers=trackers, home=Path(folder) / "home", flush_timeout_seconds=0.0)
        trial = study.ask()
        written = Path(folder) / "csv" / "backlog" / "backlog-0.csv"
        print("| points logged | points in the CSV file | trainer, MB | forwarder, MB |\n|---|---|---|---|", flush=True)
        for tenth in range(10):
            for step in range(tenth * calls // 10, (tenth + 1) * calls // 10):
                trial.log(METRICS, step=step)
            wait_for_csv(written, (tenth + 1) * calls // 10 * len(METRICS))
            show((tenth + 1) * calls // 10 * len(METRICS), written)
        study.tell(trial)
        for child in psutil.Process().children(recursive=True):
            child.kill()  # it would go on for a minute


def wait_for_csv(file: Path, points: int, timeout_seconds: float = 120.0) -> None:
    """Wait until the tracker that lives has everything, so that the forwarder has read it all."""
    deadline = time.monotonic() + timeout_seconds
    while lines(file) < points + 1 and time.monotonic() < deadline:
        time.sleep(0.5)


def lines(file: Path) -> int:
    """Return how many lines a file has."""
    if not file.exists():
        return 0
    with open(file, "rb") as source:
        return sum(block.count(b"\n") for block in iter(lambda: source.read(1 << 20), b""))


def show(points: int, file: Path) -> None:
    """Print a row."""
    process = psutil.Process()
    forwarder = sum(child.memory_info().rss for child in process.children(recursive=True))
    print(
        f"| {points:,} | {lines(file) - 1:,} | {process.memory_info().rss / 2**20:.0f} | {forwarder / 2**20:.0f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
