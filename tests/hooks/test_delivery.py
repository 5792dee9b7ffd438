"""One journal into one tracker: every event, in order, from a cursor that moves only behind what was confirmed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import hyperhook as hh
from hyperhook.delivery import Cursor, Delivery, Projection, load_cursor
from hyperhook.errors import HookError, JournalError
from hyperhook.events import (
    ArtifactLogged,
    ArtifactRemoved,
    DatasetLogged,
    MetricsLogged,
    NoteLogged,
    ParamsLogged,
    StopRequested,
    StudyFinished,
    StudyStarted,
    TagsLogged,
    TrialFinished,
    TrialStarted,
)
from hyperhook.home import STUDY_ITEM, Home
from hyperhook.journal import Journal
from hyperhook.records import StudyRecord, TrialRecord, TrialState
from hyperhook.workspace import JOURNAL

TRIAL = TrialRecord("a", 0, "s", {"x": 0.5}, started_time=1.0)
ENDED = TrialRecord("a", 0, "s", {"x": 0.5}, TrialState.COMPLETE, 0.5, 3, 1, None, 1.0, 9.0)
POINTS = [MetricsLogged(time=2.0 + step, metrics={"m": float(step), "bad": "nan"}, step=step) for step in range(6)]


@dataclass
class Book(hh.Tracker):
    """Keeps what it heard and what is confirmed; `fail_at` are the calls that raise, by their number."""

    resumes: bool = True
    fail_at: set[int] = field(default_factory=set)
    heard: list[Any] = field(default_factory=list)
    confirmed: int = 0
    calls: list[str] = field(default_factory=list)

    def _hear(self, what: str, *facts: Any) -> None:
        self.calls.append(what)
        if len(self.calls) in self.fail_at:
            raise ConnectionError(f"call {len(self.calls)}: {what}")
        self.heard.append((what, *facts))

    @hh.hookimpl
    def study_started(self, study: StudyRecord) -> None:
        self._hear("study_started", study.name, study.objective)

    @hh.hookimpl
    def study_finished(self, study: StudyRecord) -> None:
        self._hear("study_finished", study.name, study.objective)

    @hh.hookimpl
    def trial_started(self, trial: TrialRecord) -> None:
        self.heard, self.confirmed = [], 0
        self._hear("trial_started", trial)

    @hh.hookimpl
    def params_logged(self, trial: TrialRecord, params: Mapping[str, hh.Scalar]) -> None:
        self._hear("params_logged", dict(params))

    @hh.hookimpl
    def metrics_logged(self, metrics: Mapping[str, float], step: int, epoch: int | None, time: float) -> None:
        self._hear("metrics_logged", repr(metrics), step, epoch, time)

    @hh.hookimpl
    def artifact_logged(self, trial: TrialRecord, artifact: hh.Artifact) -> None:
        self._hear("artifact_logged", artifact)

    @hh.hookimpl
    def artifact_removed(self, artifact: hh.Artifact) -> None:
        self._hear("artifact_removed", artifact)

    @hh.hookimpl
    def tags_logged(self, tags: Mapping[str, str]) -> None:
        self._hear("tags_logged", dict(tags))

    @hh.hookimpl
    def note_logged(self, note: str) -> None:
        self._hear("note_logged", note)

    @hh.hookimpl
    def dataset_logged(self, dataset: hh.Dataset) -> None:
        self._hear("dataset_logged", dataset)

    @hh.hookimpl
    def trial_finished(self, trial: TrialRecord) -> None:
        self._hear("trial_finished", trial)

    def flush(self, trial: TrialRecord) -> Mapping[str, hh.Scalar]:
        self._hear("flush")
        self.heard.pop()
        self.confirmed = len(self.heard)
        return {"count": self.confirmed}

    def resume(self, trial: TrialRecord, state: Mapping[str, hh.Scalar]) -> bool:
        self.calls.append(f"resume {trial.id} {trial.state} {dict(state)}")
        if self.resumes:
            assert isinstance(state["count"], int)
            del self.heard[state["count"] :]
        return self.resumes


@pytest.fixture
def box(home: Path) -> Home:
    made = Home(home)
    made.create()
    return made


@pytest.fixture
def journal(box: Home) -> Journal:
    made = Journal(box.trial("a") / JOURNAL)
    box.post("s", "book", "a")
    return made


def projection(box: Home, book: Book, item: str = "a") -> Projection:
    made = Projection(Delivery("book", book), box, "s", item)
    assert made.acquire()
    return made


def write(journal: Journal, *events: Any) -> None:
    for event in events:
        journal.append(event)


EXPECTED = [
    ("trial_started", TRIAL),
    *[("metrics_logged", repr(e.values()), e.step, None, e.time) for e in POINTS],
    ("trial_finished", ENDED),
]


def test_every_event_reaches_its_hook_with_what_was_journalled(box: Home, journal: Journal) -> None:
    artifact = ArtifactLogged(time=3.0, path=__file__, name="w", kind="checkpoint", step=2, score="inf")
    gone = ArtifactLogged(time=3.0, path="/nowhere/w", name="w2")
    removed = ArtifactRemoved(time=3.0, path="/nowhere/w", name="w2")
    stop = StopRequested(time=4.0)
    write(journal, TrialStarted.of(TRIAL), ParamsLogged(time=2.0, params={"p": None}), POINTS[1], artifact, stop)
    write(journal, gone, removed, TagsLogged(time=5.0, tags={"t": "x"}), NoteLogged(time=5.0, note="n"))
    write(journal, DatasetLogged(time=5.0, name="d", profile={"rows": 3}))
    book = Book()
    made = projection(box, book)
    assert not made.deliver()
    write(journal, TrialFinished.of(ENDED))
    assert made.deliver()
    assert book.heard == [
        EXPECTED[0],
        ("params_logged", {"p": None}),
        EXPECTED[2],
        ("artifact_logged", artifact.artifact()),
        ("artifact_removed", removed.artifact()),
        ("tags_logged", {"t": "x"}),
        ("note_logged", "n"),
        ("dataset_logged", hh.Dataset("d", "training", profile={"rows": 3})),
        EXPECTED[-1],
    ]
    assert book.calls.count("flush") == 2
    assert box.posted("s", "book") == []


def test_nothing_new_is_no_call(box: Home, journal: Journal) -> None:
    write(journal, TrialStarted.of(TRIAL))
    book = Book()
    made = projection(box, book)
    for _ in range(3):
        assert not made.deliver()
    assert book.calls == ["trial_started", "flush"]


def test_batches_are_no_larger_than_the_tracker_wants(
    box: Home, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Book, "batch_size", 3)
    write(journal, TrialStarted.of(TRIAL), *POINTS, TrialFinished.of(ENDED))
    book = Book()
    projection(box, book).deliver()
    assert [call for call in book.calls if call != "metrics_logged"] == [
        "trial_started",
        *["flush"] * 2,
        "trial_finished",
        "flush",
    ]
    assert book.heard == EXPECTED


@pytest.mark.parametrize("resumes", [True, False])
@pytest.mark.parametrize("new_process", [True, False])
@pytest.mark.parametrize("fail_at", range(1, 12))
def test_wherever_a_tracker_fails_every_event_is_there_once_in_the_end(
    box: Home, journal: Journal, monkeypatch: pytest.MonkeyPatch, fail_at: int, new_process: bool, resumes: bool
) -> None:
    monkeypatch.setattr(Book, "batch_size", 3)
    write(journal, TrialStarted.of(TRIAL), *POINTS, TrialFinished.of(ENDED))
    book = Book(resumes, fail_at={fail_at})
    made = projection(box, book)
    with pytest.raises(ConnectionError, match=f"call {fail_at}: "):
        made.deliver()
    cursor = load_cursor(box.trial("a") / "cursors" / "book.json")
    assert cursor.error is not None
    assert cursor.error.startswith(f"ConnectionError: call {fail_at}: ")
    assert cursor.state == ({"count": book.confirmed} if book.confirmed else {})
    if new_process:
        made.release()
        made = projection(box, book)
    assert made.deliver()
    assert book.heard == EXPECTED
    asked = [call for call in book.calls if call.startswith("resume")]
    confirmed = fail_at > 4  # the fourth call is the first flush
    assert asked == ([f"resume a RUNNING {cursor.state}"] if confirmed else [])
    assert load_cursor(box.trial("a") / "cursors" / "book.json").error is None


def test_failing_again_and_again_it_stays_where_it_was(box: Home, journal: Journal) -> None:
    write(journal, TrialStarted.of(TRIAL), POINTS[0])
    book = Book()
    made = projection(box, book)
    made.deliver()
    offset = made.cursor.offset
    write(journal, *POINTS[1:], TrialFinished.of(ENDED))
    book.fail_at = set(range(1, 30))
    for _ in range(4):
        with pytest.raises(ConnectionError):
            made.deliver()
        assert made.cursor.offset == offset
        assert box.posted("s", "book") == ["a"]
    book.fail_at = set()
    assert made.deliver()
    assert book.heard == EXPECTED


def test_a_resume_that_raises_is_tried_again(box: Home, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    write(journal, TrialStarted.of(TRIAL), *POINTS)
    book = Book()
    first = projection(box, book)
    first.deliver()
    first.release()
    write(journal, TrialFinished.of(ENDED))
    again = projection(box, book)
    with monkeypatch.context() as patched:
        patched.setattr(Book, "resume", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            again.deliver()
    assert again.deliver()
    assert book.heard == EXPECTED


def test_the_record_stands_as_the_events_made_it_when_it_goes_on(box: Home, journal: Journal) -> None:
    write(journal, TrialStarted.of(TRIAL), POINTS[0], TrialFinished.of(ENDED))
    book = Book()
    first = projection(box, book)
    assert first.deliver()
    first.release()
    again = projection(box, book)
    assert again.deliver()
    assert book.calls[-1] == "resume a COMPLETE {'count': 3}"


def test_a_late_point_behind_the_end_does_not_keep_the_trial_in_the_outbox(box: Home, journal: Journal) -> None:
    write(journal, TrialStarted.of(TRIAL), TrialFinished.of(ENDED), POINTS[0])
    book = Book()
    assert projection(box, book).deliver()
    assert [row[0] for row in book.heard] == ["trial_started", "trial_finished", "metrics_logged"]
    assert box.posted("s", "book") == []


def test_what_comes_while_the_last_batch_is_confirmed_is_not_left_behind(
    box: Home, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Journal(box.study("s") / JOURNAL)
    record = StudyRecord("s", hh.Space({}))
    box.post("s", "book", STUDY_ITEM)
    study.append(StudyStarted.of(record))
    book = Book()
    made = projection(box, book, STUDY_ITEM)
    taken_down: Callable[[], None] = made._take_down

    def a_process_announces_meanwhile() -> None:
        study.append(StudyFinished.of(record))
        box.post("s", "book", STUDY_ITEM)
        taken_down()

    with monkeypatch.context() as patched:
        patched.setattr(made, "_take_down", a_process_announces_meanwhile)
        assert not made.deliver()
    assert STUDY_ITEM in box.posted("s", "book")
    assert made.deliver()
    assert [row[0] for row in book.heard] == ["study_started", "study_finished"]


def test_a_study_s_own_journal_is_done_whenever_it_is_read_and_goes_on_behind_the_cursor(box: Home) -> None:
    record = StudyRecord("s", hh.Space({}), hh.Maximize("acc"))
    study = Journal(box.study("s") / JOURNAL)
    book = Book()
    for event in (StudyStarted.of(record), StudyFinished.of(record)) * 2:
        study.append(event)
        box.post("s", "book", STUDY_ITEM)
        made = projection(box, book, STUDY_ITEM)
        assert made.deliver()
        made.release()
    assert book.heard == [(hook, "s", hh.Maximize("acc")) for hook in ("study_started", "study_finished") * 2]


def test_a_cursor_belongs_to_one_at_a_time(box: Home, journal: Journal) -> None:
    made = projection(box, Book())
    assert not Projection(Delivery("book", Book()), box, "s", "a").acquire()
    assert Projection(Delivery("other", Book()), box, "s", "a").acquire()
    made.release()
    assert Projection(Delivery("book", Book()), box, "s", "a").acquire()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"offset": "x"}', b"\xff"])
def test_a_cursor_that_cannot_be_read_is_the_beginning(box: Home, journal: Journal, content: bytes) -> None:
    write(journal, TrialStarted.of(TRIAL), *POINTS, TrialFinished.of(ENDED))
    file = box.trial("a") / "cursors" / "book.json"
    file.parent.mkdir()
    file.write_bytes(content)
    assert load_cursor(file) == Cursor()
    book = Book()
    assert projection(box, book).deliver()
    assert book.heard == EXPECTED


def test_a_journal_that_is_gone_leaves_the_outbox_with_a_word(box: Home, caplog: pytest.LogCaptureFixture) -> None:
    box.post("s", "book", "gone")
    assert projection(box, Book(), "gone").deliver()
    assert box.posted("s", "book") == []
    assert "is gone: nothing of it can reach book" in caplog.text


def test_a_journal_without_a_start_is_an_error(box: Home, journal: Journal) -> None:
    write(journal, POINTS[0])
    with pytest.raises(JournalError, match="the journal begins with MetricsLogged, expected TrialStarted"):
        projection(box, Book()).deliver()


def test_reported_failures_are_logged_once_while_they_stay_the_same(
    box: Home, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    class Down(hh.Tracker):
        @hh.hookimpl
        def trial_started(self) -> None:
            raise SystemExit("no server")

    write(journal, TrialStarted.of(TRIAL))
    made = Projection(Delivery("down", Down()), box, "s", "a")
    made.acquire()
    for _ in range(3):
        assert not made.deliver_or_report()
    assert [record.getMessage() for record in caplog.records] == ["tracker down failed; tried again at the next event"]


def test_a_tracker_s_hooks_are_checked() -> None:
    class Wrong(hh.Tracker):
        @hh.hookimpl
        def metrics_logged(self, metricss: object) -> None: ...

    with pytest.raises(HookError, match="did you mean 'metrics'"):
        Delivery("wrong", Wrong())
