"""Read back what trackers sent, with each backend's own reader, into one shape.

Tests get this module as the fixture `readers`. As a script it compares the three and fails where they differ::

    python tests/adapters/readers.py --tensorboard runs --mlflow sqlite:///mlflow.db --wandb .
"""

from __future__ import annotations

import argparse
import json
import math
import re
import struct
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote


class Point(NamedTuple):
    """One value of a metric. All NaNs are `math.nan` itself, so that points compare."""

    name: str
    step: int
    epoch: int | None
    value: float


@dataclass(frozen=True)
class Run:
    """A trial as a backend has it.

    Attributes:
        name: The trial's name.
        study: The study's name.
        params: Names and canonical texts (see `text`).
        points: Every point as often as the backend has it, sorted.
        status: hyperhook's own word for the state; empty while the trial runs.
        value: The objective's value.
        native: The backend's own word for the state; not compared.
    """

    name: str
    study: str
    params: dict[str, str]
    points: list[Point]
    status: str
    value: float | None
    native: str = field(compare=False)


def text(value: object) -> str:
    """Return a param as text, the same for all backends: numbers as floats, whatever type they were stored as."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return repr(float(value))
        except ValueError:
            pass
    return str(value)


def points(rows: Iterable[tuple[str, int, int | float | None, float]]) -> list[Point]:
    """Sort points, also those with NaN and without epoch."""
    made = [
        Point(name, step, None if epoch is None else int(epoch), math.nan if math.isnan(value) else value)
        for name, step, epoch, value in rows
    ]
    return sorted(
        made, key=lambda p: (p.name, p.step, -1 if p.epoch is None else p.epoch, math.isnan(p.value), p.value)
    )


def float32(value: float) -> float:
    """Round as TensorBoard does."""
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def as_float32(run: Run) -> Run:
    """Return a run with every number as TensorBoard would have it."""
    rounded = points((p.name, p.step, p.epoch, float32(p.value)) for p in run.points)
    value = None if run.value is None else float32(run.value)
    return Run(run.name, run.study, run.params, rounded, run.status, value, run.native)


def _with_epochs(scalars: dict[str, list[tuple[float, int, float]]]) -> list[Point]:
    """Give each point (time, step, value) the epoch that stood at its step when it was logged."""
    epochs: dict[int, list[tuple[float, float]]] = {}
    for time, step, epoch in scalars.get("epoch", []):
        epochs.setdefault(step, []).append((time, epoch))

    def epoch_at(step: int, time: float) -> float | None:
        found = [epoch for logged, epoch in epochs.get(step, []) if logged <= time]
        return found[-1] if found else None

    return points(
        (name, step, epoch_at(step, time), value)
        for name, series in scalars.items()
        if name != "epoch"
        for time, step, value in series
    )


def read_tensorboard(log_dir: str | Path) -> list[Run]:
    """Read every run below a log directory with TensorBoard's `EventAccumulator`, scalars and HPARAMS."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import api_pb2, metadata

    runs = []
    for folder in sorted({file.parent for file in Path(log_dir).rglob("*tfevents*")}):
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()
        hparams = events.PluginTagToContent("hparams")
        if metadata.SESSION_START_INFO_TAG not in hparams:
            continue
        start = metadata.parse_session_start_info_plugin_data(hparams[metadata.SESSION_START_INFO_TAG])
        scalars = {
            tag: [(e.wall_time, e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]
        }
        objective = scalars.pop("hyperhook/objective", [])
        words, native = "", "STATUS_RUNNING"
        if metadata.SESSION_END_INFO_TAG in hparams:
            end = metadata.parse_session_end_info_plugin_data(hparams[metadata.SESSION_END_INFO_TAG])
            native = api_pb2.Status.Name(end.status)
            words = _only(events.Tensors("hyperhook/state")).tensor_proto.string_val[0].decode().split()[0]
        values = {name: getattr(v, v.WhichOneof("kind")) for name, v in start.hparams.items()}
        runs.append(
            Run(
                name=start.group_name,
                study=unquote(folder.parent.name),
                params={name: text(value) for name, value in sorted(values.items())},
                points=_with_epochs({re.sub("^%(?=%*hyperhook/)", "", tag): s for tag, s in scalars.items()}),
                status=words,
                value=_only(objective)[2] if objective else None,
                native=native,
            )
        )
    return _sorted(runs)


def read_mlflow(uri: str) -> list[Run]:
    """Read every run of an MLflow server or database with `MlflowClient`."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    runs = []
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id], max_results=10_000):
            tags = run.data.tags
            if "hyperhook.trial_id" not in tags:
                continue  # the study's parent run
            scalars = {}
            for key in run.data.metrics:
                history = sorted(client.get_metric_history(run.info.run_id, key), key=lambda m: m.timestamp)
                scalars[_unescaped(key)] = [(m.timestamp, m.step, _infinite(m.value)) for m in history]
            state, objective = tags.get("hyperhook.state", ""), tags.get("hyperhook.objective")
            runs.append(
                Run(
                    name=run.info.run_name,
                    study=experiment.name,
                    params={_unescaped(k): text(v) for k, v in sorted(run.data.params.items())},
                    points=_with_epochs(scalars),
                    status="" if state == "RUNNING" else state,
                    value=None if objective is None else float(objective),
                    native=run.info.status,
                )
            )
    return _sorted(runs)


def _unescaped(name: str) -> str:
    return re.sub("_0x([0-9a-f]+)_", lambda match: chr(int(match[1], 16)), name)


def _infinite(value: float) -> float:
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


def read_wandb(directory: str | Path) -> list[Run]:
    """Read every offline file below a directory, as `wandb sync` would, into a run each."""
    return _sorted(_wandb_run(path) for path in sorted(Path(directory).rglob("offline-run-*/run-*.wandb")))


def _wandb_run(path: Path) -> Run:
    name, study, native = "", "", "running"
    params: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    rows: list[tuple[str, int, int | None, float]] = []
    for record in wandb_records(path):
        match record.WhichOneof("record_type"):
            case "run":
                name, study = record.run.display_name, record.run.project
                params |= _items(record.run.config.update)
            case "config":
                params |= _items(record.config.update)
            case "history":
                rows.extend(_columns(_items(record.history.item)))
            case "summary":
                summary |= _items(record.summary.update)
            case "exit":
                native = f"exit {record.exit.exit_code}"
    for kept in ("_wandb", "hyperhook/datasets"):
        params.pop(kept, None)
    return Run(
        name=name,
        study=_unescaped(study),
        params={key: text(value) for key, value in sorted(params.items())},
        points=points(rows),
        status=summary.get("hyperhook/state", ""),
        value=_number(summary["hyperhook/objective"]) if "hyperhook/objective" in summary else None,
        native=native,
    )


def _columns(row: dict[str, Any]) -> Iterator[tuple[str, int, int | None, float]]:
    step, epoch = row.pop("trainer/global_step"), row.pop("epoch", None)
    for name, value in row.items():
        if name not in ("_step", "_timestamp", "_runtime"):
            yield _OURS.sub("", name), step, epoch, _number(value)


_OURS = re.compile(r"^%(?=%*(_step|_timestamp|_runtime|_wandb|trainer/global_step|hyperhook/))")


def _number(value: Any) -> float:
    return float(value)  # W&B writes NaN and the infinities as texts that float() takes


def _items(items: Iterable[Any]) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def wandb_records(path: Path) -> Iterator[Any]:
    """Yield the records of a W&B file: LevelDB's log format behind 7 bytes, each record a protobuf message.

    A record is cut into chunks that never cross a block of 32 KiB; a chunk has a header of 7 bytes: checksum (4),
    length (2), kind (1: whole, 2: first, 3: middle, 4: last).
    """
    from wandb.proto import wandb_internal_pb2

    data, block, header = path.read_bytes(), 32_768, 7
    position, parts = header, b""
    while position + header <= len(data):
        left = block - position % block
        if left < header:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        chunk = data[position + header : position + header + length]
        if kind not in (1, 2, 3, 4) or len(chunk) < length:
            break  # the end of a file that is still being written
        position += header + length
        parts = chunk if kind in (1, 2) else parts + chunk
        if kind in (1, 4):
            yield wandb_internal_pb2.Record.FromString(parts)


def _only(found: list[Any]) -> Any:
    if len(found) != 1:
        raise ValueError(f"expected one point, found {len(found)}")
    return found[0]


def _sorted(runs: Iterable[Run]) -> list[Run]:
    return sorted(runs, key=lambda run: (run.study, run.name))


def differences(backends: dict[str, list[Run]]) -> list[str]:
    """Say where backends differ: in their runs, and in each run's params, points, status and value."""
    found = []
    rounded = {backend: [as_float32(run) for run in runs] for backend, runs in backends.items()}
    (first, expected), *others = rounded.items()
    for backend, runs in others:
        names, expected_names = ([(run.study, run.name) for run in both] for both in (runs, expected))
        if names != expected_names:
            found.append(f"{backend} has the runs {names}, {first} has {expected_names}")
            continue
        for run, other in zip(runs, expected, strict=True):
            for aspect in ("params", "status", "value"):
                if getattr(run, aspect) != getattr(other, aspect):
                    found.append(
                        f"{run.name}: {aspect}: {first} {getattr(other, aspect)}, {backend} {getattr(run, aspect)}"
                    )
            counts, other_counts = Counter(run.points), Counter(other.points)
            for owner, more in ((backend, counts - other_counts), (first, other_counts - counts)):
                if more:
                    found.append(f"{run.name}: {more.total()} points only in {owner}, such as {next(iter(more))}")
    return found


def main() -> int:
    """Compare the backends that are named."""
    parser = argparse.ArgumentParser(description="Compare what tracking backends have.")
    parser.add_argument("--tensorboard", metavar="LOG_DIR")
    parser.add_argument("--mlflow", metavar="URI")
    parser.add_argument("--wandb", metavar="DIR")
    given = parser.parse_args()
    readers = {"tensorboard": read_tensorboard, "mlflow": read_mlflow, "wandb": read_wandb}
    backends = {name: read(getattr(given, name)) for name, read in readers.items() if getattr(given, name)}
    if not backends:
        parser.error("name at least one backend")
    if not any(backends.values()):
        print("no backend has a run", file=sys.stderr)
        return 1
    print(f"{'run':30} " + " ".join(f"{name:>28}" for name in backends))
    for row in range(max(map(len, backends.values()))):
        runs = [found[row] if row < len(found) else None for found in backends.values()]
        name = next(run.name for run in runs if run)
        cells = (f"{run.status} {len(run.points)} points {len(run.params)} params" if run else "-" for run in runs)
        print(f"{name:30} " + " ".join(f"{cell:>28}" for cell in cells))
    found = differences(backends)
    for line in found:
        print(line)
    twice = [
        f"{b}: {r.name}: {p} {n} times"
        for b, rs in backends.items()
        for r in rs
        for p, n in Counter(r.points).items()
        if n > 1
    ]
    for line in twice:
        print(line)
    print("the backends differ" if found or twice else f"identical in {', '.join(backends)}")
    return 1 if found or twice else 0


if __name__ == "__main__":
    sys.exit(main())
