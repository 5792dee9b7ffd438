"""What is read off a trainer, against the module's own calls of `self.log`, and against Lightning's monitor."""

from __future__ import annotations

import importlib
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
import torch

from hyperhook import Trial
from hyperhook_adapters.lightning import HyperhookCallback
from hyperhook_adapters.lightning.published import Metrics

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

Make = Callable[..., Any]

STAGES = {
    "train": {
        "batch": [
            "on_train_batch_start",
            "training_step",
            "on_before_zero_grad",
            "on_before_backward",
            "on_after_backward",
            "on_before_optimizer_step",
            "on_train_batch_end",
        ],
        "epoch": ["on_train_epoch_start", "on_train_epoch_end"],
    },
    "validation": {
        "batch": ["on_validation_batch_start", "validation_step", "on_validation_batch_end"],
        "epoch": ["on_validation_start", "on_validation_epoch_start", "on_validation_epoch_end"],
    },
    "test": {
        "batch": ["on_test_batch_start", "test_step", "on_test_batch_end"],
        "epoch": ["on_test_start", "on_test_epoch_start", "on_test_epoch_end"],
    },
}


@dataclass(frozen=True)
class Metric:
    """A metric as a module logs it, whenever one of its hooks runs."""

    name: str
    stage: str
    on_step: bool
    on_epoch: bool
    logger: bool
    likely: bool
    constant: bool
    is_object: bool


class Witness:
    """Knows what has to arrive: told by the module at each of its calls, and by the trainer where epochs end."""

    def __init__(self) -> None:
        self.expected: list[tuple[str, int, int, float]] = []
        self._step = self._epoch = 0
        self._means: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))

    def called(self, trainer: Any, metric: Metric, value: float, suffix: str) -> None:
        published = metric.stage == "train" or metric.logger  # of an evaluation's batches, Lightning tells loggers only
        if metric.on_step and published and not trainer.sanity_checking:
            name = f"{metric.name}_step" if metric.on_epoch else metric.name
            self.expected.append((name + suffix, self._step, self._epoch, value))
        if metric.on_epoch:
            name = f"{metric.name}_epoch" if metric.on_step else metric.name
            self._means[metric.stage][name + suffix].append(value)

    def end(self, stage: str, trainer: Any) -> None:
        for name, values in self._means.pop(stage, {}).items():
            if not trainer.sanity_checking:
                self.expected.append((name, self._step, self._epoch, sum(values) / len(values)))

    def callback(self, namespace: ModuleType) -> Any:
        witness = self

        class Watching(namespace.Callback):  # type: ignore[name-defined,misc]
            def on_train_batch_start(self, trainer: Any, *args: Any) -> None:
                witness._step, witness._epoch = trainer.global_step, trainer.current_epoch

            def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
                witness.end("train", trainer)

            def on_train_end(self, trainer: Any, module: Any) -> None:
                witness.end("train", trainer)

            def on_validation_end(self, trainer: Any, module: Any) -> None:
                witness.end("validation", trainer)

            def on_test_end(self, trainer: Any, module: Any) -> None:
                witness.end("test", trainer)

        return Watching()


def metrics_of(chance: random.Random, loaders: dict[str, int]) -> dict[str, list[Metric]]:
    """Choose what each hook logs."""
    plan: dict[str, list[Metric]] = {}
    for stage, kinds in STAGES.items():
        for kind, hook in [(kind, hook) for kind, hooks in kinds.items() for hook in hooks]:
            modes = [(True, False), (False, True), (True, True)] if kind == "batch" else [(False, True)]
            plan[hook] = [
                Metric(
                    f"{hook}.{number}",
                    stage,
                    *chance.choice(modes),
                    logger=chance.random() < 0.7,
                    likely=chance.random() < 0.7,
                    constant=chance.random() < 0.3,
                    # Lightning resets an object once for all loaders, so that its means overlap
                    is_object=kind == "batch" and chance.random() < 0.2 and loaders[stage] == 1,
                )
                for number in range(chance.choice([0, 0, 1, 2]))
            ]
    return plan


def module_of(
    namespace: ModuleType, chance: random.Random, plan: dict[str, list[Metric]], loaders: dict[str, int], told: Make
) -> Any:
    """Make a module whose hooks log as planned, and tell the witness."""
    from torchmetrics import MeanMetric

    def data(batches: int) -> Any:
        return torch.utils.data.DataLoader(torch.ones(batches, 1))

    class Module(namespace.LightningModule):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
            for metric in (metric for metrics in plan.values() for metric in metrics if metric.is_object):
                setattr(self, metric.name.replace(".", "_"), MeanMetric())
            self.calls = 0

        def log_all(self, hook: str, loader: int) -> None:
            for metric in plan[hook]:
                if not metric.likely and chance.random() < 0.5:
                    continue
                self.calls += 1
                value: Any = 5.0 if metric.constant else float(self.calls)
                suffixed = loaders[metric.stage] > 1 and hook in STAGES[metric.stage]["batch"]
                told(self.trainer, metric, value, f"/dataloader_idx_{loader}" if suffixed else "")
                if metric.is_object:
                    mean = getattr(self, metric.name.replace(".", "_"))
                    mean(value)
                    value = mean
                modes = {"on_step": metric.on_step, "on_epoch": metric.on_epoch}
                self.log(metric.name, value, logger=metric.logger, batch_size=1, **modes)

        def training_step(self, batch: Any, index: int) -> Any:
            self.log_all("training_step", 0)
            return self.layer(batch).square().mean()

        def validation_step(self, batch: Any, index: int, dataloader_idx: int = 0) -> None:
            self.log_all("validation_step", dataloader_idx)

        def test_step(self, batch: Any, index: int, dataloader_idx: int = 0) -> None:
            self.log_all("test_step", dataloader_idx)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 1e-4)

        def train_dataloader(self) -> Any:
            return data(5)

        def val_dataloader(self) -> Any:
            return [data(2 + number) for number in range(loaders["validation"])]

        def test_dataloader(self) -> Any:
            return [data(2)] * loaders["test"]

    def logs_all(hook: str) -> Callable[..., None]:
        several = hook in STAGES["validation"]["batch"] + STAGES["test"]["batch"]
        return lambda self, *args: self.log_all(hook, args[-1] if several and args else 0)

    for hook in plan:
        if hook.startswith("on_"):
            setattr(Module, hook, logs_all(hook))
    return Module()


@pytest.mark.parametrize("seed", range(24))
def test_every_call_of_log_arrives_once_at_its_own_step(
    make_trainer: Make, recorder: Any, trial: Trial, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    namespace = importlib.import_module(chance.choice(["lightning.pytorch", "pytorch_lightning"]))
    loaders = {"train": 1, "validation": chance.choice([1, 2, 3]), "test": chance.choice([1, 2])}
    plan = metrics_of(chance, loaders)
    witness = Witness()
    module = module_of(namespace, chance, plan, loaders, witness.called)
    callbacks: Any = importlib.import_module(f"{namespace.__name__}.callbacks")
    loggers: Any = importlib.import_module(f"{namespace.__name__}.loggers")
    has_logger = chance.choice([False, True])
    trainer = make_trainer(
        namespace,
        HyperhookCallback(trial),
        callbacks=[witness.callback(namespace), *([callbacks.LearningRateMonitor()] if has_logger else [])],
        logger=loggers.CSVLogger(tmp_path) if has_logger else False,
        max_epochs=chance.choice([1, 2, 3]),
        val_check_interval=chance.choice([1.0, 0.5, 2]),
        accumulate_grad_batches=chance.choice([1, 1, 2]),
        log_every_n_steps=chance.choice([1, 2, 50]),
        num_sanity_val_steps=chance.choice([0, 2]),
    )
    trainer.fit(module)
    trainer.validate(module, verbose=False)
    trainer.test(module, verbose=False)
    assert witness.expected
    assert sorted(recorder.points()) == [
        (name, step, epoch, pytest.approx(value)) for name, step, epoch, value in sorted(witness.expected)
    ]


def test_the_longer_names_of_several_loaders(
    pl: ModuleType, make_trainer: Make, make_module: Make, make_loader: Make, recorder: Any, trial: Trial
) -> None:
    def validate(self: Any, batch: Any, index: int) -> None:
        self.log("val", 1.0, on_step=True, on_epoch=True)

    module = make_module(pl, validate=validate, val_loaders=[make_loader(1), make_loader(1)])
    make_trainer(pl, HyperhookCallback(trial), max_epochs=1).fit(module)
    names = [f"val_{kind}/dataloader_idx_{index}" for kind in ("step", "epoch") for index in (0, 1)]
    assert sorted(recorder.points()) == sorted((name, 3, 0, 1.0) for name in names)


def adams(module: Any) -> Any:
    return [torch.optim.Adam([parameter], 0.1) for parameter in module.parameters()]


def groups(module: Any) -> Any:
    named = [{"params": [module.layer.weight], "name": "weights"}, {"params": [module.layer.bias], "lr": 0.2}]
    return [torch.optim.SGD(named, 0.1)]


def second_scheduled(module: Any) -> Any:
    first, second = adams(module)
    return [first, second], [torch.optim.lr_scheduler.StepLR(second, 1)]


def scheduler_with_a_name(module: Any) -> Any:
    first, second = adams(module)
    return [first, second], [{"scheduler": torch.optim.lr_scheduler.StepLR(first, 1), "name": "mine"}]


@pytest.mark.parametrize("optimizers", [adams, groups, second_scheduled, scheduler_with_a_name])
def test_learning_rates_have_the_names_of_lightnings_monitor(
    pl: ModuleType,
    make_trainer: Make,
    make_module: Make,
    recorder: Any,
    trial: Trial,
    tmp_path: Path,
    optimizers: Callable[[Any], Any],
) -> None:
    from lightning.pytorch.callbacks import LearningRateMonitor
    from lightning.pytorch.loggers import CSVLogger

    monitor = LearningRateMonitor()
    module = make_module(pl, optimizer=optimizers)
    module.automatic_optimization = False
    trainer = make_trainer(
        pl, HyperhookCallback(trial), callbacks=[monitor], logger=CSVLogger(tmp_path), log_every_n_steps=1, max_epochs=1
    )
    trainer.fit(module)
    points = recorder.points(*monitor.lrs, "lr-Adam", "lr-Adam-1", "lr-SGD", "lr-SGD/pg1")
    assert {name: value for name, _, _, value in points} == {name: rates[-1] for name, rates in monitor.lrs.items()}
    assert len(points) == len(monitor.lrs)


def test_tensors_of_a_device_are_fetched_together() -> None:
    fetches = []

    class Remote(torch.Tensor):
        is_cpu = False

        def tolist(self) -> Any:
            fetches.append(self.shape)
            return super().tolist()

        def __float__(self) -> float:
            raise AssertionError("one by one")

    class Trainer:
        callback_metrics: ClassVar[dict[str, Any]] = {
            **{name: torch.tensor(value).as_subclass(Remote) for name, value in (("a", 1.5), ("b", 2.5))},
            "exact": torch.tensor(1 / 3, dtype=torch.float64).as_subclass(Remote),
            "here": torch.tensor(0.25),
        }

    assert Metrics().take(Trainer()) == {"a": 1.5, "b": 2.5, "exact": 1 / 3, "here": 0.25}
    assert fetches == [(2,), (1,)]


def test_tensors_of_cuda_are_left_to_the_trial_which_does_not_wait() -> None:
    class Remote(torch.Tensor):
        is_cpu = False
        is_cuda = True

        def __float__(self) -> float:
            raise AssertionError("waited for")

        item = tolist = __float__

    loss = torch.tensor(1.5).as_subclass(Remote)

    class Trainer:
        callback_metrics: ClassVar[dict[str, Any]] = {"loss": loss, "here": torch.tensor(0.25)}

    found = Metrics().take(Trainer())
    assert found["loss"] is loss
    assert found["here"] == 0.25
