"""Follows a script that only writes TensorBoard's event files, wherever it writes them; without TensorFlow."""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from hyperhook import HyperhookError, Params, TrialRecord
from hyperhook.follower import Follower, Reading
from hyperhook.points import Points
from hyperhook_adapters._event_records import EventRecords
from hyperhook_adapters.followers._event_search import EventSearch

__all__ = ["TensorBoardFollower"]

log = logging.getLogger("hyperhook.tensorboard")

_FOLDER = "tensorboard"
_FORMATS = {1: "f", 2: "d", 3: "i", 4: "B", 5: "h", 6: "b", 9: "q", 17: "H", 19: "e", 22: "I", 23: "Q"}
"""How numbers lie in the content of a tensor, by its type."""


class _File:
    """A file, the name that its metrics have in front, and where its program stands."""

    def __init__(self, path: Path, prefix: tuple[str, ...]) -> None:
        self.records = EventRecords(path)
        self.points = Points()
        self._prefix = prefix

    def name(self, tag: str) -> str:
        """Return a metric's name; ``add_scalars("loss", {"val": …})`` puts it into the folder ``loss_val``."""
        if not self._prefix:
            return tag
        *outer, last = self._prefix
        own = f"{tag.replace('/', '_')}_"
        if last.startswith(own) and last != own:
            return "/".join([*outer, tag, last[len(own) :]])
        return "/".join([*self._prefix, tag])


class TensorBoardFollower(Follower):
    """Reads the scalars of all event files that a script makes, while they grow.

    New files are looked for below the script's working directory, or below `logdir`, and below the trial's own folder,
    which the script finds in ``TB_LOGDIR``. With several agents in one directory, a file is taken where its name tells
    that a process of this trial's program writes it. A name that tells no process, as some versions of tensorboardX
    write it, is taken in any case: where several agents share a directory, let such a script write into ``TB_LOGDIR``.

    Metrics are called as their tags, where the file lies in the folder that the script wrote into first; those of other
    folders have the folder's path in front: ``validation/epoch_loss``. What `SummaryWriter.add_scalars` writes is
    ``tag/name``.

    Args:
        logdir: Where to look, absolute or below the script's working directory; by default all of that.

    Raises:
        HyperhookError: It is no path.
    """

    requires: ClassVar[tuple[str, ...]] = ("tensorboard",)

    def __init__(self, logdir: str | os.PathLike[str] | None = None) -> None:
        if logdir is not None and not (isinstance(logdir, str | os.PathLike) and os.fspath(logdir)):
            raise HyperhookError(f"tensorboard: logdir: expected a folder, got {logdir!r}")
        self._logdir = None if logdir is None else Path(logdir)
        self._search: EventSearch | None = None
        self._root: Path | None = None
        self._files: dict[Path, _File | None] = {}

    def environment(self, folder: Path, params: Params, study: str, trial: TrialRecord) -> dict[str, str]:
        """Remember the files that are there already; name the trial's own folder in ``TB_LOGDIR``."""
        own, directory = folder / _FOLDER, Path.cwd()
        self._search = EventSearch(directory if self._logdir is None else directory / self._logdir, own)
        return {"TB_LOGDIR": str(own)}

    def read(self) -> Iterator[Reading]:
        """Yield the scalars that are new, of each file in turn."""
        is_over = self.process is None or not self.is_running
        for path in [] if self._search is None else self._search.new(self.process, at_once=is_over):
            self._root = self._root or path.parent
            try:
                self._files[path] = _File(path, self._prefix(path.parent))
            except OSError as error:
                log.warning("TensorBoard: %s cannot be read: %s", path, error)
        for path, file in self._files.items():
            if file is not None:
                yield from self._read(path, file)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            if file is not None:
                file.records.close()
        self._files, self._search = {}, None

    def _prefix(self, folder: Path) -> tuple[str, ...]:
        """Return a folder's path, seen from the first one; from what both lie in, where it is not below that."""
        root = self._root or folder
        shared = root if folder.is_relative_to(root) else Path(os.path.commonpath([root, folder]))
        return folder.relative_to(shared).parts

    def _read(self, path: Path, file: _File) -> Iterator[Reading]:
        try:
            for event in file.records.events():
                for value in event.summary.value:
                    number = _scalar(value)
                    if number is not None and value.tag:
                        yield from file.points.add(file.name(value.tag), number, event.step, event.wall_time)
            yield from file.points.flush(self.settled_time)
        except Exception as error:  # protobuf's own errors, and ours, of a file that somebody else damaged
            log.warning("TensorBoard: %s is read no further: %s", path, error)
            yield from file.points.flush()
            file.records.close()
            self._files[path] = None


def _scalar(value: Any) -> float | None:
    """Return the number that a summary holds, be it a plain one or a tensor; None where it is no single number."""
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return float(value.simple_value)
    if kind != "tensor" or any(dimension.size != 1 for dimension in value.tensor.tensor_shape.dim):
        return None
    tensor = value.tensor
    form = _FORMATS.get(tensor.dtype)
    if form is None:
        return None
    if len(tensor.tensor_content) == struct.calcsize(f"<{form}"):
        return float(struct.unpack(f"<{form}", tensor.tensor_content)[0])
    if tensor.half_val:
        return float(struct.unpack("<e", struct.pack("<H", tensor.half_val[0]))[0])
    for numbers in (tensor.float_val, tensor.double_val, tensor.int_val, tensor.int64_val, tensor.uint32_val):
        if numbers:
            return float(numbers[0])
    return float(tensor.uint64_val[0]) if tensor.uint64_val else 0.0  # as protobuf leaves a zero away
