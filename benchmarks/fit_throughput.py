"""What tracking costs a Lightning fit: the same fit with logging switched on and off, block by block.

    python benchmarks/fit_throughput.py [--blocks 200] [--side hyperhook]

A small network logs five metrics at every step. Every 50 batches logging is switched, on, off, off, on and so forth, so
that both sides meet the same machine in the same second; a machine that is slow for a while is slow for both. While it
is off, the processes that logging started are stopped, so that all that they do is paid by the blocks that caused it.
*Whole* is the time of all blocks without logging by that of all blocks with it, the start-up of the trackers included;
*pairs* are the quartiles over neighbouring blocks. What comes before the loop (the first connection of a logger) and
behind it (the wait for delivery) is given apart, in seconds. The first row switches nothing: what it shows is noise.
The second one is the least that a logger can do through Lightning: one line of JSON a step.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import psutil
import torch
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import hyperhook as hh
from hyperhook_adapters.lightning import HyperhookCallback
from hyperhook_adapters.mlflow import MLflow
from hyperhook_adapters.tensorboard import TensorBoard
from hyperhook_adapters.wandb import WandB

BLOCK = 50
NEVER = 10**9
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


class Switch(L.Callback):
    """Turns logging on and off between blocks of batches, and times each block."""

    def __init__(self) -> None:
        self.on = True
        self.callbacks: list[Any] = []
        """Those that log; they are in the trainer's list while logging is on."""
        self.seconds: dict[bool, list[float]] = {True: [], False: []}
        self.steps: dict[bool, list[float]] = {True: [], False: []}
        """Seconds of each step."""
        self._began = self._last = 0.0
        self._process = psutil.Process()
        self._others = {child.pid for child in self._process.children(recursive=True)}

    def on_train_batch_start(self, trainer: L.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        """Switch behind each block; the first one warms up."""
        now = time.perf_counter()
        if batch_idx % BLOCK:
            self.steps[self.on].append(now - self._last)
            self._last = now
            return
        block = batch_idx // BLOCK
        if block > 1:
            self.seconds[self.on].append(now - self._began)
        self.turn(trainer, on=block % 4 in (0, 1))
        self._began = self._last = time.perf_counter()

    def on_train_end(self, trainer: L.Trainer, module: Any) -> None:
        """Let everything go on."""
        self.turn(trainer, on=True)

    def turn(self, trainer: L.Trainer, *, on: bool) -> None:
        """Add or take out what logs, and stop or continue the processes that were started for it."""
        if on != self.on:
            if trainer.loggers:  # without one, a small number costs Lightning something for nothing
                trainer.log_every_n_steps = 1 if on else NEVER
            trainer.callbacks = [self, *self.callbacks] if on else [self]
            for child in self._process.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if child.pid in self._others:
                        continue
                    child.send_signal(signal.SIGCONT if on else signal.SIGSTOP)
        self.on = on


Arguments = dict[str, Any]
"""What a side adds to the arguments of the trainer."""
Side = Callable[[Path], AbstractContextManager[Arguments]]


@contextmanager
def nothing(folder: Path) -> Iterator[Arguments]:
    """Log nowhere."""
    yield {"logger": False}


def hyperhook(*makers: Callable[[Path], hh.Tracker]) -> Side:
    """Log to trackers through the callback; wait for them behind the fit."""

    @contextmanager
    def side(folder: Path) -> Iterator[Arguments]:
        trackers = [make(folder) for make in makers]
        with hh.Study("fit", trackers=trackers, home=folder / "home", flush_timeout_seconds=300.0) as study:
            with study.trial() as trial:
                yield {"logger": False, "callbacks": [HyperhookCallback(trial)]}
            if not study.flush():
                raise SystemExit("not everything arrived")

    return side


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


class Bare(Logger):
    """Writes one line of JSON a step, and keeps no promise."""

    name, version = "bare", "0"

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write a line."""
        os.write(self._descriptor, json.dumps({**metrics, "step": step}).encode() + b"\n")


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
    "a bare logger": native(lambda folder: Bare(folder / "lines.jsonl")),
    "hyperhook, no tracker": hyperhook(),
    "hyperhook, 3 trackers": hyperhook(
        lambda folder: TensorBoard(folder / "runs"),
        lambda folder: MLflow(f"sqlite:///{folder}/mlflow.db"),
        lambda folder: WandB(dir=folder),
    ),
    "CSVLogger": native(lambda folder: CSVLogger(folder)),
    "TensorBoardLogger": native(tensorboard_logger),
    "WandbLogger, offline": native(wandb_logger),
    "MLFlowLogger, SQLite": native(mlflow_logger),
    "the three native ones": native(tensorboard_logger, wandb_logger, mlflow_logger),
}


def fit(side: Side, blocks: int) -> tuple[Switch, float]:
    """Train once; return the times of the blocks, and the seconds that everything around the loop took."""
    L.seed_everything(0, verbose=False)
    batches = BLOCK * (blocks + 2)
    data = TensorDataset(torch.randn(32 * batches, 64), torch.randint(10, (32 * batches,)))
    switch = Switch()
    before = time.perf_counter()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, side(Path(folder)) as arguments:
        switch.callbacks = arguments.pop("callbacks", [])
        trainer = L.Trainer(
            max_epochs=1,
            accelerator="cpu",
            callbacks=[switch, *switch.callbacks],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **arguments,
        )
        trainer.fit(Model(), DataLoader(data, batch_size=32))
    timed = sum(map(sum, switch.seconds.values()))
    return switch, time.perf_counter() - before - timed


def main() -> None:
    """Run each side and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=200, help="of 50 batches, in each fit")
    parser.add_argument("--side", action="append", help="part of a side's name; all of them by default")
    options = parser.parse_args()
    chosen = options.side or [""]
    quieten()
    fit(nothing, 4)  # imports and caches
    print("| logging | whole | pairs: lower quartile, median, upper | ms a step | s around the loop |")
    print("|---|---|---|---|---|", flush=True)
    for name, side in SIDES.items():
        if any(part in name for part in chosen):
            switch, around = fit(side, options.blocks)
            print(f"| {name} | {row(switch)} | {around:.1f} |", flush=True)


def row(switch: Switch) -> str:
    """Return what the blocks say."""
    off, on = switch.seconds[False], switch.seconds[True]
    pairs = [without / logging for without, logging in zip(off, on, strict=False)]
    low, median, high = statistics.quantiles(pairs, n=4)
    steps = BLOCK * len(on)
    return f"{sum(off) / sum(on):.3f} | {low:.2f}, {median:.3f}, {high:.2f} | {sum(on) / steps * 1000:.2f}"


def quieten() -> None:
    """Keep what the libraries say off the table."""
    torch.set_num_threads(1)
    os.environ["WANDB_SILENT"] = "true"
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "mlflow", "alembic", "wandb"):
        logging.getLogger(name).setLevel(logging.ERROR)


if __name__ == "__main__":
    main()
