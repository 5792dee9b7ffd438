"""The same trials, with failures on the way, are the same set of points in all three backends."""

from __future__ import annotations

import gc
import math
import sys
from collections import Counter
from pathlib import Path

import pytest

from hyperhook import TrialState
from hyperhook_adapters.mlflow import MLflow
from hyperhook_adapters.tensorboard import TensorBoard
from hyperhook_adapters.wandb import WandB

pytestmark = [
    pytest.mark.usefixtures("offline"),
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),  # MLflow on SQLAlchemy 2.1
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),  # W&B's own, at its teardown
]


@pytest.fixture
def places(tmp_path):
    return {
        "tensorboard": str(tmp_path / "runs"),
        "mlflow": f"sqlite:///{tmp_path}/mlflow.db",
        "wandb": str(tmp_path / "wandb-dir"),
    }


@pytest.fixture
def trackers(places):
    made = {
        "tensorboard": TensorBoard(places["tensorboard"]),
        "mlflow": MLflow(places["mlflow"]),
        "wandb": WandB(dir=places["wandb"]),
    }
    yield made
    for tracker in made.values():
        tracker.close()
    gc.collect()


def test_the_points_are_identical_in_all_three(
    places, trackers, forward, script, training, readers, monkeypatch, capsys
):
    scripts = [
        training(0).end(value=2 / 12, step=11, epoch=2),
        training(1, steps=30)
        .log({"größe ✓": 0.1, "a/b": 1e-30, "nan": math.nan, "inf": -math.inf}, 30, 7)
        .end(TrialState.PRUNED, value=2 / 28, step=27, epoch=6),
        script(2, params={"seed": 2**60, "none": None})
        .log({"loss": 1.0}, 5, 1)
        .log({"loss": 2.0}, 5, 2)
        .end(TrialState.FAILED, error="RuntimeError: no"),
        script(3).end(TrialState.KILLED),
    ]
    for tracker in trackers.values():
        forwarders = [forward(tracker, made) for made in scripts]
        for forwarder in forwarders:
            forwarder.send(1)
        for forwarder in forwarders[:2]:
            forwarder.send(9).send_without_flush(4).restart()
        for forwarder in forwarders:
            forwarder.send()
    found = {
        "tensorboard": readers.read_tensorboard(places["tensorboard"]),
        "mlflow": readers.read_mlflow(places["mlflow"]),
        "wandb": readers.read_wandb(places["wandb"]),
    }
    assert readers.differences(found) == []
    for made, run in zip(scripts, found["wandb"], strict=True):
        assert (run.params, run.points) == made.expected(readers)
        assert run.status == made.trial.state
    assert [run.native for run in found["tensorboard"]] == [
        f"STATUS_{word}" for word in ("SUCCESS", "SUCCESS", "FAILURE", "FAILURE")
    ]
    assert [run.native for run in found["mlflow"]] == ["FINISHED", "FINISHED", "FAILED", "KILLED"]
    assert [run.native for run in found["wandb"]] == ["exit 0", "exit 0", "exit 1", "exit 255"]
    arguments = [word for name, place in places.items() for word in (f"--{name}", place)]
    monkeypatch.setattr(sys, "argv", ["readers.py", *arguments])
    assert readers.main() == 0
    assert capsys.readouterr().out.splitlines()[-1] == "identical in tensorboard, mlflow, wandb"
    trackers["wandb"].close()
    for file in Path(places["wandb"]).rglob("*.wandb"):
        file.unlink()
        break
    assert readers.main() == 1


def test_the_comparison_sees_a_point_that_is_missing_doubled_or_different(readers):
    def run(*points):
        return [readers.Run("a-0", "a", {}, readers.points(points), "COMPLETE", None, "")]

    point = ("loss", 1, 0, 0.1)
    as_float32 = ("loss", 1, 0, readers.float32(0.1))
    assert readers.differences({"a": run(point), "b": run(as_float32)}) == []
    assert readers.differences({"a": run(point), "b": run()})
    assert readers.differences({"a": run(point), "b": run(point, point)})
    assert readers.differences({"a": run(point), "b": run(("loss", 1, 1, 0.1))})
    assert readers.differences({"a": run(point), "b": run(("loss", 2, 0, 0.1))})
    assert readers.differences({"a": run(point), "b": run(("loss", 1, 0, 0.2))})
    assert readers.differences({"a": run(point), "b": []})
    assert Counter(run(point, point)[0].points).total() == 2
