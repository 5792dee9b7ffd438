"""The files that TensorBoard reads, written so that they can be cut back and continued; no TensorFlow, no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hyperhook import Scalar, TrialRecord, TrialState

__all__ = ["TrialFiles", "read_message", "write_message"]

_FILE_VERSION = "brain.Event:2"
_EXACT_INT = 2**53
"""HPARAMS holds numbers as float64, exact up to here."""


class TrialFiles:
    """The three files of a trial.

    Args:
        folder: Where they lie; made with the first event.
        trial: The trial.
        size: How many bytes of the growing file to keep.
    """

    def __init__(self, folder: Path, trial: TrialRecord, *, size: int) -> None:
        self._session_file = folder / f"events.out.tfevents.0.{trial.id}.session"
        self._scalars_file = folder / f"events.out.tfevents.1.{trial.id}.scalars"
        self._end_file = folder / f"events.out.tfevents.2.{trial.id}.end"
        self._size = size
        self._started_time = trial.started_time
        self._file: Any = None
        self._session_is_new = False
        self.session = (
            read_message(self._session_file, "session_start_info") if size else _message("session_start_info")
        )
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

    def add_text(self, tag: str, words: str, step: int, time: float) -> None:
        """Append a text, as Markdown."""
        from tensorboard.compat.proto import event_pb2
        from tensorboard.plugins.text.summary_v2 import text_pb

        self._append(event_pb2.Event(wall_time=time, step=step, summary=text_pb(tag, words)))

    def add_image(self, tag: str, image: bytes, size: tuple[int, int], step: int, time: float) -> None:
        """Append an encoded image of a height and a width."""
        from tensorboard.compat.proto import event_pb2

        event = event_pb2.Event(wall_time=time, step=step)
        value = event.summary.value.add(tag=tag)
        value.image.height, value.image.width = size
        value.image.colorspace = 3
        value.image.encoded_image_string = image
        self._append(event)

    def write_end(self, trial: TrialRecord, time: float, *, objective: str, state: str) -> None:
        """Write the end of the session: below two tags the trial's value, and its state in words."""
        from tensorboard.compat.proto import event_pb2
        from tensorboard.plugins.hparams import api_pb2
        from tensorboard.plugins.text.summary_v2 import text_pb

        good = trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        end = _message("session_end_info")
        end.status = api_pb2.STATUS_SUCCESS if good else api_pb2.STATUS_FAILURE
        end.end_time_secs = time
        words = str(trial.state) if trial.error is None else f"{trial.state}\n\n{trial.error}"
        events = [event_pb2.Event(wall_time=time, step=trial.step or 0) for _ in range(3)]
        if trial.value is not None:
            events[0].summary.value.add(tag=objective, simple_value=trial.value)
        events[1].summary.CopyFrom(text_pb(state, words))
        events[2].summary.CopyFrom(_summary("session_end_info", end))
        _write_file(self._end_file, events)

    def remove_end(self) -> None:
        """Take the end back: the trial begins afresh, or goes on."""
        self._end_file.unlink(missing_ok=True)

    def sync(self, *, durable: bool) -> dict[str, Scalar]:
        """Write everything; return what `TensorBoard.resume` needs.

        Args:
            durable: Wait for the disk. Until then a power cut may shorten the file; `has_confirmed` sees that.
        """
        if self._session_is_new:
            write_message(self._session_file, "session_start_info", self.session, self._started_time)
            self._session_is_new = False
        file = self._open()
        file.flush()
        if durable:
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
            self._file = open(self._scalars_file, "r+b" if self._size else "wb")
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


def write_message(path: Path, kind: str, message: Any, time: float = 0.0) -> None:
    """Make a file of one message, whole or not at all."""
    from tensorboard.compat.proto import event_pb2

    _write_file(path, [event_pb2.Event(wall_time=time, summary=_summary(kind, message))])


def _write_file(path: Path, events: Sequence[Any]) -> None:
    """Make a file of events, whole or not at all."""
    from tensorboard.compat.proto import event_pb2
    from tensorboard.summary.writer.record_writer import RecordWriter

    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{os.getpid()}.new")
    with open(beside, "wb") as file:
        writer = RecordWriter(file)
        for event in (event_pb2.Event(wall_time=events[0].wall_time, file_version=_FILE_VERSION), *events):
            writer.write(event.SerializeToString())
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def read_message(path: Path, kind: str) -> Any:
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
