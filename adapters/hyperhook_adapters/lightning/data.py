"""What a trainer says of its data and its model's input, without an example being drawn or the model being run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hyperhook import Scalar

__all__ = ["Loaded", "loaded", "signature"]

_UNNAMED = frozenset({"", "bfloat16", "float8_e4m3fn", "float8_e5m2"})
"""Types of tensors that NumPy, and so MLflow's signatures, have no name for."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A dataset behind a dataloader.

    Attributes:
        name: The name of the datamodule's class, or else of the dataset's; with a number where there are several.
        context: ``training`` or ``validation``.
        profile: Rows, batch size, and the shapes and types of what a ``TensorDataset`` holds.
    """

    name: str
    context: str
    profile: Mapping[str, Scalar] = field(default_factory=dict)


def loaded(trainer: Any) -> Iterator[Loaded]:
    """Yield the datasets of a fit that is about to start.

    Args:
        trainer: The trainer, with its dataloaders set up.
    """
    module = trainer.datamodule
    for context, loaders in (("training", trainer.train_dataloader), ("validation", trainer.val_dataloaders)):
        found = list(_leaves(loaders))
        for number, loader in enumerate(found):
            dataset = getattr(loader, "dataset", loader)
            name = type(dataset if module is None else module).__name__
            yield Loaded(f"{name}-{number}" if len(found) > 1 else name, context, dict(_profile(loader, dataset)))


def _leaves(loaders: Any) -> Iterator[Any]:
    """Yield the dataloaders in lists and dictionaries of them."""
    if isinstance(loaders, Mapping):
        loaders = list(loaders.values())
    if not isinstance(loaders, list | tuple):
        loaders = [] if loaders is None else [loaders]
        yield from loaders
        return
    for loader in loaders:
        yield from _leaves(loader)


def _profile(loader: Any, dataset: Any) -> Iterator[tuple[str, Scalar]]:
    with suppress(Exception):  # an iterable dataset has no length; what its author wrote may raise anything
        yield "rows", len(dataset)
    size = getattr(loader, "batch_size", None)
    if isinstance(size, int):
        yield "batch_size", size
    tensors = getattr(dataset, "tensors", None)
    if isinstance(tensors, list | tuple):
        for number, tensor in enumerate(tensors):
            if hasattr(tensor, "shape") and hasattr(tensor, "dtype"):
                yield f"tensor_{number}", f"{_type_name(tensor)} {tuple(tensor.shape)}"


def signature(module: Any) -> str | None:
    """Return what a module takes, as MLflow's ``ModelSignature.to_dict`` in JSON; None where it does not say.

    Args:
        module: Its ``example_input_array`` is a tensor, or a tuple, list or dictionary of tensors.
    """
    example = getattr(module, "example_input_array", None)
    if isinstance(example, Mapping):
        named: dict[str | None, Any] = {str(name): tensor for name, tensor in example.items()}
    elif isinstance(example, Sequence):
        named = {str(number): tensor for number, tensor in enumerate(example)}
    else:
        named = {None: example}
    columns = []
    for name, tensor in named.items():
        shape, kind = getattr(tensor, "shape", None), _type_name(tensor)
        if shape is None or kind in _UNNAMED:
            return None
        column: dict[str, Any] = {
            "type": "tensor",
            "tensor-spec": {"dtype": kind, "shape": [-1, *map(int, shape[1:])]},
        }
        columns.append(column if name is None else {"name": name, **column})
    return json.dumps({"inputs": json.dumps(columns), "outputs": None, "params": None})


def _type_name(tensor: Any) -> str:
    return str(getattr(tensor, "dtype", "")).removeprefix("torch.")
