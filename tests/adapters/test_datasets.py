"""Datasets, and what is known of a checkpoint, as each backend shows them."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import hyperhook as hh
from hyperhook_adapters.csv import Csv
from hyperhook_adapters.tensorboard import DATASETS, TensorBoard
from hyperhook_adapters.wandb import WandB

pytestmark = [
    pytest.mark.usefixtures("offline"),
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),  # W&B's own, at its teardown
]


@pytest.fixture(autouse=True)
def swept() -> Iterator[None]:
    yield
    gc.collect()


def run(tracker: hh.Tracker, tmp_path: Path) -> None:
    """Log datasets, one of them again and one of them anew, in a trial that is resumed."""
    home, weights = tmp_path / "home", tmp_path / "w.ckpt"
    weights.write_bytes(b"weights")
    with hh.Study("s", trackers=[tracker], home=home, delivery="inline") as study:
        with study.trial() as trial:
            trial.log_dataset("digits", digest="5d41", source="s3://data", profile={"rows": 8, "batch_size": 2})
            trial.log_dataset("digits", context="validation")
            trial.log_artifact(weights, kind="checkpoint", step=3, metadata={"signature": "{}", "step": "mine"})
        with study.trial(resume=0) as trial:
            trial.log_dataset("digits", context="validation", profile={"rows": 4})
            trial.log_dataset("digits", digest="5d41", source="s3://data", profile={"rows": 8, "batch_size": 2})
            trial.log_dataset("größe/more")


def test_tensorboard_shows_texts(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(TensorBoard(tmp_path / "runs"), tmp_path)
    events = EventAccumulator(str(tmp_path / "runs" / "s" / "s-0"), size_guidance={"tensors": 0}).Reload()

    def texts(tag: str) -> list[str]:
        return [event.tensor_proto.string_val[0].decode() for event in events.Tensors(f"{DATASETS}/{tag}")]

    assert texts("training/digits") == [
        "- **digest**: 5d41\n- **source**: s3://data\n- **rows**: 8\n- **batch_size**: 2"
    ]
    assert texts("validation/digits")[-1] == "- **rows**: 4"
    assert texts("training/größe/more") == [""]


def test_wandb_has_them_in_the_config_and_metadata_with_the_model(tmp_path: Path, readers: ModuleType) -> None:
    run(WandB(dir=tmp_path / "w"), tmp_path)
    config: dict[str, Any] = {}
    models = []
    for file in sorted((tmp_path / "w").rglob("run-*.wandb"), key=lambda file: file.stat().st_mtime_ns):
        for found in readers.wandb_records(file):
            if found.HasField("config"):
                for item in found.config.update:
                    config[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
            elif found.HasField("artifact") and found.artifact.type == "model":
                models.append(found.artifact)
    assert config["hyperhook/datasets"] == {
        "training": {
            "digits": {"digest": "5d41", "source": "s3://data", "profile": {"rows": 8, "batch_size": 2}},
            "größe/more": {"digest": None, "source": None, "profile": {}},
        },
        "validation": {"digits": {"digest": None, "source": None, "profile": {"rows": 4}}},
    }
    assert [json.loads(model.metadata) for model in models] == [{"signature": "{}", "step": 3, "score": None}]


def test_csv_has_a_column_for_each_context(tmp_path: Path) -> None:
    import pandas as pd

    run(Csv(tmp_path / "csv"), tmp_path)
    (row,) = pd.read_csv(tmp_path / "csv" / "s" / "trials.csv").to_dict("records")
    assert json.loads(row["dataset.training"]) == [
        {"name": "digits", "digest": "5d41", "source": "s3://data", "profile": {"rows": 8, "batch_size": 2}},
        {"name": "größe/more", "digest": None, "source": None, "profile": {}},
    ]
    assert json.loads(row["dataset.validation"]) == [
        {"name": "digits", "digest": None, "source": None, "profile": {"rows": 4}}
    ]
