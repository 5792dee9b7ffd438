"""DDP on the CPU, two processes: one trial, logged once, all ranks stopped together, with a real study."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook import TrialState
from hyperhook.events import MetricsLogged
from hyperhook.home import Home
from hyperhook.journal import read
from hyperhook.workspace import JOURNAL

SCRIPT = """
import os
import sys
import warnings

import lightning as L
import torch
from torch.utils.data import DataLoader, TensorDataset

import hyperhook as hh
from hyperhook_adapters.lightning import HyperhookCallback

warnings.simplefilter("ignore")


class Module(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, index):
        self.log("rank", float(self.global_rank), sync_dist=True, reduce_fx="sum")
        return self.layer(batch[0]).square().mean()

    def on_train_epoch_end(self):
        self.log("val", 1.0 / (1 + self.current_epoch), sync_dist=True)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-3)

    def train_dataloader(self):
        return DataLoader(TensorDataset(torch.arange(12.0).reshape(-1, 1)), batch_size=2)


class Impatient:
    @hh.hookimpl
    def should_stop(self, last):
        return last is not None and last.epoch >= 1


def train(trial):
    trainer = L.Trainer(
        accelerator="cpu", devices=2, strategy=sys.argv[1], max_epochs=8, callbacks=[HyperhookCallback(trial)],
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )
    trainer.fit(Module())
    with open("ended", "a") as file:
        file.write(f"{trial.emits} {trainer.current_epoch} {trial.params['x']}\\n")


if __name__ == "__main__":
    study = hh.Study("ddp", {"x": hh.Float(0, 1)}, hh.Minimize("val"), plugins=[Impatient()], seed=1)
    study.run(train, trials=1, progress=False)
"""


@pytest.mark.parametrize("strategy", ["ddp_fork", "ddp_spawn", "ddp"])
def test_one_trial_logged_once_and_stopped_on_all_ranks(tmp_path: Path, strategy: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script), strategy],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    study = hh.Study("ddp", home=tmp_path / ".hyperhook", space={"x": hh.Float(0, 1)}, objective=hh.Minimize("val"))
    (trial,) = study.trials
    assert (trial.state, trial.step, trial.epoch) == (TrialState.PRUNED, 8, 2)
    assert trial.value == pytest.approx(1 / 3)
    events = [event for event, _ in read(Home(tmp_path / ".hyperhook").trial(trial.id) / JOURNAL)]
    points = [
        (name, event.step, value)
        for event in events
        if isinstance(event, MetricsLogged)
        for name, value in event.values().items()
    ]
    assert [point for point in points if point[0] == "rank"] == [("rank", step, 1.0) for step in range(9)]
    assert [point for point in points if point[0] == "val"] == [
        ("val", 2, 1.0),
        ("val", 5, 0.5),
        ("val", 8, pytest.approx(1 / 3)),
    ]
    ranks = (tmp_path / "ended").read_text().splitlines()
    assert len(ranks) == (2 if strategy == "ddp" else 1)
    assert len({rank.split()[2] for rank in ranks}) == 1


ALONE = """
import warnings

import lightning as L
from lightning.pytorch.demos.boring_classes import BoringModel

from hyperhook_adapters.lightning import HyperhookCallback

warnings.simplefilter("ignore")


class Failing(BoringModel):
    def training_step(self, batch, index):
        self.log("index", float(index))
        if index == 2:
            raise ValueError("bad batch")
        return super().training_step(batch, index)


trainer = L.Trainer(
    accelerator="cpu", devices=2, strategy="ddp_fork", max_epochs=1, callbacks=[HyperhookCallback()], logger=False,
    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
)
trainer.fit(Failing())
"""


def test_a_run_of_its_own_fails_with_the_rank_that_it_lives_in(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert "ValueError: bad batch" in done.stderr
    (trial,) = hh.Study("runs", home=tmp_path / ".hyperhook").trials
    assert (trial.state, trial.error) == (TrialState.FAILED, "ValueError: bad batch")


def test_a_pruner_that_raises_fails_the_trial_and_no_rank_waits_for_another(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    asked = "return last is not None and last.epoch >= 1"
    assert asked in SCRIPT
    script.write_text(SCRIPT.replace(asked, "raise RuntimeError('pruner broke')"))
    done = subprocess.run(
        [sys.executable, str(script), "ddp_fork"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert "pruner broke" in done.stderr
    (trial,) = hh.Study("ddp", home=tmp_path / ".hyperhook").trials
    assert trial.state is TrialState.FAILED
