"""What a trial keeps beside its journal: files put aside, and images, figures, tables and texts as files."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hyperhook.errors import ArtifactError, MissingLibraryError
from hyperhook.events import text
from hyperhook.names import file_name
from hyperhook.records import ArtifactKind
from hyperhook.values import brief

__all__ = ["as_figure", "as_image", "as_table", "as_text_file", "duplicate", "place", "replace"]

Writer = Callable[[Path], None]
"""Writes a file of the given path."""


def place(kind: ArtifactKind, name: str, step: int | None, suffix: str = "") -> str:
    """Return where something lies below a trial's folder of artifacts; the same for what takes its place.

    Args:
        kind: What it is: the folder.
        name: Its name; the parts between ``/`` are folders, each escaped.
        step: The step that is a part of its identity, if any.
        suffix: What the file's name ends in.

    Example:
        >>> place("image", "val/samples", 20, ".png")
        'images/val/samples/00000020.png'
    """
    parts = [_part(part) for part in name.split("/") if part] or [_part(name)]
    if step is not None:
        parts.append(f"{step:08d}")
    return "/".join([f"{kind}s", *parts]) + suffix


def _part(name: str) -> str:
    """Return a part of a place: ``epoch=1-step=8.ckpt`` is itself, and ``~`` is left to trackers that lack ``%``."""
    return file_name(name, safe=" =+@,").replace("~", "%7E")


def duplicate(source: Path, target: Path, *, link: bool) -> None:
    """Copy a file or folder.

    Args:
        source: The file or folder.
        target: Where to; nothing is there yet.
        link: Link rather than copy, where the file system can: at once, whatever the size. Right for files that are
            replaced or deleted, and never written into again.
    """
    one = _link if link else shutil.copy2
    if source.is_dir():
        shutil.copytree(source, target, copy_function=one)
    else:
        one(source, target)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one that has no links
        shutil.copy2(source, target)


def replace(target: Path, write: Writer) -> None:
    """Make a file or folder, whole or not at all, in place of what is there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{os.getpid()}.{target.name[:200]}")
    try:
        write(beside)
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            shutil.rmtree(beside) if beside.is_dir() else beside.unlink(missing_ok=True)
        raise


def as_image(name: str, image: object) -> tuple[str, Writer]:
    """Return the suffix of an image's file, and what writes it.

    Args:
        name: What it is called, for errors.
        image: A path, a PIL image, or an array or tensor of shape ``h x w``, ``h x w x c`` or ``c x h x w`` with
            1, 3 or 4 channels: integers or booleans from 0 to 255, or floats from 0 to 1.

    Raises:
        ArtifactError: It is none of these.
        MissingLibraryError: Pillow is not installed.
    """
    if isinstance(image, str | os.PathLike):
        path = Path(image)
        return path.suffix or ".png", lambda target: _copy(path, target)
    if not hasattr(image, "save"):
        image = _picture(name, image)
    picture: Any = image
    return ".png", lambda target: picture.save(target, format="PNG")


def _picture(name: str, pixels: Any) -> Any:
    """Return an array as a PIL image."""
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise MissingLibraryError(
            "log_image: arrays need 'PIL', not installed here: pip install 'hyperhook[media]'"
        ) from None
    import numpy as np

    if hasattr(pixels, "detach"):
        pixels = pixels.detach().cpu()
    array = np.asarray(pixels)
    if array.ndim == 3 and array.shape[-1] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.dtype.kind not in "biuf" or not (array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (3, 4))):
        raise ArtifactError(
            f"log_image: {name!r} got an array of shape {array.shape} and type {array.dtype}; expected numbers of "
            "shape h x w, h x w x c or c x h x w with 1, 3 or 4 channels"
        )
    if array.dtype.kind in "bf":
        array = np.nan_to_num(array.astype(np.float64)) * 255
    return Image.fromarray(np.clip(np.rint(array), 0, 255).astype(np.uint8))


def as_figure(name: str, figure: Any) -> tuple[str, Writer]:
    """Return the suffix of a figure's file, and what writes it: PNG from matplotlib, HTML from plotly.

    Raises:
        ArtifactError: It is a figure of neither.
    """
    if hasattr(figure, "savefig"):
        return ".png", lambda target: figure.savefig(target, format="png")
    if hasattr(figure, "write_html"):
        return ".html", lambda target: figure.write_html(target, include_plotlyjs="cdn")
    raise ArtifactError(
        f"log_figure: {name!r} got {brief(figure)} ({type(figure).__name__}), expected a figure of matplotlib or plotly"
    )


def as_table(name: str, table: Any) -> Writer:
    """Return what writes a table's file: JSON with ``columns`` and ``data``, row by row.

    Args:
        name: What it is called, for errors.
        table: A pandas or polars DataFrame, columns by name, or rows that are mappings.

    Raises:
        ArtifactError: It is none of these, or its columns differ in length.
    """
    columns, rows = _columns_and_rows(name, table)
    content = msgspec.json.encode({"columns": columns, "data": rows}, enc_hook=_scalar)
    return lambda target: _write(target, content)


def _columns_and_rows(name: str, table: Any) -> tuple[list[str], list[list[object]]]:
    if hasattr(table, "columns") and hasattr(table, "to_dict"):
        table = {column: table[column].to_list() for column in table.columns}
    if isinstance(table, Mapping):
        columns = {text(column): list(values) for column, values in table.items()}
        if len({len(values) for values in columns.values()}) > 1:
            lengths = ", ".join(f"{column}: {len(values)}" for column, values in columns.items())
            raise ArtifactError(f"log_table: the columns of {name!r} must have equal length, got {lengths}")
        return list(columns), [list(row) for row in zip(*columns.values(), strict=True)]
    if isinstance(table, Sequence) and table and all(isinstance(row, Mapping) for row in table):
        keys = list(dict.fromkeys(key for row in table for key in row))
        return [text(key) for key in keys], [[row.get(key) for key in keys] for row in table]
    raise ArtifactError(
        f"log_table: {name!r} got {brief(table)} ({type(table).__name__}), expected a DataFrame, columns by name, or "
        "a list of rows that are dictionaries"
    )


def _scalar(value: Any) -> object:
    """Return a value that JSON lacks: NumPy's numbers as numbers, everything else as its text."""
    try:
        return value.item()
    except (AttributeError, TypeError, ValueError):
        return text(value)


def as_text_file(content: str) -> Writer:
    """Return what writes a text's file."""
    encoded = text(content).encode()
    return lambda target: _write(target, encoded)


def _write(target: Path, content: bytes) -> None:
    target.write_bytes(content)


def _copy(source: Path, target: Path) -> None:
    shutil.copy2(source, target)
