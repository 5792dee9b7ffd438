"""A script that only logs to MLflow."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from hyperhook import TrialRecord
from hyperhook_adapters.followers.mlflow import MLflowFollower

RECORD = TrialRecord("trial-7", 7, "s", {})

SCRIPT = """
import math, sys
import mlflow

mlflow.log_param("lr", 3)
for epoch in range(3):
    mlflow.log_metrics({"loss": 1 / (1 + epoch), "epoch": epoch}, step=epoch * 10)
    mlflow.log_metric("never stepped", epoch)
with mlflow.start_run(run_name="fold 1", nested=True):
    mlflow.log_metric("loss", 9.0, step=4)
mlflow.log_metrics({"val/größe.x": math.nan, "inf": -math.inf}, step=30)
mlflow.log_metric("below", 1.0, step=-5)
mlflow.end_run()
mlflow.set_experiment("another")
with mlflow.start_run():
    mlflow.log_metric("loss", 7.0, step=1)

import sklearn.linear_model
mlflow.sklearn.autolog(log_models=False, log_datasets=False)
sklearn.linear_model.LinearRegression().fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])
sys.exit(4)
"""


def test_an_unmodified_script(follow: Callable[..., Any]) -> None:
    done = follow(MLflowFollower(), SCRIPT, {"lr": 0.5, "a@b/": "x" * 9000, "deep": {"er": 1}})
    assert done.code == 4, done.output
    assert not (done.folder / "the work" / "mlruns").exists()
    assert not list((done.folder / "the work").glob("*.db"))
    found: dict[str, list[tuple[int, float]]] = {}
    for reading in done.readings:
        for metric, value in reading.metrics.items():
            found.setdefault(metric, []).append((reading.step, value))
    rough = found.pop("val/größe.x")
    assert rough[0][0] == 30
    assert math.isnan(rough[0][1])
    fitted = found.pop("training_score")
    assert fitted == [(0, 1.0)]
    assert {name: points for name, points in found.items() if not name.startswith("training_")} == {
        "loss": [(0, 1.0), (10, 0.5), (20, 1 / 3), (1, 7.0)],
        "never stepped": [(0, 0.0), (1, 1.0), (2, 2.0)],
        "fold 1/loss": [(4, 9.0)],
        "inf": [(30, -math.inf)],
        "below": [(0, 1.0)],
    }
    epochs = [(row.step, row.epoch) for row in done.readings if "loss" in row.metrics and row.epoch is not None]
    assert epochs == [(0, 0), (10, 1), (20, 2)]
    tags = {path.name: path.read_text() for path in done.folder.glob("a trial/mlruns/*/*/tags/hyperhook.*")}
    assert tags["hyperhook.trial"] == "trial-7"
    assert tags["hyperhook.study"] == "the study"
    assert tags["hyperhook.param.lr"] == "0.5"
    assert len(tags) == 5


def folder_of(follower: MLflowFollower, tmp_path: Path) -> Path:
    return Path(unquote(urlsplit(follower.environment(tmp_path, {}, "s", RECORD)["MLFLOW_TRACKING_URI"]).path))


def test_a_run_that_goes_on_is_read_from_there(tmp_path: Path) -> None:
    first = MLflowFollower()
    metrics = folder_of(first, tmp_path) / "1" / "run" / "metrics"
    metrics.mkdir(parents=True)
    (metrics / "loss").write_text("1700000000000 1.0 0\n1700000000001 0.5 1\n")
    assert [reading.step for reading in first.read()] == [0, 1]
    second = MLflowFollower()
    folder_of(second, tmp_path)
    with open(metrics / "loss", "a") as file:
        file.write("1700000000002 0.25 2 dataset digest\n1700000000003 0.1")
        file.flush()
        assert [(reading.metrics, reading.time) for reading in second.read()] == [({"loss": 0.25}, 1700000000.002)]
        file.write("25 3\nno such line\n1700000000004 nan 4\n")
    assert [reading.step for reading in second.read()] == [3, 4]
    assert "mlflow" in sys.modules or list(second.read()) == []


def test_metrics_that_were_logged_together_are_one_reading(tmp_path: Path) -> None:
    follower = MLflowFollower()
    metrics = folder_of(follower, tmp_path) / "1" / "run" / "metrics"
    (metrics / "val").mkdir(parents=True)
    (metrics / "loss").write_text("1700000000000 1.0 5\n1700000000001 0.5 6\n")
    (metrics / "val" / "acc").write_text("1700000000000 0.1 5\n1700000000001 0.2 6\n")
    (metrics / "epoch").write_text("1700000000000 2.0 5\n1700000000001 3 6\n")
    found = [(reading.metrics, reading.step, reading.epoch) for reading in follower.read()]
    assert found == [({"loss": 1.0, "val/acc": 0.1}, 5, 2), ({"loss": 0.5, "val/acc": 0.2}, 6, 3)]
    follower.close()
    assert list(follower.read()) == []
