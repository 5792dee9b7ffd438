"""What one `Trial.log` of five scalars costs the caller, beside a bare write of the same line.

    python benchmarks/event_cost.py [--calls 20000] [--rounds 5]

Both sides run interleaved, in blocks. The reference encodes nothing: it writes a prepared line of the same length with
one unbuffered append, which is what no journal can do without.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import hyperhook as hh

METRICS = {"loss": 0.31415926, "accuracy": 0.9023, "lr": 0.001, "grad_norm": 1.7320508, "throughput": 1234.5}
BLOCK = 500


def main() -> None:
    """Run both sides and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--calls", type=int, default=20_000, help="calls of each side per round")
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, hh.Study("cost", home=folder) as study, study.trial() as trial:
        trial.log(METRICS, step=0)
        line = (Path(folder) / "trials" / trial.id / "journal.jsonl").read_bytes().splitlines(keepends=True)[-1]
        descriptor = os.open(Path(folder) / "bare", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        sides: dict[str, Callable[[int], object]] = {
            "Trial.log of 5 scalars": lambda step: trial.log(METRICS, step=step),
            "bare os.write of that line": lambda step: os.write(descriptor, line),
        }
        rounds: dict[str, list[list[float]]] = {name: [] for name in sides}
        for _ in range(options.rounds):
            taken = measure(sides, options.calls)
            for name, microseconds in taken.items():
                rounds[name].append(microseconds)
        os.close(descriptor)
    print(f"{'microseconds of the caller':<28}{'p50':>8}{'p95':>8}{'p99':>8}   p50 over the rounds")
    for name, samples in rounds.items():
        everything = sorted(value for sample in samples for value in sample)
        medians = [statistics.median(sample) for sample in samples]
        p50, p95, p99 = (everything[int(len(everything) * q)] for q in (0.50, 0.95, 0.99))
        print(f"{name:<28}{p50:8.1f}{p95:8.1f}{p99:8.1f}   {min(medians):.1f} to {max(medians):.1f}")


def measure(sides: dict[str, Callable[[int], object]], calls: int) -> dict[str, list[float]]:
    """Call both sides in turn, block by block; return the microseconds of each call."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for start in range(0, calls, BLOCK):
        for name, call in sides.items():
            for step in range(start, start + BLOCK):
                before = time.perf_counter_ns()
                call(step)
                taken[name].append((time.perf_counter_ns() - before) / 1000)
    return taken


if __name__ == "__main__":
    main()
