"""Files, images, figures, tables, texts, tags and notes, as each backend shows them; and trials that are resumed."""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

import hyperhook as hh
from hyperhook_adapters.csv import Csv
from hyperhook_adapters.mlflow import MLflow
from hyperhook_adapters.tensorboard import NOTE, TAGS, TensorBoard
from hyperhook_adapters.wandb import WandB

pytestmark = [
    pytest.mark.usefixtures("offline"),
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),  # MLflow on SQLAlchemy 2.1
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),  # W&B's own, at its teardown
]


@pytest.fixture(autouse=True)
def swept() -> Iterator[None]:
    yield
    gc.collect()


def rich(trial: hh.Trial, folder: Path) -> None:
    """Log one of everything."""
    weights = folder / "epoch=0.ckpt"
    weights.write_bytes(b"first")
    trial.log({"loss": 1.0}, step=0, epoch=0)
    trial.log_tags({"team": "vision", "hyperhook.state": "mine"})
    trial.log_tags({"team": "speech"})
    trial.log_note("A *note*.")
    trial.log_image("samples", np.zeros((4, 6, 3)), step=3)
    trial.log_image("samples", np.ones((4, 6, 3)), step=7)
    trial.log_figure("plot", go.Figure(go.Scatter(y=[1, 2])))
    trial.log_table("results", {"a": [1, 2], "b": ["x", "y"]}, step=7)
    trial.log_text("größe/sample", "<b>bold</b>", step=7)
    trial.log_artifact(weights, kind="checkpoint", step=0, score=0.5, aliases=["best", "last"])
    weights.unlink()
    better = folder / "epoch=1.ckpt"
    better.write_bytes(b"second")
    trial.log_artifact(better, kind="checkpoint", step=9, score=0.25, aliases=["best", "last"])
    trial.remove_artifact("epoch=0.ckpt", kind="checkpoint")
    (folder / "data").mkdir()
    (folder / "data" / "a.txt").write_text("a")
    trial.log_artifact(folder / "data", name="data")
    trial.log({"loss": 0.5}, step=9, epoch=1)


def run(tracker: hh.Tracker, tmp_path: Path) -> hh.TrialRecord:
    objective = hh.Minimize("loss")
    with hh.Study("s", objective=objective, trackers=[tracker], home=tmp_path / "home", delivery="inline") as study:
        with study.trial() as trial:
            rich(trial, tmp_path)
    return trial.record


def test_mlflow(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(uri)
    client.create_experiment("s", artifact_location=str(tmp_path / "store"))
    record = run(MLflow(uri), tmp_path)
    (found,) = client.search_runs(["1"], f"tags.`hyperhook.trial_id` = '{record.id}'")
    tags = found.data.tags
    assert (tags["team"], tags["tag.hyperhook.state"], tags["hyperhook.state"]) == ("speech", "mine", "COMPLETE")
    assert tags["mlflow.note.content"] == "A *note*."
    assert tags["hyperhook.alias.best"] == tags["hyperhook.alias.last"] == "epoch=1.ckpt"
    checkpoints = {name: json.loads(value) for name, value in tags.items() if ".checkpoint." in name}
    assert checkpoints == {
        "hyperhook.checkpoint.epoch_0x3d_1.ckpt": {
            "artifact": "checkpoints/epoch=1.ckpt",
            "step": 9,
            "score": 0.25,
        }
    }
    root = Path(found.info.artifact_uri.removeprefix("file://"))
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()) == [
        "checkpoints/epoch=1.ckpt",
        "figures/plot.html",
        "files/data/a.txt",
        "images/samples/00000003.png",
        "images/samples/00000007.png",
        "tables/results/00000007.json",
        "texts/gr~C3~B6~C3~9Fe/sample/00000007.txt",
    ]
    assert (root / "checkpoints/epoch=1.ckpt").read_bytes() == b"second"
    (parent,) = client.search_runs(["1"], "tags.`hyperhook.kind` = 'study'")
    assert (parent.info.run_name, parent.info.status) == ("s", "FINISHED")
    assert tags["mlflow.parentRunId"] == parent.info.run_id


def test_tensorboard(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with caplog.at_level(logging.WARNING):
        run(TensorBoard(tmp_path / "runs"), tmp_path)
    events = EventAccumulator(str(tmp_path / "runs" / "s" / "s-0"), size_guidance={"images": 0, "tensors": 0}).Reload()
    assert [(image.step, image.width, image.height) for image in events.Images("samples")] == [(3, 6, 4), (7, 6, 4)]
    assert events.Images("samples")[0].encoded_image_string.startswith(b"\x89PNG")

    def text(tag: str) -> list[tuple[int, str]]:
        return [(e.step, e.tensor_proto.string_val[0].decode()) for e in events.Tensors(tag)]

    assert text("größe/sample") == [(7, "<b>bold</b>")]
    assert text(NOTE) == [(0, "A *note*.")]
    assert text(TAGS)[-1] == (0, "- **team**: speech")
    assert sorted(record.args for record in caplog.records) == [("figure (.html)",), ("file",), ("table",)]  # type: ignore[type-var]


def test_wandb(tmp_path: Path, readers: ModuleType) -> None:
    record = run(WandB(dir=tmp_path / "w"), tmp_path)
    (file,) = (tmp_path / "w").rglob("run-*.wandb")
    rows: list[dict[str, Any]] = []
    models = []
    for found in readers.wandb_records(file):
        if found.HasField("run"):
            head = found.run
        elif found.HasField("history"):
            rows.append({tuple(item.nested_key): json.loads(item.value_json) for item in found.history.item})
        elif found.HasField("artifact"):
            models.append(found.artifact)
    assert (head.run_group, head.job_type, head.notes) == ("s", "trial", "A *note*.")
    assert set(head.tags) == {"team: speech", "hyperhook.state: mine"}
    shown = [
        (name, value, row[("trainer/global_step",)])
        for row in rows
        for (name, *rest), value in row.items()
        if rest == ["_type"]
    ]
    assert shown == [
        ("samples", "image-file", 3),
        ("samples", "image-file", 7),
        ("plot", "html-file", 7),
        ("results", "table-file", 7),
        ("größe/sample", "html-file", 7),
    ]
    ours = [model for model in models if model.type == "model"]
    assert [(model.name, sorted(model.aliases)) for model in ours] == [
        (f"trial-{record.id}", ["best", "epoch=1.ckpt", "last", "latest"])
    ]
    files = file.parent / "files"
    assert (files / "files" / "data" / "a.txt").read_text() == "a"
    assert "&lt;b&gt;bold" in next(files.glob("media/html/größe/*.html")).read_text()


def test_csv(tmp_path: Path) -> None:
    import pandas as pd

    run(Csv(tmp_path / "csv"), tmp_path)
    (row,) = pd.read_csv(tmp_path / "csv" / "s" / "trials.csv").to_dict("records")
    assert (row["tag.team"], row["tag.hyperhook.state"], row["note"]) == ("speech", "mine", "A *note*.")


@pytest.mark.parametrize("kind", ["tensorboard", "mlflow", "wandb", "csv"])
def test_a_resumed_trial_is_one_run_with_every_point_once(tmp_path: Path, readers: ModuleType, kind: str) -> None:
    places = {
        "tensorboard": str(tmp_path / "runs"),
        "mlflow": f"sqlite:///{tmp_path}/mlflow.db",
        "wandb": str(tmp_path),
    }

    def make() -> hh.Tracker:
        match kind:
            case "tensorboard":
                return TensorBoard(places[kind])
            case "mlflow":
                return MLflow(places[kind])
            case "wandb":
                return WandB(dir=places[kind])
            case _:
                return Csv(tmp_path / "csv")

    def open_study() -> hh.Study:
        objective = hh.Minimize("loss")
        return hh.Study("s", objective=objective, trackers=[make()], home=tmp_path / "home", delivery="inline")

    with open_study() as study:
        trial = study.ask()
        for step in range(6):
            trial.log({"loss": 1.0 / (1 + step)}, step=step, epoch=0)
        study.tell(trial, state=hh.TrialState.FAILED, error="power cut")
    with open_study() as study, study.trial(resume=0) as trial:
        for step in range(4, 9):
            trial.log({"loss": 1.0 / (1 + step)}, step=step, epoch=step // 6)
    if kind == "csv":
        import pandas as pd

        points = pd.read_csv(tmp_path / "csv" / "s" / "s-0.csv")
        assert list(points["step"]) == list(range(9))
        assert list(pd.read_csv(tmp_path / "csv" / "s" / "trials.csv")["state"]) == ["COMPLETE"]
        return
    runs = getattr(readers, f"read_{kind}")(places[kind])
    assert {run.name for run in runs} == {"s-0"}
    assert sorted(point.step for run in runs for point in run.points) == list(range(9))
    assert runs[-1].status == "COMPLETE"
    assert runs[-1].value == pytest.approx(1 / 9)
    assert runs[-1].native in ("STATUS_SUCCESS", "FINISHED", "exit 0")
