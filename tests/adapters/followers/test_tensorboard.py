"""A script that only writes event files, into a folder of its own choosing."""

from __future__ import annotations

import logging
import os
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.compat.proto import event_pb2, tensor_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.summary.writer.record_writer import RecordWriter

from hyperhook import HyperhookError, TrialRecord
from hyperhook.follower import Reading
from hyperhook_adapters.followers import _event_search
from hyperhook_adapters.followers.tensorboard import TensorBoardFollower

RECORD = TrialRecord("trial-7", 7, "s", {})

SCRIPT = """
import subprocess, sys
from torch.utils.tensorboard import SummaryWriter

writer = SummaryWriter()
for step in range(3):
    writer.add_scalar("loss", 1 / (1 + step), step)
    writer.add_scalar("epoch", step // 2, step)
    writer.add_scalar("never/stepped", step)
writer.add_scalars("acc/both", {"train": 0.75, "val": 0.5}, 2)
writer.add_text("words", "none", 2)
writer.add_histogram("weights", __import__("numpy").arange(9.0), 2)
writer.close()
again = SummaryWriter(writer.log_dir, purge_step=None)
again.add_scalar("loss", -1.0, 3)
again.close()
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program's working directory."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def write(path: Path, *events: event_pb2.Event) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        for event in events:
            RecordWriter(file).write(event.SerializeToString())


def scalar(tag: str, value: float, step: int = 0) -> event_pb2.Event:
    event = event_pb2.Event(step=step, wall_time=1.7e9)
    event.summary.value.add(tag=tag, simple_value=value)
    return event


def name(count: int = 0, process: int | None = None, host: str | None = None) -> str:
    mine = os.getpid() if process is None else process
    return f"events.out.tfevents.1800000000.{host or socket.gethostname()}.{mine}.{count}"


def begun(tmp_path: Path, process: int | None = None, **options: Any) -> TensorBoardFollower:
    follower = TensorBoardFollower(**options)
    follower.environment(tmp_path / "trial", {}, "s", RECORD)
    if process is not None:
        follower.started(process)
    return follower


def test_an_unmodified_script(follow: Callable[..., Any]) -> None:
    done = follow(TensorBoardFollower(), SCRIPT)
    assert done.code == 0, done.output
    assert all(reading.time is not None for reading in done.readings)
    found: dict[str, list[tuple[int, float]]] = {}
    for reading in done.readings:
        for metric, value in reading.metrics.items():
            found.setdefault(metric, []).append((reading.step, value))
    assert found == {
        "loss": [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3)), (3, -1.0)],
        "never/stepped": [(0, 0.0), (1, 1.0), (2, 2.0)],
        "acc/both/train": [(2, 0.75)],
        "acc/both/val": [(2, 0.5)],
    }


def test_a_folder_of_their_own_is_in_the_names(tmp_path: Path, work: Path) -> None:
    follower = begun(tmp_path)
    write(work / "logs" / "7" / "train" / name(0), scalar("loss", 1.0))
    write(work / "logs" / "7" / "validation" / name(1), scalar("loss", 2.0))
    write(work / "logs" / "7" / "train" / "deep" / name(2), scalar("loss", 3.0))
    found = {next(iter(reading.metrics.items())) for reading in follower.read()}
    assert found == {("loss", 1.0), ("validation/loss", 2.0), ("deep/loss", 3.0)}
    follower.close()


def test_what_was_there_before_is_not_read(tmp_path: Path, work: Path) -> None:
    old = work / "runs" / name(0)
    write(old, scalar("loss", 1.0))
    follower = begun(tmp_path)
    write(old, scalar("loss", 2.0, 1))
    write(work / "runs" / name(1), scalar("loss", 3.0, 2))
    assert [reading.metrics for reading in follower.read()] == [{"loss": 3.0}]
    follower.close()


def test_files_of_another_program_in_the_same_folder_are_not_read(tmp_path: Path, work: Path) -> None:
    follower = begun(tmp_path, os.getpid())
    assert list(follower.read()) == []
    write(work / name(0), scalar("mine", 1.0))
    write(work / name(1, process=os.getppid()), scalar("theirs", 2.0))
    write(work / name(2, host="elsewhere"), scalar("far", 3.0))
    write(work / name(2, host=f"{socket.gethostname()}2"), scalar("near", 3.0))
    write(work / name(2, host=f"{socket.gethostname()}.else.where"), scalar("nearer", 3.0))
    write(work / "events.out.tfevents.1.trial-7.scalars", scalar("a tracker's", 4.0))
    write(work / f"events.out.tfevents.1800000000.{socket.gethostname()}", scalar("unnamed", 5.0))
    write(tmp_path / "trial" / "tensorboard" / name(3, host="elsewhere"), scalar("own", 6.0))
    found: set[str] = set()
    deadline = time.monotonic() + 10
    while len(found) < 3 and time.monotonic() < deadline:
        found |= {next(iter(reading.metrics)).rpartition("/")[2] for reading in follower.read()}
    assert found == {"mine", "unnamed", "own"}
    follower.close()


def test_only_a_logdir_is_searched(tmp_path: Path, work: Path) -> None:
    follower = begun(tmp_path, logdir="out/tb")
    write(work / "runs" / name(0), scalar("loss", 1.0))
    write(work / "out" / "tb" / "x" / name(1), scalar("loss", 2.0))
    assert [reading.metrics for reading in follower.read()] == [{"loss": 2.0}]
    follower.close()


@pytest.mark.parametrize(
    ("dtype", "form", "field", "value"),
    [(1, "f", "float_val", 0.5), (2, "d", "double_val", 0.1), (3, "i", "int_val", -3), (9, "q", "int64_val", 2**40)],
)
def test_scalars_as_tensors(tmp_path: Path, work: Path, dtype: int, form: str, field: str, value: float) -> None:
    event = event_pb2.Event(step=4)
    packed = tensor_pb2.TensorProto(dtype=dtype, tensor_content=struct.pack(f"<{form}", value))
    listed = tensor_pb2.TensorProto(dtype=dtype, **{field: [value]})
    whole = tensor_pb2.TensorProto(dtype=dtype, tensor_content=struct.pack(f"<3{form}", 1, 2, 3))
    whole.tensor_shape.dim.add(size=3)
    for tag, tensor in (("packed", packed), ("listed", listed), ("vector", whole)):
        event.summary.value.add(tag=tag, tensor=tensor)
    event.summary.value.add(tag="half", tensor=tensor_pb2.TensorProto(dtype=19, half_val=[0x3800]))
    event.summary.value.add(tag="text", tensor=tensor_pb2.TensorProto(dtype=7, string_val=[b"1"]))
    follower = begun(tmp_path)
    write(work / name(), event)
    assert list(follower.read()) == [
        Reading({"packed": value, "listed": value, "half": 0.5}, 4, None, pytest.approx(0.0))
    ]
    follower.close()


def test_a_damaged_file_is_left_and_the_others_are_read(
    tmp_path: Path, work: Path, caplog: pytest.LogCaptureFixture
) -> None:
    follower = begun(tmp_path)
    write(work / name(0), scalar("a", 1.0))
    with open(work / name(0), "ab") as file:
        file.write(b"\x07" * 40)
    write(work / name(1), scalar("b", 2.0))
    for _ in range(3):
        list(follower.read())
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    write(work / name(1), scalar("b", 3.0, 1))
    assert [reading.metrics for reading in follower.read()] == [{"b": 3.0}]
    follower.close()


def test_pages_that_have_not_arrived_are_waited_for(tmp_path: Path, work: Path) -> None:
    follower = begun(tmp_path)
    whole = tmp_path / "whole"
    write(whole, scalar("a", 1.0), scalar("a", 2.0, 1))
    content, path = whole.read_bytes(), work / name()
    path.write_bytes(content[: len(content) // 2 + 14] + bytes(len(content) // 2 - 14))
    first = [reading.metrics["a"] for reading in follower.read()]
    path.write_bytes(content)
    assert first + [reading.metrics["a"] for reading in follower.read()] == [1.0, 2.0]
    assert first == [1.0]
    follower.close()


def test_a_record_longer_than_what_is_read_at_once(tmp_path: Path, work: Path) -> None:
    follower = begun(tmp_path)
    image = event_pb2.Event(step=1)
    image.summary.value.add(tag="picture").image.encoded_image_string = bytes(3 << 20)
    write(work / name(), scalar("a", 1.0), image, scalar("a", 2.0, 2))
    assert [reading.metrics for reading in follower.read()] == [{"a": 1.0}, {"a": 2.0}]
    follower.close()


def test_a_tree_too_large_to_search_is_told(
    tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_event_search, "_MOST_FOLDERS", 5)
    for number in range(9):
        (work / str(number)).mkdir()
    begun(tmp_path).close()
    assert "logdir" in caplog.text


def test_tensorboard_s_own_writer_in_the_folder_that_is_named(tmp_path: Path, work: Path) -> None:
    follower = TensorBoardFollower()
    folder = follower.environment(tmp_path / "trial", {}, "s", RECORD)["TB_LOGDIR"]
    writer = EventFileWriter(folder)
    writer.add_event(scalar("loss", 0.5, 3))
    writer.close()
    assert [(reading.metrics, reading.step) for reading in follower.read()] == [({"loss": 0.5}, 3)]
    follower.close()


@pytest.mark.parametrize("logdir", ["", 3, ["runs"]])
def test_a_logdir_that_is_none(logdir: Any) -> None:
    with pytest.raises(HyperhookError, match="expected a folder"):
        TensorBoardFollower(logdir)
