"""One training script, unchanged, wherever its trials run: the same study, each trial once, all trackers complete."""

from __future__ import annotations

import csv
import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import hyperhook as hh
from hyperhook.study import Study

ROOT = Path(__file__).parents[2]
TRIALS = 8
EPOCHS = 9
PLACES = ("here", "workers", "ray")

CLUSTER = """
import sys, runpy
from ray.cluster_utils import Cluster
small = {"object_store_memory": 80_000_000}
head = {"num_cpus": 1, "include_dashboard": False, "temp_dir": sys.argv[1] + "/r", **small}
cluster = Cluster(initialize_head=True, head_node_args=head)
cluster.add_node(num_cpus=1, **small)
sys.argv = [sys.argv[2], "--address", cluster.address, *sys.argv[3:]]
runpy.run_path(sys.argv[0], run_name="__main__")
cluster.shutdown()
"""


@pytest.fixture
def readers() -> ModuleType:
    """How each backend is read back."""
    spec = importlib.util.spec_from_file_location("readers", ROOT / "tests" / "adapters" / "readers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short name: paths of Ray's sockets may have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="h"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow on SQLAlchemy 2.1
@pytest.mark.parametrize(
    ("where", "trackers"),
    [
        ("workers", ["csv", "tensorboard"]),
        *(pytest.param(where, ["csv", "tensorboard", "mlflow"], marks=pytest.mark.slow) for where in PLACES),
    ],
)
def test_the_same_study_wherever_it_runs(where: str, trackers: list[str], short: Path, readers: ModuleType) -> None:
    script = str(ROOT / "examples" / "many_at_once.py")
    options = ["--trials", str(TRIALS), "--plugins", "random", "--trackers", *trackers]
    if where == "workers":
        options += ["--executor", "workers", "--workers", "4"]
    starter = ["-c", CLUSTER, str(short), script] if where == "ray" else [script]
    done = subprocess.run(
        [sys.executable, *starter, *options],
        env={**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16), "OMP_NUM_THREADS": "1"},
        cwd=short,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "send the rest later" not in done.stderr
    with Study("flowers", home=short / ".hyperhook") as made:
        trials = made.trials
    assert [(trial.number, trial.state) for trial in trials] == [(n, hh.TrialState.COMPLETE) for n in range(TRIALS)]
    names = {trial.name for trial in trials}
    backends = {"tensorboard": readers.read_tensorboard(short / "runs")}
    if "mlflow" in trackers:
        backends["mlflow"] = readers.read_mlflow(f"sqlite:///{short}/mlflow.db")
    assert readers.differences(backends) == []
    for runs in backends.values():
        assert [run.name for run in runs] == sorted(names)
        assert all(
            [(p.name, p.epoch) for p in run.points] == [("loss", epoch) for epoch in range(EPOCHS)] for run in runs
        )
    for trial in trials:
        with open(short / "csv" / "flowers" / f"{trial.name}.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [int(row["epoch"]) for row in rows] == list(range(EPOCHS))
        assert min(float(row["value"]) for row in rows) == trial.value
