"""The main job, whole: a Lightning fit, the forwarder, three trackers, each read back by its own reader."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import hyperhook as hh
from hyperhook.events import MetricsLogged
from hyperhook.home import Home
from hyperhook.journal import read
from hyperhook.workspace import JOURNAL

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "lightning_digits.py"

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.timeout(400),
]

FIT = """
import warnings

import lightning as L
import torch
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger

from hyperhook_adapters.lightning import HyperhookCallback
from lightning_digits import DigitsData, LitDigits

warnings.simplefilter("ignore")


class Scheduled(LitDigits):
    def configure_optimizers(self):
        adam = torch.optim.Adam(self.parameters(), self.hparams.lr)
        return [adam], [{"scheduler": torch.optim.lr_scheduler.ExponentialLR(adam, 0.9), "interval": "step"}]


trainer = L.Trainer(
    max_epochs=2, logger=CSVLogger("csv"), enable_progress_bar=False, enable_model_summary=False,
    callbacks=[HyperhookCallback(study="one", trackers=["tensorboard", "mlflow", "wandb"]), LearningRateMonitor()],
)
trainer.fit(Scheduled(0.01, 16, "relu"), DigitsData())
"""


def run(folder: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(DEMO.parent), "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}
    for name in ("HYPERHOOK_HOME", "MLFLOW_TRACKING_URI", "WANDB_API_KEY", "WANDB_DIR"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def backends(readers: ModuleType, folder: Path) -> dict[str, list[Any]]:
    return {
        "tensorboard": readers.read_tensorboard(folder / "runs"),
        "mlflow": readers.read_mlflow(f"sqlite:///{folder / 'mlflow.db'}"),
        "wandb": readers.read_wandb(folder),
    }


def journalled(folder: Path, trial: hh.TrialRecord) -> list[tuple[str, int, int | None, float]]:
    events = (event for event, _ in read(Home(folder / ".hyperhook").trial(trial.id) / JOURNAL))
    return [
        (name, event.step, event.epoch, value)
        for event in events
        if isinstance(event, MetricsLogged)
        for name, value in event.values().items()
    ]


def test_one_fit_is_the_same_in_every_backend(tmp_path: Path, readers: ModuleType) -> None:
    run(tmp_path, "-c", FIT)
    found = backends(readers, tmp_path)
    assert readers.differences(found) == []
    (trial,) = hh.Study("one", home=tmp_path / ".hyperhook").trials
    wanted = sorted(journalled(tmp_path, trial))
    (in_mlflow,), (in_wandb,) = found["mlflow"], found["wandb"]
    assert sorted(map(tuple, in_mlflow.points)) == wanted
    assert sorted(map(tuple, in_wandb.points)) == wanted
    assert {name for name, *_ in wanted} == {"train_loss", "train_acc", "val_loss", "val_acc", "lr-Adam"}
    assert len([point for point in wanted if point[0] == "lr-Adam"]) == 18
    assert len(wanted) == len(set(wanted)) == 18 * 3 + 2 * 2
    assert in_mlflow.params == {"lr": "0.01", "width": "16.0", "activation": "relu"}
    assert in_wandb.status == "COMPLETE"


def test_the_demo_is_the_same_in_every_backend_and_goes_on(tmp_path: Path, readers: ModuleType) -> None:
    shown = run(tmp_path, str(DEMO), "--trials", "3", "--epochs", "2")
    assert "The best of 3 trials" in shown
    assert "tensorboard --logdir runs/digits" in shown
    run(tmp_path, str(DEMO), "--trials", "4", "--epochs", "2")
    found = backends(readers, tmp_path)
    assert readers.differences(found) == []
    study = found["mlflow"]
    assert [trial.name for trial in study] == [f"digits-{number}" for number in range(4)]
    assert {trial.status for trial in study} == {"COMPLETE"}
    assert {len(trial.points) for trial in study} == {2 * 9 * 2 + 2 * 2 + 2}


def test_two_words_swap_the_search_and_the_tracker(tmp_path: Path, readers: ModuleType) -> None:
    options = ["--trials", "2", "--epochs", "1", "--plugins", "random", "--trackers", "tensorboard"]
    shown = run(tmp_path, str(DEMO), *options)
    assert "tensorboard --logdir" in shown
    assert "mlflow" not in shown
    assert [trial.status for trial in readers.read_tensorboard(tmp_path / "runs")] == ["COMPLETE"] * 2
    assert not (tmp_path / "mlflow.db").exists()
    assert not (tmp_path / "wandb").exists()
