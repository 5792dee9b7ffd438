"""Checkpoints once they are there: Lightning announces them before it writes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

__all__ = ["CheckpointFile", "Checkpoints"]


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """A checkpoint.

    Attributes:
        path: The file, or folder for sharded checkpoints.
        step: The trainer's global step (0-based) that it was saved at.
        score: The monitored metric that it was kept for.
        aliases: ``best`` where it is the best so far, ``last`` where it is the newest.
    """

    path: Path
    step: int
    score: float | None
    aliases: tuple[str, ...] = ()


@dataclass(slots=True)
class Checkpoints:
    """Finds the files of the trainer's checkpoint callbacks; looks at the disk only after an announcement.

    A file that is written in the background appears later; it keeps the step at which it was announced.
    """

    _announced_step: int | None = None
    _awaited: dict[str, CheckpointFile] = field(default_factory=dict)
    _written: dict[str, int] = field(default_factory=dict)

    def announce(self, step: int) -> None:
        """Remember that a checkpoint of this step is about to be written."""
        self._announced_step = step

    @property
    def is_awaited(self) -> bool:
        """Whether a checkpoint was announced and is not there yet."""
        return self._announced_step is not None or bool(self._awaited)

    def take(self, callbacks: Collection[Any]) -> list[CheckpointFile]:
        """Return what was written since the last call.

        Args:
            callbacks: The trainer's checkpoint callbacks.
        """
        if self._announced_step is not None:
            for path, score in dict(_kept(callbacks)).items():
                if _modified(path) != self._written.get(path, -1):
                    self._awaited.setdefault(path, CheckpointFile(Path(path), self._announced_step, score))
            self._announced_step = None
        there = {path: modified for path in self._awaited if (modified := _modified(path)) is not None}
        self._written.update(there)
        return [replace(self._awaited.pop(path), aliases=tuple(_aliases(path, callbacks))) for path in there]

    def take_removed(self) -> list[Path]:
        """Return what was written once and has been deleted since the last call."""
        removed = [path for path in self._written if _modified(path) is None]
        for path in removed:
            del self._written[path]
        return [Path(path) for path in removed]


def _aliases(path: str, callbacks: Collection[Any]) -> Iterator[str]:
    if any(path == str(getattr(callback, "best_model_path", "")) for callback in callbacks):
        yield "best"
    last = {str(getattr(callback, "last_model_path", "") or "") for callback in callbacks} - {""}
    if path in last or not last:
        yield "last"


def _modified(path: str) -> int | None:
    """Return when a file was written, in ns; None where there is none."""
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return None


def _kept(callbacks: Collection[Any]) -> Iterator[tuple[str, float | None]]:
    for callback in callbacks:
        best = {str(path): float(score) for path, score in getattr(callback, "best_k_models", {}).items()}
        for attribute in ("last_model_path", "best_model_path"):
            path = str(getattr(callback, attribute, "") or "")
            if path:
                yield path, best.get(path)
        yield from best.items()
