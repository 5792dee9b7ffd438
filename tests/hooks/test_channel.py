"""From a trial to its journal, its listeners and its pruners: the journal first, and nothing reaches the training."""

from __future__ import annotations

import errno
import math
import pickle
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

import hyperhook as hh
from hyperhook.channel import Channel
from hyperhook.curve import Curve
from hyperhook.delivery import Delivery, Projection
from hyperhook.errors import ObjectiveError, StoreError
from hyperhook.events import Event, MetricsLogged, TrialFinished, TrialStarted
from hyperhook.home import Home
from hyperhook.journal import Journal, read
from hyperhook.manager import Manager
from hyperhook.records import StudyRecord, TrialState
from hyperhook.testing import RecordingPlugin
from hyperhook.workspace import JOURNAL

TRIAL = hh.TrialRecord("a", 0, "s", {"x": 0.5})
ENDED = hh.TrialRecord("a", 0, "s", {"x": 0.5}, TrialState.COMPLETE)
STUDY = StudyRecord("s", hh.Space({}), hh.Minimize("loss"), trials=(TRIAL,))
POINT = MetricsLogged(time=1.0, metrics={"loss": 0.5}, step=3)


@pytest.fixture
def box(home: Path) -> Home:
    made = Home(home)
    made.create()
    return made


@pytest.fixture
def journal(box: Home) -> Journal:
    return Journal(box.trial("a") / JOURNAL)


def events(journal: Journal) -> list[Event]:
    return [event for event, _ in read(journal.path)]


def inline(box: Home, tracker: hh.Tracker) -> Projection:
    box.post("s", "t", "a")
    made = Projection(Delivery("t", tracker), box, "s", "a")
    assert made.acquire()
    return made


def unread(point: hh.Point | None) -> StudyRecord:
    raise AssertionError("nobody asked for the study")


def test_what_a_listener_hears_is_in_the_journal_already(journal: Journal) -> None:
    found: list[list[Event]] = []

    class Listener:
        @hh.hookimpl
        def metrics_logged(self) -> None:
            found.append(events(journal))

    channel = Channel(journal, Manager([Listener()]), unread)
    channel.emit(TRIAL, POINT)
    channel.emit(TRIAL, POINT)
    assert found == [[POINT], [POINT, POINT]]


def test_a_listener_that_raises_costs_nothing(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        @hh.hookimpl
        def metrics_logged(self) -> None:
            raise RuntimeError("broken")

    recorder = RecordingPlugin()
    channel = Channel(journal, Manager([recorder, Broken()]), unread)
    channel.emit(TRIAL, POINT)
    channel.emit(TRIAL, POINT)
    assert events(journal) == [POINT, POINT]
    assert recorder.hooks() == ["metrics_logged"] * 2
    assert [record.message.split(";")[0] for record in caplog.records] == ["plugin Broken raised in metrics_logged"]


def test_a_full_disk_costs_the_event_and_not_the_training_and_is_told_once(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = RecordingPlugin()
    channel = Channel(journal, Manager([recorder]), unread)
    with monkeypatch.context() as patched:

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        patched.setattr("hyperhook.journal.os.write", full)
        channel.emit(TRIAL, POINT)
        channel.emit(TRIAL, POINT)
    channel.emit(TRIAL, POINT)
    assert events(journal) == [POINT]
    assert recorder.hooks() == ["metrics_logged"] * 3
    (record,) = caplog.records
    assert record.message.startswith(f"journal {journal.path} cannot be written ([Errno 28] No space left on device)")


def test_a_study_is_read_only_where_somebody_may_decide(journal: Journal) -> None:
    class Passes:
        @hh.hookimpl
        def should_stop(self, study: StudyRecord, trial: hh.TrialRecord, last: hh.Point | None) -> None:
            asked.append((study, trial, last))

    asked: list[object] = []
    curve = Curve(STUDY.objective)
    curve.add({"loss": 0.5}, 3, None)
    assert Channel(journal, Manager([RecordingPlugin()]), unread).should_stop(TRIAL, curve, expects=True) is False
    assert Channel(journal, Manager([Passes()]), None).should_stop(TRIAL, curve, expects=True) is False
    assert Channel(journal, Manager([Passes()]), lambda _: STUDY).should_stop(TRIAL, curve, expects=True) is False
    assert asked == [(STUDY, TRIAL, hh.Point(0.5, 3))]


class Stops:
    @hh.hookimpl
    def should_stop(self) -> bool:
        return True


def test_a_metric_that_is_missing_is_an_error_where_it_is_expected(journal: Journal) -> None:
    channel, curve = Channel(journal, Manager([Stops()]), lambda _: STUDY), Curve(STUDY.objective)
    assert channel.should_stop(TRIAL, curve, expects=True)  # nothing was logged at all
    curve.add({"val_loss": 0.5, "acc": 1.0}, 3, None)
    assert channel.should_stop(TRIAL, curve, expects=False)
    with pytest.raises(
        ObjectiveError, match="metric 'loss' was never logged; logged so far: acc, val_loss; log it, or"
    ):
        channel.should_stop(TRIAL, curve, expects=True)
    assert not Channel(journal, Manager([]), lambda _: STUDY).should_stop(TRIAL, curve, expects=True)


@pytest.mark.parametrize("other", [{"value": 0.5}, {"curve": (hh.CurvePoint(math.nan, 1, 1, 1),)}])
def test_a_metric_that_another_trial_logged_may_come_late(journal: Journal, other: dict[str, object]) -> None:
    study = replace(STUDY, trials=(TRIAL, hh.TrialRecord("b", 1, "s", **other)))  # type: ignore[arg-type]
    curve = Curve(STUDY.objective)
    curve.add({"acc": 1.0}, 3, None)
    assert Channel(journal, Manager([Stops()]), lambda _: study).should_stop(TRIAL, curve, expects=True)


def test_a_store_that_cannot_be_used_costs_the_answer_not_the_training(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    def full(point: hh.Point | None) -> StudyRecord:
        raise StoreError("store 'x' cannot be used: database or disk is full")

    channel = Channel(journal, Manager([Stops()]), full)
    assert not channel.should_stop(TRIAL, Curve(STUDY.objective), expects=True)
    (record,) = caplog.records
    assert record.message == (
        "no pruner is asked about trial s-0, which goes on: store 'x' cannot be used: database or disk is full"
    )


def test_trackers_in_this_process_are_brought_up_to_each_event(
    box: Home, journal: Journal, mirrors: ModuleType, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    channel = Channel(journal, Manager([]), unread, (inline(box, mirrors.Mirror(out)),))
    channel.emit(TRIAL, TrialStarted.of(TRIAL))
    for count in (1, 2):
        channel.emit(TRIAL, POINT)
        assert mirrors.points(out) == {(0, "loss", 3, 0.5): count}
    journal.append(TrialFinished.of(ENDED))  # as the workspace does
    channel.close()
    assert mirrors.states(out) == ["COMPLETE"]
    assert box.posted("s", "t") == []


def test_a_tracker_that_fails_in_this_process_is_told_once_and_catches_up(
    box: Home, journal: Journal, mirrors: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "down").touch()
    channel = Channel(journal, Manager([]), unread, (inline(box, mirrors.Down(out)),))
    channel.emit(TRIAL, TrialStarted.of(TRIAL))
    channel.emit(TRIAL, POINT)
    channel.emit(TRIAL, POINT)
    assert [record.message for record in caplog.records] == ["tracker t failed; tried again at the next event"]
    (out / "down").unlink()
    channel.emit(TRIAL, POINT)
    assert mirrors.points(out) == {(0, "loss", 3, 0.5): 3}


def test_closing_lets_go_of_journal_and_cursors(
    box: Home, journal: Journal, mirrors: ModuleType, tmp_path: Path
) -> None:
    channel = Channel(journal, Manager([]), unread, (inline(box, mirrors.Mirror(tmp_path / "out")),))
    channel.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        journal.append(POINT)
    inline(box, mirrors.Mirror(tmp_path / "out"))  # asserts that the cursor can be had


def test_a_copy_appends_to_the_same_journal_and_leaves_trackers_behind(
    box: Home, journal: Journal, mirrors: ModuleType, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    channel = Channel(journal, Manager([]), unread, (inline(box, mirrors.Mirror(out)),))
    channel.emit(TRIAL, TrialStarted.of(TRIAL))
    copy: Channel = pickle.loads(pickle.dumps(channel))
    copy.emit(TRIAL, POINT)
    copy.close()
    assert events(journal)[1:] == [POINT]
    assert journal.grew_elsewhere
    assert not mirrors.points(out)
    channel.emit(TRIAL, POINT)
    assert mirrors.points(out) == {(0, "loss", 3, 0.5): 2}


def test_a_question_without_a_new_point_writes_nothing(journal: Journal) -> None:
    reported: list[hh.Point | None] = []

    def report(point: hh.Point | None) -> StudyRecord:
        reported.append(point)
        return STUDY

    channel, curve = Channel(journal, Manager([Stops()]), report), Curve(STUDY.objective)
    for step, metrics in enumerate(({"acc": 1.0}, {"loss": 0.5}, {"acc": 1.0}, {"loss": 0.4})):
        curve.add(metrics, step, None)
        channel.should_stop(TRIAL, curve, expects=False)
    assert reported == [None, hh.Point(0.5, 1), None, hh.Point(0.4, 3)]


def test_points_of_a_time_when_the_store_did_not_answer_come_later_each_once(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    reported: list[hh.Point | None] = []
    is_away = True

    def report(point: hh.Point | None) -> StudyRecord:
        if is_away:
            raise StoreError("no answer")
        reported.append(point)
        return STUDY

    channel, curve = Channel(journal, Manager([Stops()]), report), Curve(STUDY.objective)
    for step in range(3):
        curve.add({"loss": float(-step)}, step, None)
        for _ in range(2):
            assert not channel.should_stop(TRIAL, curve, expects=False)
    is_away = False
    assert channel.should_stop(TRIAL, curve, expects=False)
    assert reported == [hh.Point(float(-step), step) for step in range(3)]
    assert channel.should_stop(TRIAL, curve, expects=False)
    assert reported[3:] == [None]
    assert len(caplog.records) == 1
