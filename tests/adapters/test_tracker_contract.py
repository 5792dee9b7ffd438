"""Every tracker in the box passes the contract that other authors' trackers pass."""

from __future__ import annotations

import csv
import gc
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hyperhook import Tracker
from hyperhook.testing import RecordedPoint, RecordedRun, TrackerContract
from hyperhook_adapters.csv import Csv
from hyperhook_adapters.mlflow import MLflow
from hyperhook_adapters.tensorboard import TensorBoard
from hyperhook_adapters.wandb import WandB

pytestmark = [
    pytest.mark.usefixtures("offline"),
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),  # MLflow on SQLAlchemy 2.1
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),  # W&B's own, at its teardown
]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, which it takes seconds to make."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("prepared") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


class ReadBack(TrackerContract):
    """Reads with the readers beside this module."""

    readers: ModuleType

    @pytest.fixture(autouse=True)
    def _readers(self, readers: ModuleType) -> Iterator[None]:
        type(self).readers = readers
        yield
        gc.collect()

    def recorded(self, runs: Iterable[Any]) -> list[RecordedRun]:
        return [RecordedRun(run.name, run.params, [RecordedPoint(*p) for p in run.points], run.status) for run in runs]


class TestTensorBoard(ReadBack):
    exact = False

    def make(self, folder: Path) -> Tracker:
        return TensorBoard(folder / "runs")

    def read(self, folder: Path) -> list[RecordedRun]:
        return self.recorded(self.readers.read_tensorboard(folder / "runs"))


class TestMLflow(ReadBack):
    prepared: Path

    @pytest.fixture(autouse=True)
    def _prepare(self, database: Path) -> None:
        self.prepared = database

    def make(self, folder: Path) -> Tracker:
        if not (folder / "mlflow.db").exists():
            shutil.copy(self.prepared, folder / "mlflow.db")
        return MLflow(f"sqlite:///{folder}/mlflow.db")

    def read(self, folder: Path) -> list[RecordedRun]:
        return self.recorded(self.readers.read_mlflow(f"sqlite:///{folder}/mlflow.db"))


class TestWandB(ReadBack):
    def make(self, folder: Path) -> Tracker:
        return WandB(dir=folder / "w", mode="offline")

    def read(self, folder: Path) -> list[RecordedRun]:
        return self.recorded(self.readers.read_wandb(folder / "w"))


class TestCsv(TrackerContract):
    def make(self, folder: Path) -> Tracker:
        return Csv(folder / "csv")

    def read(self, folder: Path) -> Iterator[RecordedRun]:
        for row in rows(folder / "csv" / "contract" / "trials.csv"):
            points = [
                RecordedPoint(p["name"], int(p["step"]), int(p["epoch"]) if p["epoch"] else None, float(p["value"]))
                for p in rows(folder / "csv" / "contract" / f"{row['trial']}.csv")
            ]
            params = {key.removeprefix("param."): value or None for key, value in row.items() if "param." in key}
            yield RecordedRun(row["trial"], params, points, row["state"])


def rows(file: Path) -> list[dict[str, str]]:
    with open(file, encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))
