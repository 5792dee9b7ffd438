"""What define-by-run trials ask for, and what their repeats log, at steps that go back, is the same in two trackers."""

from __future__ import annotations

import gc
from pathlib import Path
from types import ModuleType

import pytest

import hyperhook as hh
from hyperhook_adapters.tensorboard import TensorBoard
from hyperhook_adapters.wandb import WandB

pytestmark = [
    pytest.mark.usefixtures("offline"),
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),  # W&B's own, at its teardown
]


def train(trial: hh.Trial) -> None:
    deep = trial.suggest_categorical("deep", [True, False])
    lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    trial.set_user_attr("who", "me")
    for step in range(3):
        trial.log({"loss": lr + step + trial.repeat + deep}, step=10 * step + 10, epoch=step)


def test_repeats_and_params_asked_for_are_the_same_in_both(tmp_path: Path, readers: ModuleType) -> None:
    study = hh.Study(
        "repeated",
        objective=hh.Minimize("loss"),
        trackers=[TensorBoard(str(tmp_path / "runs")), WandB(dir=str(tmp_path / "wandb-dir"))],
        home=tmp_path / "home",
        delivery="inline",
        seed=0,
    )
    with study:
        study.run(train, trials=2, repeats=2, progress=False)
        records = study.trials
    gc.collect()
    found = {
        "tensorboard": readers.read_tensorboard(str(tmp_path / "runs")),
        "wandb": readers.read_wandb(str(tmp_path / "wandb-dir")),
    }
    assert readers.differences(found) == []
    for record, run in zip(records, found["wandb"], strict=True):
        assert run.params == {name: readers.text(value) for name, value in sorted(record.params.items())}
        base = float(record.params["lr"] or 0) + bool(record.params["deep"])
        rows = [(f"repeat-{k}/loss", 10 * step + 10, step, base + step + k) for k in range(2) for step in range(3)]
        rows += [("loss", 0, None, base), ("loss", 1, None, base + 0.5)]
        assert [(p.name, p.step, p.epoch) for p in run.points] == sorted(row[:3] for row in rows)
        assert [p.value for p in run.points] == pytest.approx([row[3] for row in sorted(rows, key=lambda r: r[:2])])
