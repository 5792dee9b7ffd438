"""The events of a study and its trials, and their form in the journal: one JSON object a line.

The key ``event`` names the type. Names, params and values are kept as they were given; NaN and the infinities, which
JSON lacks, are written as the strings ``"nan"``, ``"inf"`` and ``"-inf"``. `SCHEMA` is the version of this form: it
stands in the first event of each journal, and grows when a reader of the former version would misread the new one.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeAlias

import msgspec

from hyperhook.constraint import Constraint
from hyperhook.errors import JournalError
from hyperhook.objective import Direction, Objective, Point, Reduce
from hyperhook.parameters import Scalar
from hyperhook.records import Artifact, ArtifactKind, Dataset, StudyRecord, TrialRecord, TrialState
from hyperhook.space import Space

__all__ = [
    "SCHEMA",
    "ArtifactLogged",
    "ArtifactRemoved",
    "DatasetLogged",
    "Event",
    "MetricsLogged",
    "NoteLogged",
    "ParamsLogged",
    "StopRequested",
    "StudyFinished",
    "StudyStarted",
    "TagsLogged",
    "TrialFinished",
    "TrialResumed",
    "TrialStarted",
    "decode",
    "encode",
    "finite",
    "text",
    "trial_after",
]

SCHEMA = 4


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", omit_defaults=True):
    time: float
    """When it happened, in seconds since 1970 (UTC)."""


class _StudyEvent(_Event, frozen=True, kw_only=True):
    schema: int = msgspec.field(default_factory=lambda: SCHEMA)  # a default factory is written, a default is left out
    study: str
    space: dict[str, Any]
    metric: str | None = None
    direction: Direction = "minimize"
    reduce: Reduce = "best"
    seed: int | None = None
    constraints: tuple[Constraint, ...] = ()
    further: tuple[Objective, ...] = ()

    @classmethod
    def of(cls, study: StudyRecord) -> Self:
        """Return the event of a study, happening now."""
        objective = study.objective
        return cls(
            time=time.time(),
            study=study.name,
            space=study.space.to_json(),
            metric=objective.metric if objective else None,
            direction=objective.direction if objective else "minimize",
            reduce=objective.reduce if objective else "best",
            seed=study.seed,
            constraints=study.constraints,
            further=study.further,
        )

    def record(self) -> StudyRecord:
        """Return the study, without its trials."""
        objective = None if self.metric is None else Objective(self.metric, self.direction, self.reduce)
        space = Space.from_json(self.space)
        return StudyRecord(self.study, space, objective, self.seed, constraints=self.constraints, further=self.further)


class StudyStarted(_StudyEvent, frozen=True, kw_only=True, tag="study_started"):
    """A process began to work on a study."""


class StudyFinished(_StudyEvent, frozen=True, kw_only=True, tag="study_finished"):
    """A process ended its work on a study."""


class TrialStarted(_Event, frozen=True, kw_only=True, tag="trial_started"):
    """A trial began; the first event of its journal."""

    schema: int = msgspec.field(default_factory=lambda: SCHEMA)
    id: str
    number: int
    study: str
    params: dict[str, Scalar]

    @classmethod
    def of(cls, trial: TrialRecord) -> TrialStarted:
        """Return the event that a trial began with."""
        return cls(
            time=trial.started_time, id=trial.id, number=trial.number, study=trial.study, params=dict(trial.params)
        )


class TrialResumed(_Event, frozen=True, kw_only=True, tag="trial_resumed"):
    """A trial that had ended goes on."""


class ParamsLogged(_Event, frozen=True, kw_only=True, tag="params_logged"):
    """Params became known after the trial began, such as a model's own hyperparameters."""

    params: dict[str, Scalar]


class MetricsLogged(_Event, frozen=True, kw_only=True, tag="metrics_logged"):
    """Metrics were logged together, at one step; `stderr` holds the standard errors of some, where they were given."""

    metrics: dict[str, float | str]
    step: int
    epoch: int | None = None
    stderr: dict[str, float] | None = None

    def values(self) -> dict[str, float]:
        """Return the metrics with NaN and the infinities as numbers again."""
        return {name: float(value) for name, value in self.metrics.items()}


class _ArtifactEvent(_Event, frozen=True, kw_only=True):
    path: str
    name: str
    place: str = ""
    kind: ArtifactKind = "file"
    step: int | None = None
    score: float | str | None = None
    aliases: tuple[str, ...] = ()
    metadata: dict[str, Scalar] = {}

    def artifact(self) -> Artifact:
        """Return the file as hooks receive it."""
        score = None if self.score is None else float(self.score)
        place = self.place or self.name
        return Artifact(Path(self.path), self.name, self.kind, self.step, score, self.aliases, place, self.metadata)


class ArtifactLogged(_ArtifactEvent, frozen=True, kw_only=True, tag="artifact_logged"):
    """A file or folder became part of the trial."""


class ArtifactRemoved(_ArtifactEvent, frozen=True, kw_only=True, tag="artifact_removed"):
    """A file is no longer part of the trial, such as a checkpoint that a better one took the place of."""


class TagsLogged(_Event, frozen=True, kw_only=True, tag="tags_logged"):
    """Labels were put on the trial; one that is there already changes its value."""

    tags: dict[str, str]


class NoteLogged(_Event, frozen=True, kw_only=True, tag="note_logged"):
    """The trial was described in words, in place of what was said before."""

    note: str


class DatasetLogged(_Event, frozen=True, kw_only=True, tag="dataset_logged"):
    """It was told which data the trial works with."""

    name: str
    context: str = "training"
    digest: str | None = None
    source: str | None = None
    profile: dict[str, Scalar] = {}

    def dataset(self) -> Dataset:
        """Return the dataset as hooks receive it."""
        return Dataset(self.name, self.context, self.digest, self.source, self.profile)


class StopRequested(_Event, frozen=True, kw_only=True, tag="stop_requested"):
    """A pruner asked the trial to stop: whoever ends it ends it as PRUNED. No hook hears this one."""

    step: int | None = None


class TrialFinished(_Event, frozen=True, kw_only=True, tag="trial_finished"):
    """The trial ended; the last event of its journal, unless the trial is resumed."""

    state: TrialState
    value: float | None = None
    step: int | None = None
    epoch: int | None = None
    error: str | None = None
    stderr: float | None = None
    metrics: dict[str, float] = {}

    @classmethod
    def of(cls, trial: TrialRecord) -> TrialFinished:
        """Return the event that a trial ended with."""
        return cls(
            time=time.time() if trial.finished_time is None else trial.finished_time,
            state=trial.state,
            value=trial.value,
            step=trial.step,
            epoch=trial.epoch,
            error=trial.error,
            stderr=trial.stderr,
            metrics=dict(trial.metrics),
        )

    @property
    def point(self) -> Point | None:
        """The value with its standard error, where it was logged, and the metrics there; None where there is none."""
        return None if self.value is None else Point(self.value, self.step, self.epoch, self.stderr, self.metrics)


Event: TypeAlias = (
    StudyStarted
    | StudyFinished
    | TrialStarted
    | TrialResumed
    | ParamsLogged
    | MetricsLogged
    | ArtifactLogged
    | ArtifactRemoved
    | TagsLogged
    | NoteLogged
    | DatasetLogged
    | StopRequested
    | TrialFinished
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode(event: Event) -> bytes:
    """Return an event as one line of JSON, its newline included."""
    return _encoder.encode(event) + b"\n"


def decode(line: bytes) -> Event | None:
    """Return the event that a line stands for; None for a line that was torn, by a crash or a full disk.

    Raises:
        JournalError: The line is of a newer schema, or is JSON and no event.
    """
    try:
        event = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        try:
            found = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        _check_schema(found.get("schema") if isinstance(found, dict) else None)
        raise JournalError(f"not an event: {line[:80]!r} ({error}); is the file a journal?") from None
    if isinstance(event, TrialStarted | StudyStarted):
        _check_schema(event.schema)
    return event


def _check_schema(schema: object) -> None:
    if isinstance(schema, int) and schema > SCHEMA:
        raise JournalError(f"the journal has schema {schema}, this hyperhook reads up to {SCHEMA}; update hyperhook")


def trial_after(trial: TrialRecord | None, event: Event) -> TrialRecord | None:
    """Return a trial as it stands behind an event; None before it began."""
    if isinstance(event, TrialStarted):
        return TrialRecord(event.id, event.number, event.study, event.params, started_time=event.time)
    if isinstance(event, TrialResumed) and trial is not None:
        return replace(trial.at(None), state=TrialState.RUNNING, error=None, finished_time=None)
    if isinstance(event, TrialFinished) and trial is not None:
        return replace(trial.at(event.point), state=event.state, error=event.error, finished_time=event.time)
    return trial


def finite(value: float) -> float | str:
    """Return a value as JSON can hold it: itself where it is finite, else its name."""
    return value if math.isfinite(value) else str(value)


def text(value: object) -> str:
    """Return the text of any value as JSON can hold it: halves of characters are escaped, as in odd file names."""
    try:
        found = str(value)
    except Exception as error:  # somebody's __str__
        found = f"<{type(value).__name__} without a text: {type(error).__name__}>"
    return found.encode(errors="backslashreplace").decode()
