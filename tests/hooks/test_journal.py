"""The journal: what `append` returned from is there, whatever happened to the process that wrote it."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hyperhook.errors import JournalError
from hyperhook.events import SCHEMA, Event, MetricsLogged, TrialStarted, encode
from hyperhook.journal import Journal, read

START = TrialStarted(time=1.5, id="a", number=0, study="s", params={"optimiser": "ädäm", "lr": 0.1})


def point(step: int, name: str = "lóss/🎛") -> MetricsLogged:
    return MetricsLogged(time=float(step), metrics={name: step / 3, "bad": "nan", "worse": "-inf"}, step=step)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "journal.jsonl"


def events(path: Path, cursor: int = 0) -> list[Event]:
    return [event for event, _ in read(path, cursor)]


def write(path: Path, *written: Any) -> None:
    journal = Journal(path)
    for event in written:
        journal.append(event)
    journal.close()


def test_what_is_appended_is_read_in_order(path: Path) -> None:
    write(path, START, *map(point, range(5)))
    write(path, point(5))
    assert events(path) == [START, *map(point, range(6))]


def test_a_journal_that_is_missing_is_an_error_and_an_empty_one_is_empty(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        events(path)
    Journal(path).close()
    assert events(path) == []


def test_each_cursor_goes_on_behind_its_event(path: Path) -> None:
    written = [START, *map(point, range(4))]
    write(path, *written)
    for position, (_, cursor) in enumerate(list(read(path))):
        assert events(path, cursor) == written[position + 1 :]


def test_torn_anywhere_in_its_last_two_records_the_whole_ones_stay_and_nothing_later_is_lost(path: Path) -> None:
    written = [START, *map(point, range(3))]
    lines = [encode(event) for event in written]  # type: ignore[arg-type]
    whole = b"".join(lines)
    for cut in range(len(whole) - len(lines[-1]) - len(lines[-2]), len(whole) + 1):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(whole[:cut])
        kept = [event for i, event in enumerate(written) if len(b"".join(lines[: i + 1])) <= cut]
        before = list(read(path))
        assert [event for event, _ in before] == kept
        write(path, point(7), point(8))
        # a line that lacked nothing but its end is closed by what follows it, and thereby whole
        if whole[cut : cut + 1] == b"\n":
            kept.append(written[len(kept)])
        assert events(path) == [*kept, point(7), point(8)]
        assert events(path, before[-1][1])[-2:] == [point(7), point(8)]


def test_a_torn_last_line_is_left_until_it_is_whole(path: Path) -> None:
    write(path, START)
    line = encode(point(0))
    with open(path, "ab", buffering=0) as file:
        ((_, cursor),) = read(path)
        file.write(line[:10])
        assert events(path, cursor) == []
        file.write(line[10:])
        assert list(read(path, cursor)) == [(point(0), cursor + len(line))]


def test_a_reader_follows_a_growing_file(path: Path) -> None:
    journal = Journal(path)
    cursor, heard = 0, []
    for step in range(50):
        journal.append(point(step))
        new = list(read(path, cursor))
        cursor = new[-1][1]
        heard += [event for event, _ in new]
    journal.close()
    assert heard == list(map(point, range(50)))


def test_lines_longer_than_a_block_are_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hyperhook.journal._BLOCK", 7)
    write(path, START, *map(point, range(3)))
    assert events(path) == [START, *map(point, range(3))]


def append_many(path: Path, name: str, count: int) -> None:
    journal = Journal(path)
    for step in range(count):
        journal.append(point(step, name))


def test_processes_that_append_to_one_journal_tear_nothing(path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    names = ["a" * 10, "b" * 5000, "c" * 300]
    writers = [fork.Process(target=append_many, args=(path, name, 200)) for name in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    heard = events(path)
    assert len(heard) == 600
    for name in names:
        assert [e for e in heard if isinstance(e, MetricsLogged) and name in e.metrics] == [
            point(step, name) for step in range(200)
        ]


def test_a_killed_writer_loses_nothing_that_append_returned_from(path: Path) -> None:
    script = f"""
import os, sys
from pathlib import Path
from hyperhook.events import MetricsLogged
from hyperhook.journal import Journal
journal = Journal(Path({str(path)!r}))
for step in range(10**9):
    journal.append(MetricsLogged(time=0.0, metrics={{"m": step}}, step=step))
    os.write(1, b"%d\\n" % step)
"""
    writer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    with writer.stdout as pipe:
        for _ in range(200):
            pipe.readline()
        writer.send_signal(signal.SIGKILL)
        acknowledged = 200 + len(pipe.read().splitlines())
    writer.wait()
    assert [event.step for event in events(path) if isinstance(event, MetricsLogged)][:acknowledged] == list(
        range(acknowledged)
    )
    write(path, point(0))
    assert events(path)[-1] == point(0)


def test_a_full_disk_costs_the_event_and_no_other(path: Path) -> None:
    journal = Journal(path)
    journal.append(START)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, limit[1]))
        with pytest.raises(OSError, match="too large"):
            journal.append(point(0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.stat().st_size > len(encode(START))  # a part of the line is there
    journal.append(point(1))
    assert events(path) == [START, point(1)]


def test_a_journal_knows_whether_another_has_written(path: Path) -> None:
    journal = Journal(path)
    journal.append(START)
    assert not journal.grew_elsewhere
    write(path, point(0))
    assert journal.grew_elsewhere


def test_a_pickled_journal_appends_to_the_same_file(path: Path) -> None:
    journal = Journal(path)
    journal.append(START)
    copy = pickle.loads(pickle.dumps(journal))
    assert not copy.grew_elsewhere
    copy.append(point(0))
    journal.append(point(1))
    copy.close()
    assert journal.grew_elsewhere
    assert events(path) == [START, point(0), point(1)]


def test_closing_twice_does_nothing_and_a_forked_child_does_not_inherit_on_exec(path: Path) -> None:
    journal = Journal(path)
    assert not os.get_inheritable(journal._descriptor)
    journal.close()
    journal.close()


def test_a_newer_journal_is_refused_before_anything_of_it_is_taken(path: Path) -> None:
    newer = SCHEMA + 1
    write(path, TrialStarted(time=0.0, schema=newer, id="a", number=0, study="s", params={}), point(0))
    with pytest.raises(JournalError, match=f"schema {newer}, this hyperhook reads up to {SCHEMA}; update hyperhook"):
        events(path)


def test_a_file_that_is_no_journal_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"name": "package.json"}\n')
    with pytest.raises(JournalError, match=r"is the file a journal\?"):
        events(path)
