"""How long a fresh interpreter takes for ``import hyperhook``, beside ``import pluggy`` and ``import torch``.

    python benchmarks/import_time.py [--rounds 15]

The sides run interleaved, each in a process of its own; what is printed is the time of the import statement alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys

CODE = "import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"


def main() -> None:
    """Run the sides and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=15)
    rounds = arguments.parse_args().rounds
    modules = [name for name in ("pluggy", "hyperhook", "torch") if importlib.util.find_spec(name)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    taken: dict[str, list[float]] = {module: [] for module in modules}
    for round_ in range(rounds + 1):
        for module in modules:
            command = [sys.executable, "-c", CODE.format(module=module)]
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            if round_:  # the first round compiles
                taken[module].append(1000 * float(done.stdout))
    print(f"{'milliseconds of the import':<28}{'median':>8}{'least':>8}{'most':>8}")
    for module, samples in taken.items():
        print(f"{module:<28}{statistics.median(samples):8.0f}{min(samples):8.0f}{max(samples):8.0f}")


if __name__ == "__main__":
    main()
