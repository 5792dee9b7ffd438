"""The live handle of a trial: what a training function or a callback holds."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, SupportsFloat

from hyperhook.artifacts import ArtifactLog
from hyperhook.byrun import ParamsByRun
from hyperhook.curve import Curve
from hyperhook.description import DescriptionLog
from hyperhook.errors import MetricError, TrialStateError
from hyperhook.events import (
    ArtifactLogged,
    ArtifactRemoved,
    DatasetLogged,
    Event,
    MetricsLogged,
    ParamsLogged,
    StopRequested,
    TrialResumed,
    finite,
)
from hyperhook.objective import Objective, Point
from hyperhook.parameters import Scalar
from hyperhook.parts import Parts, PartSink
from hyperhook.records import TrialRecord
from hyperhook.sink import Sink
from hyperhook.transfer import Transfer, is_away, start
from hyperhook.values import (
    HIGHEST_COUNT,
    LONGEST_NAME,
    MOST_METRICS,
    as_count,
    as_float,
    as_name,
    as_stderrs,
    brief,
    flatten,
)

__all__ = ["Trial", "current_trial"]

_MOST_WAITING = 1_000
"""How many calls may wait for their values before the oldest is waited for."""


@dataclass(slots=True)
class _Waiting:
    """A call of `Trial.log` that is not journalled yet: its values, or those of a call before it, are on their way."""

    time: float
    values: dict[str, Any]
    step: int
    epoch: int | None
    stderr: dict[str, float] | None
    transfer: Transfer | None

    def is_ready(self) -> bool:
        return self.transfer is None or self.transfer.has_arrived

    def take(self) -> dict[str, float]:
        return self.values if self.transfer is None else self.values | self.transfer.take()


class Trial(ArtifactLog, DescriptionLog, ParamsByRun):
    """One training run with one set of params.

    Studies make trials; training functions use them.

    Args:
        record: The trial as it started.
        sink: Where its events go.
        objective: What its curve is reduced by.
        watched: The metrics that it is judged by beside that.
        emits: False for a rank of a distributed run that must stay silent: it has the params, and logs nothing.

    Example:
        >>> def train(trial):
        ...     for step in range(100):
        ...         trial.log({"loss": 1 / (1 + step * trial.params["lr"])}, step=step)
        ...         if trial.should_stop:
        ...             break
    """

    def __init__(
        self,
        record: TrialRecord,
        sink: Sink,
        *,
        objective: Objective | None = None,
        watched: tuple[str, ...] = (),
        emits: bool = True,
    ) -> None:
        self._record = record
        self._sink = sink
        self._emits = emits
        self._known_params: dict[str, Scalar] = dict(record.params)
        self._known_datasets = {}
        self._user_attrs = {}
        self._reported = set()
        self._checkpoints = {}
        self._next_step = 0
        self._stop_requested = self._has_ended = False
        self._epoch: int | None = None
        self._asked_in: int | None = None
        self._recorded: dict[str, int] = {}
        self._waiting: deque[_Waiting] = deque()
        self._turn = threading.RLock()
        self.curve = Curve(objective, watched)
        self.repeat = 0
        """Which repeat or fold this is, from 0: a seed that differs from repeat to repeat."""
        self.result: object = None
        self._parts = Parts(objective, watched)

    def __repr__(self) -> str:
        return f"Trial({self._record.name!r}, {self._record.state}, params={self.params!r})"

    @property
    def id(self) -> str:
        """The trial's id, unique everywhere."""
        return self._record.id

    @property
    def number(self) -> int:
        """The trial's number in its study, from 0."""
        return self._record.number

    @property
    def params(self) -> dict[str, Scalar]:
        """The active parameters and their values, or those asked for so far, as a dictionary of your own."""
        return dict(self._record.params)

    @property
    def record(self) -> TrialRecord:
        """The trial as it stands: as it started, or as it ended."""
        return self._record

    @property
    def has_ended(self) -> bool:
        """Whether it has ended here: it was told, put back into the queue, or is another process's by now."""
        return self._has_ended

    @property
    def is_lost(self) -> bool:
        """Whether it is another process's by now, or was ended by one."""
        return self._sink.is_lost

    @property
    def last_step(self) -> int | None:
        """The step that was logged last; None before the first."""
        return self._next_step - 1 if self._next_step else None

    @property
    def emits(self) -> bool:
        """Whether this handle logs; False on the silent ranks of a distributed run."""
        return self._emits

    @property
    def stop_requested(self) -> bool:
        """Whether `should_stop` has answered True."""
        return self._stop_requested

    def log(
        self,
        metrics: Mapping[str, SupportsFloat],
        *,
        step: int | None = None,
        epoch: int | None = None,
        stderr: Mapping[str, SupportsFloat] | SupportsFloat | None = None,
    ) -> None:
        """Log metrics, all at one step. When this returns, they survive whatever happens to the process.

        In a trial that was resumed, a metric at a step that it had logged before is passed over: what is trained again
        is not doubled.

        CUDA tensors are not waited for: they are copied while the device works on, and journalled, in order, once they
        have arrived: with a later call, and at the latest by `flush`, when the trial ends, or when a decision is asked
        for.

        Args:
            metrics: Names (10,000 characters at the most) and values, 5,000 at the most; a value is anything with one
                number in it (float, NumPy scalar, tensor of one element). NaN and infinities are kept.
            step: The trainer's global step, from 0; by default the one behind the last.
            epoch: The trainer's epoch, from 0.
            stderr: Standard errors of some of these metrics, each in the metric's unit, finite and from 0, as from the
                folds of a cross-validation; one number is that of the objective's metric. The trial's value keeps its.

        Raises:
            MetricError: A name is no string or too long, a value no number, a step or epoch no int from 0, a standard
                error cannot be or belongs to no metric of this call, or there are too many. Nothing is logged.
            TrialStateError: The trial has ended.

        Example:
            >>> trial.log({"loss": 0.25, "val_acc": 0.9}, step=100, epoch=2)  # doctest: +SKIP
            >>> trial.log({"val_acc": 0.9}, stderr=0.01)  # doctest: +SKIP
        """
        if not self._emits:
            return
        self._check_running("log")
        if step is None:
            step = self._next_step
        elif type(step) is not int or not 0 <= step <= HIGHEST_COUNT:
            step = as_count("step", step)
        if epoch is not None:
            is_plain = type(epoch) is int and 0 <= epoch <= HIGHEST_COUNT
            self._epoch = epoch if is_plain else as_count("epoch", epoch)
            epoch = self._epoch
        if not isinstance(metrics, Mapping):
            raise MetricError(f"log: expected names and numbers, as in {{'loss': 0.5}}, got {brief(metrics)}")
        if len(metrics) > MOST_METRICS:
            raise MetricError(
                f"log: one call may log {MOST_METRICS} metrics, got {len(metrics)}; use several with the same step"
            )
        errors: dict[str, float] | None = None
        if stderr is not None:
            errors = as_stderrs(stderr, metrics, self.curve.objective.metric if self.curve.objective else None)
        values: dict[str, Any] = {}
        away: dict[str, Any] = {}
        if self._recorded:
            metrics = {name: value for name, value in metrics.items() if self._recorded.get(name, -1) < step}
        for name, value in metrics.items():
            if type(value) is float and type(name) is str and 0 < len(name) <= LONGEST_NAME:
                values[name] = value
            elif is_away(value):
                values[as_name(name)] = away[name] = value
            else:
                values[as_name(name)] = as_float(name, value)
        if not values:
            return
        self._next_step = step + 1
        if away or self._waiting:
            self._wait(_Waiting(time.time(), values, step, epoch, errors, _sent(away)))
        else:
            self._write(time.time(), values, step, epoch, errors)

    def log_beside(self, metrics: Mapping[str, SupportsFloat]) -> None:
        """Log what is measured beside the training, such as a GPU's load: at the step that the trial stands at.

        It may be called from any thread, and leaves the trainer's own steps alone.

        Args:
            metrics: See `log`.

        Raises:
            MetricError: See `log`.
            TrialStateError: The trial has ended.
        """
        if not self._emits:
            return
        self._check_running("log_beside")
        values = {as_name(name): as_float(name, value) for name, value in metrics.items()}
        if values:
            self._write(time.time(), values, self.last_step or 0, None)

    @contextmanager
    def fold(self, number: int, *, kind: str = "fold") -> Iterator[Trial]:
        """Train one fold of a cross-validation, or one of several repeats: a trial within the trial.

        What is logged inside is kept apart, under ``fold-0/…``, with steps of its own; when the fold ends, the trial
        logs the mean over the folds so far with its standard error, the number of folds before as its step. The last
        such mean is the trial's value, and pruners judge by it: read `should_stop` between two folds.

        Args:
            number: Which fold, from 0.
            kind: What the folds are called.

        Yields:
            A handle for the fold. Its value is what its ``result`` is set to, or else what it logged, reduced.

        Raises:
            ObjectiveError: The fold gave no value.
            MetricError: The number is no int from 0.
            TrialStateError: The trial has ended.

        Example:
            >>> for number, (train, test) in enumerate(KFold(5).split(x)):  # doctest: +SKIP
            ...     with trial.fold(number) as fold:
            ...         fold.log({"val_acc": fit_and_score(train, test)})
        """
        self._check_running("fold")
        name = f"{as_name(kind)}-{as_count('fold', number)}"
        objective, watched = self.curve.objective, self.curve.watched
        sink = PartSink(self._sink, name, self._recorded)
        part = Trial(self._record, sink, objective=objective, watched=watched, emits=self._emits)
        part.repeat = number
        part._known_params, part._known_datasets = self._known_params, self._known_datasets
        try:
            with running(part):
                yield part
        finally:
            self._record = replace(self._record, params=part.record.params)
        if self._emits and objective is not None:
            self._conclude(part, objective.metric)

    def _conclude(self, part: Trial, metric: str) -> None:
        """Take in what a part came to."""
        part.flush()
        curve = part.curve
        point = curve.check(curve.reduced() if part.result is None else curve.told(part.result), part.result)
        self.curve.trained += curve.epochs or 0
        if not curve.count:
            part.log({metric: point.value})
        self._parts.add(point)
        self.log(self._parts.means, step=self._parts.count - 1, stderr=self._parts.stderrs or None)

    @property
    def estimate(self) -> Point | None:
        """The mean over the folds or repeats that ended, with its standard error; None where there are none."""
        return self._parts.estimate

    def flush(self) -> None:
        """Journal what is on its way from an accelerator; waits for it."""
        with self._turn:
            while self._waiting:
                self._write_first()

    def _wait(self, call: _Waiting) -> None:
        """Keep a call until its values are there, and journal those whose values are, in the order of the calls."""
        with self._turn:
            self._waiting.append(call)
            while self._waiting and (self._waiting[0].is_ready() or len(self._waiting) > _MOST_WAITING):
                self._write_first()

    def _write_first(self) -> None:
        first = self._waiting.popleft()
        self._write(first.time, first.take(), first.step, first.epoch, first.stderr)

    def _write(
        self,
        when: float,
        values: dict[str, float],
        step: int,
        epoch: int | None,
        stderr: dict[str, float] | None = None,
    ) -> None:
        encoded: dict[str, float | str] = {**values}
        if not all(map(math.isfinite, values.values())):
            encoded = {name: finite(value) for name, value in values.items()}
        event = MetricsLogged(time=when, metrics=encoded, step=step, epoch=epoch, stderr=stderr)
        self._sink.emit(self._record, event)
        self.curve.add(values, step, epoch, stderr)

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record params that became known after the trial began; nested mappings become names with ``/``.

        A param that is known with the same value is not recorded again. One that is known with another value keeps it,
        and the new one is recorded below ``logged/``, so that no backend sees a param change.

        Args:
            params: Names and values; what is no string, number, boolean or None is recorded as its text, and one of
                more than 100,000 characters is cut.

        Raises:
            TrialStateError: The trial has ended.
        """
        if not self._emits:
            return
        self._check_running("log_params")
        new: dict[str, Scalar] = {}
        for name, value in flatten(params):
            if name in self._known_params and self._known_params[name] != value:
                name = f"logged/{name}"
            if name not in self._known_params:
                self._known_params[name] = new[name] = value
        if new:
            self._sink.emit(self._record, ParamsLogged(time=time.time(), params=new))

    @property
    def should_stop(self) -> bool:
        """Whether a pruner wants the trial to end now. Once True it stays True, and the trial ends as PRUNED.

        Read it behind each validation, when the objective's metric was logged: pruners judge by it.

        Raises:
            ObjectiveError: This was read in one epoch and in a later one, by the epochs that were logged, and the
                objective's metric was never there, in this trial or another one: a pruner would never prune.
        """
        if self._asked_in is None:
            self._asked_in = self._epoch
        return self.ask_pruners(expects=self._asked_in != self._epoch)

    def ask_pruners(self, *, expects: bool) -> bool:
        """Return what `should_stop` does: for adapters, who know when their trainer has validated.

        Args:
            expects: Whether the objective's metric should have been logged by now.

        Raises:
            ObjectiveError: It should, there are pruners, and neither this trial nor another one ever logged it.
        """
        if self._emits and not self._stop_requested and not self._has_ended:
            self.flush()
            self._stop_requested = self._sink.should_stop(self._so_far(), self.curve, expects=expects)
            if self._stop_requested:
                last = self.curve.last
                self._sink.emit(self._record, StopRequested(time=time.time(), step=last.step if last else None))
        return self._stop_requested

    def ended(self, record: TrialRecord) -> None:
        """Take over the record that the trial ended with; called by the study."""
        self._record, self._has_ended = record, True

    def go_on(self, events: Iterator[Event]) -> None:
        """Stand behind what a trial that is resumed has logged; called by the study."""
        self.catch_up(self._noted(events))
        self._stop_requested = False

    def _noted(self, events: Iterator[Event]) -> Iterator[Event]:
        """Pass events on; keep the last step of each metric."""
        for event in events:
            if isinstance(event, MetricsLogged):
                for name in event.metrics:
                    self._recorded[name] = max(event.step, self._recorded.get(name, -1))
            yield event

    def catch_up(self, events: Iterator[Event]) -> None:
        """Rebuild what this handle knows from the whole journal, after another process wrote to it."""
        self.curve = Curve(self.curve.objective, self.curve.watched)
        for event in events:
            if isinstance(event, MetricsLogged):
                self.curve.add(event.values(), event.step, event.epoch, event.stderr)
                self._next_step = event.step + 1
            elif isinstance(event, ParamsLogged):
                self._known_params.update(event.params)
            elif isinstance(event, DatasetLogged):
                self._known_datasets[event.name, event.context] = event.dataset()
            elif isinstance(event, ArtifactLogged | ArtifactRemoved):
                self._note(event)
            elif isinstance(event, StopRequested | TrialResumed):
                self._stop_requested = isinstance(event, StopRequested)

    def __getstate__(self) -> dict[str, Any]:
        self.flush()
        return {name: value for name, value in vars(self).items() if name != "_turn"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _turn=threading.RLock())

    def _so_far(self) -> TrialRecord:
        point = self.curve.so_far
        return self._record if point is None else self._record.at(point)

    def _is_heard(self, what: str) -> bool:
        """Tell whether this handle logs; what is on its way comes first."""
        if self._emits:
            self._check_running(what)
            self.flush()
        return self._emits

    def _check_running(self, what: str) -> None:
        if self._has_ended:
            raise TrialStateError(
                f"{what}: trial {self._record.name!r} ended as {self._record.state}; log before it ends"
            )


_current: ContextVar[Trial | None] = ContextVar("hyperhook_trial", default=None)


def current_trial() -> Trial | None:
    """Return the trial that is being run here, if any: inside ``Study.run`` and ``with study.trial()``."""
    return _current.get()


@contextmanager
def running(trial: Trial) -> Iterator[Trial]:
    """Make a trial the current one."""
    token = _current.set(trial)
    try:
        yield trial
    finally:
        _current.reset(token)


def _sent(away: Mapping[str, Any]) -> Transfer | None:
    """Send values off that are on an accelerator."""
    for name, value in away.items():
        if value.numel() != 1:
            raise MetricError(f"log: metric {name!r} got a tensor of shape {tuple(value.shape)}, expected one number")
    return start(away) if away else None
