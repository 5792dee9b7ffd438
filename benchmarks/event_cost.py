"""What one call that logs five scalars costs the caller: `Trial.log`, a bare write, and what the trackers offer.

    python benchmarks/event_cost.py [--calls 10000] [--rounds 5] [--alone]

All sides run interleaved, in blocks. The bare write encodes nothing: it writes a prepared line of the same length with
one unbuffered append, which is what no journal can do without. The trackers' own calls are made as users make them in
a bare loop: ``SummaryWriter.add_scalar`` five times, ``wandb.Run.log`` offline, ``mlflow.log_metrics`` into SQLite,
as it is and with ``synchronous=False``. MLflow's blocks are fifty times shorter, since its calls are that slow.
The libraries have threads in this process, which wake in between and hold up whoever runs: with ``--alone`` only the
first two sides run, and the tail is their own.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hyperhook as hh

Call = Callable[[int], object]

METRICS = {"loss": 0.31415926, "accuracy": 0.9023, "lr": 0.001, "grad_norm": 1.7320508, "throughput": 1234.5}
BLOCK, SLOW_BLOCK = 500, 10


def main() -> None:
    """Run all sides and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--calls", type=int, default=10_000, help="calls of each side per round")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--alone", action="store_true", help="without the trackers' libraries")
    options = arguments.parse_args()
    opened = ours if options.alone else all_sides
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, opened(Path(folder)) as sides:
        rounds: dict[str, list[list[float]]] = {name: [] for name in sides}
        for number in range(options.rounds):
            for name, microseconds in measure(sides, number * options.calls, options.calls).items():
                rounds[name].append(microseconds)
    print(f"{'microseconds of the caller':<36}{'p50':>9}{'p95':>9}{'p99':>9}   p50 over the rounds")
    for name, samples in rounds.items():
        everything = sorted(value for sample in samples for value in sample)
        medians = [statistics.median(sample) for sample in samples]
        p50, p95, p99 = (everything[int(len(everything) * q)] for q in (0.50, 0.95, 0.99))
        print(f"{name:<36}{p50:9.1f}{p95:9.1f}{p99:9.1f}   {min(medians):.1f} to {max(medians):.1f}")


@contextmanager
def ours(folder: Path) -> Iterator[dict[str, Call]]:
    """Open a trial, and a file for the bare write; yield what each calls with a step."""
    with hh.Study("cost", home=folder / "home") as study, study.trial() as trial:
        trial.log(METRICS, step=0)
        line = (folder / "home" / "trials" / trial.id / "journal.jsonl").read_bytes().splitlines(keepends=True)[-1]
        descriptor = os.open(folder / "bare", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        yield {
            "Trial.log": lambda step: trial.log(METRICS, step=step),
            "bare os.write of that line": lambda step: os.write(descriptor, line),
        }
        os.close(descriptor)


@contextmanager
def all_sides(folder: Path) -> Iterator[dict[str, Call]]:
    """Open all sides; yield what each calls with a step."""
    import mlflow
    import wandb
    from torch.utils.tensorboard import SummaryWriter

    warnings.filterwarnings("ignore")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    writer = SummaryWriter(str(folder / "runs"))

    def add_scalars(step: int) -> None:
        for name, value in METRICS.items():
            writer.add_scalar(name, value, step)

    with ours(folder) as sides, mlflow.start_run():
        run = wandb.init(mode="offline", dir=folder, settings=wandb.Settings(silent=True))
        yield {
            **sides,
            "SummaryWriter.add_scalar, 5 times": add_scalars,
            "wandb.Run.log, offline": lambda step: run.log(METRICS, step=step),
            "mlflow.log_metrics, SQLite": lambda step: mlflow.log_metrics(METRICS, step=step),
            "… with synchronous=False": lambda step: mlflow.log_metrics(METRICS, step=step, synchronous=False),
        }
        mlflow.flush_async_logging()
        run.finish()
        writer.close()


def measure(sides: dict[str, Call], first: int, calls: int) -> dict[str, list[float]]:
    """Call all sides in turn, block by block; return the microseconds of each call."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for start in range(first, first + calls, BLOCK):
        for name, call in sides.items():
            for step in range(start, start + (SLOW_BLOCK if "mlflow" in name or "synchronous" in name else BLOCK)):
                before = time.perf_counter_ns()
                call(step)
                taken[name].append((time.perf_counter_ns() - before) / 1000)
    return taken


if __name__ == "__main__":
    main()
