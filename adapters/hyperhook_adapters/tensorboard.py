"""TensorBoard: a trial's scalars, and the HPARAMS tab with params, objective and status; no TensorFlow, no torch.

::

    <log_dir>/<study>/events.out.tfevents.0.experiment                       columns of the HPARAMS tab
    <log_dir>/<study>/<trial name>/events.out.tfevents.0.<trial id>.session  params; written anew when there are more
    <log_dir>/<study>/<trial name>/events.out.tfevents.1.<trial id>.scalars  metrics, images and texts; only grows
    <log_dir>/<study>/<trial name>/events.out.tfevents.2.<trial id>.end      value, state, and end of the session

What is shown, and how:

- A metric is a scalar of the same name, at the trainer's step, with the event's own time, as float32.
- ``epoch`` is the epoch of that step, unless the trial logs a metric of that name: then it is that metric.
- ``hyperhook/objective`` is one point: the trial's value, at the step of that value. It is the metric of the HPARAMS
  tab, which would otherwise show the last point of a curve rather than its best. A metric of the very same name gets a
  ``%`` in front, and so does one that has it there already.
- ``hyperhook/state`` (text) is the state and the error. HPARAMS knows success (COMPLETE, PRUNED) and failure (FAILED,
  KILLED) only.
- Images and figures of matplotlib are images, texts are texts, at their steps; tags, the note and each dataset are
  texts, too: ``hyperhook/tags``, ``hyperhook/note`` and ``hyperhook/datasets/<context>/<name>``. For tables, for
  figures of plotly, for images that are no PNG and for files TensorBoard has no place: a warning says so, once, and
  they stay where they are, as checkpoints do without a warning.
- In the names of folders, what is no letter, digit, space or one of ``._-+=@,()`` stands as ``%`` and its UTF-8 bytes
  in hexadecimal, and so does a leading dot; a name that is too long is cut and ends in its hash.

TensorBoard takes the columns of the HPARAMS tab from one study: point it at ``<log_dir>/<study>``. A TensorBoard that
is running keeps the params that it saw first; one that is started anew shows those that were logged later, too.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from hyperhook import (
    Artifact,
    Choice,
    Dataset,
    Float,
    HyperhookError,
    Int,
    Scalar,
    StudyRecord,
    Tracker,
    TrialRecord,
    hookimpl,
)
from hyperhook_adapters._event_files import TrialFiles, read_message, write_message

__all__ = ["DATASETS", "NOTE", "OBJECTIVE", "STATE", "TAGS", "TensorBoard"]

log = logging.getLogger("hyperhook.tensorboard")

OBJECTIVE = "hyperhook/objective"
STATE = "hyperhook/state"
TAGS = "hyperhook/tags"
NOTE = "hyperhook/note"
DATASETS = "hyperhook/datasets"
_PICTURES = ("image", "figure")


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
        self._runs: dict[str, TrialFiles] = {}
        self._warned: set[str] = set()

    def options(self) -> Mapping[str, Scalar]:
        """Return the folder, as an absolute path."""
        return {"log_dir": str(self._log_dir)}

    @hookimpl
    def study_started(self, study: StudyRecord) -> None:
        """Write the columns of the HPARAMS tab; without an objective, TensorBoard finds them by itself."""
        if study.objective is None:
            return
        file = self._experiment(study.name)
        experiment = read_message(file, "experiment")
        known = {info.name: info for info in experiment.hparam_infos}
        fresh = [_column(name, parameter) for name, parameter in study.space.items()]
        later = [info for name, info in known.items() if name not in study.space]
        del experiment.hparam_infos[:], experiment.metric_infos[:]
        experiment.hparam_infos.extend(fresh + later)
        shown = f"{study.objective.metric} ({study.objective.reduce})"
        experiment.metric_infos.add(display_name=shown).name.tag = OBJECTIVE
        write_message(file, "experiment", experiment)

    @hookimpl
    def trial_started(self, trial: TrialRecord) -> None:
        """Begin the trial's files afresh."""
        self._drop(trial)
        run = self._runs[trial.id] = TrialFiles(self._folder(trial), trial, size=0)
        run.session.group_name = trial.name
        run.session.start_time_secs = trial.started_time
        run.add_params(trial.params)
        run.remove_end()

    @hookimpl
    def trial_resumed(self, trial: TrialRecord) -> None:
        """Take the trial's end back; a TensorBoard that is running shows the old one until it is started anew."""
        self._run(trial).remove_end()

    @hookimpl
    def params_logged(self, trial: TrialRecord, params: Mapping[str, Scalar]) -> None:
        """Add to the trial's params, and a column for each to the HPARAMS tab."""
        self._run(trial).add_params(params)
        file = self._experiment(trial.study)
        if file.exists():
            experiment = read_message(file, "experiment")
            known = {info.name for info in experiment.hparam_infos}
            new = [name for name in params if name not in known]
            experiment.hparam_infos.extend(_column(name, None) for name in new)
            if new:
                write_message(file, "experiment", experiment)

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
    def tags_logged(self, trial: TrialRecord, tags: Mapping[str, str]) -> None:
        """Write them as a text, a line for each."""
        lines = "\n".join(f"- **{name}**: {value}" for name, value in tags.items())
        self._run(trial).add_text(TAGS, lines, 0, trial.started_time)

    @hookimpl
    def note_logged(self, trial: TrialRecord, note: str) -> None:
        """Write it as a text."""
        self._run(trial).add_text(NOTE, note, 0, trial.started_time)

    @hookimpl
    def dataset_logged(self, trial: TrialRecord, dataset: Dataset) -> None:
        """Write it as a text, a line for each thing that is known of it."""
        facts = {"digest": dataset.digest, "source": dataset.source, **dataset.profile}
        lines = "\n".join(f"- **{name}**: {value}" for name, value in facts.items() if value is not None)
        tag = f"{DATASETS}/{dataset.context}/{dataset.name}"
        self._run(trial).add_text(tag, lines, 0, trial.started_time)

    @hookimpl
    def artifact_logged(self, trial: TrialRecord, artifact: Artifact) -> None:
        """Write an image or a text; say once of each other kind that there is no place for it."""
        run, tag, step = self._run(trial), _tag(artifact.name), artifact.step or 0
        time = artifact.path.stat().st_mtime
        size = _png_size(artifact.path) if artifact.kind in ("image", "figure") else None
        if size is not None:
            run.add_image(tag, artifact.path.read_bytes(), size, step, time)
        elif artifact.kind == "text":
            run.add_text(tag, artifact.path.read_text(), step, time)
        elif artifact.kind != "checkpoint":
            self._warn(f"{artifact.kind} ({artifact.path.suffix})" if artifact.kind in _PICTURES else artifact.kind)

    @hookimpl
    def trial_finished(self, trial: TrialRecord) -> None:
        """Write the trial's value, its state and the end of its HPARAMS session."""
        run = self._run(trial)
        ended = trial.started_time if trial.finished_time is None else trial.finished_time
        run.write_end(trial, ended, objective=OBJECTIVE, state=STATE)

    def flush(self, trial: TrialRecord) -> Mapping[str, Scalar]:
        """Write the files, and once the trial has ended wait for the disk; return the size of the one that grows."""
        run = self._run(trial)
        state = run.sync(durable=trial.state.is_finished)
        if trial.state.is_finished:
            self._drop(trial)
        return state

    def resume(self, trial: TrialRecord, state: Mapping[str, Scalar]) -> bool:
        """Cut the growing file back to the size that was confirmed; False where it has gone or is shorter."""
        self._drop(trial)
        folder, size = self._folder(trial), state.get("size")
        run = TrialFiles(folder, trial, size=size if isinstance(size, int) else 0)
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

    def _run(self, trial: TrialRecord) -> TrialFiles:
        try:
            return self._runs[trial.id]
        except KeyError:
            raise HyperhookError(
                f"TensorBoard: trial {trial.name!r} is not open here; expected trial_started or resume first"
            ) from None

    def _warn(self, what: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            log.warning("TensorBoard has no place for a %s: it stays in the trial's folder", what)

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


def _column(name: str, parameter: Float | Int | Choice | None) -> Any:
    """Return the HPARAMS column of a parameter; of one without bounds where it is not in the space."""
    from tensorboard.plugins.hparams import api_pb2

    info = api_pb2.HParamInfo(name=name)
    if isinstance(parameter, Choice):
        options = ["None" if option is None else option for option in parameter.options]
        kinds = {float if type(option) is int else type(option) for option in options}
        if len(kinds) == 1:  # the tab hides the trials of a column of mixed types, so such a one stays without a type
            info.type = {bool: api_pb2.DATA_TYPE_BOOL, float: api_pb2.DATA_TYPE_FLOAT64, str: api_pb2.DATA_TYPE_STRING}[
                kinds.pop()
            ]
            info.domain_discrete.extend(options)
    elif parameter is not None:
        info.type = api_pb2.DATA_TYPE_FLOAT64
        info.domain_interval.min_value = parameter.low
        info.domain_interval.max_value = parameter.high
    return info


def _png_size(path: Path) -> tuple[int, int] | None:
    """Return height and width from a PNG file's header; None where it is no PNG."""
    with open(path, "rb") as file:
        head = file.read(24)
    if not head.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    width, height = struct.unpack(">II", head[16:24])
    return height, width


def _tag(name: str) -> str:
    return f"%{name}" if name.lstrip("%") == OBJECTIVE else name


def _file_name(name: str) -> str:
    safe = re.sub(r"[^\w .+=@,()-]|^\.", lambda match: quote(match[0], safe="").replace(".", "%2E"), name)
    if not safe or len(safe.encode()) > 150:
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        safe = f"{safe.encode()[:100].decode(errors='ignore')}-{digest}"
    return safe
