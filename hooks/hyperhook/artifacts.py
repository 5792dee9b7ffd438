"""What a trial keeps as files: artifacts and checkpoints, images, figures, tables and texts."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from hyperhook.errors import ArtifactError
from hyperhook.events import ArtifactLogged, ArtifactRemoved, finite
from hyperhook.parameters import Scalar
from hyperhook.records import ArtifactKind, TrialRecord
from hyperhook.sink import Sink
from hyperhook.values import as_count, as_facts, as_float, as_name

__all__ = ["ArtifactLog"]


class ArtifactLog(ABC):
    """The part of a `Trial` that logs files. Each is stored once, in the trial's folder, and trackers take it there."""

    _sink: Sink
    _record: TrialRecord
    _checkpoints: dict[str, tuple[int, str]]

    @abstractmethod
    def _is_heard(self, what: str) -> bool:
        """Tell whether this handle logs."""

    def log_artifact(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        kind: Literal["file", "checkpoint"] = "file",
        step: int | None = None,
        score: float | None = None,
        aliases: Sequence[str] = (),
        link: bool | None = None,
        metadata: Mapping[str, Scalar] | None = None,
    ) -> None:
        """Make an existing file or folder part of the trial: it is put aside in the trial's own folder.

        Args:
            path: The file or folder.
            name: What trackers call it, a relative path with ``/``; by default the file's name. One of the same kind
                and name that was logged before is replaced.
            kind: ``"checkpoint"`` for a model's weights, else ``"file"``.
            step: The trainer's global step that it belongs to, from 0.
            score: For a checkpoint, the value of the metric that it was kept for.
            aliases: Names that are from now on this one's and no other's, such as ``["best"]``.
            link: Link rather than copy, which takes no time whatever the size, and shows what is written into the same
                file later; by default for checkpoints, which trainers replace and never write into again.
            metadata: What else is known of it, 100 entries at the most. MLflow and W&B show a checkpoint's.

        Raises:
            FileNotFoundError: There is no such file.
            ArtifactError: The kind is neither of these, or the metadata no names and values.
            MetricError: The step is no int from 0, or the score no number.
            TrialStateError: The trial has ended.
        """
        if not self._is_heard("log_artifact"):
            return
        from hyperhook.media import duplicate

        file = _existing("log_artifact", path)
        if kind not in ("file", "checkpoint"):
            raise ArtifactError(f"log_artifact: kind must be 'file' or 'checkpoint', got {kind!r}")
        linked = kind == "checkpoint" if link is None else link
        self._keep(
            kind,
            str(name or file.name),
            None if step is None else as_count("step", step),
            "",
            lambda target: duplicate(file.resolve(), target, link=linked),
            score=None if score is None else finite(as_float("score", score)),
            aliases=tuple(map(str, aliases)),
            metadata=as_facts("log_artifact: metadata", {} if metadata is None else metadata),
        )

    @property
    def last_checkpoint(self) -> Path | None:
        """The checkpoint with the highest step that was logged and is there, of an earlier run of the trial, too.

        A trial that goes on, since its process died or was told to end, starts from here; None where it starts anew.

        Example:
            >>> trainer.fit(model, ckpt_path=trial.last_checkpoint)  # doctest: +SKIP
        """
        latest = sorted(enumerate(self._checkpoints.values()), key=lambda item: (item[1][0], item[0]), reverse=True)
        return next((Path(path) for _, (_, path) in latest if os.path.exists(path)), None)

    def _note(self, event: ArtifactLogged | ArtifactRemoved) -> None:
        """Keep in mind where a checkpoint lies."""
        if event.kind == "checkpoint":
            self._checkpoints.pop(event.name, None)
            if isinstance(event, ArtifactLogged):
                self._checkpoints[event.name] = (-1 if event.step is None else event.step, event.path)

    def remove_artifact(self, name: str, *, kind: Literal["file", "checkpoint"] = "file") -> None:
        """Take back what `log_artifact` made part of the trial; trackers delete theirs.

        Args:
            name: The name that it was logged under; nothing happens where there is none.
            kind: The kind that it was logged as.

        Raises:
            TrialStateError: The trial has ended.
        """
        if not self._is_heard("remove_artifact"):
            return
        from hyperhook.media import place

        where = place(kind, name, None)
        path = self._sink.discard(where)
        if path is not None:
            event = ArtifactRemoved(time=time.time(), path=str(path), place=where, name=name, kind=kind)
            self._note(event)
            self._sink.emit(self._record, event)

    def log_image(self, name: str, image: object, *, step: int | None = None) -> None:
        """Log an image, as a PNG file in the trial's folder.

        Args:
            name: What it is called; the same name at other steps is a series.
            image: A path, a PIL image, or an array or tensor of shape ``h x w``, ``h x w x c`` or ``c x h x w`` with
                1, 3 or 4 channels: integers from 0 to 255, or floats from 0 to 1.
            step: The trainer's global step, from 0.

        Raises:
            ArtifactError: It is none of these.
            MissingLibraryError: It is an array, and Pillow is not installed.
            FileNotFoundError: There is no file of that path.
            TrialStateError: The trial has ended.
        """
        if self._is_heard("log_image"):
            from hyperhook.media import as_image

            if isinstance(image, str | os.PathLike):
                image = _existing("log_image", image)
            suffix, write = as_image(name, image)
            self._keep("image", name, step, suffix, write)

    def log_figure(self, name: str, figure: object, *, step: int | None = None) -> None:
        """Log a figure: one of matplotlib as a PNG file, one of plotly as an HTML file.

        Args:
            name: What it is called; the same name at other steps is a series.
            figure: The figure.
            step: The trainer's global step, from 0.

        Raises:
            ArtifactError: It is a figure of neither.
            TrialStateError: The trial has ended.
        """
        if self._is_heard("log_figure"):
            from hyperhook.media import as_figure

            self._keep("figure", name, step, *as_figure(name, figure))

    def log_table(self, name: str, table: object, *, step: int | None = None) -> None:
        """Log a table, as a JSON file.

        Args:
            name: What it is called; the same name at other steps is a series.
            table: A pandas or polars DataFrame, columns by name, or a list of rows that are dictionaries.
            step: The trainer's global step, from 0.

        Raises:
            ArtifactError: It is none of these, or its columns differ in length.
            TrialStateError: The trial has ended.
        """
        if self._is_heard("log_table"):
            from hyperhook.media import as_table

            self._keep("table", name, step, ".json", as_table(name, table))

    def log_text(self, name: str, content: str, *, step: int | None = None) -> None:
        """Log a text, as a file.

        Args:
            name: What it is called; the same name at other steps is a series.
            content: The text.
            step: The trainer's global step, from 0.

        Raises:
            TrialStateError: The trial has ended.
        """
        if self._is_heard("log_text"):
            from hyperhook.media import as_text_file

            self._keep("text", name, step, ".txt", as_text_file(content))

    def _keep(
        self,
        kind: ArtifactKind,
        name: str,
        step: int | None,
        suffix: str,
        write: Callable[[Path], None],
        **more: Any,
    ) -> None:
        """Write a file into the trial's folder and journal that it is there."""
        from hyperhook.media import place

        name = as_name(name)
        step = None if step is None else as_count("step", step)
        where = place(kind, name, None if kind in ("file", "checkpoint") else step, suffix)
        path = self._sink.store(where, write)
        if path is not None:
            facts = {"path": str(path), "place": where, "name": name, "kind": kind, "step": step, **more}
            event = ArtifactLogged(time=time.time(), **facts)
            self._note(event)
            self._sink.emit(self._record, event)


def _existing(what: str, path: str | os.PathLike[str]) -> Path:
    file = Path(path).absolute()
    if not file.exists():
        raise FileNotFoundError(f"{what}: there is no file {str(file)!r}; log it after it was written")
    return file
