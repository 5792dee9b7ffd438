"""The Lightning callback, in small real fits on the CPU."""

from __future__ import annotations

import csv
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import hyperhook as hh
from hyperhook import Trial, TrialState
from hyperhook.errors import ObjectiveError
from hyperhook.testing import RecordingPlugin
from hyperhook_adapters.lightning import HyperhookCallback

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

Make = Callable[..., Any]


def test_naming_it_imports_neither_lightning_nor_torch() -> None:
    code = "import sys, hyperhook_adapters.lightning; print([m for m in sys.modules if m in ('lightning', 'torch')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_each_metric_arrives_once_at_its_own_step(
    namespace: ModuleType, make_trainer: Make, make_module: Make, recorder: Any, trial: Trial
) -> None:
    def train(self: Any, batch: Any, index: int) -> None:
        self.log("constant", 7.0, logger=False)
        if index == 1:
            self.log("once", 3.0)

    make_trainer(namespace, HyperhookCallback(trial)).fit(make_module(namespace, train=train))
    assert recorder.points("constant") == [("constant", step, step // 4, 7.0) for step in range(8)]
    assert recorder.points("once") == [("once", 1, 0, 3.0), ("once", 5, 1, 3.0)]


def test_steps_and_epochs_keep_lightnings_longer_names(
    pl: ModuleType, make_trainer: Make, make_module: Make, recorder: Any, trial: Trial
) -> None:
    def train(self: Any, batch: Any, index: int) -> None:
        self.log("loss", float(index), on_step=True, on_epoch=True)

    make_trainer(pl, HyperhookCallback(trial), max_epochs=1).fit(make_module(pl, train=train))
    assert recorder.points() == [*(("loss_step", s, 0, float(s)) for s in range(4)), ("loss_epoch", 3, 0, 1.5)]


def test_what_hooks_log_late_stands_at_the_step_that_it_belongs_to(
    pl: ModuleType, make_trainer: Make, make_module: Make, recorder: Any, trial: Trial
) -> None:
    module = make_module(
        pl,
        on_train_batch_end=lambda self, *args: self.log("late_batch", float(self.global_step)),
        on_train_epoch_end=lambda self: self.log("late_epoch", float(self.current_epoch)),
    )
    make_trainer(pl, HyperhookCallback(trial)).fit(module)
    assert recorder.points("late_batch") == [("late_batch", s, s // 4, s + 1.0) for s in range(8)]
    assert recorder.points("late_epoch") == [("late_epoch", 3, 0, 0.0), ("late_epoch", 7, 1, 1.0)]


def test_validation_stands_at_the_last_batch_also_within_an_epoch(
    pl: ModuleType, make_trainer: Make, make_module: Make, recorder: Any, trial: Trial
) -> None:
    def validate(self: Any, batch: Any, index: int) -> None:
        self.log("val", 1.0)
        self.log("each", float(index), on_step=True, on_epoch=False)

    trainer = make_trainer(pl, HyperhookCallback(trial), val_check_interval=2, num_sanity_val_steps=2)
    trainer.fit(make_module(pl, validate=validate))
    assert recorder.points("val") == [("val", step, epoch, 1.0) for step, epoch in ((1, 0), (3, 0), (5, 1), (7, 1))]
    assert recorder.points("each")[:2] == [("each", 1, 0, 0.0), ("each", 1, 0, 1.0)]


def test_several_validation_loaders_keep_their_suffixes(
    pl: ModuleType, make_trainer: Make, make_module: Make, make_loader: Make, recorder: Any, trial: Trial
) -> None:
    module = make_module(
        pl, validate=lambda self, batch, index: self.log("val", 1.0), val_loaders=[make_loader(1), make_loader(2)]
    )
    make_trainer(pl, HyperhookCallback(trial), max_epochs=1).fit(module)
    assert recorder.points() == [("val/dataloader_idx_0", 3, 0, 1.0), ("val/dataloader_idx_1", 3, 0, 1.0)]


def test_torchmetrics_and_dictionaries(
    pl: ModuleType, make_trainer: Make, make_module: Make, recorder: Any, trial: Trial
) -> None:
    from torchmetrics import MeanMetric

    def train(self: Any, batch: Any, index: int) -> None:
        self.mean(float(index))
        self.log("mean", self.mean, on_step=False, on_epoch=True)
        self.log_dict({"a": 1.0, "b": 2.0})

    module = make_module(pl, train=train)
    module.mean = MeanMetric()
    make_trainer(pl, HyperhookCallback(trial)).fit(module)
    assert recorder.points("mean") == [("mean", 3, 0, 1.5), ("mean", 7, 1, 1.5)]
    assert recorder.points("a") == [("a", step, step // 4, 1.0) for step in range(8)]


def test_accumulated_batches_stand_at_the_optimizer_step_that_they_are_part_of(
    pl: ModuleType, make_trainer: Make, make_module: Make, recorder: Any, trial: Trial
) -> None:
    module = make_module(pl, train=lambda self, batch, index: self.log("index", float(index)))
    make_trainer(pl, HyperhookCallback(trial), accumulate_grad_batches=2, max_epochs=1).fit(module)
    assert recorder.points() == [("index", index // 2, 0, float(index)) for index in range(4)]


@pytest.mark.parametrize(("interval", "expected"), [("step", {0: 1.0, 1: 0.5, 2: 0.25, 3: 0.125}), ("epoch", {0: 1.0})])
def test_learning_rates_are_those_that_were_used(
    pl: ModuleType,
    make_trainer: Make,
    make_module: Make,
    recorder: Any,
    trial: Trial,
    interval: str,
    expected: dict[int, float],
) -> None:
    def optimizer(module: Any) -> Any:
        sgd = torch.optim.SGD(module.parameters(), 1.0)
        return [sgd], [{"scheduler": torch.optim.lr_scheduler.ExponentialLR(sgd, 0.5), "interval": interval}]

    make_trainer(pl, HyperhookCallback(trial), max_epochs=1).fit(make_module(pl, optimizer=optimizer))
    assert recorder.points("lr-SGD") == [("lr-SGD", step, 0, rate) for step, rate in expected.items()]


def test_parameter_groups_have_learning_rates_of_their_own(
    pl: ModuleType, make_trainer: Make, make_module: Make, recorder: Any, trial: Trial
) -> None:
    def optimizer(module: Any) -> Any:
        return torch.optim.Adam([{"params": [module.layer.weight], "lr": 0.1}, {"params": [module.layer.bias]}], lr=0.2)

    make_trainer(pl, HyperhookCallback(trial), max_epochs=1).fit(make_module(pl, optimizer=optimizer))
    rates = recorder.points("lr-Adam/pg1", "lr-Adam/pg2")
    assert rates == [("lr-Adam/pg1", 0, 0, 0.1), ("lr-Adam/pg2", 0, 0, 0.2)]


@pytest.mark.parametrize("monitored", [False, True])
def test_the_same_points_as_lightnings_own_logger(
    pl: ModuleType,
    make_trainer: Make,
    make_module: Make,
    recorder: Any,
    trial: Trial,
    tmp_path: Path,
    monitored: bool,
) -> None:
    from lightning.pytorch.callbacks import LearningRateMonitor
    from lightning.pytorch.loggers import CSVLogger

    def train(self: Any, batch: Any, index: int) -> None:
        self.log("loss", float(self.global_step) ** 0.5, on_epoch=True)

    trainer = make_trainer(
        pl,
        HyperhookCallback(trial),
        logger=CSVLogger(tmp_path),
        log_every_n_steps=1,
        callbacks=[LearningRateMonitor()] if monitored else [],
    )
    module = make_module(pl, train=train, validate=lambda self, batch, index: self.log("val", float(index)))
    trainer.fit(module)
    with open(Path(trainer.logger.log_dir) / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    wanted = {
        (name, int(row["step"]), float(value))
        for row in rows
        for name, value in row.items()
        if value and name not in ("step", "epoch") and not name.startswith("lr-")
    }
    points = recorder.points()
    assert {(name, step, value) for name, step, _, value in points} == wanted
    assert len(points) == len(wanted)
    assert recorder.points("lr-SGD") == [("lr-SGD", 0, 0, 1e-3), ("lr-SGD", 4, 1, 1e-3)]


def test_hyperparameters_that_the_module_saved(
    pl: ModuleType, make_trainer: Make, make_module: Make, recorder: Any, trial: Trial
) -> None:
    make_trainer(pl, HyperhookCallback(trial), max_epochs=1).fit(make_module(pl))
    assert recorder.params() == {"width": 1}


def test_hyperparameters_of_the_datamodule_and_none_that_are_private(
    pl: ModuleType, make_trainer: Make, make_module: Make, make_loader: Make, recorder: Any, trial: Trial
) -> None:
    class Data(pl.LightningDataModule):  # type: ignore[name-defined,misc]
        def __init__(self, size: int, nested: dict[str, int], *, logger: bool) -> None:
            super().__init__()
            self.save_hyperparameters("size", "nested", logger=logger)

        def train_dataloader(self) -> Any:
            return make_loader(2)

    module = make_module(pl)
    module.train_dataloader = module.val_dataloader = None
    seen = []
    for logger in (False, True):
        trainer = make_trainer(pl, HyperhookCallback(trial), max_epochs=1, limit_val_batches=0)
        trainer.fit(module, datamodule=Data(8, {"depth": 2}, logger=logger))
        seen.append(recorder.params())
    assert seen == [{"width": 1}, {"width": 1, "size": 8, "nested/depth": 2}]


def test_checkpoints_are_there_when_they_are_announced(
    namespace: ModuleType, make_trainer: Make, make_module: Make, recorder: Any, trial: Trial, tmp_path: Path
) -> None:
    import importlib

    checkpoint = importlib.import_module(f"{namespace.__name__}.callbacks").ModelCheckpoint(
        dirpath=tmp_path, monitor="val", save_top_k=2, save_last=True
    )
    module = make_module(namespace, validate=lambda self, b, i: self.log("val", 1.0 / (1 + self.current_epoch)))
    trainer = make_trainer(
        namespace, HyperhookCallback(trial), callbacks=[checkpoint], enable_checkpointing=True, max_epochs=3
    )
    trainer.fit(module)
    best = [(file.step, file.score) for file in recorder.checkpoints() if file.name != "last.ckpt"]
    assert best == [(3, 1.0), (7, 0.5), (11, pytest.approx(1 / 3))]
    assert [file.step for file in recorder.checkpoints() if file.name == "last.ckpt"] == [3, 7, 11]
    kept = {file.name: file.read_bytes() for file in (recorder.folder / "checkpoints").iterdir()}
    assert kept == {file.name: file.read_bytes() for file in tmp_path.glob("*.ckpt")}
    assert len(kept) == 3
    aliases = {alias: file.name for file in recorder.checkpoints() for alias in file.aliases}
    assert aliases == {"best": Path(checkpoint.best_model_path).name, "last": "last.ckpt"}


def test_checkpoints_of_two_callbacks_do_not_mix(
    pl: ModuleType, make_trainer: Make, make_module: Make, recorder: Any, trial: Trial, tmp_path: Path
) -> None:
    two = [pl.callbacks.ModelCheckpoint(dirpath=tmp_path / name, filename="model") for name in ("a", "b")]
    two[1].state_key  # noqa: B018
    two[1].monitor = "val"
    module = make_module(pl, validate=lambda self, b, i: self.log("val", 1.0))
    make_trainer(pl, HyperhookCallback(trial), callbacks=two, enable_checkpointing=True, max_epochs=1).fit(module)
    assert sorted(file.name for file in recorder.checkpoints()) == ["b/model.ckpt", "model.ckpt"]


def own_runs(home: Path) -> list[tuple[str, list[tuple[str, int, int | None, float]]]]:
    """The state and the points of the trials of a home."""
    study = hh.Study("runs", home=home)
    table = study.to_dataframe(points=True)
    rows = table[table["name"] == "loss"]
    return [
        (str(trial.state), [(r.name, r.step) for r in rows[rows["trial"] == trial.name].itertuples(index=False)])
        for trial in study.trials
    ]


@pytest.mark.parametrize("fork", [False, True])
def test_a_fit_from_a_checkpoint_goes_on_in_the_same_run(
    namespace: ModuleType, make_trainer: Make, make_module: Make, tmp_path: Path, fork: bool
) -> None:
    def module(until: int = 99) -> Any:
        def train(self: Any, batch: Any, index: int) -> None:
            if self.global_step >= until:
                raise RuntimeError("power cut")
            self.log("loss", float(self.global_step))

        return make_module(namespace, train=train)

    import importlib

    saving = importlib.import_module(f"{namespace.__name__}.callbacks").ModelCheckpoint
    callbacks = [saving(dirpath=tmp_path, filename="every", save_top_k=1, every_n_epochs=1)]
    first = HyperhookCallback(home=tmp_path / "home")
    trainer = make_trainer(namespace, first, callbacks=callbacks, enable_checkpointing=True, max_epochs=3)
    with pytest.raises(RuntimeError):
        trainer.fit(module(until=6))
    first.close()
    second = HyperhookCallback(home=tmp_path / "home", fork=fork)
    make_trainer(namespace, second, max_epochs=3).fit(module(), ckpt_path=str(tmp_path / "every.ckpt"))
    second.close()
    found = own_runs(tmp_path / "home")
    if fork:
        assert [state for state, _ in found] == ["FAILED", "COMPLETE"]
        assert [step for _, step in found[0][1]] == list(range(6))
        assert [step for _, step in found[1][1]] == list(range(4, 12))
    else:
        assert [state for state, _ in found] == ["COMPLETE"]
        assert [step for _, step in found[0][1]] == list(range(12))


def test_a_checkpoint_of_another_home_starts_a_run_that_names_its_parent(
    pl: ModuleType, make_trainer: Make, make_module: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = HyperhookCallback(home=tmp_path / "one")
    trainer = make_trainer(pl, first, max_epochs=1)
    trainer.fit(make_module(pl))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert first.trial is not None
    parent = first.trial.id
    first.close()
    recorder = RecordingPlugin()
    second = HyperhookCallback(home=tmp_path / "two", plugins=[recorder])
    make_trainer(pl, second, max_epochs=2).fit(make_module(pl), ckpt_path=str(tmp_path / "a.ckpt"))
    second.close()
    assert [c.arguments["tags"] for c in recorder.calls if c.hook == "tags_logged"] == [{"parent": parent}]
    assert "this is a new one" in caplog.text


def test_a_resumed_fit_goes_on_counting(
    pl: ModuleType, make_trainer: Make, make_module: Make, recorder: Any, trial: Trial, tmp_path: Path
) -> None:
    def module() -> Any:
        return make_module(pl, train=lambda self, batch, index: self.log("loss", 1.0))

    first = make_trainer(pl, HyperhookCallback(trial), max_epochs=1)
    first.fit(module())
    first.save_checkpoint(tmp_path / "resume.ckpt")
    make_trainer(pl, HyperhookCallback(trial), max_epochs=2).fit(module(), ckpt_path=tmp_path / "resume.ckpt")
    assert [(step, epoch) for _, step, epoch, _ in recorder.points()] == [(step, step // 4) for step in range(8)]


def test_test_and_validate_after_the_fit_stand_behind_it(
    pl: ModuleType, make_trainer: Make, make_module: Make, recorder: Any, trial: Trial
) -> None:
    module = make_module(pl, validate=lambda self, batch, index: self.log("val", 1.0))
    trainer = make_trainer(pl, HyperhookCallback(trial), max_epochs=1)
    trainer.fit(module)
    trainer.validate(module, verbose=False)
    trainer.test(module, verbose=False)
    assert recorder.points() == [("val", 3, 0, 1.0), ("val", 3, 0, 1.0), ("test", 3, 0, 0.5)]


def test_pruning_ends_the_fit_cleanly(
    namespace: ModuleType, make_trainer: Make, make_module: Make, recorder: Any, trial: Trial
) -> None:
    recorder.stops = lambda record, last: last.step >= 7
    module = make_module(namespace, validate=lambda self, batch, index: self.log("val", 1.0))
    trainer = make_trainer(namespace, HyperhookCallback(trial), max_epochs=50)
    trainer.fit(module)
    assert trainer.current_epoch == 2
    assert trainer.state.finished
    assert trial.stop_requested


def test_pruning_within_an_epoch_stops_there(
    pl: ModuleType, make_trainer: Make, make_module: Make, recorder: Any, trial: Trial
) -> None:
    recorder.stops = lambda record, last: True
    module = make_module(pl, validate=lambda self, batch, index: self.log("val", 1.0))
    trainer = make_trainer(pl, HyperhookCallback(trial), val_check_interval=2)
    trainer.fit(module)
    assert trainer.state.finished
    assert recorder.points() == [("val", 1, 0, 1.0)]


def test_what_was_logged_before_an_exception_is_kept(
    pl: ModuleType, make_trainer: Make, make_module: Make, recorder: Any, trial: Trial
) -> None:
    def train(self: Any, batch: Any, index: int) -> None:
        self.log("loss", float(index))
        if index == 2:
            raise ValueError("bad batch")

    with pytest.raises(ValueError, match="bad batch"):
        make_trainer(pl, HyperhookCallback(trial)).fit(make_module(pl, train=train))
    assert recorder.points() == [("loss", index, 0, float(index)) for index in range(3)]


def test_what_goes_wrong_in_the_callback_is_said_once_and_the_fit_goes_on(
    pl: ModuleType, make_trainer: Make, make_module: Make, trial: Trial, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def emit(self, record: Any, event: Any) -> None:
            raise RuntimeError(f"no room for {event.time}")

        def should_stop(self, record: Any, curve: Any, *, expects: bool) -> bool:
            return False

    module = make_module(pl, train=lambda self, batch, index: self.log("loss", 1.0))
    trainer = make_trainer(pl, HyperhookCallback(Trial(trial.record, Broken())))
    trainer.fit(module)
    assert trainer.state.finished
    (said,) = [record.message for record in caplog.records if "no room" in record.message]
    assert said.startswith("the callback failed (RuntimeError: no room for ")
    assert said.endswith("); the fit goes on")


def test_a_trial_that_ended_is_mentioned_once_and_the_fit_goes_on(
    pl: ModuleType, make_trainer: Make, make_module: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = hh.Study("s", home=tmp_path)
    trial = study.ask()
    module = make_module(pl, train=lambda self, batch, index: self.log("loss", 1.0))
    study.tell(trial)
    trainer = make_trainer(pl, HyperhookCallback(trial))
    trainer.fit(module)
    assert trainer.state.finished
    assert len([record for record in caplog.records if "trial 's-0' ended as COMPLETE" in record.message]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda trial: (("mlflow",), {}), "expected a trial, got 'mlflow'; name trackers by"),
        (lambda trial: ((trial,), {"trackers": ["mlflow"]}), "got a trial and trackers=…, which is for a run of its"),
    ],
)
def test_arguments_that_would_be_passed_over_in_silence_are_refused(
    trial: Trial, arguments: Callable[[Trial], Any], message: str
) -> None:
    positional, named = arguments(trial)
    with pytest.raises(hh.HyperhookError, match=message):
        HyperhookCallback(*positional, **named)


def test_two_in_one_trainer(pl: ModuleType, make_trainer: Make, make_module: Make, recorder: Any, trial: Trial) -> None:
    other = type(recorder)(recorder.folder / "other")
    second = HyperhookCallback(Trial(trial.record, other))
    module = make_module(pl, train=lambda self, batch, index: self.log("loss", 1.0))
    make_trainer(pl, HyperhookCallback(trial), callbacks=[second], max_epochs=1).fit(module)
    assert recorder.points() == other.points() == [("loss", step, 0, 1.0) for step in range(4)]


def test_predicting_starts_no_run(pl: ModuleType, make_trainer: Make, make_module: Make, tmp_path: Path) -> None:
    callback = HyperhookCallback(home=tmp_path / "home")
    module = make_module(pl)
    module.predict_step = lambda batch: module.layer(batch[0])
    make_trainer(pl, callback).predict(module, module.val_dataloader())
    assert callback.trial is None
    assert not (tmp_path / "home").exists()


def test_it_finds_the_current_trial(pl: ModuleType, make_trainer: Make, make_module: Make, tmp_path: Path) -> None:
    def train(trial: Trial) -> None:
        module = make_module(pl, train=lambda self, batch, index: self.log("loss", 0.5))
        make_trainer(pl, HyperhookCallback(), max_epochs=1).fit(module)

    study = hh.Study("s", objective=hh.Minimize("loss"), home=tmp_path)
    study.run(train, trials=1, progress=False)
    assert (study.best.value, study.best.step, study.best.epoch) == (0.5, 0, 0)


def test_a_run_of_its_own_without_a_study(
    pl: ModuleType, make_trainer: Make, make_module: Make, tmp_path: Path
) -> None:
    callback = HyperhookCallback(study="alone", home=tmp_path)
    module = make_module(pl, train=lambda self, batch, index: self.log("loss", 0.5))
    for _ in range(2):
        make_trainer(pl, callback, max_epochs=1).fit(module)
    states = [trial.state for trial in hh.Study("alone", home=tmp_path).trials]
    assert states == [TrialState.COMPLETE, TrialState.RUNNING]
    callback.close()
    assert [trial.state for trial in hh.Study("alone", home=tmp_path).trials] == [TrialState.COMPLETE] * 2


def test_a_script_ends_its_own_run_by_ending(tmp_path: Path) -> None:
    script = """
import lightning as L
from lightning.pytorch.demos.boring_classes import BoringModel
from hyperhook_adapters.lightning import HyperhookCallback

options = dict(accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False)
trainer = L.Trainer(max_steps=2, callbacks=[HyperhookCallback()], **options)
trainer.fit(BoringModel())
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    (trial,) = hh.Study("runs", home=tmp_path / ".hyperhook").trials
    assert trial.state is TrialState.COMPLETE


@pytest.mark.parametrize(
    ("error", "state", "raised"),
    [(ValueError("bad batch"), TrialState.FAILED, ValueError), (KeyboardInterrupt(), TrialState.KILLED, SystemExit)],
)
def test_exceptions_and_ctrl_c_end_a_run_of_its_own(
    pl: ModuleType,
    make_trainer: Make,
    make_module: Make,
    tmp_path: Path,
    error: BaseException,
    state: TrialState,
    raised: type[BaseException],
) -> None:
    def train(self: Any, batch: Any, index: int) -> None:
        self.log("loss", 1.0)
        if index == 2:
            raise error

    with pytest.raises(raised):
        make_trainer(pl, HyperhookCallback(home=tmp_path)).fit(make_module(pl, train=train))
    (trial,) = hh.Study("runs", home=tmp_path).trials
    assert trial.state is state
    assert trial.error is not None
    assert trial.error.startswith(type(error).__name__)


@pytest.mark.parametrize(
    ("error", "state"), [(ValueError("bad batch"), TrialState.FAILED), (KeyboardInterrupt(), TrialState.KILLED)]
)
def test_exceptions_and_ctrl_c_in_a_studys_trial(
    pl: ModuleType, make_trainer: Make, make_module: Make, tmp_path: Path, error: BaseException, state: TrialState
) -> None:
    def train(self: Any, batch: Any, index: int) -> None:
        raise error

    study = hh.Study("s", objective=hh.Minimize("loss"), home=tmp_path)
    trial = study.ask()

    def fit(trial: Trial) -> None:
        make_trainer(pl, HyperhookCallback(trial)).fit(make_module(pl, train=train))

    if state is TrialState.FAILED:
        study.attempt(trial, fit)
    else:
        with pytest.raises(SystemExit):
            study.attempt(trial, fit)
    assert study.trials[0].state is state


def test_it_can_be_pickled(trial: Trial) -> None:
    copy = pickle.loads(pickle.dumps(HyperhookCallback(study="s", trackers=["tensorboard"])))
    assert copy.state_dict() == {}
    assert copy.on_predict_start(None, None) is None
    with pytest.raises(AttributeError, match="no attribute 'misspelled'"):
        _ = copy.misspelled


@pytest.mark.parametrize(
    ("options", "expects"),
    [
        ({"max_epochs": 3}, [False, False, True, True, True, True]),  # each validation, each epoch's end
        ({"max_epochs": 2, "num_sanity_val_steps": 2}, [False, False, True, True]),
        ({"max_epochs": 4, "check_val_every_n_epoch": 2}, [False, False, False, True, True, True]),
        ({"max_epochs": 2, "val_check_interval": 2}, [False, False, False, True, True, True]),
        ({"max_epochs": 3, "limit_val_batches": 0}, [False, True, True]),
    ],
)
def test_the_metric_is_expected_behind_the_first_epoch_with_a_validation(
    pl: ModuleType,
    make_trainer: Make,
    make_module: Make,
    recorder: Any,
    trial: Trial,
    options: dict[str, Any],
    expects: list[bool],
) -> None:
    make_trainer(pl, HyperhookCallback(trial), **options).fit(make_module(pl))
    assert recorder.expects == expects


class Never:
    @hh.hookimpl
    def should_stop(self) -> None:
        return None


def test_a_metric_that_is_missing_ends_the_search_within_two_validations(
    pl: ModuleType, make_trainer: Make, make_module: Make, tmp_path: Path
) -> None:
    fitted: list[int] = []

    def train(trial: Trial) -> None:
        trainer = make_trainer(pl, HyperhookCallback(trial), max_epochs=9)
        try:
            trainer.fit(make_module(pl, validate=lambda self, batch, index: self.log("val_loss", 1.0)))
        finally:
            fitted.append(trainer.current_epoch)

    study = hh.Study("s", {}, hh.Minimize("val_los"), plugins=[Never()], home=tmp_path)
    with pytest.raises(
        ObjectiveError, match=r"metric 'val_los' was never logged; logged so far: .*val_loss; log it, or"
    ):
        study.run(train, trials=5, progress=False)
    assert fitted == [1]
    assert [trial.state for trial in study.trials] == [hh.TrialState.FAILED]


@pytest.mark.parametrize("when", ["on_train_epoch_end", "on_validation_epoch_end"])
def test_a_metric_of_an_epoch_s_end_is_not_missed(
    pl: ModuleType, make_trainer: Make, make_module: Make, tmp_path: Path, when: str
) -> None:
    def train(trial: Trial) -> None:
        module = make_module(pl, **{when: lambda self: self.log("late", 1.0)})
        make_trainer(pl, HyperhookCallback(trial), max_epochs=4, num_sanity_val_steps=2, val_check_interval=2).fit(
            module
        )

    study = hh.Study("s", {}, hh.Minimize("late"), plugins=[Never()], home=tmp_path)
    study.run(train, trials=1, progress=False)
    (trial,) = study.trials
    assert (trial.state, trial.value) == (hh.TrialState.COMPLETE, 1.0)
    assert [point.step for point in trial.curve] == sorted({point.step for point in trial.curve})
    assert len(trial.curve) >= 3
