"""Tune a small CNN on real handwritten digits: Lightning trains, the GP suggests, three trackers record.

    python examples/lightning_digits.py
    python examples/lightning_digits.py --plugins random --trackers tensorboard

Run it again, and the study goes on where it was: also after Ctrl-C, also after ``kill -9``.
"""

from __future__ import annotations

import argparse
import logging
import warnings

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

import hyperhook as hh
from hyperhook_adapters.lightning import HyperhookCallback

OPEN = {
    "tensorboard": "tensorboard --logdir runs/{study}",
    "mlflow": "mlflow ui --backend-store-uri sqlite:///mlflow.db",
    "wandb": "wandb sync wandb/offline-run-*",
}


class DigitsData(L.LightningDataModule):
    """The 1,797 digits that come with scikit-learn (8 x 8 pixels), split in a fixed way: 1,097 / 350 / 350."""

    def setup(self, stage: str) -> None:
        """Load and split."""
        images, labels = load_digits(return_X_y=True)
        data = TensorDataset(torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 16, torch.tensor(labels))
        seeded = torch.Generator().manual_seed(0)
        self.train, self.val, self.test = random_split(data, [1097, 350, 350], generator=seeded)

    def train_dataloader(self) -> DataLoader:
        """Return the training images, in an order that `seed_everything` fixes."""
        return DataLoader(self.train, batch_size=128, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        """Return the images that the search looks at."""
        return DataLoader(self.val, batch_size=350)

    def test_dataloader(self) -> DataLoader:
        """Return the images that nobody looked at before the end."""
        return DataLoader(self.test, batch_size=350)


class LitDigits(L.LightningModule):
    """Two convolutions and a linear layer."""

    def __init__(self, lr: float, width: int, activation: str) -> None:
        super().__init__()
        self.save_hyperparameters()
        act = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}[activation]
        self.net = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1), act(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 16, 3, padding=1), act(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(64, width), act(), nn.Linear(width, 10)),
        )

    def _step(self, batch: list[torch.Tensor], stage: str) -> torch.Tensor:
        images, labels = batch
        logits = self.net(images)
        loss = nn.functional.cross_entropy(logits, labels)
        self.log_dict({f"{stage}_loss": loss, f"{stage}_acc": (logits.argmax(1) == labels).float().mean()})
        return loss

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Train on one batch."""
        return self._step(batch, "train")

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        """Score one batch."""
        self._step(batch, "val")

    def test_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        """Score one batch."""
        self._step(batch, "test")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Use Adam."""
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)


QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}


def main() -> None:
    """Search, then look at the best."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default="digits")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--plugins", nargs="*", default=["gp"])
    parser.add_argument("--trackers", nargs="*", default=list(OPEN))
    parser.add_argument("--home", help="where the study lives; by default HYPERHOOK_HOME, else ./.hyperhook")
    options = parser.parse_args()
    torch.set_num_threads(1)  # a network this small trains faster on one core
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")

    study = hh.Study(
        options.study,
        space={
            "lr": hh.Float(1e-4, 1e-1, log=True),
            "width": hh.Int(16, 256, log=True),
            "activation": hh.Choice(["relu", "gelu", "tanh"]),
        },
        objective=hh.Maximize("val_acc"),
        plugins=options.plugins,
        trackers=options.trackers,
        home=options.home,
        seed=0,
    )

    def train(trial: hh.Trial) -> None:
        L.seed_everything(trial.number, verbose=False)
        best = ModelCheckpoint(f"checkpoints/{options.study}/{trial.id}", "best", monitor="val_acc", mode="max")
        trainer = L.Trainer(max_epochs=options.epochs, callbacks=[HyperhookCallback(trial), best], **QUIET)
        trainer.fit(LitDigits(**trial.params), DigitsData())

    study.run(train, trials=options.trials)

    best = study.best
    model = LitDigits.load_from_checkpoint(f"checkpoints/{options.study}/{best.id}/best.ckpt")
    (score,) = L.Trainer(**QUIET).test(model, DigitsData(), verbose=False)
    show(study, score["test_acc"], options.trackers)


def show(study: hh.Study, test_accuracy: float, trackers: list[str]) -> None:
    """Print the best trials, the test score, and how to open what was recorded."""
    console = Console()
    table = Table("trial", "val_acc", "step", *study.space, title=f"The best of {len(study.trials)} trials")
    complete = [trial for trial in study.trials if trial.state is hh.TrialState.COMPLETE]
    for trial in sorted(complete, key=lambda trial: -(trial.value or 0))[:5]:
        cells = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in trial.params.values()]
        table.add_row(str(trial.number), f"{trial.value:.4f}", str(trial.step), *cells)
    console.print(table)
    console.print(f"Trial {study.best.number} on the test images: {test_accuracy:.4f}\n\nOpen what was recorded:")
    for tracker in trackers:
        console.print("  " + OPEN[tracker].format(study=study.name), markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
