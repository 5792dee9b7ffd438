"""The live handle of a trial: what a training function or a callback holds."""

from __future__ import annotations

import math
import numbers
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Protocol, SupportsFloat, get_args

from hyperhook.errors import MetricError, TrialStateError
from hyperhook.events import ArtifactLogged, Event, MetricsLogged, ParamsLogged, StopRequested, finite, text
from hyperhook.objective import Curve, Objective, Point
from hyperhook.parameters import Scalar, plain
from hyperhook.records import ArtifactKind, TrialRecord

__all__ = ["Sink", "Trial", "current_trial"]


class Sink(Protocol):
    """Where a trial's events go, and who decides whether it should stop."""

    def emit(self, trial: TrialRecord, event: Event) -> None:
        """Journal an event, then tell the listeners."""

    def should_stop(self, trial: TrialRecord, last: Point | None) -> bool:
        """Ask the pruners."""
        ...


class Trial:
    """One training run with one set of params.

    Studies make trials; training functions use them.

    Args:
        record: The trial as it started.
        sink: Where its events go.
        objective: What its curve is reduced by.
        emits: False for a rank of a distributed run that must stay silent: it has the params, and logs nothing.

    Example:
        >>> def train(trial):
        ...     for step in range(100):
        ...         trial.log({"loss": 1 / (1 + step * trial.params["lr"])}, step=step)
        ...         if trial.should_stop:
        ...             break
    """

    def __init__(
        self, record: TrialRecord, sink: Sink, *, objective: Objective | None = None, emits: bool = True
    ) -> None:
        self._record = record
        self._sink = sink
        self._emits = emits
        self._known_params: dict[str, Scalar] = dict(record.params)
        self._next_step = 0
        self._stop_requested = False
        self.curve = Curve(objective)

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
        """The active parameters and their values, as a dictionary of your own."""
        return dict(self._record.params)

    @property
    def record(self) -> TrialRecord:
        """The trial as it stands: as it started, or as it ended."""
        return self._record

    @property
    def emits(self) -> bool:
        """Whether this handle logs; False on the silent ranks of a distributed run."""
        return self._emits

    @property
    def stop_requested(self) -> bool:
        """Whether `should_stop` has answered True."""
        return self._stop_requested

    def log(self, metrics: Mapping[str, SupportsFloat], *, step: int | None = None, epoch: int | None = None) -> None:
        """Log metrics, all at one step. When this returns, they survive whatever happens to the process.

        Args:
            metrics: Names and values; a value is anything with one number in it (float, NumPy scalar, tensor of one
                element). NaN and infinities are kept.
            step: The trainer's global step, from 0; by default the one behind the last.
            epoch: The trainer's epoch, from 0.

        Raises:
            MetricError: A name is no string, a value no number, a step or epoch no int from 0. Nothing is logged.
            TrialStateError: The trial has ended.

        Example:
            >>> trial.log({"loss": 0.25, "val_acc": 0.9}, step=100, epoch=2)  # doctest: +SKIP
        """
        if not self._emits:
            return
        self._check_running("log")
        if step is None:
            step = self._next_step
        elif type(step) is not int or step < 0:
            step = _as_count("step", step)
        if epoch is not None and type(epoch) is not int:
            epoch = _as_count("epoch", epoch)
        if not isinstance(metrics, Mapping):
            raise MetricError(f"log: expected names and numbers, as in {{'loss': 0.5}}, got {metrics!r}")
        values: dict[str, float] = {}
        for name, value in metrics.items():
            if type(value) is float and type(name) is str and name:
                values[name] = value
            else:
                values[_as_name(name)] = _as_float(name, value)
        if not values:
            return
        encoded = {name: value if math.isfinite(value) else finite(value) for name, value in values.items()}
        self._sink.emit(self._record, MetricsLogged(time=time.time(), metrics=encoded, step=step, epoch=epoch))
        self.curve.add(values.items(), step, epoch)
        self._next_step = step + 1

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record params that became known after the trial began; nested mappings become names with ``/``.

        A param that is known with the same value is not recorded again. One that is known with another value keeps it,
        and the new one is recorded below ``logged/``, so that no backend sees a param change.

        Args:
            params: Names and values; what is no string, number, boolean or None is recorded as its text.

        Raises:
            TrialStateError: The trial has ended.
        """
        if not self._emits:
            return
        self._check_running("log_params")
        new: dict[str, Scalar] = {}
        for name, value in _flatten(params):
            if name in self._known_params and self._known_params[name] != value:
                name = f"logged/{name}"
            if name not in self._known_params:
                self._known_params[name] = new[name] = value
        if new:
            self._sink.emit(self._record, ParamsLogged(time=time.time(), params=new))

    def log_artifact(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        kind: ArtifactKind = "file",
        step: int | None = None,
        score: float | None = None,
    ) -> None:
        """Make an existing file part of the trial.

        Args:
            path: The file.
            name: What trackers call it; by default the file's name.
            kind: ``"checkpoint"`` for a model's weights, else ``"file"``.
            step: The trainer's global step that it belongs to, from 0.
            score: For a checkpoint, the value of the metric that it was kept for.

        Raises:
            FileNotFoundError: There is no such file.
            MetricError: The kind is neither of these, the step no int from 0, or the score no number.
            TrialStateError: The trial has ended.
        """
        if not self._emits:
            return
        self._check_running("log_artifact")
        file = Path(path).absolute()
        if not file.exists():
            raise FileNotFoundError(f"log_artifact: there is no file {str(file)!r}; log it after it was written")
        if kind not in get_args(ArtifactKind):
            raise MetricError(f"log_artifact: kind must be 'file' or 'checkpoint', got {kind!r}")
        self._sink.emit(
            self._record,
            ArtifactLogged(
                time=time.time(),
                path=str(file),
                name=str(name or file.name),
                kind=kind,
                step=None if step is None else _as_count("step", step),
                score=None if score is None else finite(_as_float("score", score)),
            ),
        )

    @property
    def should_stop(self) -> bool:
        """Whether a pruner wants the trial to end now. Once True it stays True, and the trial ends as PRUNED."""
        if self._emits and not self._stop_requested and not self._record.state.is_finished:
            last = self.curve.last
            self._stop_requested = self._sink.should_stop(self._so_far(), last)
            if self._stop_requested:
                self._sink.emit(self._record, StopRequested(time=time.time(), step=last.step if last else None))
        return self._stop_requested

    def ended(self, record: TrialRecord) -> None:
        """Take over the record that the trial ended with; called by the study."""
        self._record = record

    def catch_up(self, events: Iterator[Event]) -> None:
        """Rebuild what this handle knows from the whole journal, after another process wrote to it."""
        self.curve = Curve(self.curve.objective)
        for event in events:
            if isinstance(event, MetricsLogged):
                self.curve.add(event.values().items(), event.step, event.epoch)
                self._next_step = event.step + 1
            elif isinstance(event, ParamsLogged):
                self._known_params.update(event.params)
            elif isinstance(event, StopRequested):
                self._stop_requested = True

    def _so_far(self) -> TrialRecord:
        point = self.curve.best if self.curve.objective and self.curve.objective.reduce == "best" else self.curve.last
        if point is None:
            return self._record
        return replace(self._record, value=point.value, step=point.step, epoch=point.epoch)

    def _check_running(self, what: str) -> None:
        if self._record.state.is_finished:
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


def _as_name(name: object) -> str:
    if isinstance(name, str) and name:
        return str(name)
    raise MetricError(f"log: names must be non-empty strings, got {name!r}")


def _as_float(name: str, value: object) -> float:
    if isinstance(value, str | bytes) or not isinstance(value, SupportsFloat):
        raise MetricError(f"log: metric {name!r} got {value!r} ({type(value).__name__}), expected a number")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise MetricError(
            f"log: metric {name!r} got a {type(value).__name__} that is not one number ({error})"
        ) from None


def _as_count(what: str, count: object) -> int:
    if isinstance(count, numbers.Integral) and not isinstance(count, bool) and int(count) >= 0:
        return int(count)
    raise MetricError(f"{what}: expected an int from 0, got {count!r} ({type(count).__name__})")


def _flatten(params: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, Scalar]]:
    for key, value in params.items():
        name = f"{prefix}{text(key)}"
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{name}/")
        elif isinstance(value, float) and not math.isfinite(value):
            yield name, str(value)
        elif value is None or isinstance(value, int | float | bool):
            yield name, plain(value)
        else:
            yield name, text(plain(value) if isinstance(value, str) else value)
