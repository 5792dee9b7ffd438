from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import hyperhook as hh
from hyperhook import Objective, Trial, TrialRecord
from hyperhook.curve import Curve
from hyperhook.events import ArtifactLogged, Event, MetricsLogged, ParamsLogged

Point = tuple[str, int, int | None, float]


class Recorder:
    """A sink that keeps what a trial emits, and stops it when told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self.expects: list[bool] = []
        self.stops: Callable[[TrialRecord, hh.Point], bool] = lambda trial, last: False

    def emit(self, trial: TrialRecord, event: Event) -> None:
        self.events.append(event)

    def store(self, place: str, write: Callable[[Path], None]) -> Path | None:
        target = self.folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        write(target)
        return target

    def discard(self, place: str) -> Path | None:
        (self.folder / place).unlink()
        return self.folder / place

    def should_stop(self, trial: TrialRecord, curve: Curve, *, expects: bool) -> bool:
        self.expects.append(expects)
        return curve.last is not None and self.stops(trial, curve.last)

    def points(self, *names: str) -> list[Point]:
        """The logged points of these metrics, or of all but learning rates."""
        return [
            (name, event.step, event.epoch, value)
            for event in self.events
            if isinstance(event, MetricsLogged)
            for name, value in event.values().items()
            if (name in names if names else not name.startswith("lr-"))
        ]

    def params(self) -> dict[str, object]:
        return {key: value for e in self.events if isinstance(e, ParamsLogged) for key, value in e.params.items()}

    def checkpoints(self) -> list[ArtifactLogged]:
        return [event for event in self.events if isinstance(event, ArtifactLogged)]


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path / "kept")


@pytest.fixture
def trial(recorder: Recorder) -> Trial:
    return Trial(TrialRecord("id", 0, "s"), recorder, objective=Objective("val", "minimize"))


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def namespace(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(request.param)


@pytest.fixture
def pl() -> ModuleType:
    return importlib.import_module("lightning.pytorch")


@pytest.fixture
def make_trainer(tmp_path: Path) -> Callable[..., Any]:
    """Make quiet trainers that run on the CPU and write to a folder of the test."""

    def make(namespace: ModuleType, callback: object, **options: Any) -> Any:
        callbacks = [callback, *options.pop("callbacks", [])]
        settings = {
            "accelerator": "cpu",
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
            "num_sanity_val_steps": 0,
            "max_epochs": 2,
            "default_root_dir": tmp_path,
        }
        return namespace.Trainer(callbacks=callbacks, **{**settings, **options})

    return make


def loader(batches: int = 4) -> Any:
    data = torch.utils.data.TensorDataset(torch.arange(2.0 * batches).reshape(-1, 1))
    return torch.utils.data.DataLoader(data, batch_size=2)


@pytest.fixture
def make_loader() -> Callable[[int], Any]:
    """Make a data loader with that many batches."""
    return loader


@pytest.fixture
def make_module() -> Callable[..., Any]:
    """Make a module of a namespace, its hooks given by name."""

    def make(namespace: ModuleType, *, optimizer: Callable[[Any], Any] | None = None, **hooks: Any) -> Any:
        class Module(namespace.LightningModule):  # type: ignore[name-defined,misc]
            def __init__(self, width: int = 1) -> None:
                super().__init__()
                self.save_hyperparameters()
                self.layer = torch.nn.Linear(1, width)

            def training_step(self, batch: Any, index: int) -> Any:
                if "train" in hooks:
                    hooks["train"](self, batch, index)
                return self.layer(batch[0]).square().mean()

            def validation_step(self, batch: Any, index: int, dataloader_idx: int = 0) -> None:
                if "validate" in hooks:
                    hooks["validate"](self, batch, index)

            def test_step(self, batch: Any, index: int) -> None:
                self.log("test", 0.5)

            def configure_optimizers(self) -> Any:
                return optimizer(self) if optimizer else torch.optim.SGD(self.parameters(), 1e-3)

            def train_dataloader(self) -> Any:
                return loader()

            def val_dataloader(self) -> Any:
                return hooks["val_loaders"] if "val_loaders" in hooks else loader(2)

            def test_dataloader(self) -> Any:
                return loader(2)

        for name, hook in hooks.items():
            if name.startswith("on_"):
                setattr(Module, name, hook)
        return Module()

    return make
