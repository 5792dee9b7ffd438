"""What a fit works with, as far as it is known without touching it: the dataloaders' data, and what the model takes.

Nothing here iterates or indexes a dataset, runs a model or draws a random number.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from typing import Any

from hyperhook import Dataset, Scalar

__all__ = ["datasets", "signature"]

_NUMPY_TYPES = frozenset(
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128".split()
)
"""The types that a signature can name: those that NumPy has, too."""
_MOST_TENSORS = 50
_LIGHTNING = ("lightning.pytorch.", "pytorch_lightning.")


def datasets(loaders: Any, context: str, datamodule: Any) -> Iterator[Dataset]:
    """Yield the datasets of dataloaders; loaders that have none are passed over.

    Args:
        loaders: A loader, or lists and dictionaries of loaders, as the trainer has them.
        context: What they serve.
        datamodule: Where they come from, or None. Its class gives the name, or else the dataset's class.
    """
    for place, loader in _leaves(loaders):
        dataset = getattr(loader, "dataset", None)
        if dataset is None:
            continue
        origin = _origin(dataset)
        module = None if datamodule is None else type(datamodule).__name__
        name = type(origin).__name__ if module in (None, "LightningDataModule") else str(module)
        sizes = {"rows": _rows(dataset), "batch_size": _batch_size(loader)}
        known: dict[str, Scalar] = {key: size for key, size in sizes.items() if size is not None}
        yield Dataset("/".join((name, *place)), context, profile={**known, **_features(origin)})


def signature(module: Any) -> str | None:
    """Return what a module takes, as the JSON of the dictionary that MLflow's ``ModelSignature.from_dict`` reads.

    It is that of ``example_input_array``: a tensor, or a tuple, a list or a dictionary of tensors. The first dimension
    is that of the batch, so -1. A property of the module's own is not asked: it may compute, or draw random numbers.

    Returns:
        The text; None where there is no example, or one of other things than tensors, or of types that NumPy lacks.
    """
    found = inspect.getattr_static(type(module), "example_input_array", None)
    if isinstance(found, property) and not getattr(found.fget, "__module__", "").startswith(_LIGHTNING):
        return None
    example = getattr(module, "example_input_array", None)
    if isinstance(example, Mapping):
        named = [(str(name), tensor) for name, tensor in example.items()]
    elif isinstance(example, tuple | list) and len(example) != 1:
        named = [(f"input_{number}", tensor) for number, tensor in enumerate(example)]
    else:
        named = [("", example[0] if isinstance(example, tuple | list) else example)]
    specs = [_spec(name, tensor) for name, tensor in named]
    if not specs or None in specs:
        return None
    return json.dumps({"inputs": json.dumps(specs), "outputs": None, "params": None})


def _spec(name: str, tensor: Any) -> dict[str, object] | None:
    kind = str(getattr(tensor, "dtype", "")).removeprefix("torch.")
    if kind not in _NUMPY_TYPES or not hasattr(tensor, "shape"):
        return None
    spec = {"dtype": kind, "shape": [-1, *map(int, tensor.shape[1:])] if tensor.shape else []}
    return {**({"name": name} if name else {}), "type": "tensor", "tensor-spec": spec}


def _leaves(loaders: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield loaders and where they stand; one that stands alone in its list needs no place."""
    if isinstance(loaders, Mapping):
        for key, loader in loaders.items():
            yield from _leaves(loader, (*place, str(key)))
    elif isinstance(loaders, tuple | list):
        for number, loader in enumerate(loaders):
            yield from _leaves(loader, place if len(loaders) == 1 else (*place, str(number)))
    else:
        yield place, loaders


def _origin(dataset: Any) -> Any:
    """Return what a part is a part of: ``random_split`` makes a ``Subset``, whose name says little."""
    while type(dataset).__name__ == "Subset" and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    return dataset


def _rows(dataset: Any) -> int | None:
    try:
        return len(dataset)
    except (TypeError, NotImplementedError):  # a stream
        return None


def _batch_size(loader: Any) -> int | None:
    size = getattr(loader, "batch_size", None)
    if size is None:
        size = getattr(getattr(loader, "batch_sampler", None), "batch_size", None)
    return size if isinstance(size, int) else None


def _features(dataset: Any) -> dict[str, Scalar]:
    """Return the shapes of a row and the types, of what holds its tensors; no code of the dataset's own is run."""
    tensors = getattr(dataset, "__dict__", {}).get("tensors")
    if not isinstance(tensors, tuple | list) or not 0 < len(tensors) <= _MOST_TENSORS:
        return {}
    if not all(hasattr(tensor, "shape") and hasattr(tensor, "dtype") for tensor in tensors):
        return {}
    shapes = ", ".join(str(list(tensor.shape[1:])) for tensor in tensors)
    return {"features": shapes, "dtypes": ", ".join(str(tensor.dtype).removeprefix("torch.") for tensor in tensors)}
