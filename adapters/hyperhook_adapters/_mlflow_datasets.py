"""Datasets as inputs of an MLflow run.

MLflow keeps one record for each name and digest in an experiment, the first that came, and joins a run to it once, with
the tags of that first time. So what is sent twice is there once; and data that serves two contexts of a run needs two
digests.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Sequence
from typing import Any

from hyperhook import Dataset, Scalar
from hyperhook_adapters._mlflow_names import cut, shorten

__all__ = ["log_datasets"]

log = logging.getLogger("hyperhook.mlflow")

_NAME_LENGTH, _CONTEXT_LENGTH, _DIGEST_LENGTH, _VALUE_LENGTH = 500, 500, 36, 6000
_CONTEXT = "mlflow.data.context"
_ARTIFACT_SCHEMES = ("abfss", "dbfs", "ftp", "gs", "hdfs", "r2", "s3", "sftp", "viewfs", "wasbs")
"""Schemes of addresses that MLflow knows as a type of source."""


def log_datasets(client: Any, run_id: str, datasets: Sequence[Dataset]) -> None:
    """Make datasets inputs of a run, in the order in which they were logged; those that it has stay as they are.

    A server that knows no datasets costs them, and nothing else.
    """
    from mlflow.exceptions import MlflowException

    try:
        client.log_inputs(run_id, _inputs(datasets, client.get_run(run_id).inputs))
    except (MlflowException, NotImplementedError) as error:
        if getattr(error, "error_code", "ENDPOINT_NOT_FOUND") != "ENDPOINT_NOT_FOUND":
            raise
        log.warning("MLflow: this server knows no datasets: %s", ", ".join(dataset.name for dataset in datasets))


def _inputs(datasets: Sequence[Dataset], there: Any) -> list[Any]:
    """Return datasets as MLflow's own inputs, beside those of a run that are there."""
    from mlflow.entities import Dataset as Record
    from mlflow.entities import DatasetInput, InputTag

    known = {
        (found.dataset.name, found.dataset.digest): {tag.key: tag.value for tag in found.tags}.get(_CONTEXT)
        for found in (there.dataset_inputs if there is not None else ())
    }
    inputs = []
    for dataset in datasets:
        name, context = shorten(dataset.name, _NAME_LENGTH), shorten(dataset.context, _CONTEXT_LENGTH)
        digest = _digest(dataset)
        if known.get((name, digest), context) != context:
            digest = shorten(f"{digest}-{context}", _DIGEST_LENGTH)
        known.setdefault((name, digest), context)
        profile = json.dumps({key: _short(fact) for key, fact in dataset.profile.items()}, ensure_ascii=False)
        record = Record(name, digest, *_source(dataset.source), profile=profile)
        inputs.append(DatasetInput(record, [InputTag(_CONTEXT, context)]))
    return inputs


def _short(fact: Scalar) -> Scalar:
    return cut(fact, _VALUE_LENGTH) if isinstance(fact, str) else fact


def _digest(dataset: Dataset) -> str:
    """Return the digest, or where none was given, the same one for the same words."""
    if dataset.digest is not None:
        return shorten(dataset.digest, _DIGEST_LENGTH)
    words = [dataset.name, dataset.context, dataset.source, dict(dataset.profile)]
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()[:16]


def _source(source: str | None) -> tuple[str, str]:
    """Return the source's type and its JSON, as MLflow writes its own; without one, it is the code of the run."""
    if source is None:
        return "code", json.dumps({"tags": {}})
    scheme = re.match(r"\w+(?=://)", source)
    if scheme is not None and scheme[0] in ("http", "https"):
        kind, facts = "http", {"url": source}
    else:
        kind = scheme[0] if scheme is not None and scheme[0] in _ARTIFACT_SCHEMES else "local"
        facts = {"uri": source}
    return kind, json.dumps(facts, ensure_ascii=False)
