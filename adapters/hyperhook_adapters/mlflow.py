"""MLflow: a study is an experiment with a parent run, a trial is a run below that.

What is shown, and how:

- A metric goes by `log_batch`, with the event's own time and the trainer's step. MLflow stores an identical (key, step,
  timestamp, value) once, so that what is sent twice is there once. Its clock counts milliseconds: of two events that
  agree in all four, the later one is moved on by a millisecond, and both are there.
- ``epoch`` is the epoch of that step, unless the trial logs a metric of that name: then it is that metric.
- NaN is kept; MLflow itself turns the infinities into ±1.797e308.
- Params are texts. One above 6,000 characters is cut, and ends in how long it was.
- MLflow refuses some names. What it refuses in a name (any character but letters, digits, space and ``_-./:``; a slash
  at an end or before another one; the first dot of a part that is ``.`` or ``..``, and of two that begin the name) is
  written as ``_0x…_`` with the character's code in hexadecimal, and so is a ``_`` before a ``0x``: the rule can be read
  backwards. A name above 250 characters is cut and ends in its hash.
- COMPLETE and PRUNED are FINISHED, since a pruned trial ended as it should; FAILED and KILLED are that. The tag
  ``hyperhook.state`` has the exact word. More tags: ``hyperhook.trial_id``, ``hyperhook.number``,
  ``hyperhook.objective`` and its ``hyperhook.objective_step`` and ``_epoch``, ``hyperhook.error``.
- Tags and a note are MLflow's own: a tag that begins with ``hyperhook.`` or ``mlflow.`` gets ``tag.`` in front.
- Files are artifacts below ``files/``, ``checkpoints/``, ``images/``, ``figures/``, ``tables/`` or ``texts/``:
  the name, and for a series the step. In a name, what is no ASCII letter, digit, space or one of ``_.-=+@,`` stands as
  ``~`` and its UTF-8 bytes in hexadecimal. A checkpoint that the trainer deleted is deleted here, too. A tag
  ``hyperhook.checkpoint.<name>`` has its step, its score and its metadata, as far as they fit into 5,000 characters;
  ``hyperhook.alias.best`` is the name of the best one. A model's signature stands apart, in ``hyperhook.signature``,
  whole or not at all: ``mlflow.models.ModelSignature.from_dict(json.loads(tag))`` reads it.
- A dataset is an input of the run, its context MLflow's tag ``mlflow.data.context``. A digest above 36 characters, a
  name or a context above 500 is cut and ends in its hash, a text above 6,000 in the profile is cut as a param's is.
  Without a digest, one is made of the dataset's own words. Of a name and a digest, MLflow keeps the first profile and
  source in the experiment, and one context in a run: for a second one, the context is appended to the digest. What a
  run has as an input stays: MLflow cannot take it back.
- The parent run is FINISHED from its beginning: it only holds the trials together, and nothing has to end it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from hyperhook import (
    Artifact,
    Dataset,
    HyperhookError,
    Scalar,
    StudyRecord,
    Tracker,
    TrialRecord,
    TrialState,
    hookimpl,
)
from hyperhook_adapters._mlflow_datasets import log_datasets
from hyperhook_adapters._mlflow_files import RunFiles
from hyperhook_adapters._mlflow_names import NAME_LENGTH, cut, safe_name, shorten

__all__ = ["MLflow"]

log = logging.getLogger("hyperhook.mlflow")

_T = TypeVar("_T")

_METRICS_PER_CALL, _TEXTS_PER_CALL = 1000, 100
_PARAM_LENGTH, _TAG_LENGTH = 6000, 5000
_STATUS = {
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "FINISHED",
    TrialState.FAILED: "FAILED",
    TrialState.KILLED: "KILLED",
}


@dataclass
class _Run:
    """What waits for the next flush of a trial."""

    id: str
    artifact_uri: str
    axis: tuple[Scalar, Scalar] = (None, None)
    metrics: list[tuple[str, float, int, int]] = field(default_factory=list)
    """Name, value, time in milliseconds, step."""
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    """Tags to delete."""
    datasets: list[Dataset] = field(default_factory=list)
    files: RunFiles | None = None
    end: tuple[str, int] | None = None
    """Status, and time in milliseconds."""
    moment: int = 0
    points: set[tuple[str, str, int, int]] = field(default_factory=set)
    """What was logged in this millisecond."""


class MLflow(Tracker):
    """Sends trials to an MLflow tracking server or database.

    Args:
        tracking_uri: Where to; by default what MLflow finds by itself: ``MLFLOW_TRACKING_URI``, or ``mlflow.db`` in the
            current directory.
        upload_bytes_per_second: How fast checkpoints and other files are sent at the most; by default as fast as it
            goes. MLflow's own server and local folders heed it; S3 and the like are driven by MLflow itself.

    Raises:
        HyperhookError: That is no address, or no bandwidth.

    Example:
        >>> study = Study("digits", space, trackers=[MLflow("http://localhost:5000")])  # doctest: +SKIP
    """

    requires: ClassVar[tuple[str, ...]] = ("mlflow",)

    def __init__(self, tracking_uri: str | None = None, *, upload_bytes_per_second: float | None = None) -> None:
        if tracking_uri is not None and not isinstance(tracking_uri, str):
            raise HyperhookError(
                f"MLflow: tracking_uri: expected an address such as 'sqlite:///mlflow.db', got {tracking_uri!r}"
            )
        if upload_bytes_per_second is not None and not (
            isinstance(upload_bytes_per_second, int | float) and upload_bytes_per_second > 0
        ):
            raise HyperhookError(
                f"MLflow: upload_bytes_per_second: expected a number above 0, got {upload_bytes_per_second!r}"
            )
        self._tracking_uri = tracking_uri
        self._bytes_per_second = upload_bytes_per_second
        self._client: Any = None
        self._experiments: dict[str, str] = {}
        self._parents: dict[str, str] = {}
        self._runs: dict[str, _Run] = {}

    def options(self) -> Mapping[str, Scalar] | None:
        """Return the address and the bandwidth, unless a user or a password is in the address."""
        if self._tracking_uri and "@" in self._tracking_uri:
            return None
        return {"tracking_uri": self._tracking_uri, "upload_bytes_per_second": self._bytes_per_second}

    def refuses(self, error: BaseException) -> bool:
        """Tell whether MLflow will never take it, such as a param with another value than it has."""
        return super().refuses(error) or getattr(error, "error_code", None) == "INVALID_PARAMETER_VALUE"

    @hookimpl
    def study_started(self, study: StudyRecord) -> None:
        """Make sure that there is an experiment, and in it a parent run."""
        self._experiments.pop(study.name, None)
        self._parents.pop(study.name, None)
        self._parent(study.name)

    @hookimpl
    def trial_started(self, trial: TrialRecord) -> None:
        """Find the trial's run, or create it."""
        client = self._connect()
        self._runs.pop(trial.id, None)
        experiment = self._experiment(trial.study)
        found = client.search_runs([experiment], f"tags.`hyperhook.trial_id` = '{trial.id}'", max_results=1)
        if found:
            info = found[0].info
            if info.status != "RUNNING":
                client.update_run(info.run_id, status="RUNNING")
        else:
            tags = {
                "hyperhook.trial_id": trial.id,
                "hyperhook.number": str(trial.number),
                "mlflow.parentRunId": self._parent(trial.study),
            }
            info = client.create_run(experiment, _milliseconds(trial.started_time), tags, trial.name).info
        run = self._runs[trial.id] = _Run(info.run_id, info.artifact_uri)
        run.tags["hyperhook.state"] = str(trial.state)
        run.params.update(_texts(trial.params))

    @hookimpl
    def trial_resumed(self, trial: TrialRecord) -> None:
        """Make the run a running one again."""
        run = self._run(trial)
        self._connect().update_run(run.id, status="RUNNING")
        run.tags["hyperhook.state"] = str(trial.state)

    @hookimpl
    def params_logged(self, trial: TrialRecord, params: Mapping[str, Scalar]) -> None:
        """Keep params for the next flush."""
        self._run(trial).params.update(_texts(params))

    @hookimpl
    def metrics_logged(
        self, trial: TrialRecord, metrics: Mapping[str, float], step: int, epoch: int | None, time: float
    ) -> None:
        """Keep metrics for the next flush, and the epoch where it is new."""
        run, moment = self._run(trial), _milliseconds(time)
        if moment != run.moment:
            run.moment = moment
            run.points.clear()
        points = dict(metrics)
        if "epoch" not in metrics and epoch is not None and run.axis != (step, epoch):
            points["epoch"] = epoch
            run.axis = (step, epoch)
        for name, value in points.items():
            at = moment
            while (point := (name, str(value), step, at)) in run.points:
                at += 1
            run.points.add(point)
            run.metrics.append((safe_name(name), float(value), at, step))

    @hookimpl
    def tags_logged(self, trial: TrialRecord, tags: Mapping[str, str]) -> None:
        """Keep tags for the next flush."""
        for name, value in tags.items():
            ours = name.startswith(("hyperhook.", "mlflow.", "tag."))
            self._run(trial).tags[safe_name(f"tag.{name}" if ours else name)] = cut(value, _TAG_LENGTH)

    @hookimpl
    def note_logged(self, trial: TrialRecord, note: str) -> None:
        """Keep the run's description for the next flush."""
        self._run(trial).tags["mlflow.note.content"] = cut(note, _TAG_LENGTH)

    @hookimpl
    def dataset_logged(self, trial: TrialRecord, dataset: Dataset) -> None:
        """Keep a dataset for the next flush."""
        self._run(trial).datasets.append(dataset)

    @hookimpl
    def artifact_logged(self, trial: TrialRecord, artifact: Artifact) -> None:
        """Send the file; of a checkpoint, keep as tags what is known of it."""
        run = self._run(trial)
        self._files(run).put(artifact.path, _place(artifact))
        if artifact.kind == "checkpoint":
            run.tags.update(_about(artifact))
            run.dropped.discard(_checkpoint_tag(artifact))
        for alias in artifact.aliases:
            run.tags[safe_name(f"hyperhook.alias.{alias}")] = cut(artifact.name, _TAG_LENGTH)

    @hookimpl
    def artifact_removed(self, trial: TrialRecord, artifact: Artifact) -> None:
        """Delete the file, and what tags say of it."""
        run = self._run(trial)
        self._files(run).delete(_place(artifact))
        run.tags.pop(_checkpoint_tag(artifact), None)
        run.dropped.add(_checkpoint_tag(artifact))

    @hookimpl
    def trial_finished(self, trial: TrialRecord) -> None:
        """Keep the trial's end for the next flush."""
        run = self._run(trial)
        facts = {
            "state": str(trial.state),
            "objective": trial.value,
            "objective_step": trial.step,
            "objective_epoch": trial.epoch,
            "error": trial.error,
        }
        run.tags.update({f"hyperhook.{key}": cut(str(v), _TAG_LENGTH) for key, v in facts.items() if v is not None})
        ended = trial.started_time if trial.finished_time is None else trial.finished_time
        run.end = (_STATUS[trial.state], _milliseconds(ended))

    def flush(self, trial: TrialRecord) -> Mapping[str, Scalar]:
        """Send what was kept; return the run and the last step's epoch."""
        from mlflow.entities import Metric, Param, RunTag

        client, run = self._connect(), self._run(trial)
        for texts in _chunks([Param(*item) for item in run.params.items()], _TEXTS_PER_CALL):
            client.log_batch(run.id, params=texts)
        for metrics in _chunks([Metric(*point) for point in run.metrics], _METRICS_PER_CALL):
            client.log_batch(run.id, metrics=metrics)
        for tags in _chunks([RunTag(*item) for item in run.tags.items()], _TEXTS_PER_CALL):
            client.log_batch(run.id, tags=tags)
        for tag in run.dropped & client.get_run(run.id).data.tags.keys() if run.dropped else ():
            client.delete_tag(run.id, tag)
        if run.datasets:
            log_datasets(client, run.id, run.datasets)
        if run.end is not None:
            client.set_terminated(run.id, *run.end)
            del self._runs[trial.id]
        for sent in (run.metrics, run.params, run.tags, run.dropped, run.datasets):
            sent.clear()
        step, epoch = run.axis
        return {"run_id": run.id, "step": step, "epoch": epoch}

    def resume(self, trial: TrialRecord, state: Mapping[str, Scalar]) -> bool:
        """Go on with the run, if it is still there; what it has beyond `state` comes again, and is the same."""
        from mlflow.exceptions import MlflowException

        self._runs.pop(trial.id, None)
        run_id = state.get("run_id")
        if not isinstance(run_id, str):
            return False
        try:
            info = self._connect().get_run(run_id).info
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        if info.lifecycle_stage != "active":
            return False
        self._runs[trial.id] = _Run(run_id, info.artifact_uri, axis=(state.get("step"), state.get("epoch")))
        return True

    def close(self) -> None:
        """Forget what was not sent."""
        self._runs.clear()
        self._client = None

    def _connect(self) -> Any:
        if self._client is None:
            from mlflow import MlflowClient

            self._client = MlflowClient(self._tracking_uri)
        return self._client

    def _run(self, trial: TrialRecord) -> _Run:
        try:
            return self._runs[trial.id]
        except KeyError:
            raise HyperhookError(
                f"MLflow: trial {trial.name!r} is not open here; expected trial_started or resume first"
            ) from None

    def _files(self, run: _Run) -> RunFiles:
        if run.files is None:
            run.files = RunFiles(run.artifact_uri, self._tracking_uri, self.moved, self._bytes_per_second)
        return run.files

    def _parent(self, study: str) -> str:
        """Return the id of a study's parent run; of two that processes made at once, the first."""
        if study not in self._parents:
            client, experiment = self._connect(), self._experiment(study)
            wanted = "tags.`hyperhook.kind` = 'study'"
            found = client.search_runs([experiment], wanted, max_results=1, order_by=["attributes.start_time ASC"])
            if not found:
                name = shorten(study, NAME_LENGTH)
                created = client.create_run(experiment, tags={"hyperhook.kind": "study"}, run_name=name)
                client.set_terminated(created.info.run_id)
                return self._parent(study)
            self._parents[study] = found[0].info.run_id
        return self._parents[study]

    def _experiment(self, study: str) -> str:
        """Return the id of a study's experiment; one that is not there is created, a deleted one restored."""
        if study not in self._experiments:
            client, name = self._connect(), shorten(study, 500)
            found = client.get_experiment_by_name(name)
            if found is None:
                found = self._create(name)
            if found.lifecycle_stage != "active":
                log.warning("MLflow: experiment %r was deleted; restored, since its study goes on", name)
                client.restore_experiment(found.experiment_id)
            self._experiments[study] = found.experiment_id
        return self._experiments[study]

    def _create(self, name: str) -> Any:
        from mlflow.exceptions import MlflowException

        client = self._connect()
        try:
            return client.get_experiment(client.create_experiment(name))
        except MlflowException:
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
            return found  # another process was faster


def _place(artifact: Artifact) -> str:
    """Return the path of an artifact in its run; a percent sign would be decoded on the way."""
    return artifact.place.replace("%", "~")


def _about(artifact: Artifact) -> Iterator[tuple[str, str]]:
    """Yield the tags of a checkpoint. JSON that was cut could not be read: what does not fit is left out."""
    about: dict[str, object] = {"artifact": _place(artifact), "step": artifact.step, "score": artifact.score}
    metadata = dict(artifact.metadata)
    signature = metadata.pop("signature", None)
    full = json.dumps({**about, "metadata": metadata})
    if metadata and len(full) > _TAG_LENGTH:
        log.warning("MLflow: the metadata of %s is longer than a tag may be: it is left out", artifact.name)
    yield _checkpoint_tag(artifact), full if metadata and len(full) <= _TAG_LENGTH else json.dumps(about)
    if isinstance(signature, str) and len(signature) <= _TAG_LENGTH:
        yield "hyperhook.signature", signature
    elif signature is not None:
        log.warning("MLflow: the signature of %s is no text that fits into a tag: it is left out", artifact.name)


def _checkpoint_tag(artifact: Artifact) -> str:
    return safe_name(f"hyperhook.checkpoint.{artifact.name}")


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _texts(params: Mapping[str, Scalar]) -> dict[str, str]:
    return {safe_name(name): cut(str(value), _PARAM_LENGTH) for name, value in params.items()}


def _chunks(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
