"""What a fit works with: told without touching it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, random_split

import hyperhook as hh
from hyperhook import Trial
from hyperhook.testing import RecordingPlugin
from hyperhook_adapters.lightning import HyperhookCallback
from hyperhook_adapters.lightning.inputs import datasets, signature

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),  # MLflow on SQLAlchemy 2.1
]

Make = Callable[..., Any]


class Touchy(Dataset[Any]):
    """Data that knows how often it was looked at."""

    def __init__(self, rows: int = 8) -> None:
        self.rows = rows
        self.touched = 0

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> Any:
        self.touched += 1
        return [torch.rand(1)]


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        pytest.fail("iterated")


def told(loaders: Any, datamodule: Any = None) -> list[tuple[str, dict[str, Any]]]:
    return [(found.name, dict(found.profile)) for found in datasets(loaders, "training", datamodule)]


def logged(recorder: Any) -> list[tuple[str, str, dict[str, Any]]]:
    found = [event for event in recorder.events if type(event).__name__ == "DatasetLogged"]
    return [(event.context, event.name, event.profile) for event in found]


TENSORS = TensorDataset(torch.zeros(6, 3), torch.zeros(6, dtype=torch.int64))
FEATURES = {"features": "[3], []", "dtypes": "float32, int64"}


@pytest.mark.parametrize(
    ("loaders", "expected"),
    [
        (DataLoader(Touchy(), batch_size=2), [("Touchy", {"rows": 8, "batch_size": 2})]),
        (DataLoader(Stream(), batch_size=2), [("Stream", {"batch_size": 2})]),
        (DataLoader(Touchy(), batch_size=None), [("Touchy", {"rows": 8})]),
        (DataLoader(TENSORS, batch_size=2), [("TensorDataset", {"rows": 6, "batch_size": 2, **FEATURES})]),
        (
            DataLoader(random_split(TENSORS, [4, 2])[0], batch_size=2),
            [("TensorDataset", {"rows": 4, "batch_size": 2, **FEATURES})],
        ),
        (
            DataLoader(Touchy(), batch_sampler=torch.utils.data.BatchSampler(range(8), 4, False)),  # type: ignore[arg-type]
            [("Touchy", {"rows": 8, "batch_size": 4})],
        ),
        ([DataLoader(Touchy(3))], [("Touchy", {"rows": 3, "batch_size": 1})]),
        (
            {"a": DataLoader(Touchy(3)), "b": [DataLoader(Touchy(4)), DataLoader(Touchy(5))]},
            [
                ("Touchy/a", {"rows": 3, "batch_size": 1}),
                ("Touchy/b/0", {"rows": 4, "batch_size": 1}),
                ("Touchy/b/1", {"rows": 5, "batch_size": 1}),
            ],
        ),
        ([[torch.zeros(2)], range(3)], []),
        (None, []),
    ],
)
def test_what_loaders_say(loaders: Any, expected: list[tuple[str, dict[str, Any]]]) -> None:
    assert told(loaders) == expected


def test_the_datamodule_names_its_data(pl: ModuleType) -> None:
    class Digits(pl.LightningDataModule):  # type: ignore[name-defined,misc]
        pass

    loader = DataLoader(Touchy())
    assert told(loader, Digits()) == [("Digits", {"rows": 8, "batch_size": 1})]
    nameless = pl.LightningDataModule.from_datasets(Touchy())
    assert [name for name, _ in told(loader, nameless)] == ["Touchy"]


def test_a_fit_tells_of_training_and_validation_once(
    namespace: ModuleType, make_trainer: Make, make_module: Make, recorder: Any, trial: Trial, tmp_path: Path
) -> None:
    expected = [
        ("training", "TensorDataset", {"rows": 8, "batch_size": 2, "features": "[1]", "dtypes": "float32"}),
        ("validation", "TensorDataset", {"rows": 4, "batch_size": 2, "features": "[1]", "dtypes": "float32"}),
    ]
    trainer = make_trainer(namespace, HyperhookCallback(trial), max_epochs=2)
    trainer.fit(make_module(namespace))
    assert logged(recorder) == expected
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = make_trainer(namespace, HyperhookCallback(trial), max_epochs=3)
    again.fit(make_module(namespace), ckpt_path=str(tmp_path / "a.ckpt"))
    assert logged(recorder) == expected


def test_validation_that_comes_later_is_told_then(
    pl: ModuleType, make_trainer: Make, make_module: Make, recorder: Any, trial: Trial
) -> None:
    trainer = make_trainer(pl, HyperhookCallback(trial), max_epochs=2, check_val_every_n_epoch=2)
    trainer.fit(make_module(pl))
    assert [context for context, _, _ in logged(recorder)] == ["training", "validation"]


def test_a_trial_that_goes_on_in_another_process_is_told_nothing_twice(
    pl: ModuleType, make_trainer: Make, make_module: Make, tmp_path: Path
) -> None:
    recorder = RecordingPlugin()
    for epochs in (1, 2):
        callback = HyperhookCallback(home=tmp_path / "home", plugins=[recorder])
        trainer = make_trainer(pl, callback, max_epochs=epochs)
        trainer.fit(make_module(pl), ckpt_path=str(tmp_path / "a.ckpt") if epochs == 2 else None)
        trainer.save_checkpoint(tmp_path / "a.ckpt")
        callback.close()
    assert recorder.hooks().count("trial_resumed") == 1
    assert recorder.hooks().count("dataset_logged") == 2


def test_nothing_is_touched_and_no_random_number_drawn(
    pl: ModuleType, make_trainer: Make, make_module: Make, trial: Trial, recorder: Any
) -> None:
    def fit(*callbacks: Any) -> tuple[int, list[float]]:
        torch.manual_seed(7)
        data, seen = Touchy(), list[float]()
        module = make_module(pl, train=lambda self, batch, index: seen.extend(batch[0].flatten().tolist()))
        module.example_input_array = torch.zeros(2, 1)
        trainer = make_trainer(pl, *(callbacks or (pl.Callback(),)), max_epochs=2)
        trainer.fit(module, DataLoader(data, batch_size=2, shuffle=True), DataLoader(Touchy(2)))
        return data.touched, seen

    assert fit(HyperhookCallback(trial)) == fit()
    assert [name for _, name, _ in logged(recorder)] == ["Touchy", "Touchy"]


def test_what_fails_there_does_not_reach_the_fit(
    pl: ModuleType, make_trainer: Make, make_module: Make, trial: Trial, caplog: pytest.LogCaptureFixture
) -> None:
    class Sampler:
        batch_size = 2

        def __iter__(self) -> Iterator[list[int]]:
            yield [0, 1]

    class Endless(Touchy):
        def __len__(self) -> int:
            raise RuntimeError("nobody counted")

    trainer = make_trainer(pl, HyperhookCallback(trial), max_epochs=1)
    with caplog.at_level(logging.ERROR, logger="hyperhook"):
        trainer.fit(make_module(pl), DataLoader(Endless(), batch_sampler=Sampler()))  # type: ignore[arg-type]
    assert trainer.state.finished
    assert trainer.global_step == 1
    assert [record.message for record in caplog.records if "nobody counted" in record.message]


def module(example: Any) -> Any:
    return SimpleNamespace(example_input_array=example)


def read(found: str | None) -> Any:
    from mlflow.models import ModelSignature

    assert found is not None
    return ModelSignature.from_dict(json.loads(found)).inputs.to_dict()


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        (torch.zeros(2, 3, 4), [(None, "float32", (-1, 3, 4))]),
        ((torch.zeros(2, 3),), [(None, "float32", (-1, 3))]),
        (
            (torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64)),
            [("input_0", "float32", (-1, 3)), ("input_1", "int64", (-1,))],
        ),
        (
            {"x": torch.zeros(2, 3).half(), "mask": torch.zeros(2, 1, dtype=torch.bool)},
            [("x", "float16", (-1, 3)), ("mask", "bool", (-1, 1))],
        ),
        (torch.tensor(1.0), [(None, "float32", ())]),
    ],
)
def test_mlflow_reads_a_signature(example: Any, expected: list[tuple[str | None, str, tuple[int, ...]]]) -> None:
    specs = read(signature(module(example)))
    assert [
        (spec.get("name"), spec["tensor-spec"]["dtype"], tuple(spec["tensor-spec"]["shape"])) for spec in specs
    ] == expected


@pytest.mark.parametrize(
    "example", [None, (), [], {}, "x", 3, (torch.zeros(1), 3), [[torch.zeros(1)]], torch.zeros(1).bfloat16()]
)
def test_what_is_no_example_gives_none(example: Any) -> None:
    assert signature(module(example)) is None
    assert signature(object()) is None


def test_a_property_of_the_modules_own_is_not_asked(namespace: ModuleType, make_module: Make) -> None:
    made = make_module(namespace)
    assert signature(made) is None
    made.example_input_array = torch.zeros(2, 1)
    assert signature(made) is not None

    class Draws(type(made)):  # type: ignore[misc]
        @property
        def example_input_array(self) -> Any:
            pytest.fail("asked")

    assert signature(object.__new__(Draws)) is None


def test_a_checkpoint_brings_its_models_signature_to_mlflow(
    namespace: ModuleType, make_trainer: Make, make_module: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    from hyperhook_adapters.mlflow import MLflow

    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(uri)
    client.create_experiment("s", artifact_location=str(tmp_path / "store"))
    made = make_module(namespace)
    made.example_input_array = torch.zeros(2, 1)
    with hh.Study("s", trackers=[MLflow(uri)], home=tmp_path / "home", delivery="inline") as study:
        with study.trial() as trial:
            make_trainer(namespace, HyperhookCallback(), max_epochs=1, enable_checkpointing=True).fit(made)
    (run,) = client.search_runs(["1"], f"tags.`hyperhook.trial_id` = '{trial.id}'")
    (spec,) = read(run.data.tags["hyperhook.signature"])
    assert (spec["tensor-spec"]["dtype"], tuple(spec["tensor-spec"]["shape"])) == ("float32", (-1, 1))
    contexts = sorted(found.tags[0].value for found in client.get_run(run.info.run_id).inputs.dataset_inputs)
    assert contexts == ["training", "validation"]
