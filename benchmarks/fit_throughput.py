"""What tracking costs a Lightning fit: batches a second with each kind of logging, beside none at all.

    python benchmarks/fit_throughput.py [--batches 1500] [--rounds 7] [--side hyperhook]

A small network, a step of some 2.6 ms, logs five metrics at every step. Each round runs all sides once, in an order of
its own. Only the training loop is timed, from its first batch behind the warm-up to its last; what comes before (the
first connection of a logger) and behind (the wait for delivery) is given apart, in seconds. The ratio of a side is
taken within each round, to the run without any logger in that round.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import hyperhook as hh
from hyperhook_adapters.lightning import HyperhookCallback
from hyperhook_adapters.mlflow import MLflow
from hyperhook_adapters.tensorboard import TensorBoard
from hyperhook_adapters.wandb import WandB

WARM_UP = 50
WIDTH = 128
METRICS = ("loss", "accuracy", "margin", "entropy", "norm")


class Model(L.LightningModule):
    """A perceptron that logs five metrics at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(64, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 10)
        )

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Train on one batch."""
        inputs, labels = batch
        logits = self.net(inputs)
        loss = nn.functional.cross_entropy(logits, labels)
        with torch.no_grad():
            values = (loss, (logits.argmax(1) == labels).float().mean(), logits.amax(), logits.std(), logits.norm())
        self.log_dict(dict(zip(METRICS, values, strict=True)))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Use SGD."""
        return torch.optim.SGD(self.parameters(), lr=0.01)


@dataclass
class Clock(L.Callback):
    """Times the training loop behind its warm-up."""

    batches: int
    began: float = 0.0
    ended: float = 0.0

    def on_train_batch_start(self, trainer: L.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        """Start behind the warm-up."""
        if batch_idx == WARM_UP:
            self.began = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, module: Any) -> None:
        """Stop."""
        self.ended = time.perf_counter()

    @property
    def rate(self) -> float:
        """Batches a second."""
        return (self.batches - WARM_UP) / (self.ended - self.began)


Arguments = dict[str, Any]
"""What a side adds to the arguments of the trainer."""
Side = Callable[[Path], AbstractContextManager[Arguments]]


@contextmanager
def nothing(folder: Path) -> Iterator[Arguments]:
    """Log nowhere."""
    yield {"logger": False}


@contextmanager
def hyperhook(folder: Path) -> Iterator[Arguments]:
    """Log to three trackers through the callback; wait for them behind the fit."""
    trackers = [TensorBoard(folder / "runs"), MLflow(f"sqlite:///{folder}/mlflow.db"), WandB(dir=folder)]
    with hh.Study("fit", trackers=trackers, home=folder / "home", flush_timeout_seconds=300.0) as study:
        with study.trial() as trial:
            yield {"logger": False, "callbacks": [HyperhookCallback(trial)]}
        if not study.flush():
            raise SystemExit("not everything arrived")


def native(*makers: Callable[[Path], Logger]) -> Side:
    """Log by Lightning's own loggers, at every step."""

    @contextmanager
    def side(folder: Path) -> Iterator[Arguments]:
        loggers = [make(folder) for make in makers]
        yield {"logger": loggers, "log_every_n_steps": 1}
        for logger in loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.finish()

    return side


def tensorboard_logger(folder: Path) -> Logger:
    """Write event files."""
    return TensorBoardLogger(folder / "runs")


def wandb_logger(folder: Path) -> Logger:
    """Write an offline run."""
    return WandbLogger(save_dir=folder, offline=True)


def mlflow_logger(folder: Path) -> Logger:
    """Write to SQLite."""
    return MLFlowLogger(tracking_uri=f"sqlite:///{folder}/mlflow.db")


SIDES: dict[str, Side] = {
    "no logger": nothing,
    "hyperhook, 3 trackers": hyperhook,
    "CSVLogger": native(lambda folder: CSVLogger(folder)),
    "TensorBoardLogger": native(tensorboard_logger),
    "WandbLogger, offline": native(wandb_logger),
    "MLFlowLogger, SQLite": native(mlflow_logger),
    "the three native ones": native(tensorboard_logger, wandb_logger, mlflow_logger),
}


@dataclass
class Tally:
    """What the rounds gave for one side: batches a second in the loop, seconds of what is around it."""

    rates: list[float] = field(default_factory=list)
    around: list[float] = field(default_factory=list)


def fit(side: Side, batches: int) -> tuple[float, float]:
    """Train once; return batches a second in the loop, and the seconds that everything around the loop took."""
    L.seed_everything(0, verbose=False)
    data = TensorDataset(torch.randn(32 * batches, 64), torch.randint(10, (32 * batches,)))
    clock = Clock(batches)
    before = time.perf_counter()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, side(Path(folder)) as arguments:
        callbacks = [*arguments.pop("callbacks", []), clock]
        trainer = L.Trainer(
            max_epochs=1,
            accelerator="cpu",
            callbacks=callbacks,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **arguments,
        )
        trainer.fit(Model(), DataLoader(data, batch_size=32))
    return clock.rate, time.perf_counter() - before - (clock.ended - clock.began)


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=1500, help="in each fit")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--side", action="append", help="part of a side's name; all of them by default")
    options = parser.parse_args()
    chosen = options.side or [""]
    sides = {name: side for name, side in SIDES.items() if side is nothing or any(part in name for part in chosen)}
    quieten()
    tallies = {name: Tally() for name in sides}
    for number in range(options.rounds + 1):
        for name in random.Random(number).sample(list(sides), len(sides)):
            rate, around = fit(sides[name], options.batches)
            if number:  # the first round warms up imports and caches
                tallies[name].rates.append(rate)
                tallies[name].around.append(around)
    show(tallies)


def quieten() -> None:
    """Keep what the libraries say off the table."""
    torch.set_num_threads(1)
    os.environ["WANDB_SILENT"] = "true"
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "mlflow", "alembic", "wandb"):
        logging.getLogger(name).setLevel(logging.ERROR)


def show(tallies: dict[str, Tally]) -> None:
    """Print a row for each side."""
    bare = tallies["no logger"].rates
    print("| logging | ratio | of the rounds | batches/s | s around the loop |\n|---|---|---|---|---|")
    for name, tally in tallies.items():
        ratios = [rate / reference for rate, reference in zip(tally.rates, bare, strict=True)]
        median, low, high = statistics.median(ratios), min(ratios), max(ratios)
        rate, around = statistics.median(tally.rates), statistics.median(tally.around)
        print(f"| {name} | {median:.3f} | {low:.2f} to {high:.2f} | {rate:.0f} | {around:.1f} |")


if __name__ == "__main__":
    main()
