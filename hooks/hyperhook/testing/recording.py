"""A plugin that hears every event and keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hyperhook.hookspecs import hookimpl
from hyperhook.parameters import Scalar
from hyperhook.records import Artifact, Dataset, StudyRecord, TrialRecord
from hyperhook.trial import Trial

__all__ = ["Call", "RecordingPlugin"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a hook.

    Attributes:
        hook: Name of the hook.
        arguments: What it was called with, by name.
    """

    hook: str
    arguments: Mapping[str, object]


@dataclass(eq=False)
class RecordingPlugin:
    """Hears every event and keeps it, in order.

    Example:
        >>> recorder = RecordingPlugin()
        >>> study = hh.Study("s", plugins=[recorder])  # doctest: +SKIP
        >>> with study.trial() as trial:  # doctest: +SKIP
        ...     trial.log({"loss": 0.5})
        >>> recorder.hooks()  # doctest: +SKIP
        ['study_started', 'trial_started', 'trial_opened', 'metrics_logged', 'trial_finished']
    """

    calls: list[Call] = field(default_factory=list)

    def hooks(self) -> list[str]:
        """Return the names of the hooks, in the order of the calls."""
        return [call.hook for call in self.calls]

    def points(self) -> list[tuple[str, int, int | None, float]]:
        """Return what was logged: (name, step, epoch, value), in order."""
        return [
            (name, call.arguments["step"], call.arguments["epoch"], value)  # type: ignore[misc]
            for call in self.calls
            if call.hook == "metrics_logged"
            for name, value in call.arguments["metrics"].items()  # type: ignore[attr-defined]
        ]

    @hookimpl
    def study_started(self, study: StudyRecord) -> None:
        """Keep the call."""
        self._keep("study_started", study=study)

    @hookimpl
    def trial_started(self, trial: TrialRecord) -> None:
        """Keep the call."""
        self._keep("trial_started", trial=trial)

    @hookimpl
    def trial_resumed(self, trial: TrialRecord) -> None:
        """Keep the call."""
        self._keep("trial_resumed", trial=trial)

    @hookimpl
    def trial_opened(self, trial: Trial) -> None:
        """Keep the call."""
        self._keep("trial_opened", trial=trial)

    @hookimpl
    def params_logged(self, trial: TrialRecord, params: Mapping[str, Scalar]) -> None:
        """Keep the call."""
        self._keep("params_logged", trial=trial, params=dict(params))

    @hookimpl
    def metrics_logged(
        self, trial: TrialRecord, metrics: Mapping[str, float], step: int, epoch: int | None, time: float
    ) -> None:
        """Keep the call."""
        self._keep("metrics_logged", trial=trial, metrics=dict(metrics), step=step, epoch=epoch, time=time)

    @hookimpl
    def artifact_logged(self, trial: TrialRecord, artifact: Artifact) -> None:
        """Keep the call."""
        self._keep("artifact_logged", trial=trial, artifact=artifact)

    @hookimpl
    def artifact_removed(self, trial: TrialRecord, artifact: Artifact) -> None:
        """Keep the call."""
        self._keep("artifact_removed", trial=trial, artifact=artifact)

    @hookimpl
    def tags_logged(self, trial: TrialRecord, tags: Mapping[str, str]) -> None:
        """Keep the call."""
        self._keep("tags_logged", trial=trial, tags=dict(tags))

    @hookimpl
    def note_logged(self, trial: TrialRecord, note: str) -> None:
        """Keep the call."""
        self._keep("note_logged", trial=trial, note=note)

    @hookimpl
    def dataset_logged(self, trial: TrialRecord, dataset: Dataset) -> None:
        """Keep the call."""
        self._keep("dataset_logged", trial=trial, dataset=dataset)

    @hookimpl
    def trial_finished(self, trial: TrialRecord) -> None:
        """Keep the call."""
        self._keep("trial_finished", trial=trial)

    @hookimpl
    def study_finished(self, study: StudyRecord) -> None:
        """Keep the call."""
        self._keep("study_finished", study=study)

    def _keep(self, hook: str, **arguments: object) -> None:
        self.calls.append(Call(hook, arguments))
