"""Frozen snapshots: what hooks receive and what the store keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from hyperhook.constraint import Constraint
from hyperhook.errors import ObjectiveError
from hyperhook.objective import CurvePoint, Objective, Point
from hyperhook.parameters import Params
from hyperhook.pareto import front
from hyperhook.space import Space

__all__ = ["Artifact", "ArtifactKind", "Dataset", "Prediction", "StudyRecord", "TrialRecord", "TrialState"]

ArtifactKind = Literal["file", "checkpoint", "image", "figure", "table", "text"]


class TrialState(StrEnum):
    """Where a trial stands. A trial leaves RUNNING once, for one of the four that end it."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAILED = "FAILED"
    KILLED = "KILLED"

    @property
    def is_finished(self) -> bool:
        """Whether the trial has ended, in whatever way."""
        return self not in (TrialState.QUEUED, TrialState.RUNNING)

    @property
    def ended_by_itself(self) -> bool:
        """Whether the trial used up a part of the study's budget: it ended, and nobody killed it."""
        return self in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED)


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A trial as it stood at one moment.

    Attributes:
        id: Unique everywhere; made of letters, digits and ``-``, so that it can be part of a path or a URL.
        number: Counts the trials of the study from 0.
        study: Name of the study.
        params: The active parameters of the space, with their values.
        state: Where the trial stands.
        value: The (first) objective's value, in the user's direction; None while there is none.
        step: The trainer's global step (0-based) that `value` was logged at.
        epoch: The epoch (0-based) that `value` was logged at.
        error: Why the trial failed or was killed, in one line.
        started_time: When it started, or while it is QUEUED, when it was queued, in seconds since 1970 (UTC).
        finished_time: When it ended, likewise.
        stderr: The standard error of `value`, in the same unit, from 0; None where nobody gave one.
        metrics: The values of the further objectives and of the constraints' metrics, where `value` was: logged at the
            same step, else logged last.
        curve: Where it stood whenever pruners were asked about it, in that order; empty where there are none. The
            trials of a `StudyRecord` have it, and the trial that `should_stop` is asked about.
        epochs: How long it trained: the last epoch that it logged, and 1; or where it logged none, the number of its
            points of the objective. None until it ended in its own process.
        proposed: What `suggest_float` and its like are to answer, where the space grows with what trials ask for; None
            where the space is fixed.
    """

    id: str
    number: int
    study: str
    params: Params = field(default_factory=lambda: MappingProxyType({}))
    state: TrialState = TrialState.RUNNING
    value: float | None = None
    step: int | None = None
    epoch: int | None = None
    error: str | None = None
    started_time: float = 0.0
    finished_time: float | None = None
    stderr: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[CurvePoint, ...] = field(default=(), repr=False)
    epochs: int | None = None
    proposed: Params | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The name that trackers show: ``study-number``."""
        return f"{self.study}-{self.number}"

    @property
    def point(self) -> Point | None:
        """The value with its standard error, where it was logged, and the metrics there; None while there is none."""
        return None if self.value is None else Point(self.value, self.step, self.epoch, self.stderr, self.metrics)

    def at(self, point: Point | None) -> TrialRecord:
        """Return this trial with the value of a point, or with none."""
        if point is None:
            return replace(self, value=None, step=None, epoch=None, stderr=None, metrics={})
        return replace(
            self,
            value=point.value,
            step=point.step,
            epoch=point.epoch,
            stderr=point.stderr,
            metrics=point.metrics,
        )


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study as it stood at one moment.

    Attributes:
        name: Name of the study.
        space: What may vary.
        objective: What is searched for, or the first of it; None for a mere group of runs.
        seed: Seed of the search; None for a different search every time.
        trials: Every trial so far, by number, running ones included.
        constraints: What a trial must come to, to count as feasible.
        further: What else is searched for: the objectives behind the first. Their values are taken where the first one
            has its own, whatever their `reduce`.
        grows: Whether the space grows with what trials ask for (define-by-run). A trial's params then are those that it
            asked for; suggesters get trials that fit the space, see `growth`.
        max_retries: How often a trial whose worker died is queued again; 0 for never.
        stopped: Why somebody stopped it, so that no further trial begins; None where nobody did.
    """

    name: str
    space: Space
    objective: Objective | None = None
    seed: int | None = None
    trials: tuple[TrialRecord, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    further: tuple[Objective, ...] = ()
    grows: bool = False
    max_retries: int = 0
    stopped: str | None = None

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """All that is searched for; empty for a mere group of runs."""
        return () if self.objective is None else (self.objective, *self.further)

    @property
    def watched(self) -> tuple[str, ...]:
        """The metrics that a trial is judged by beside its value: each COMPLETE trial has them in its `metrics`."""
        metrics = [objective.metric for objective in self.further] + [bound.metric for bound in self.constraints]
        return tuple(dict.fromkeys(metrics))

    def loss(self, trial: TrialRecord) -> float | None:
        """Return a trial's value so that less is better; None where it has none."""
        if trial.value is None or self.objective is None:
            return None
        return self.objective.loss(trial.value)

    def loss_at(self, point: CurvePoint) -> float:
        """Return the value of a curve's point so that less is better; one that is not finite is worse than all others.

        Raises:
            ObjectiveError: The study has no objective.
        """
        if self.objective is None:
            raise ObjectiveError(f"study {self.name!r} has no objective, so that no value is better than another")
        return self.objective.loss(point.value) if math.isfinite(point.value) else math.inf

    def losses(self, trial: TrialRecord) -> tuple[float, ...] | None:
        """Return a trial's values by all objectives so that less is better; None where it lacks one."""
        first = self.loss(trial)
        if first is None or any(objective.metric not in trial.metrics for objective in self.further):
            return None
        return first, *(objective.loss(trial.metrics[objective.metric]) for objective in self.further)

    def is_feasible(self, trial: TrialRecord) -> bool:
        """Tell whether a trial has the metric of each constraint, and meets them all."""
        metrics = trial.metrics
        return all(c.metric in metrics and c.violation(metrics[c.metric]) <= 0 for c in self.constraints)

    def excess(self, trial: TrialRecord) -> float:
        """Return how far a trial is from meeting the constraints: 0 where it meets them all.

        What it is outside of each bound, as a part of that bound, is added up (`Constraint.excess`); a metric that it
        lacks makes this infinite.
        """
        metrics = trial.metrics
        return sum((c.excess(metrics[c.metric]) if c.metric in metrics else math.inf for c in self.constraints), 0.0)

    @property
    def best(self) -> TrialRecord | None:
        """The feasible COMPLETE trial with the best value, the earliest if several are equal; None where there is none.

        Where COMPLETE trials have values and none is feasible: the one that is closest to it, by `excess`. None, too,
        where there are several objectives: see `best_trials`.
        """
        if self.further:
            return None
        valued = [t for t in self.trials if t.state is TrialState.COMPLETE and self.loss(t) is not None]
        return min(valued, key=lambda t: (not self.is_feasible(t), self.excess(t), self.loss(t) or 0.0), default=None)

    @property
    def best_trials(self) -> tuple[TrialRecord, ...]:
        """The Pareto front: the feasible COMPLETE trials that no other such trial dominates, by number.

        One trial dominates another when it is at least as good by every objective and better by one. With one
        objective these are the trials that are as good as the best.
        """
        feasible = [t for t in self.trials if t.state is TrialState.COMPLETE and self.is_feasible(t)]
        judged = [(trial, losses) for trial in feasible if (losses := self.losses(trial)) is not None]
        return tuple(judged[index][0] for index in front([losses for _, losses in judged]))


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file or folder of a trial, kept in the trial's own folder.

    Attributes:
        path: Where it lies.
        name: What the user calls it; a relative path with ``/``. Another one of the same kind and name (and step, where
            it is neither a file nor a checkpoint) takes its place.
        kind: ``"checkpoint"`` for a model's weights, ``"image"`` (PNG or what the user gave), ``"figure"`` (PNG, or
            HTML from plotly), ``"table"`` (JSON with ``columns`` and ``data``), ``"text"``, else ``"file"``.
        step: The trainer's global step (0-based) that it belongs to.
        score: For a checkpoint, the value of the metric that it was kept for.
        aliases: Names that are from now on this one's, and no other's: ``"best"``, ``"last"``.
        place: Where it lies below the trial's folder of artifacts, such as ``images/samples/00000020.png``: made of
            characters that any file system takes, and the same for what takes its place. Trackers may use it as it is.
        metadata: What else is known of it; ``signature`` is a model's, as text.
    """

    path: Path
    name: str
    kind: ArtifactKind = "file"
    step: int | None = None
    score: float | None = None
    aliases: tuple[str, ...] = ()
    place: str = ""
    metadata: Params = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Dataset:
    """Data that a trial works with; the data itself stays where it is.

    Attributes:
        name: What it is called.
        context: What it serves, such as ``"training"``, ``"validation"`` or ``"test"``. Another one of the same name
            and context takes its place.
        digest: A fingerprint of the data; None where nobody took one.
        source: Where the data comes from, such as a path or an address; None where nobody said.
        profile: What it looks like, such as its rows, its batch size, its shapes.
    """

    name: str
    context: str = "training"
    digest: str | None = None
    source: str | None = None
    profile: Params = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a plugin expects the objective to be at some params, were it free of noise.

    Attributes:
        mean: The expected value, in the objective's own unit and direction.
        std: How unsure that is: a standard deviation in the same unit, 0 or more. What the objective would differ by
            from one training run to the next comes on top.
    """

    mean: float
    std: float
