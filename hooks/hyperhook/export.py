"""Export: a study as a table, for pandas, a spreadsheet or another program.

Two tables: one row for each trial (`trial_table`), or one for each logged point (`point_table`). Points are read from
the journals and written as they come, in bounded memory.

======================  ==========================================================================================
a trial's column
======================  ==========================================================================================
trial                   its name in trackers, ``study-number``; the points have it, too, so that the tables join
number                  counts the trials of the study from 0
state                   ``COMPLETE``, ``PRUNED``, ``FAILED``, ``KILLED``, ``RUNNING`` or ``QUEUED``
value, stderr           the objective's value in its own direction, and its standard error where one was given
step, epoch             where the value was logged
started_time            UTC
finished_time           UTC; empty while the trial runs
duration_seconds        empty while the trial runs
error                   why it failed or was killed
metric.<name>           of a study with further objectives or constraints: their metrics, where the value is from
feasible                of a study with constraints: whether the trial meets them all; empty where it has no value
param.<name>            a param, those that were logged later included; empty where the trial has none of that name
======================  ==========================================================================================

A point has trial, time (seconds since 1970, UTC), step, epoch, name and value.

Numbers come back as the very same numbers. In CSV, NaN and the infinities are ``nan``, ``inf`` and ``-inf``, and pandas
before 3.1 reads the last bit with ``read_csv(…, float_precision="round_trip")`` only. JSON is a list of objects, one a
line; as it lacks those three, they are strings there, as in the journal. Times of trials are ISO 8601 in CSV and JSON,
timestamps in Parquet and pandas. A param with values of several kinds, such as 1 and "auto", is a column of texts in
Parquet.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import logging
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO, TypeAlias, get_args

from hyperhook.errors import MissingLibraryError, StudyError
from hyperhook.events import MetricsLogged, ParamsLogged, decode
from hyperhook.home import Home
from hyperhook.journal import read
from hyperhook.parameters import Scalar
from hyperhook.records import StudyRecord, TrialRecord, TrialState
from hyperhook.workspace import JOURNAL

if TYPE_CHECKING:
    import pandas

__all__ = ["Format", "Table", "format_of", "point_table", "to_dataframe", "trial_table", "write"]

log = logging.getLogger("hyperhook")

Format = Literal["csv", "json", "parquet"]
Cell: TypeAlias = Scalar | datetime

_ROW_GROUP = 1 << 16
"""Rows in a row group of a Parquet file: what is held in memory at once."""


@dataclass(frozen=True, slots=True)
class Table:
    """Named columns and their rows.

    Attributes:
        columns: What each column holds: int, float, bool, str or datetime; `object` for values of several kinds.
        rows: The rows, to be read once; None is an empty cell.
    """

    columns: Mapping[str, type]
    rows: Iterable[Sequence[Cell]]


def trial_table(home: Home, study: StudyRecord) -> Table:
    """Return a study's trials, by number.

    Args:
        home: The home that the study lives in.
        study: The study with its trials.
    """
    params = [{**trial.params, **_logged_params(home, trial)} for trial in study.trials]
    names = list(dict.fromkeys(name for known in params for name in known))
    kinds = {name: _kind([known[name] for known in params if name in known]) for name in names}
    columns: dict[str, type] = {
        "trial": str,
        "number": int,
        "state": str,
        "value": float,
        "stderr": float,
        "step": int,
        "epoch": int,
        "started_time": datetime,
        "finished_time": datetime,
        "duration_seconds": float,
        "error": str,
        **{f"metric.{name}": float for name in study.watched},
        **({"feasible": bool} if study.constraints else {}),
    }
    rows = [
        (*_facts(trial), *_judged(study, trial), *(known.get(name) for name in names))
        for trial, known in zip(study.trials, params, strict=True)
    ]
    return Table({**columns, **{f"param.{name}": kind for name, kind in kinds.items()}}, rows)


def point_table(home: Home, study: StudyRecord) -> Table:
    """Return every point that a study's trials logged, trial by trial, in the order in which they were logged.

    Args:
        home: The home that the study lives in.
        study: The study with its trials.
    """
    columns = {"trial": str, "time": float, "step": int, "epoch": int, "name": str, "value": float}
    return Table(columns, (row for trial in study.trials for row in _points(home, trial)))


def format_of(output: Path | None) -> Format:
    """Return the format that a file's name asks for; CSV where it has no suffix, or ``.txt``.

    Raises:
        StudyError: The suffix asks for another one.
    """
    suffix = output.suffix.removeprefix(".").lower() if output else ""
    for known in get_args(Format):
        if suffix == known:
            return known  # type: ignore[no-any-return]
    if suffix not in ("", "txt"):
        known = ", ".join(get_args(Format))
        raise StudyError(f"export: {str(output)!r} asks for the format {suffix!r}; there are: {known}; or say --format")
    return "csv"


def write(table: Table, format: Format, output: Path | None) -> None:  # noqa: A002
    """Write a table.

    Args:
        table: What to write.
        format: The form.
        output: The file, which is written over; None for standard output.

    Raises:
        StudyError: The file cannot be written, or Parquet was asked for on standard output.
        MissingLibraryError: Parquet was asked for, and pyarrow is not installed.
    """
    if format == "parquet":
        if output is None:
            raise StudyError("export: Parquet is no text; name a file by --output")
        _require("pyarrow", "Parquet", "'hyperhook[parquet]'")
    try:
        if format == "parquet" and output is not None:
            _write_parquet(table, output)
            return
        with nullcontext(sys.stdout) if output is None else open(output, "w", encoding="utf-8", newline="") as file:
            (_write_csv if format == "csv" else _write_json)(table, file)
    except OSError as error:
        if output is None:
            raise  # a pipe whose reader went away: the command line knows what to do
        raise StudyError(f"export: {str(output)!r} cannot be written: {error.strerror or error}") from None


def to_dataframe(table: Table) -> pandas.DataFrame:
    """Return a table as a DataFrame: integers stay integers (``Int64`` where some are missing), times are in UTC.

    Args:
        table: What to return.

    Raises:
        MissingLibraryError: pandas is not installed.
    """
    _require("pandas", "to_dataframe", "pandas")
    import pandas

    rows = list(table.rows)
    cells = zip(*rows, strict=True) if rows else ((),) * len(table.columns)
    columns = {
        name: pandas.Series(list(column), dtype=_dtype(kind, None in column))
        for (name, kind), column in zip(table.columns.items(), cells, strict=True)
    }
    return pandas.DataFrame(columns)


def _facts(trial: TrialRecord) -> tuple[Cell, ...]:
    """Return a trial's row, its params excepted."""
    finished = trial.finished_time
    return (
        trial.name,
        trial.number,
        str(trial.state),
        trial.value,
        trial.stderr,
        trial.step,
        trial.epoch,
        datetime.fromtimestamp(trial.started_time, UTC),
        None if finished is None else datetime.fromtimestamp(finished, UTC),
        None if finished is None else finished - trial.started_time,
        trial.error,
    )


def _judged(study: StudyRecord, trial: TrialRecord) -> Iterator[Cell]:
    """Yield what a trial came to beside its value."""
    for name in study.watched:
        yield trial.metrics.get(name)
    if study.constraints:
        yield None if trial.value is None else study.is_feasible(trial)


def _logged_params(home: Home, trial: TrialRecord) -> dict[str, Scalar]:
    """Return the params that a trial logged; of the other lines, which may be millions, none is decoded."""
    params: dict[str, Scalar] = {}
    if (journal := _journal(home, trial)) is not None:
        with open(journal, "rb") as lines:
            for line in lines:
                event = decode(line) if b'"params_logged"' in line else None
                if isinstance(event, ParamsLogged):
                    params.update(event.params)
    return params


def _points(home: Home, trial: TrialRecord) -> Iterator[tuple[Cell, ...]]:
    if (journal := _journal(home, trial)) is not None:
        for event, _ in read(journal):
            if isinstance(event, MetricsLogged):
                for name, value in event.values().items():
                    yield trial.name, event.time, event.step, event.epoch, name, value


def _journal(home: Home, trial: TrialRecord) -> Path | None:
    path = home.trial(trial.id) / JOURNAL
    if path.exists():
        return path
    if trial.state is not TrialState.QUEUED:
        log.warning("%s is gone: what trial %s logged cannot be exported", path, trial.name)
    return None


def _kind(values: list[Scalar]) -> type:
    """Return what holds all the values of a param, each exactly."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float} and all(isinstance(value, float) or abs(value or 0) <= 2**53 for value in values):  # type: ignore[arg-type]
        return float
    if kinds == {int} and any(abs(value or 0) >= 2**63 for value in values):  # type: ignore[arg-type]
        return object
    return kinds.pop() if len(kinds) == 1 else object


def _write_csv(table: Table, file: TextIO) -> None:
    out = csv.writer(file)
    out.writerow(table.columns)
    out.writerows([_iso(cell) for cell in row] for row in table.rows)


def _write_json(table: Table, file: TextIO) -> None:
    between = "[\n"
    for row in table.rows:
        cells = (str(cell) if isinstance(cell, float) and not math.isfinite(cell) else _iso(cell) for cell in row)
        file.write(between + json.dumps(dict(zip(table.columns, cells, strict=True))))
        between = ",\n"
    file.write("[]\n" if between == "[\n" else "\n]\n")


def _write_parquet(table: Table, output: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {int: pa.int64(), float: pa.float64(), bool: pa.bool_(), datetime: pa.timestamp("us", "UTC")}
    schema = pa.schema([(name, types.get(kind, pa.string())) for name, kind in table.columns.items()])
    as_text = [kind is object for kind in table.columns.values()]
    rows = iter(table.rows)
    with pq.ParquetWriter(output, schema) as out:
        while block := list(islice(rows, _ROW_GROUP)):
            columns = [
                [None if cell is None else str(cell) for cell in column] if text else column
                for text, column in zip(as_text, zip(*block, strict=True), strict=True)
            ]
            arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            out.write_batch(pa.record_batch(arrays, schema=schema))


def _dtype(kind: type, is_missing: bool) -> Any:
    """Return the pandas dtype of a column; None leaves texts to pandas."""
    if kind is int:
        return "Int64" if is_missing else "int64"
    if kind is bool:
        return "boolean" if is_missing else "bool"
    return {float: "float64", datetime: "datetime64[us, UTC]", object: "object"}.get(kind)


def _iso(cell: Cell) -> Cell:
    return cell.isoformat(timespec="microseconds") if isinstance(cell, datetime) else cell


def _require(module: str, what: str, requirement: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise MissingLibraryError(f"{what} needs {module!r}, not installed here: pip install {requirement}")
