"""Datasets as inputs of MLflow runs, and what tags say of checkpoints; read back by MLflow's client."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hyperhook as hh
from hyperhook_adapters.mlflow import MLflow

pytestmark = [
    pytest.mark.usefixtures("offline"),
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),  # MLflow on SQLAlchemy 2.1
]

Inputs = list[tuple[str, str, str]]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for all tests, since its making takes seconds; each test has a study of its own."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def client(uri: str, offline: None) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri)


@pytest.fixture
def log(request: pytest.FixtureRequest, uri: str, client: Any, tmp_path: Path) -> Callable[..., Any]:
    """Run a trial of this test's study, and return its run as MLflow has it."""
    name = request.node.name
    client.create_experiment(name, artifact_location=str(tmp_path / "store"))

    def run(train: Callable[[hh.Trial], object]) -> Any:
        with hh.Study(name, trackers=[MLflow(uri)], home=tmp_path / "home", delivery="inline") as study:
            with study.trial() as trial:
                train(trial)
        return read(trial.id)

    def read(trial: str) -> Any:
        experiment = client.get_experiment_by_name(name).experiment_id
        (found,) = client.search_runs([experiment], f"tags.`hyperhook.trial_id` = '{trial}'")
        return client.get_run(found.info.run_id)

    return run


def context(found: Any) -> str:
    return {tag.key: tag.value for tag in found.tags}["mlflow.data.context"]


def inputs(run: Any) -> Inputs:
    found = [(made.dataset.name, context(made), made.dataset.digest) for made in run.inputs.dataset_inputs]
    return sorted(found)


def profiles(run: Any) -> list[str]:
    return sorted(made.dataset.profile for made in run.inputs.dataset_inputs)


def test_a_dataset_is_an_input_of_the_run(log: Callable[..., Any]) -> None:
    def train(trial: hh.Trial) -> None:
        trial.log_dataset("digits", context="test", digest="5d41", source="/data/d", profile={"rows": 8, "dtype": "f4"})

    (found,) = log(train).inputs.dataset_inputs
    assert (found.dataset.name, context(found), found.dataset.digest) == ("digits", "test", "5d41")
    assert json.loads(found.dataset.profile) == {"rows": 8, "dtype": "f4"}


@pytest.mark.parametrize(
    ("source", "kind", "uri_of"),
    [
        (None, "code", lambda found: ""),
        ("https://example.com/d.csv?a=b", "http", lambda found: found.url),
        ("s3://bucket/d", "s3", lambda found: found.uri),
        ("data/größe.csv", "local", lambda found: found.uri),
        ("hf://x/y", "local", lambda found: found.uri),
    ],
)
def test_mlflow_itself_reads_the_source(
    log: Callable[..., Any], source: str | None, kind: str, uri_of: Callable[[Any], str]
) -> None:
    import mlflow.data

    (found,) = log(lambda trial: trial.log_dataset("digits", source=source)).inputs.dataset_inputs
    assert found.dataset.source_type == kind
    assert uri_of(mlflow.data.get_source(found.dataset)) == (source or "")


def test_without_a_digest_there_is_one_that_stays_the_same(log: Callable[..., Any]) -> None:
    def train(trial: hh.Trial) -> None:
        trial.log_dataset("digits", profile={"rows": 8, "batch_size": 2})
        trial.log_dataset("digits", context="validation", profile={"rows": 8, "batch_size": 2})

    first, second = inputs(log(train)), inputs(log(train))
    assert first == second
    assert [(name, context) for name, context, _ in first] == [("digits", "training"), ("digits", "validation")]
    assert first[0][2] != first[1][2]
    other = log(lambda trial: trial.log_dataset("digits", profile={"rows": 8, "batch_size": 4}))
    (found,) = other.inputs.dataset_inputs
    assert found.dataset.digest not in [digest for _, _, digest in first]
    assert json.loads(found.dataset.profile)["batch_size"] == 4


def test_one_digest_in_two_contexts_is_two_inputs(log: Callable[..., Any]) -> None:
    def train(trial: hh.Trial) -> None:
        for context in ("training", "validation"):
            trial.log_dataset("digits", context=context, digest="d" * 32)

    found = inputs(log(train))
    assert found[0] == ("digits", "training", "d" * 32)
    assert [(name, context) for name, context, _ in found] == [("digits", "training"), ("digits", "validation")]
    assert len(found[1][2]) == 36


@pytest.mark.parametrize("again", ["one by one", "all at once"])
def test_what_is_sent_again_changes_nothing(uri: str, client: Any, again: str) -> None:
    trial = hh.TrialRecord(f"again{len(again)}", 0, again)
    datasets = [
        hh.Dataset("digits", digest="5d41", profile={"rows": 8}),
        hh.Dataset("digits", "validation", digest="5d41"),
        hh.Dataset("digits", "test"),
        hh.Dataset("digits", digest="5d41", profile={"rows": 9}),
    ]

    def send(tracker: MLflow) -> str:
        tracker.trial_started(trial)
        for dataset in datasets:
            tracker.dataset_logged(trial, dataset)
            if again == "one by one":
                tracker.flush(trial)
        run_id = tracker.flush(trial)["run_id"]
        assert isinstance(run_id, str)
        return run_id

    first = client.get_run(send(MLflow(uri)))
    second = client.get_run(send(MLflow(uri)))
    assert [(name, context) for name, context, _ in inputs(first)] == [
        ("digits", "test"),
        ("digits", "training"),
        ("digits", "validation"),
    ]
    assert inputs(second) == inputs(first)
    assert profiles(second) == profiles(first)


def test_the_first_profile_of_a_digest_stands_in_the_experiment(log: Callable[..., Any]) -> None:
    for rows in (8, 9):
        run = log(lambda trial: trial.log_dataset("digits", digest="5d41", profile={"rows": rows}))  # noqa: B023
    assert json.loads(run.inputs.dataset_inputs[0].dataset.profile) == {"rows": 8}


def test_what_is_too_long_for_mlflow_is_cut_and_told_apart(log: Callable[..., Any]) -> None:
    long = ["x" * 9_000 + end for end in "ab"]

    def train(trial: hh.Trial) -> None:
        for text in long:
            trial.log_dataset(text, context=text, digest=text, source='"\0' * 5_000, profile={text: text * 5})

    found = inputs(log(train))
    assert len(set(found)) == 2
    assert {tuple(map(len, made)) for made in found} == {(500, 500, 36)}


def test_a_server_that_knows_no_datasets_costs_only_them(
    log: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND

    def absent(*arguments: Any, **named: Any) -> None:
        raise MlflowException("404", ENDPOINT_NOT_FOUND)

    def train(trial: hh.Trial) -> None:
        trial.log_dataset("digits")
        trial.log({"loss": 0.5})

    monkeypatch.setattr(MlflowClient, "log_inputs", absent)
    run = log(train)
    assert run.data.metrics == {"loss": 0.5}
    assert run.info.status == "FINISHED"
    assert "this server knows no datasets: digits" in caplog.text


def checkpoint(log: Callable[..., Any], tmp_path: Path, **metadata: hh.Scalar) -> tuple[dict[str, Any], dict[str, str]]:
    """Log a checkpoint; return what its tag says, and all tags."""
    (tmp_path / "w").write_bytes(b"w")
    run = log(lambda trial: trial.log_artifact(tmp_path / "w", kind="checkpoint", step=1, metadata=metadata))
    return json.loads(run.data.tags["hyperhook.checkpoint.w"]), run.data.tags


def test_metadata_stands_with_the_checkpoint_and_the_signature_apart(log: Callable[..., Any], tmp_path: Path) -> None:
    about, tags = checkpoint(log, tmp_path, signature='{"inputs": null}', rows=8)
    assert about == {"artifact": "checkpoints/w", "step": 1, "score": None, "metadata": {"rows": 8}}
    assert tags["hyperhook.signature"] == '{"inputs": null}'


@pytest.mark.parametrize(
    ("metadata", "word"), [({"signature": "x" * 5001}, "signature"), ({"a": "x" * 5000}, "metadata")]
)
def test_what_does_not_fit_into_a_tag_is_left_out_and_said(
    log: Callable[..., Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    metadata: dict[str, hh.Scalar],
    word: str,
) -> None:
    with caplog.at_level(logging.WARNING):
        about, tags = checkpoint(log, tmp_path, **metadata)
    assert about == {"artifact": "checkpoints/w", "step": 1, "score": None}
    assert "hyperhook.signature" not in tags
    assert f"the {word} of w is" in caplog.text
