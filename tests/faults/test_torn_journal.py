"""A power cut: what was written last is torn off, at any byte, and everything goes on from what is left.

What reached the disk is a matter of luck: the journal's end, the store's last transaction, the mark of the living
trial and a tracker's cursor come through together or not. Whatever is left, the trial ends, and the tracker has what
survived.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import hyperhook as hh
from hyperhook.delivery import Delivery, Projection, load_cursor
from hyperhook.events import MetricsLogged, TrialFinished
from hyperhook.home import Home
from hyperhook.journal import read
from hyperhook.workspace import JOURNAL, Workspace

ROOT = Path(__file__).parents[2]
STEPS = 4

Points = Counter[tuple[str, int, float]]


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module with the tracker that writes JSON lines."""
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "third_party" / "src"))
    return importlib.import_module("hyperhook_jsonl")


class Cut:
    """A finished trial, whose files can be put back as a power cut may have left them.

    Args:
        folder: Where to keep it.
        tracker: Makes the tracker, which writes below a folder.
    """

    def __init__(self, folder: Path, tracker: Callable[[str], hh.Tracker]) -> None:
        self.folder = folder
        self.home, self.out = folder / "home", folder / "out"
        self.tracker = tracker(str(self.out))
        with hh.Study("s", home=self.home, trackers=[self.tracker], delivery="inline") as study, study.trial() as trial:
            for step in range(STEPS):
                trial.log({"loss": step / 4}, step=step)
        self.id = trial.id
        self.journal = Home(self.home).trial(self.id) / JOURNAL
        self.whole = self.journal.read_bytes()
        self.kept = [folder / "kept home", folder / "kept out"]
        for place, kept in zip((self.home, self.out), self.kept, strict=True):
            shutil.copytree(place, kept)

    def cuts(self) -> range:
        """Every length at which the last two records are torn, or gone, up to the whole."""
        last_two = b"".join(self.whole.splitlines(keepends=True)[-2:])
        return range(len(self.whole) - len(last_two), len(self.whole) + 1)

    def restore(self, *, received: bool = True) -> None:
        """Put everything back as it was; `received` is whether the tracker and its cursor are there, too."""
        for place, kept in zip((self.home, self.out), self.kept, strict=True):
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(kept, place)
        if not received:
            shutil.rmtree(self.out)
            shutil.rmtree(self.journal.parent / "cursors")
            Home(self.home).post("s", "jsonl", self.id)

    def forget_the_end(self) -> None:
        """Take the trial's end out of the store, as if its last transaction had not reached the disk."""
        store = sqlite3.connect(self.home / "hyperhook.db")
        with store:
            store.execute("UPDATE trials SET state = 'RUNNING', finished_time = NULL")
        store.close()

    def mark_running(self) -> None:
        """Put back the file that says that the trial runs; its lock died with the machine."""
        (self.home / "running" / self.id).touch()

    def reap(self) -> None:
        """End what died, as the next process that opens the study does."""
        workspace = Workspace(Home(self.home))
        workspace.reap("s", ["jsonl"])
        workspace.store.close()

    def deliver(self) -> None:
        """Bring the tracker up to the journal's end, as a forwarder would."""
        box = Home(self.home)
        for item in box.posted("s", "jsonl"):
            if item == self.id:
                projection = Projection(Delivery("jsonl", self.tracker), box, "s", item)
                assert projection.acquire()
                projection.deliver()
                projection.release()

    def survived(self) -> tuple[Points, list[str]]:
        """The points and the ends that the journal holds."""
        events = [event for event, _ in read(self.journal)]
        points = [(event.step, event.metrics["loss"]) for event in events if isinstance(event, MetricsLogged)]
        ends = [str(event.state) for event in events if isinstance(event, TrialFinished)]
        return Counter(("loss", step, float(value)) for step, value in points), ends

    def received(self) -> tuple[Points, list[str]]:
        """The points and the ends that the tracker holds."""
        rows = [json.loads(line) for line in (self.out / "s-0.jsonl").read_text().splitlines()]
        points = Counter((row["name"], row["step"], row["value"]) for row in rows if "name" in row)
        return points, [row["state"] for row in rows if "state" in row]

    def check(self, states: tuple[str, ...]) -> None:
        """The trial has ended, once and alike everywhere; the tracker has what survived, once."""
        store = sqlite3.connect(self.home / "hyperhook.db")
        ((state,),) = store.execute("SELECT state FROM trials").fetchall()
        store.close()
        points, ends = self.survived()
        assert state in states
        assert ends == [state]
        assert set(points.values()) <= {1}
        assert len(points) >= STEPS - 1  # at the most one of the two last records is a point
        assert self.received() == (points, ends)
        assert Home(self.home).posted("s", "jsonl") == []
        assert list(Home(self.home).started()) == []


@pytest.fixture
def cut(tmp_path: Path, third_party: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Cut:
    # published under a name, as its distribution does, so that a study that is opened later finds it
    site = tmp_path / "site" / "hyperhook_jsonl-1.0.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: hyperhook-jsonl\nVersion: 1.0\n")
    (site / "entry_points.txt").write_text("[hyperhook]\njsonl = hyperhook_jsonl:JsonLines\n")
    monkeypatch.syspath_prepend(str(site.parent))
    return Cut(tmp_path, third_party.JsonLines)


def test_the_scene_is_what_it_should_be(cut: Cut) -> None:
    cut.check(("COMPLETE",))
    assert len(cut.cuts()) > 150
    (step, *_), ends = sorted(cut.survived()[0]), cut.survived()[1]
    assert (step, ends) == (("loss", 0, 0.0), ["COMPLETE"])


@pytest.mark.parametrize("end_is_stored", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_cut_at_every_byte_the_trial_ends_and_the_tracker_has_what_survived(cut: Cut, end_is_stored: bool) -> None:
    whole = _events(cut)
    for length in cut.cuts()[:-2]:
        lose(cut, length, end_is_stored=end_is_stored)
        assert list(read(cut.journal)) == [pair for pair in whole if pair[1] <= length]
        cut.deliver()  # what is there goes on its way before anybody mends it
        cut.reap()
        cut.deliver()
        cut.check(("COMPLETE",) if end_is_stored else ("KILLED",))


@pytest.mark.parametrize(
    ("missing", "end_is_stored"),
    [(0, True), (0, False), (1, True), (1, False)],
)
def test_an_end_that_is_journalled_holds_although_the_store_or_the_last_byte_lost_it(
    cut: Cut, missing: int, end_is_stored: bool
) -> None:
    """A line that lacks nothing but its newline is read as soon as something is appended: it must not end twice."""
    lose(cut, len(cut.whole) - missing, end_is_stored=end_is_stored)
    cut.deliver()
    cut.reap()
    cut.deliver()
    cut.check(("COMPLETE",) if missing == 0 or end_is_stored else ("COMPLETE", "KILLED"))


def lose(cut: Cut, length: int, *, end_is_stored: bool, received: bool = False) -> None:
    """Cut the power: the journal has this length, and the store knows of the end or not; the trial's mark is there."""
    cut.restore(received=received)
    cut.journal.write_bytes(cut.whole[:length])
    if not end_is_stored:
        cut.forget_the_end()
    cut.mark_running()


def _events(cut: Cut) -> list[tuple[object, int]]:
    beside = cut.folder / "whole.jsonl"
    beside.write_bytes(cut.whole)
    return list(read(beside))


@pytest.mark.parametrize("stride", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_cut_behind_what_the_tracker_has_confirmed_it_starts_over(cut: Cut, stride: int) -> None:
    """A tracker on another machine keeps what this one's disk lost."""
    for length in cut.cuts()[:-2:stride]:
        lose(cut, length, end_is_stored=False, received=True)
        cut.reap()
        cut.deliver()
        cut.check(("KILLED",))


@pytest.mark.parametrize("missing", [20, 60, 150])
@pytest.mark.parametrize("delivery", ["inline", "forwarder"])
def test_a_study_that_is_opened_again_goes_on(cut: Cut, missing: int, delivery: str) -> None:
    lose(cut, len(cut.whole) - missing, end_is_stored=False)
    with hh.Study("s", home=cut.home, trackers=[cut.tracker], delivery=delivery) as study:  # type: ignore[arg-type]
        study.run(lambda trial: trial.log({"loss": 0.5}, step=0), trials=1, progress=False)
    assert [trial.state for trial in study.trials] == ["KILLED", "COMPLETE"]
    assert cut.received() == cut.survived()
    assert Home(cut.home).posted("s", "jsonl") == []


def test_a_trial_that_runs_in_the_store_and_nowhere_else_is_ended(cut: Cut) -> None:
    """The mark was deleted, the store's last transaction lost: the disk need not keep their order."""
    lose(cut, len(cut.whole) - 10, end_is_stored=False)
    (cut.home / "running" / cut.id).unlink()
    with hh.Study("s", home=cut.home, trackers=[cut.tracker], delivery="inline") as study:
        study.tell(study.ask())
    assert study.trials[0].state == "KILLED"
    assert cut.survived()[1] == ["KILLED"]
    assert cut.received() == cut.survived()


def test_a_trial_whose_claim_the_store_lost_is_ended_in_its_tracker(cut: Cut) -> None:
    lose(cut, len(cut.whole) - 10, end_is_stored=False)
    cut.deliver()
    assert cut.received()[1] == []
    store = sqlite3.connect(cut.home / "hyperhook.db")
    with store:
        store.execute("DELETE FROM trials")
    store.close()
    cut.reap()
    cut.deliver()
    assert cut.received() == cut.survived()
    assert cut.received()[1] == ["KILLED"]
    assert Home(cut.home).posted("s", "jsonl") == []


def test_the_journal_is_on_the_disk_before_the_trials_mark_is_gone(
    third_party: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What was not synchronised is lost; what was deleted is gone: then nobody would know that the end is missing."""
    durable: dict[Path, int] = {}

    def fsync(descriptor: int) -> None:
        durable[Path(os.readlink(f"/proc/self/fd/{descriptor}"))] = os.fstat(descriptor).st_size

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "fdatasync", fsync)
    home, out = tmp_path / "home", tmp_path / "out"
    tracker = third_party.JsonLines(str(out))
    study = hh.Study("s", home=home, trackers=[tracker], delivery="inline")
    with study.trial() as trial:
        trial.log({"loss": 0.5}, step=0)
    study.close()
    journal = Home(home).trial(trial.id) / JOURNAL
    os.truncate(journal, durable.get(journal, 0))
    assert not list(Home(home).started())
    assert [type(event).__name__ for event, _ in read(journal)] == ["TrialStarted", "MetricsLogged", "TrialFinished"]


def test_a_cursor_cut_at_every_byte_is_the_beginning(cut: Cut) -> None:
    (file,) = (cut.journal.parent / "cursors").glob("*.json")
    whole = file.read_bytes()
    assert load_cursor(file).offset == len(cut.whole)
    for length in range(len(whole)):
        cut.restore()
        file.write_bytes(whole[:length])
        assert load_cursor(file).offset == 0
        Home(cut.home).post("s", "jsonl", cut.id)
        cut.deliver()
        cut.check(("COMPLETE",))
        assert load_cursor(file).offset == len(cut.whole)


@pytest.mark.parametrize("torn", [b'{"type":"MetricsLogged","time":1.0,"met', b"\0" * 100, b"\xff\xfe\xc3", b"{}"[:1]])
def test_what_follows_a_torn_line_in_the_middle_arrives(cut: Cut, torn: bytes) -> None:
    """A line that a full disk cut short, or a block that the disk never wrote; and good lines behind it."""
    lines = cut.whole.splitlines(keepends=True)
    for place in range(1, len(lines)):
        cut.restore(received=False)
        cut.journal.write_bytes(b"".join([*lines[:place], torn, b"\n", *lines[place:]]))
        assert [event for event, _ in read(cut.journal)] == [event for event, _ in _events(cut)]
        cut.deliver()
        cut.check(("COMPLETE",))
        assert len(cut.received()[0]) == STEPS
