"""Webhook: a real server on loopback, which answers as it likes."""

from __future__ import annotations

import json
import logging
import math
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import hyperhook as hh
from hyperhook.delivery import Delivery, Projection
from hyperhook.errors import PluginError
from hyperhook.events import MetricsLogged, StudyFinished, TrialFinished, TrialStarted
from hyperhook.home import STUDY_ITEM, Home
from hyperhook.journal import Journal
from hyperhook.workspace import JOURNAL
from hyperhook_adapters.webhook import Webhook

SECRET = "T0KEN-of-mine"
TRIAL = hh.TrialRecord("a1", 3, "digits", {"lr": 0.01, "act": "relu"}, started_time=100.0)
ENDED = replace(TRIAL, state=hh.TrialState.COMPLETE, value=0.97, step=120, epoch=2, finished_time=141.5)


@dataclass
class Server:
    """Hears posts and answers with the statuses in `answers`, then with 200; 0 is no answer at all."""

    answers: list[int] = field(default_factory=list)
    posts: list[dict[str, Any]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/{SECRET}?key={SECRET}"

    @property
    def keys(self) -> list[str]:
        return [post["headers"]["idempotency-key"] for post in self.posts]

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.posts.append({"method": request.command, "path": request.path, "headers": headers, **json.loads(body)})
        status = self.answers.pop(0) if self.answers else 200
        if not status:
            self.released.wait(30)
            return
        request.send_response(status)
        if status in (301, 302, 307, 308):
            request.send_header("Location", f"http://127.0.0.1:{self.port}/elsewhere")
        request.send_header("Content-Length", "0")
        request.end_headers()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "HYPERHOOK_WEBHOOK_URL"):
        monkeypatch.delenv(name, raising=False)
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.serve(self)

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        made.port = listening.server_address[1]
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.released.set()
        listening.shutdown()
        thread.join()


@pytest.fixture
def projection(tmp_path: Path) -> Iterator[Callable[..., Projection]]:
    """Delivers the journal of a whole trial; each call is another forwarder process."""
    home = Home(tmp_path / "home")
    journal = Journal(home.trial("a1") / JOURNAL)
    journal.append(TrialStarted.of(TRIAL))
    for step in range(5):
        journal.append(MetricsLogged(time=101.0 + step, metrics={"loss": 1.0}, step=step))
    journal.append(TrialFinished.of(ENDED))
    journal.close()
    held: list[Projection] = []

    def make(tracker: hh.Tracker) -> Projection:
        for old in held:
            old.release()
        held[:] = [Projection(Delivery("webhook", tracker), home, "digits", "a1")]
        assert held[0].acquire()
        return held[0]

    yield make
    for last in held:
        last.release()


def test_a_finished_trial_is_one_post(server: Server, projection: Callable[..., Projection]) -> None:
    assert projection(Webhook(server.url, headers={"Authorization": "Bearer abc"})).deliver()
    (post,) = server.posts
    headers = post.pop("headers")
    assert post == {
        "method": "POST",
        "path": f"/services/{SECRET}?key={SECRET}",
        "event": "trial_finished",
        "study": "digits",
        "trial": {
            "name": "digits-3",
            "number": 3,
            "state": "COMPLETE",
            "params": {"lr": 0.01, "act": "relu"},
            "value": 0.97,
            "step": 120,
            "error": None,
            "duration_seconds": 41.5,
        },
        "text": "digits-3 COMPLETE: 0.97 at step 120, after 41.5 s; lr=0.01, act=relu",
    }
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == "Bearer abc"
    assert headers["idempotency-key"] == "a1-trial_finished-141.5"


def test_all_events_in_order_each_with_a_key_of_its_own(server: Server) -> None:
    events = ["study_started", "trial_started", "trial_finished", "study_finished"]
    tracker = Webhook(server.url, events=events)
    study = hh.StudyRecord("digits", hh.Space({}))
    tracker.study_started(study)
    tracker.trial_started(TRIAL)
    tracker.trial_finished(ENDED)
    tracker.study_finished(study)
    assert [post["event"] for post in server.posts] == events
    assert len(set(server.keys)) == 4
    assert server.posts[0]["trial"] is server.posts[3]["trial"] is None
    assert [post["text"] for post in server.posts[::3]] == ["digits started", "digits finished"]
    assert server.posts[1]["trial"]["duration_seconds"] is None


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        (
            {"state": hh.TrialState.FAILED, "error": "ValueError: no\nmore", "finished_time": 102.0},
            "digits-3 FAILED: ValueError: no more, after 2.0 s",
        ),
        ({"state": hh.TrialState.KILLED, "error": "its process died"}, "digits-3 KILLED: its process died"),
        ({"state": hh.TrialState.PRUNED, "value": 1 / 3}, "digits-3 PRUNED: 0.333333"),
        ({"params": {"text": "x" * 1000}}, "digits-3 RUNNING; text=" + "x" * 476 + "…"),
    ],
)
def test_the_text_is_one_short_line(server: Server, facts: dict[str, Any], text: str) -> None:
    Webhook(server.url).trial_finished(replace(TRIAL, **{"params": {}, **facts}))
    assert server.posts[0]["text"] == text
    assert len(text) <= 500


def test_numbers_that_json_lacks_are_strings(server: Server) -> None:
    Webhook(server.url).trial_finished(replace(ENDED, value=math.inf, params={"a": math.nan, "b": -math.inf}))
    assert server.posts[0]["trial"]["value"] == "inf"
    assert server.posts[0]["trial"]["params"] == {"a": "nan", "b": "-inf"}


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_a_server_in_trouble_is_tried_again_with_the_same_key(
    server: Server, projection: Callable[..., Projection], status: int
) -> None:
    server.answers = [status, status]
    sending = projection(Webhook(server.url))
    for _ in range(2):
        with pytest.raises(hh.HyperhookError, match=rf"webhook at 127.0.0.1:{server.port} answered {status}") as raised:
            sending.deliver()
        assert SECRET not in str(raised.value)
        assert SECRET not in str(sending.cursor.error)
    assert sending.deliver()
    assert server.keys == ["a1-trial_finished-141.5"] * 3


def test_what_was_taken_is_not_sent_again_because_a_later_event_failed(
    server: Server, projection: Callable[..., Projection]
) -> None:
    server.answers = [200, 500]
    sending = projection(Webhook(server.url, events=["trial_started", "trial_finished"]))
    with pytest.raises(hh.HyperhookError):
        sending.deliver()
    assert sending.deliver()
    assert [post["event"] for post in server.posts] == ["trial_started", "trial_finished", "trial_finished"]


def test_a_crash_between_sending_and_confirming_repeats_the_key(
    server: Server, projection: Callable[..., Projection], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Webhook(server.url)
    with monkeypatch.context() as patch:
        patch.setattr(tracker, "flush", lambda trial: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            projection(tracker).deliver()
    assert len(server.posts) == 1
    assert projection(Webhook(server.url)).deliver()
    assert server.keys == ["a1-trial_finished-141.5"] * 2
    assert projection(Webhook(server.url)).deliver()
    assert len(server.posts) == 2


@pytest.mark.parametrize("status", [400, 401, 404, 410, 301, 302, 307, 308])
def test_a_refusal_for_good_is_said_once_and_blocks_nothing(
    server: Server, projection: Callable[..., Projection], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    server.answers = [status, status]
    tracker = Webhook(server.url)
    with caplog.at_level(logging.DEBUG):
        assert projection(tracker).deliver()
        tracker.trial_finished(replace(ENDED, id="a2"))
        tracker.trial_finished(replace(ENDED, id="a3"))
    assert len(server.posts) == 3
    assert {post["method"] for post in server.posts} == {"POST"}
    (record,) = [record for record in caplog.records if record.name == "hyperhook.webhook"]
    assert f"webhook at 127.0.0.1:{server.port} refused trial_finished with {status}" in record.getMessage()
    assert SECRET not in caplog.text


def test_a_server_that_never_answers_is_left_after_the_timeout(
    server: Server, projection: Callable[..., Projection]
) -> None:
    server.answers = [0]
    sending = projection(Webhook(server.url, timeout_seconds=0.2))
    began = time.monotonic()
    with pytest.raises(hh.HyperhookError, match=r"cannot be reached \(no answer within 0.2 s\)") as raised:
        sending.deliver()
    assert time.monotonic() - began < 5
    assert SECRET not in str(raised.value)
    assert sending.deliver()
    assert server.keys == ["a1-trial_finished-141.5"] * 2


def test_a_server_that_is_not_there(server: Server) -> None:
    tracker = Webhook(f"http://127.0.0.1:1/{SECRET}")
    with pytest.raises(
        hh.HyperhookError, match=r"webhook at 127.0.0.1:1 cannot be reached \(Connection refused\)"
    ) as it:
        tracker.trial_finished(ENDED)
    assert it.value.__suppress_context__
    assert not tracker.refuses(it.value)


def test_a_study_s_event_keeps_its_key_while_it_is_tried_and_the_next_has_another(server: Server) -> None:
    server.answers = [500]
    tracker = Webhook(server.url)
    study = hh.StudyRecord("digits", hh.Space({}))
    with pytest.raises(hh.HyperhookError):
        tracker.study_finished(study)
    tracker.study_finished(study)
    tracker.study_finished(study)
    first, again, next_one = server.keys
    assert first == again != next_one


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/x",
        "file:///etc/passwd",
        "example.com/x",
        "https://",
        "https://user:secret@host/x",
        "http://host/secret hook",
        "http://host/secret\nX-Other: 1",
        "http://host:secret/x",
        "http://[secret/x",
        "https://höst/secret",
        7,
    ],
)
def test_an_address_that_cannot_be_is_refused_and_not_shown(url: Any) -> None:
    with pytest.raises(hh.HyperhookError, match="Webhook: url: expected an address") as raised:
        Webhook(url)
    assert "secret" not in str(raised.value).replace("may be secret", "")


@pytest.mark.parametrize(
    "headers", [{"X-Token": "a\r\nb"}, {"X-Token": "höhe"}, {"X-Token": 5}, {"a b": "c"}, {"": "c"}, {"a:": "c"}]
)
def test_headers_that_cannot_be_are_refused_without_their_values(headers: Any) -> None:
    with pytest.raises(hh.HyperhookError, match="Webhook: headers: ") as raised:
        Webhook("http://host/", headers=headers)
    assert "höhe" not in str(raised.value)


@pytest.mark.parametrize(
    "options", [{"events": ["trial_ended"]}, {"timeout_seconds": 0}, {"timeout_seconds": math.nan}]
)
def test_options_that_cannot_be_are_refused(options: Any) -> None:
    with pytest.raises(hh.HyperhookError, match=next(iter(options))):
        Webhook("http://host/", **options)


def test_credentials_are_not_kept_with_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Webhook("http://host/").options() is None
    monkeypatch.setenv("HYPERHOOK_WEBHOOK_URL", f"http://host/{SECRET}\n")
    assert Webhook(headers={"a": "b"}).options() is None
    tracker = Webhook(events=("trial_started",), timeout_seconds=3)
    options = tracker.options()
    assert options == {"events": "trial_started", "timeout_seconds": 3.0}
    assert Webhook(**options).options() == options  # type: ignore[arg-type]
    assert SECRET not in repr(tracker)
    assert pickle.loads(pickle.dumps(tracker)).options() == options


def test_named_by_a_word_without_an_address_it_says_so_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HYPERHOOK_WEBHOOK_URL", raising=False)
    with pytest.raises(PluginError, match="set the environment variable HYPERHOOK_WEBHOOK_URL"):
        hh.Study("digits", trackers=["webhook"], home=tmp_path)


@pytest.mark.parametrize("delivery", ["inline", "forwarder"])
def test_a_study_named_by_a_word(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delivery: Any
) -> None:
    server.answers = [500]
    monkeypatch.setenv("HYPERHOOK_WEBHOOK_URL", server.url)
    with hh.Study(
        "digits", {"x": hh.Float(1, 2)}, hh.Minimize("y"), trackers=["webhook"], home=tmp_path, delivery=delivery
    ) as study:
        study.run(lambda trial: trial.params["x"], trials=2, progress=False)
        trials = study.trials
    taken = {post["headers"]["idempotency-key"]: post for post in server.posts}
    found = {post["trial"]["name"]: post["trial"] for post in taken.values() if post["trial"]}
    assert {name: trial["value"] for name, trial in found.items()} == {trial.name: trial.value for trial in trials}
    assert sum(post["event"] == "study_finished" for post in taken.values()) == 1
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert kept == []


def test_the_study_s_own_journal_is_tried_again_from_where_it_stopped(server: Server, tmp_path: Path) -> None:
    home = Home(tmp_path)
    journal = Journal(home.study("digits") / JOURNAL)
    journal.append(StudyFinished.of(hh.StudyRecord("digits", hh.Space({}))))
    journal.close()
    server.answers = [503]
    sending = Projection(Delivery("webhook", Webhook(server.url)), home, "digits", STUDY_ITEM)
    assert sending.acquire()
    with pytest.raises(hh.HyperhookError, match="answered 503"):
        sending.deliver()
    assert sending.deliver()
    sending.release()
    assert len(set(server.keys)) == 1
    assert len(server.posts) == 2
