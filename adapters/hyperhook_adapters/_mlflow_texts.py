"""Names, params, tags and datasets in the forms that MLflow takes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from hyperhook import Dataset, Scalar

__all__ = ["as_name", "as_params", "as_tag", "dataset_input", "shorten"]

_NAME_LENGTH, _PARAM_LENGTH, _TAG_LENGTH = 250, 6000, 5000
_DATASET_LENGTH, _DIGEST_LENGTH, _CONTEXT_LENGTH = 500, 36, 500
_REFUSED = re.compile(
    r"[^\w/. :-]"  # a character
    r"|^/|/$|/(?=/)"  # a slash that a path would lose
    r"|^\.(?=\.)|(?<![^/])\.(?=\.?(?:/|$))"  # dots that a path would resolve
    r"|_(?=0x)"  # what looks like one of ours
)


def as_name(name: str) -> str:
    """Return a name that MLflow takes; different ones for different names."""
    return shorten(_REFUSED.sub(lambda match: f"_0x{ord(match[0]):x}_", name), _NAME_LENGTH)


def shorten(name: str, length: int = _NAME_LENGTH) -> str:
    """Return a name that is short enough; one that was cut ends in its hash."""
    if len(name) <= length:
        return name
    return f"{name[: length - 17]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def as_params(params: Mapping[str, Scalar]) -> dict[str, str]:
    """Return params as texts, under names that MLflow takes."""
    return {as_name(name): _cut(str(value), _PARAM_LENGTH) for name, value in params.items()}


def _cut(text: str, length: int) -> str:
    """Return a text that is short enough; one that was cut says how long it was."""
    note = f"… ({len(text)} characters)"
    return text if len(text) <= length else text[: length - len(note)] + note


def as_tag(text: str, shorter: str | None = None) -> str:
    """Return a text as a tag's value; where it is too long, a shorter one, or what fits of it."""
    return text if len(text) <= _TAG_LENGTH else _cut(text if shorter is None else shorter, _TAG_LENGTH)


def dataset_input(dataset: Dataset) -> Any:
    """Return a dataset as the input of a run."""
    from mlflow.entities import Dataset as Data
    from mlflow.entities import DatasetInput, InputTag

    profile = json.dumps(dict(dataset.profile), sort_keys=True)
    digest = dataset.digest
    if digest is None or len(digest) > _DIGEST_LENGTH:
        whole = json.dumps([dataset.name, dataset.context, digest, dataset.source, profile])
        digest = hashlib.sha256(whole.encode()).hexdigest()[:16]
    source = json.dumps({} if dataset.source is None else {"uri": dataset.source})
    name = shorten(dataset.name, _DATASET_LENGTH)
    context = InputTag("mlflow.data.context", _cut(dataset.context, _CONTEXT_LENGTH))
    return DatasetInput(Data(name, digest, "hyperhook", source, profile=profile), [context])
