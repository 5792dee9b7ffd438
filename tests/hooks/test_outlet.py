"""Several processes and one study: whatever forwarder brings it, each event is in each tracker once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import hyperhook as hh
from hyperhook import outlet as outlet_module
from hyperhook.events import StudyFinished, StudyStarted
from hyperhook.home import STUDY_ITEM, Home
from hyperhook.journal import read
from hyperhook.manager import load_trackers
from hyperhook.outlet import Outlet
from hyperhook.records import StudyRecord
from hyperhook.study import Study
from hyperhook.workspace import JOURNAL

STARTED = StudyStarted.of(StudyRecord("s", hh.Space({})))
FINISHED = StudyFinished.of(StudyRecord("s", hh.Space({})))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def box(home: Path) -> Home:
    made = Home(home)
    made.create()
    return made


def heard(out: Path) -> list[str]:
    file = out / "study.jsonl"
    return [line.split('"')[3] for line in file.read_text().splitlines()] if file.exists() else []


@pytest.mark.parametrize("inline", [True, False])
def test_without_trackers_nothing_is_written_and_nothing_waited_for(box: Home, inline: bool) -> None:
    outlet = Outlet(box, "s", {}, inline=inline)
    outlet.announce(STARTED)
    assert outlet.open("a") == ()
    assert outlet.flush(20.0)
    outlet.close()
    assert not box.study("s").exists()
    assert list(box.logs.iterdir()) == []


def test_a_study_s_own_events_arrive_as_they_happen(box: Home, mirrors: ModuleType, out: Path) -> None:
    outlet = Outlet(box, "s", load_trackers([mirrors.Mirror(out)]), inline=True)
    outlet.announce(STARTED)
    assert heard(out) == ["study_started"]
    outlet.announce(FINISHED)
    assert heard(out) == ["study_started", "study_finished"]
    assert box.posted("s", "mirror") == []
    assert [event for event, _ in read(box.study("s") / JOURNAL)] == [STARTED, FINISHED]


def test_a_tracker_that_fails_to_hear_of_the_study_hears_of_it_later(
    box: Home, mirrors: ModuleType, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outlet = Outlet(box, "s", load_trackers([mirrors.Mirror(out)]), inline=True)
    out.write_text("in the way of the folder")
    outlet.announce(STARTED)
    assert not outlet.flush(20.0)
    assert box.posted("s", "mirror") == [STUDY_ITEM]
    assert "mirror lacks 1 of study s (FileExistsError" in caplog.text
    out.unlink()
    outlet.announce(FINISHED)
    assert heard(out) == ["study_started", "study_finished"]
    assert outlet.flush(20.0)


def test_a_cursor_that_another_process_has_is_left_to_it(box: Home, mirrors: ModuleType, out: Path) -> None:
    ours, theirs = (Outlet(box, "s", load_trackers([mirrors.Mirror(out)]), inline=True) for _ in range(2))
    (projection,) = theirs.open("a")
    assert ours.open("a") == ()
    projection.release()
    assert len(ours.open("a")) == 1


@pytest.mark.parametrize("inline", [True, False])
def test_what_is_left_to_another_process_arrives_by_that_one(
    box: Home, mirrors: ModuleType, out: Path, inline: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ours = Outlet(box, "s", load_trackers([mirrors.Mirror(out)]), inline=inline)
    ours.leave()
    ours.announce(STARTED)
    assert ours.open("a") == ()
    assert ours.flush(20.0)
    box.post("s", "mirror", STUDY_ITEM)
    assert not ours.flush(20.0)  # at once
    ours.close()
    assert heard(out) == []
    assert list(box.logs.iterdir()) == []
    assert caplog.text == ""
    theirs = Outlet(box, "s", load_trackers([mirrors.Mirror(out)]), inline=True)
    theirs.announce(STARTED)
    assert heard(out) == ["study_started"]


HOLDER = """
import sys
from hyperhook.home import Lock
from pathlib import Path
assert Lock(Path({lock!r})).acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("timeout_seconds", [20.0, 0.0])
def test_what_another_process_is_just_delivering_is_waited_for(
    box: Home, mirrors: ModuleType, out: Path, monkeypatch: pytest.MonkeyPatch, timeout_seconds: float
) -> None:
    outlet = Outlet(box, "s", load_trackers([mirrors.Mirror(out)]), inline=True)
    lock = box.study("s") / "cursors" / "mirror.lock"
    command = [sys.executable, "-c", HOLDER.format(lock=str(lock))]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    monkeypatch.setattr(outlet_module.time, "sleep", lambda seconds: holder.communicate())
    outlet.announce(STARTED)
    assert outlet.flush(timeout_seconds) == (timeout_seconds > 0)
    if timeout_seconds:
        assert holder.returncode == 0  # it was let go by the wait
    else:
        holder.communicate()
    assert heard(out) == (["study_started"] if timeout_seconds else [])


def test_what_a_living_trial_has_open_is_not_waited_for(
    box: Home, mirrors: ModuleType, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlet_module.time, "sleep", lambda seconds: pytest.fail("it waited"))
    outlet = Outlet(box, "s", load_trackers([mirrors.Mirror(out)]), inline=True)
    alive = box.alive("a")
    assert alive.acquire()
    box.post("s", "mirror", "a")
    (projection,) = outlet.open("a")
    assert outlet.flush(20.0)
    projection.release()
    alive.release()


def test_closing_closes_the_trackers_that_live_here(
    box: Home, mirrors: ModuleType, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[hh.Tracker] = []
    monkeypatch.setattr(mirrors.Mirror, "close", lambda tracker: closed.append(tracker))
    tracker = mirrors.Mirror(out)
    Outlet(box, "s", load_trackers([tracker]), inline=False).close()
    assert closed == []
    Outlet(box, "s", load_trackers([tracker]), inline=True).close()
    assert closed == [tracker]


WORKER = """
import sys
sys.path.insert(0, {folder!r})
import hyperhook as hh, mirrors
def train(trial):
    for step in range(20):
        trial.log({{"loss": float(step)}}, step=step)
with hh.Study("s", {{"x": hh.Float(-1.0, 1.0)}}, hh.Minimize("loss"), home={home!r}, delivery={delivery!r},
              trackers=[mirrors.Mirror({out!r})]) as study:
    study.run(train, trials=8, progress=False)
"""


@pytest.mark.parametrize("delivery", ["forwarder", "inline"])
def test_workers_that_share_a_study_deliver_each_event_once(
    study: Callable[..., Study], mirrors: ModuleType, home: Path, out: Path, delivery: str
) -> None:
    code = WORKER.format(folder=str(Path(__file__).parent), home=str(home), out=str(out), delivery=delivery)
    workers = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    outputs = [worker.communicate(timeout=60) for worker in workers]
    assert outputs == [("", "")] * 3
    assert mirrors.states(out) == ["COMPLETE"] * 8
    assert mirrors.points(out) == {(trial, "loss", step, float(step)): 1 for trial in range(8) for step in range(20)}
    assert sorted(heard(out)) == ["study_finished"] * 3 + ["study_started"] * 3
    assert Home(home).posted("s", "mirror") == []
    assert [str(trial.state) for trial in study().trials] == ["COMPLETE"] * 8
