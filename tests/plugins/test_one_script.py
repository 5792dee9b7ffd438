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
import yaml

import hyperhook as hh
from hyperhook.study import Study

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
TRIALS = 8
EPOCHS = 9
AGENTS = 4
PLACES = ("here", "workers", "ray", "agents on sqlite", "agents on postgresql")
SPACE = {"lr": hh.Float(1e-4, 1.0, log=True), "weight_decay": hh.Float(1e-6, 1e-1, log=True)}

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


def environment(**variables: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", **variables}


def run_script(where: str, trackers: list[str], folder: Path) -> None:
    """Run the script as a user does, in this process or with an executor."""
    script = str(EXAMPLES / "many_at_once.py")
    options = ["--trials", str(TRIALS), "--plugins", "random", "--trackers", *trackers]
    if where == "workers":
        options += ["--executor", "workers", "--workers", "4"]
    starter = ["-c", CLUSTER, str(folder), script] if where == "ray" else [script]
    done = subprocess.run(
        [sys.executable, *starter, *options],
        env=environment(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(16)),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "send the rest later" not in done.stderr


def run_agents(trackers: list[str], folder: Path, storage: str) -> None:
    """Let agents run the same script; on a PostgreSQL each has a home of its own, as on a machine of its own."""
    sweep = yaml.safe_load((EXAMPLES / "many_at_once.yaml").read_text())
    del sweep["early_terminate"]
    sweep |= {"program": str(EXAMPLES / sweep["program"]), "run_cap": TRIALS, "trackers": trackers}
    (folder / "flowers.yaml").write_text(yaml.safe_dump(sweep))
    homes = [folder / (f"home-{n}" if "postgresql" in storage else ".hyperhook") for n in range(AGENTS)]

    def start(home: Path, *words: str) -> subprocess.Popen[str]:
        with open(folder / "said", "a") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "hyperhook", *words],
                env=environment(HYPERHOOK_HOME=str(home), HYPERHOOK_STORAGE=storage),
                cwd=folder,
                stdout=said,
                stderr=said,
                text=True,
            )

    assert start(homes[0], "sweep", "flowers.yaml").wait(60) == 0, (folder / "said").read_text()
    crew = [start(home, "agent", "flowers") for home in homes]
    try:
        codes = [agent.wait(250) for agent in crew]
    finally:
        for agent in crew:
            agent.kill()
            agent.wait()
    said = (folder / "said").read_text()
    assert codes == [0] * AGENTS, said
    assert "send the rest later" not in said


@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow on SQLAlchemy 2.1
@pytest.mark.parametrize(
    ("where", "trackers"),
    [
        ("workers", ["csv", "tensorboard"]),
        ("agents on postgresql", ["csv", "tensorboard"]),
        *(pytest.param(where, ["csv", "tensorboard", "mlflow"], marks=pytest.mark.slow) for where in PLACES),
    ],
)
def test_the_same_study_wherever_it_runs(
    where: str, trackers: list[str], short: Path, readers: ModuleType, request: pytest.FixtureRequest
) -> None:
    storage = f"sqlite:///{short}/.hyperhook/hyperhook.db"
    if where == "agents on postgresql":
        storage = request.getfixturevalue("postgres").database()
    if where.startswith("agents"):
        run_agents(trackers, short, storage)
    else:
        run_script(where, trackers, short)
    with Study("flowers", home=short / ".hyperhook", storage=storage) as made:
        trials = made.trials
        assert dict(made.space) == SPACE
        assert made.objective == hh.Minimize("loss")
    started = [path.name for path in short.glob("*/trials/*")]
    assert sorted(started) == sorted(trial.id for trial in trials)
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
