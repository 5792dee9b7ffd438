"""Scripts that were never written for us, run by an agent: params arrive, metrics are read, and pruning works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hyperhook as hh

ROOT = Path(__file__).parents[2]

WANDB = """
import time, wandb
run = wandb.init(project="theirs", config={"x": -1.0, "net": {"width": 1}})
assert wandb.config["net"]["width"] == 8, dict(wandb.config)
x = wandb.config["x"]
for epoch in range(2 if x == 0 else 1000):
    wandb.log({"loss": x + 1 / (epoch + 1), "epoch": epoch})
    time.sleep(0.02)
run.finish()
"""

TENSORBOARD = """
import sys, time
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
x = float(sys.argv[1].removeprefix("--x="))
writer = EventFileWriter("runs", flush_secs=1)
for epoch in range(2 if x == 0 else 1000):
    value = Summary.Value(tag="loss", simple_value=x + 1 / (epoch + 1))
    writer.add_event(Event(wall_time=time.time(), step=epoch, summary=Summary(value=[value])))
    writer.flush()
    time.sleep(0.02)
writer.close()
"""

MLFLOW = """
import sys, time, mlflow
x = float(sys.argv[1].removeprefix("--x="))
with mlflow.start_run():
    for epoch in range(2 if x == 0 else 1000):
        mlflow.log_metric("loss", x + 1 / (epoch + 1), step=epoch)
        time.sleep(0.02)
"""

SWEEP = """
program: train.py
method: grid
metric: {name: loss}
run_cap: 2
parameters:
  x: {values: [0, 1]}
  net: {parameters: {width: {value: 8}}}
early_terminate: {type: hyperband, min_iter: 2, strict: true}
"""


@pytest.mark.parametrize(
    ("script", "library"),
    [
        (WANDB, "wandb"),
        pytest.param(TENSORBOARD, "tensorboard", marks=pytest.mark.slow),
        pytest.param(MLFLOW, "mlflow", marks=pytest.mark.slow),
    ],
    ids=["wandb", "tensorboard", "mlflow"],
)
def test_an_unmodified_script_is_tuned_and_pruned(tmp_path: Path, script: str, library: str) -> None:
    site = tmp_path / "site" / "published-1.0.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: published\nVersion: 1.0\n")
    lines = (ROOT / "pyproject.toml").read_text().partition('[project.entry-points."hyperhook.followers"]\n')[2]
    (site / "entry_points.txt").write_text("[hyperhook.followers]\n" + lines.partition("\n\n")[0].replace('"', ""))
    (tmp_path / "train.py").write_text(script)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    path = os.pathsep.join([str(site.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "HYPERHOOK_HOME": str(tmp_path / "home")}
    environment = {name: value for name, value in environment.items() if not name.startswith("WANDB_")}

    for words in (["sweep", "sweep.yaml"], ["agent", "sweep", "--quiet", "--grace-seconds", "10"]):
        done = subprocess.run(
            [sys.executable, "-m", "hyperhook", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=170,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    with hh.Study("sweep", home=tmp_path / "home") as study:
        first, second = study.trials
    assert (first.state, first.value, first.step) == ("COMPLETE", pytest.approx(0.5), 1)
    assert (second.state, second.params["x"]) == ("PRUNED", 1)
    assert second.value is not None
    assert 1 < second.value < 2
