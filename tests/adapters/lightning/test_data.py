"""What a fit says of its data and its model, without drawing an example."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import hyperhook as hh
from hyperhook.events import ArtifactLogged, DatasetLogged
from hyperhook.journal import read
from hyperhook_adapters.lightning import HyperhookCallback
from hyperhook_adapters.lightning.data import loaded, signature

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


class Trainer:
    """What `loaded` looks at."""

    def __init__(self, training: Any, validation: Any = None, datamodule: Any = None) -> None:
        self.train_dataloader, self.val_dataloaders, self.datamodule = training, validation, datamodule


class Untouchable(Dataset[Tensor]):
    """Fails when an example is drawn."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Tensor:
        raise AssertionError("an example was drawn")


class Stream(IterableDataset[Tensor]):
    """Has no length, and fails when it is iterated."""

    def __iter__(self) -> Iterator[Tensor]:
        raise AssertionError("it was iterated")


class Module:
    """What `signature` looks at."""

    def __init__(self, example: Any) -> None:
        self.example_input_array = example


def test_no_example_is_drawn_and_a_stream_has_no_rows() -> None:
    trainer = Trainer(DataLoader(Untouchable(), batch_size=4), [DataLoader(Stream()), DataLoader(Untouchable())])
    found = [(data.context, data.name, dict(data.profile)) for data in loaded(trainer)]
    assert found == [
        ("training", "Untouchable", {"rows": 12, "batch_size": 4}),
        ("validation", "Stream-0", {"batch_size": 1}),
        ("validation", "Untouchable-1", {"rows": 12, "batch_size": 1}),
    ]


def test_shapes_of_a_tensor_dataset_and_the_name_of_a_datamodule() -> None:
    data = TensorDataset(torch.zeros(6, 3), torch.zeros(6, dtype=torch.int64))
    (found,) = loaded(Trainer({"a": DataLoader(data, batch_size=2)}, datamodule=Module(None)))
    assert found.name == "Module"
    assert found.profile == {"rows": 6, "batch_size": 2, "tensor_0": "float32 (6, 3)", "tensor_1": "int64 (6,)"}


def test_nothing_is_said_of_loaders_that_are_not_there() -> None:
    assert list(loaded(Trainer(None))) == []


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        (torch.zeros(5, 3), [(None, "float32", (-1, 3))]),
        ((torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64)), [("0", "float32", (-1, 2)), ("1", "int64", (-1,))]),
        ({"x": torch.zeros(4, 1, 28, 28)}, [("x", "float32", (-1, 1, 28, 28))]),
    ],
)
def test_mlflow_reads_the_signature(example: Any, expected: list[tuple[str | None, str, tuple[int, ...]]]) -> None:
    from mlflow.models import ModelSignature

    text = signature(Module(example))
    assert text is not None
    specs = ModelSignature.from_dict(json.loads(text)).inputs.inputs
    assert [(spec.name, spec.type.name, spec.shape) for spec in specs] == expected


@pytest.mark.parametrize("example", [None, "text", ("text",), 3.0, torch.zeros(2, 2, dtype=torch.bfloat16)])
def test_what_has_no_signature_has_none(example: Any) -> None:
    assert signature(Module(example)) is None


def test_a_fit_tells_its_data_once_and_its_checkpoints_their_signature(
    namespace: Any, make_trainer: Callable[..., Any], tmp_path: Path
) -> None:
    class Net(namespace.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 1)
            self.example_input_array = torch.zeros(1, 3)

        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            loss: Tensor = self.layer(batch[0]).square().mean()
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    study = hh.Study("s", home=tmp_path / "home")
    with study.trial() as trial:
        for _ in range(2):
            trainer = make_trainer(namespace, HyperhookCallback(trial), max_epochs=1, enable_checkpointing=True)
            trainer.fit(Net(), DataLoader(TensorDataset(torch.zeros(8, 3)), batch_size=4))
    events = [event for event, _ in read(tmp_path / "home" / "trials" / trial.id / "journal.jsonl")]
    (data,) = [event for event in events if isinstance(event, DatasetLogged)]
    assert (data.name, data.context, data.profile["rows"]) == ("TensorDataset", "training", 8)
    checkpoints = [event for event in events if isinstance(event, ArtifactLogged)]
    assert checkpoints
    assert all("signature" in event.metadata for event in checkpoints)
