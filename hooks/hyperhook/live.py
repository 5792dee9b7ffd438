"""The trials that run in this process: begun, gone on with, ended."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from hyperhook.channel import Channel
from hyperhook.errors import StoreError, StudyError, TrialStateError
from hyperhook.growth import answer
from hyperhook.journal import read
from hyperhook.manager import Manager
from hyperhook.objective import Point, as_value, by_metric
from hyperhook.outlet import Outlet
from hyperhook.parameters import Parameter, Params, Scalar
from hyperhook.records import StudyRecord, TrialRecord, TrialState
from hyperhook.store import Store
from hyperhook.trial import Trial
from hyperhook.values import as_stderr
from hyperhook.workspace import Begun, Workspace

__all__ = ["LiveTrials"]

log = logging.getLogger("hyperhook")


class LiveTrials:
    """Hands out live trials of a study, and ends them; store, journal, plugins and trackers hear of both.

    Args:
        study: The study; what it is searched for decides what a trial is worth.
        workspace: The home that it lives in.
        manager: Its plugins.
        outlet: Its trackers.
    """

    def __init__(self, study: StudyRecord, workspace: Workspace, manager: Manager, outlet: Outlet) -> None:
        self._study = study
        self._workspace = workspace
        self._manager = manager
        self._outlet = outlet
        self._channels: dict[str, Channel] = {}
        self._queued: dict[str, Params] = {}
        self._begun: dict[str, Begun] = {}
        self._has_warned = False

    def begin(
        self,
        params: Params,
        *,
        tags: Mapping[str, str] | None = None,
        ahead: bool = False,
        queued: TrialRecord | None = None,
        proposed: Params | None = None,
        known: int | None = None,
        budget: int | None = None,
        launch: str | None = None,
    ) -> Trial | None:
        """Start a trial.

        Args:
            params: Its params.
            tags: Tags that it has before anybody uses it.
            ahead: See `Workspace.begin`.
            queued: See `Workspace.begin`.
            proposed: See `Store.claim`.
            known: See `Store.claim`.
            budget: See `Store.claim`.
            launch: See `Store.claim`.

        Returns:
            The RUNNING trial; None where the budget is used up, or another worker came first.
        """
        begun = self._workspace.begin(
            self._study.name,
            params,
            self._outlet.trackers,
            ahead=ahead,
            queued=queued,
            proposed=proposed,
            known=known,
            budget=budget,
            launch=launch,
        )
        if begun is None:
            return None
        handle = self._enter(begun)
        if queued is not None and proposed is not None:
            self._queued[handle.id] = queued.params
        if tags:
            handle.log_tags(tags)
        return handle

    def resume(self, trial: TrialRecord) -> Trial:
        """Go on with a trial that ended.

        Returns:
            The RUNNING trial.

        Raises:
            TrialStateError: It is running.
        """
        resumed = self._workspace.resume(trial, self._outlet.trackers)
        if resumed is None:
            raise TrialStateError(f"resume: trial {trial.name!r} is running; wait for its end, or use fork=True")
        return self._enter(resumed)

    def _enter(self, begun: Begun) -> Trial:
        """Return the handle of a trial that begins or goes on; everybody hears of it."""
        handle = self._handle(begun)
        if begun.goes_on:
            handle.go_on(event for event, _ in read(begun.journal.path))
            self._manager.events.trial_resumed(trial=handle.record)
        else:
            self._manager.events.trial_started(trial=handle.record)
        self._open(handle)
        return handle

    def end(self, trial: Trial, value: object, state: object, error: str | None, stderr: object) -> TrialRecord:
        """End a trial; see `Study.tell`.

        Raises:
            ObjectiveError: It completed, and there is no value.
            MetricError: `stderr` is no finite number from 0.
            TrialStateError: It has ended already, or was never begun here.
            StudyError: `state` is none that ends a trial.
        """
        told = None if state is None else _as_end(state)
        spread = None if stderr is None else as_stderr("tell: stderr", stderr)
        if not trial.emits:
            trial.ended(replace(trial.record, state=told or TrialState.COMPLETE, error=error))
            return trial.record
        channel = self._channels.get(trial.id)
        if trial.has_ended or channel is None:
            raise TrialStateError(f"tell: trial {trial.record.name!r} has ended already, as {trial.record.state}")
        if channel.is_lost:
            return self._part(trial, None)
        trial.flush()
        grew_elsewhere = channel.journal.grew_elsewhere
        if grew_elsewhere:
            trial.catch_up(event for event, _ in read(channel.journal.path))
        how = told or (TrialState.PRUNED if trial.stop_requested else TrialState.COMPLETE)
        if how is TrialState.COMPLETE and not (channel.was_asked or grew_elsewhere):
            self._warn_of_idle_pruner(trial)
        point = self._point(trial, value, how)
        if spread is not None and point is not None:
            point = replace(point, stderr=spread)
        epochs = trial.curve.epochs
        return self._part(trial, self._workspace.end(self._begun[trial.id], how, point, error, epochs=epochs))

    def requeue(self, trial: Trial, reason: str) -> TrialRecord:
        """Put a trial back into the queue; see `Study.requeue`.

        Raises:
            TrialStateError: It has ended already, or was never begun here.
        """
        if not trial.emits:
            trial.ended(replace(trial.record, state=TrialState.KILLED, error=reason))
            return trial.record
        if trial.has_ended or trial.id not in self._begun:
            raise TrialStateError(f"requeue: trial {trial.record.name!r} does not run here")
        trial.flush()
        self._queued.pop(trial.id, None)  # what it has not asked for yet, it may ask for when it goes on
        return self._part(trial, self._workspace.requeue(self._begun[trial.id], reason))

    def _part(self, trial: Trial, ended: TrialRecord | None) -> TrialRecord:
        """Let a trial go; where it was taken from this process, as it stands in the store."""
        if ended is None:
            ended = self._workspace.left(self._begun[trial.id]) or trial.record
            how = f"had been ended as {ended.state}" if ended.state.is_finished else f"is {ended.state}"
            log.warning("trial %s %s elsewhere; this ending does not count", ended.name, how)
        trial.ended(ended)
        if ended.state.is_finished:
            self._warn_of_unasked(ended)
            self._manager.events.trial_finished(trial=ended)
        self.let_go(trial.id)
        return ended

    def _warn_of_unasked(self, trial: TrialRecord) -> None:
        """Say which of the queued params a trial never asked for, or only within other bounds."""
        wanted = self._queued.pop(trial.id, {})
        unused = {name: value for name, value in wanted.items() if not _has(trial.params, name, value)}
        if unused:
            log.warning("trial %s was queued with params that it did not ask for: %s", trial.name, unused)

    def _warn_of_idle_pruner(self, trial: Trial) -> None:
        """Say, once, that a pruner stops nothing where nobody asks it."""
        could_stop = trial.curve.count > 1 and not self._study.further and self._manager.decides("should_stop")
        if could_stop and not self._has_warned:
            self._has_warned = True
            log.warning(
                "trial %s ended without ever reading should_stop, so that no pruner could stop it: read "
                "trial.should_stop behind each validation, and return where it is True",
                trial.record.name,
            )

    def let_go(self, trial_id: str) -> None:
        """Close what is open for a trial."""
        self._channels.pop(trial_id).close()
        del self._begun[trial_id]

    def _handle(self, begun: Begun) -> Trial:
        trial = begun.trial
        inline = self._outlet.open(trial.id)
        worker, meet = begun.lease.worker, None
        report = None  # what is bad by one goal may be the best by another
        if not self._study.further:
            report = partial(self._workspace.store.report, trial.id, worker=worker)
        if self._study.grows:
            meet = partial(_met, self._workspace.store, self._study.seed, worker)
        channel = Channel(begun.journal, self._manager, report, inline, meet, lease=begun.lease)
        self._channels[trial.id], self._begun[trial.id] = channel, begun
        return Trial(trial, channel, objective=self._study.objective, watched=self._study.watched)

    def _open(self, handle: Trial) -> None:
        """Let trackers and plugins see a handle before anybody uses it."""
        self._channels[handle.id].deliver()
        self._manager.events.trial_opened(trial=handle)

    def _point(self, trial: Trial, value: object, state: TrialState) -> Point | None:
        """Return the value that a trial ends with, and where it stood."""
        if state in (TrialState.FAILED, TrialState.KILLED):
            return None
        curve = trial.curve
        value = _by_estimate(by_metric(value, self._study.objectives), trial.estimate)
        if state is TrialState.PRUNED:
            point = curve.so_far if value is None else curve.told(value)
            return point if point is not None and math.isfinite(point.value) else None
        if value is None and self._study.objective is None:
            return None
        return curve.check(curve.reduced() if value is None else curve.told(value), value)


def _met(store: Store, seed: int | None, worker: str | None, trial: TrialRecord, name: str, asked: Parameter) -> Scalar:
    """Answer what a trial asks for, and keep it in the store; where that cannot be, the trial goes on."""
    value = answer(trial, name, asked, seed)
    try:
        store.meet(trial.id, name, asked, value, worker)
    except StoreError as error:
        log.error("param %r of trial %s is not kept in the store: %s", name, trial.name, error)
    return value


def _by_estimate(value: object, estimate: Point | None) -> object:
    """Return the mean over folds or repeats, where no other value was told."""
    if estimate is None or isinstance(value, Mapping | Point):
        return value
    return estimate if value is None or math.isclose(as_value(value), estimate.value, rel_tol=1e-9) else value


def _has(params: Params, name: str, value: Scalar) -> bool:
    return name in params and params[name] == value


def _as_end(state: object) -> TrialState:
    for end in TrialState:
        if end.is_finished and end == state:
            return end
    raise StudyError(f"tell: expected state COMPLETE, PRUNED, FAILED or KILLED, got {state!r}")
