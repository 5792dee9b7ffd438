"""TensorBoard: a trial's scalars, and the HPARAMS tab with params, objective and status; no TensorFlow, no torch.

::

    <log_dir>/<study>/events.out.tfevents.0.experiment                       columns of the HPARAMS tab
    <log_dir>/<study>/<trial name>/events.out.tfevents.0.<trial id>.session  params; written anew when there are more
    <log_dir>/<study>/<trial name>/events.out.tfevents.1.<trial id>.scalars  metrics, then the trial's end; only grows

What is shown, and how:

- A metric is a scalar of the same name, at the trainer's step, with the event's own time, as float32.
- ``epoch`` is the epoch of that step, unless the trial logs a metric of that name: then it is that metric.
- ``hyperhook/objective`` is one point: the trial's value, at the step of that value. It is the metric of the HPARAMS
  tab, which would otherwise show the last point of a curve rather than its best. A metric of the very same name gets a
  ``%`` in front, and so does one that has it there already.
- ``hyperhook/state`` (text) is the state and the error. HPARAMS knows success (COMPLETE, PRUNED) and failure (FAILED,
  KILLED) only.
- In the names of folders, what is no letter, digit, space or one of ``._-+=@,()`` stands as ``%`` and its UTF-8 bytes in
  hexadecimal, and so does a leading dot; a name that is too long is cut and ends in its hash.

TensorBoard takes the columns of the HPARAMS tab from one study: point it at ``<log_dir>/<study>``. A TensorBoard that
is running keeps the params that it saw first; one that is started anew shows those that were logged later, too.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from hyperhook import (
    Choice,
    HyperhookError,
    Scalar,
    StudyRecord,
    Tracker,
    TrialRecord,
    TrialState,
    hookimpl,
)

if TYPE_CHECKING:
    from hyperhook.space import Parameter

__all__ = ["OBJECTIVE", "STATE", "TensorBoard"]

OBJECTIVE = "hyperhook/objective"
STATE = "hyperhook/state"

_FILE_VERSION = "brain.Event:2"
_EXACT_INT = 2**53
"""HPARAMS holds numbers as float64, exact up to here."""


class TensorBoard(Tracker):
    """Writes event files that TensorBoard reads.

    A restarted forwarder cuts the file back to what was confirmed and appends, so that no point is there twice.

    Args:
        log_dir: The folder to give to ``tensorboard --logdir``; made where it is missing.

    Example:
        >>> study = Study("digits", space, trackers=[TensorBoard("logs")])  # doctest: +SKIP
    """

    requires: ClassVar[tuple[str, ...]] = ("tensorboard",)

    def __init__(self, log_dir: str | os.PathLike[str] = "runs") -> None:
        self._log_dir = Path(log_dir).absolute()
        self._runs: dict[str, _Run] = {}

    @hookimpl
    def study_started(self, study: StudyRecord) -> None:
        """Write the columns of the HPARAMS tab; without an objective, TensorBoard finds them by itself."""
        if study.objective is None:
            return
        file = self._experiment(study.name)
        experiment = _read(file, "experiment")
        known = {info.name: info for info in experiment.hparam_infos}
        fresh = [_column(name, parameter) for name, parameter in study.space.items()]
        later = [info for name, info in known.items() if name not in study.space]
        del experiment.hparam_infos[:], experiment.metric_infos[:]
        experiment.hparam_infos.extend(fresh + later)
        shown = f"{study.objective.metric} ({study.objective.reduce})"
        experiment.metric_infos.add(display_name=shown).name.tag = OBJECTIVE
        _write(file, "experiment", experiment)

    @hookimpl
    def trial_started(self, trial: TrialRecord) -> None:
        """Begin the trial's files afresh."""
        self._drop(trial)
        run = self._runs[trial.id] = _Run(self._folder(trial), trial, size=0)
        run.session.group_name = trial.name
        run.session.start_time_secs = trial.started_time
        run.add_params(trial.params)

    @hookimpl
    def params_logged(self, trial: TrialRecord, params: Mapping[str, Scalar]) -> None:
        """Add to the trial's params, and a column for each to the HPARAMS tab."""
        self._run(trial).add_params(params)
        file = self._experiment(trial.study)
        if file.exists():
            experiment = _read(file, "experiment")
            known = {info.name for info in experiment.hparam_infos}
            new = [name for name in params if name not in known]
            experiment.hparam_infos.extend(_column(name, None) for name in new)
            if new:
                _write(file, "experiment", experiment)

    @hookimpl
    def metrics_logged(
        self, trial: TrialRecord, metrics: Mapping[str, float], step: int, epoch: int | None, time: float
    ) -> None:
        """Write scalars, and the epoch where it is new."""
        run = self._run(trial)
        scalars = {_tag(name): value for name, value in metrics.items()}
        if "epoch" not in metrics and epoch is not None and run.axis != (step, epoch):
            scalars["epoch"] = epoch
            run.axis = (step, epoch)
        run.add_scalars(scalars, step, time)

    @hookimpl
    def trial_finished(self, trial: TrialRecord) -> None:
        """Write the trial's value, its state and the end of its HPARAMS session."""
        run = self._run(trial)
        ended = trial.started_time if trial.finished_time is None else trial.finished_time
        if trial.value is not None:
            run.add_scalars({OBJECTIVE: trial.value}, trial.step or 0, ended)
        run.add_end(trial, ended)

    def flush(self, trial: TrialRecord) -> Mapping[str, Scalar]:
        """Bring the files to the disk; return the size of the one that grows."""
        run = self._run(trial)
        state = run.sync()
        if trial.state.is_finished:
            self._drop(trial)
        return state

    def resume(self, trial: TrialRecord, state: Mapping[str, Scalar]) -> bool:
        """Cut the growing file back to the size that was confirmed; False where it has gone or is shorter."""
        self._drop(trial)
        folder, size = self._folder(trial), state.get("size")
        run = _Run(folder, trial, size=size if isinstance(size, int) else 0)
        if not isinstance(size, int) or not run.has_confirmed():
            return False
        run.axis = (state.get("step"), state.get("epoch"))
        self._runs[trial.id] = run
        return True

    def close(self) -> None:
        """Close every file."""
        for run in self._runs.values():
            run.close()
        self._runs.clear()

    def _run(self, trial: TrialRecord) -> _Run:
        try:
            return self._runs[trial.id]
        except KeyError:
            raise HyperhookError(
                f"TensorBoard: trial {trial.name!r} is not open here; expected trial_started or resume before its events"
            ) from None

    def _drop(self, trial: TrialRecord) -> None:
        run = self._runs.pop(trial.id, None)
        if run is not None:
            run.close()

    def _experiment(self, study: str) -> Path:
        return self._log_dir / _file_name(study) / "events.out.tfevents.0.experiment"

    def _folder(self, trial: TrialRecord) -> Path:
        """Return the trial's folder; beside one of that name that belongs to another home's trial, one with its id."""
        folder = self._log_dir / _file_name(trial.study) / _file_name(trial.name)
        taken = any(f".{trial.id}." not in file.name for file in folder.glob("*tfevents*"))
        return folder.with_name(f"{folder.name}-{trial.id}") if taken else folder


class _Run:
    """The two files of a trial.

    Args:
        folder: Where they lie; made with the first event.
        trial: The trial.
        size: How many bytes of the growing file to keep.
    """

    def __init__(self, folder: Path, trial: TrialRecord, *, size: int) -> None:
        self._session_file = folder / f"events.out.tfevents.0.{trial.id}.session"
        self._scalars_file = folder / f"events.out.tfevents.1.{trial.id}.scalars"
        self._size = size
        self._started_time = trial.started_time
        self._file: Any = None
        self._session_is_new = False
        self.session = _read(self._session_file, "session_start_info") if size else _message("session_start_info")
        self.axis: tuple[Scalar, Scalar] = (None, None)

    def has_confirmed(self) -> bool:
        """Tell whether the bytes to keep are there."""
        found = self._session_file.exists() and self._scalars_file.exists()
        return found and self._scalars_file.stat().st_size >= self._size

    def add_params(self, params: Mapping[str, Scalar]) -> None:
        """Put params into the session; they are written by the next `sync`."""
        self._session_is_new = True
        for name, value in params.items():
            field = self.session.hparams[name]
            if isinstance(value, bool):
                field.bool_value = value
            elif isinstance(value, float) or (isinstance(value, int) and abs(value) <= _EXACT_INT):
                field.number_value = value
            else:
                field.string_value = str(value)

    def add_scalars(self, scalars: Mapping[str, float], step: int, time: float) -> None:
        """Append scalars that belong together."""
        from tensorboard.compat.proto import event_pb2

        event = event_pb2.Event(wall_time=time, step=step)
        for tag, value in scalars.items():
            event.summary.value.add(tag=tag, simple_value=value)
        self._append(event)

    def add_end(self, trial: TrialRecord, time: float) -> None:
        """Append the end of the session, and the state in words."""
        from tensorboard.compat.proto import event_pb2
        from tensorboard.plugins.hparams import api_pb2
        from tensorboard.plugins.text.summary_v2 import text_pb

        good = trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        end = _message("session_end_info")
        end.status = api_pb2.STATUS_SUCCESS if good else api_pb2.STATUS_FAILURE
        end.end_time_secs = time
        words = str(trial.state) if trial.error is None else f"{trial.state}\n\n{trial.error}"
        for summary in (text_pb(STATE, words), _summary("session_end_info", end)):
            self._append(event_pb2.Event(wall_time=time, step=trial.step or 0, summary=summary))

    def sync(self) -> dict[str, Scalar]:
        """Bring everything to the disk; return what `TensorBoard.resume` needs."""
        if self._session_is_new:
            _write(self._session_file, "session_start_info", self.session, self._started_time)
            self._session_is_new = False
        file = self._open()
        file.flush()
        os.fsync(file.fileno())
        self._size = file.tell()
        step, epoch = self.axis
        return {"size": self._size, "step": step, "epoch": epoch}

    def close(self) -> None:
        """Close the file; what was not synced may be lost, and is cut off by whoever opens it again."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _append(self, event: Any) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        RecordWriter(self._open()).write(event.SerializeToString())

    def _open(self) -> Any:
        if self._file is None:
            from tensorboard.compat.proto import event_pb2

            self._scalars_file.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self._scalars_file, "r+b" if self._size else "wb")  # noqa: SIM115
            self._file.truncate(self._size)
            self._file.seek(self._size)
            if not self._size:
                self._append(event_pb2.Event(wall_time=self._started_time, file_version=_FILE_VERSION))
        return self._file


def _message(kind: str) -> Any:
    """Return an empty message of one of the kinds that HPARAMS data are made of."""
    from tensorboard.plugins.hparams import plugin_data_pb2

    return getattr(plugin_data_pb2.HParamsPluginData(), kind).__class__()


def _summary(kind: str, message: Any) -> Any:
    """Wrap HPARAMS data as TensorBoard's own writer does, which needs TensorFlow for some kinds."""
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    data = plugin_data_pb2.HParamsPluginData(**{kind: message})
    tag = {
        "experiment": metadata.EXPERIMENT_TAG,
        "session_start_info": metadata.SESSION_START_INFO_TAG,
        "session_end_info": metadata.SESSION_END_INFO_TAG,
    }[kind]
    summary = summary_pb2.Summary()
    summary.value.add(tag=tag, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR)
    return summary


def _write(path: Path, kind: str, message: Any, time: float = 0.0) -> None:
    """Make a file of one message, whole or not at all."""
    from tensorboard.compat.proto import event_pb2
    from tensorboard.summary.writer.record_writer import RecordWriter

    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{os.getpid()}.new")
    with open(beside, "wb") as file:
        writer = RecordWriter(file)
        writer.write(event_pb2.Event(wall_time=time, file_version=_FILE_VERSION).SerializeToString())
        writer.write(event_pb2.Event(wall_time=time, summary=_summary(kind, message)).SerializeToString())
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def _read(path: Path, kind: str) -> Any:
    """Return the message that `_write` put into a file; an empty one where there is none."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.plugins.hparams import plugin_data_pb2

    if path.exists():
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                data = plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
                if data.HasField(kind):
                    return getattr(data, kind)
    return _message(kind)


def _column(name: str, parameter: Parameter | None) -> Any:
    """Return the HPARAMS column of a parameter; of one without bounds where it is not in the space."""
    from tensorboard.plugins.hparams import api_pb2

    info = api_pb2.HParamInfo(name=name)
    if isinstance(parameter, Choice):
        kinds = {type(option) for option in parameter.options}
        if kinds == {bool}:
            info.type = api_pb2.DATA_TYPE_BOOL
            info.domain_discrete.extend(parameter.options)
        elif kinds <= {int, float}:
            info.type = api_pb2.DATA_TYPE_FLOAT64
            info.domain_discrete.extend(parameter.options)
        else:
            info.type = api_pb2.DATA_TYPE_STRING
            info.domain_discrete.extend(str(option) for option in parameter.options)
    elif parameter is not None:
        info.type = api_pb2.DATA_TYPE_FLOAT64
        info.domain_interval.min_value = parameter.low
        info.domain_interval.max_value = parameter.high
    return info


def _tag(name: str) -> str:
    return f"%{name}" if name.lstrip("%") == OBJECTIVE else name


def _file_name(name: str) -> str:
    safe = re.sub(r"[^\w .+=@,()-]|^\.", lambda match: quote(match[0], safe="").replace(".", "%2E"), name)
    if len(safe.encode()) > 150:
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        safe = f"{safe.encode()[:100].decode(errors='ignore')}-{digest}"
    return safe
