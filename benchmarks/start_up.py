"""What installed plugins cost at start-up: a study that names three, with twenty more installed, and with none.

    python benchmarks/start_up.py [--rounds 11]

Each side is a fresh interpreter that imports hyperhook and opens a study with the plugins ``random``, ``system`` and
``provenance``; what is printed is the time from before the import to the open study. The twenty are real distributions
on the path, each with an entry point to a module of its own, none of which may be imported. To reach: less than 50 ms
between the sides.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

CODE = """
import time; t = time.perf_counter()
import hyperhook as hh
study = hh.Study("s", plugins=["random", "system", "provenance"], home={home!r})
print(time.perf_counter() - t)
import sys; assert not [name for name in sys.modules if name.startswith("installed_")]
"""


def main() -> None:
    """Run the sides and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=11)
    rounds = arguments.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder) / "more", 20)
        sides = {"none beside": "", "twenty more installed": str(Path(folder) / "more")}
        taken: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(rounds + 1):
            for name, path in sides.items():
                environment = {**os.environ, "PYTHONPATH": path}
                command = [sys.executable, "-c", CODE.format(home=f"{folder}/home")]
                done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
                if number:  # the first round compiles
                    taken[name].append(1000 * float(done.stdout))
    print(f"{'milliseconds to an open study':<32}{'median':>8}{'least':>8}{'most':>8}")
    for name, samples in taken.items():
        print(f"{name:<32}{statistics.median(samples):8.0f}{min(samples):8.0f}{max(samples):8.0f}")
    without, with_ = taken.values()
    added = [more - less for less, more in zip(without, with_, strict=True)]
    print(f"{'added':<32}{statistics.median(added):8.0f}{min(added):8.0f}{max(added):8.0f}")


def install(folder: Path, count: int) -> None:
    """Make distributions with a plugin each, as pip would leave them."""
    for number in range(count):
        about = folder / f"installed_{number}-1.0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: installed-{number}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[hyperhook]\nextra-{number} = installed_{number}:Plugin\n")
        (folder / f"installed_{number}.py").write_text("import time\ntime.sleep(1)\nclass Plugin: ...\n")


if __name__ == "__main__":
    main()
