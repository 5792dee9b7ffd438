"""Trackers that raise, hang, or end the forwarder: each is named, the others have all, the training ends in time.

Each study has a tracker that works beside those that do not. `tests/hooks/test_forwarder.py` has servers that are down,
events that are refused, and forwarders that are killed; here the tracker itself is broken.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import hyperhook as hh
from hyperhook import courier
from hyperhook.events import MetricsLogged
from hyperhook.forwarder import deliver
from hyperhook.home import Home
from hyperhook.hookspecs import TrialEvents
from hyperhook.journal import read
from hyperhook.manager import load_trackers
from hyperhook.status import TrackerStatus, status
from hyperhook.workspace import JOURNAL, Workspace

ROOT = Path(__file__).parents[2]
STEPS = 5
BOUND_SECONDS = 15.0
"""How long a run may take whose trackers fail: its trainings, one flush of a second, and a slow machine."""


EVENTS = [name for name in vars(TrialEvents) if name not in ("trial_opened", "trial_resumed") and name[0] != "_"]
METHODS = [*EVENTS, "flush"]

TRACKERS = f"""
import asyncio, os, sys, threading, time
import hyperhook as hh
from hyperhook_jsonl import JsonLines


class SlowToStart(JsonLines):
    @hh.hookimpl
    def trial_started(self, trial):
        time.sleep(0.5)  # as a library does that is imported first
        super().trial_started(trial)


hold = threading.Event()  # who waits for it hangs
error = {{"RuntimeError": RuntimeError("broken"), "SystemExit": SystemExit(3)}}


class Leaking(JsonLines):
    batch_size = 1
    kept = []

    def flush(self, trial):
        self.kept.append(bytearray(b"x") * (16 << 20))
        return super().flush(trial)


class Slow(JsonLines):
    batch_size = 1

    def flush(self, trial):
        time.sleep(0.05)
        return super().flush(trial)


class Closing(JsonLines):
    def close(self):
        (self.folder / "closed").touch()


def broken(where, how, folder):
    '''Make a tracker that fails in one method, under a name of its own.'''
    return globals()[f"{{how}}_{{where}}"](folder)


def make(where, how):
    def method(self, *arguments):
        if how == "hang":
            hold.wait()
        elif how == "once":
            flag = self.folder / "failed"
            if not flag.exists():
                flag.touch()
                raise asyncio.CancelledError("cancelled")
        elif how == "exit":
            os._exit(5)
        else:
            raise error[how]
        return getattr(JsonLines, where, lambda *_: None)(self, *arguments)

    names = {{"study_started": "study", "study_finished": "study", "flush": "trial", "close": ""}}
    taken = {{
        "metrics_logged": "trial, metrics, step, epoch", "params_logged": "trial, params", "tags_logged": "trial, tags",
        "note_logged": "trial, note", "dataset_logged": "trial, dataset",
        "artifact_logged": "trial, artifact", "artifact_removed": "trial, artifact",
        "resume": "trial, state", **names,
    }}.get(where, "trial")
    scope = {{"method": method}}
    exec(f"def {{where}}(self, {{taken}}): return method(self, {{taken}})", scope)
    function = scope[where]
    members = {{where: function if where in ("flush", "resume", "close") else hh.hookimpl(function)}}
    return type(f"{{how}}_{{where}}", (JsonLines,), {{"__module__": __name__, **members}})


for where in {[*METHODS, "resume", "close"]!r}:
    for how in ("RuntimeError", "SystemExit", "hang", "exit", "once"):
        globals()[f"{{how}}_{{where}}"] = make(where, how)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that is not there yet."""
    return tmp_path / "home"


@pytest.fixture
def trackers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module of broken trackers, importable here and in forwarders."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "broken_trackers.py").write_text(TRACKERS)
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "third_party" / "src"))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "broken_trackers", raising=False)
    made = importlib.import_module("broken_trackers")
    yield made
    made.hold.set()
    del sys.modules["broken_trackers"]


def train(trial: hh.Trial) -> None:
    """Cause every event that a trial can."""
    trial.log_params({"p": trial.number})
    trial.log_tags({"t": "x"})
    trial.log_note("n")
    trial.log_dataset("d")
    for name in ("kept", "gone"):
        trial.log_artifact(__file__, name=name)
    trial.remove_artifact("gone")
    for step in range(STEPS):
        trial.log({"loss": float(step)}, step=step)


def everything(trials: int) -> tuple[Counter[tuple[int, int]], dict[int, str]]:
    points = Counter((number, step) for number in range(trials) for step in range(STEPS))
    return points, dict.fromkeys(range(trials), "COMPLETE")


def received(folder: Path) -> tuple[Counter[tuple[int, int]], dict[int, str]]:
    """The (trial number, step) that a tracker holds, and how each trial ended there."""
    points: Counter[tuple[int, int]] = Counter()
    states = {}
    for file in folder.glob("*.jsonl"):
        number = int(file.stem.removeprefix("s-"))
        for row in map(json.loads, file.read_text().splitlines()):
            if "name" in row:
                points[(number, row["step"])] += 1
            elif "state" in row:
                states[number] = row["state"]
    return points, states


def check(study: hh.Study, home: Path, good: Path, trials: int) -> None:
    """Store, journals and the tracker that works agree: every trial ended, each point is there once."""
    assert {trial.number: str(trial.state) for trial in study.trials} == everything(trials)[1]
    journalled = [
        (trial.number, event.step)
        for trial in study.trials
        for event, _ in read(Home(home).trial(trial.id) / JOURNAL)
        if isinstance(event, MetricsLogged)
    ]
    assert Counter(journalled) == everything(trials)[0]
    assert received(good) == everything(trials)
    assert list(Home(home).started()) == []


def rows(home: Path) -> dict[str, TrackerStatus]:
    return {row.tracker: row for row in status(Home(home), Workspace(Home(home)).store.study("s"))}


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {seconds} s"
        time.sleep(0.01)


@contextlib.contextmanager
def opened(home: Path, named: list[hh.Tracker], delivery: str = "forwarder") -> Iterator[hh.Study]:
    """A study; in the end its forwarder is killed, which else goes on for as long as its patience lasts."""
    study = hh.Study("s", home=home, trackers=named, delivery=delivery, flush_timeout_seconds=1.0)  # type: ignore[arg-type]
    forwarder = study._outlet._forwarder
    try:
        yield study
    finally:
        pid = forwarder.pid if forwarder else None
        study.flush_timeout_seconds = 0.0
        study.close()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("delivery", "how"),
    [
        ("forwarder", "RuntimeError"),
        ("inline", "SystemExit"),
        pytest.param("forwarder", "SystemExit", marks=pytest.mark.slow),
        pytest.param("inline", "RuntimeError", marks=pytest.mark.slow),
    ],
)
def test_trackers_that_raise_anywhere_are_named_and_harm_no_other(
    home: Path, tmp_path: Path, trackers: ModuleType, delivery: str, how: str
) -> None:
    """A tracker for each method that may raise, and one that works, in one study."""
    good = trackers.JsonLines(str(tmp_path / "good"))
    broken = [trackers.broken(method, how, str(tmp_path / method)) for method in METHODS]
    with opened(home, [*broken[:5], good, *broken[5:]], delivery) as study:
        begun = time.monotonic()
        study.run(train, trials=2, progress=False)
        assert time.monotonic() - begun < BOUND_SECONDS
        check(study, home, tmp_path / "good", trials=2)
        found = rows(home)
    assert (found["jsonlines"].pending, found["jsonlines"].error) == (0, None)
    of_trials = [method for method in METHODS if not method.startswith("study_")]
    error = {"RuntimeError": "RuntimeError: broken", "SystemExit": "SystemExit: 3"}[how]
    for method in of_trials:
        row = found[f"{how}_{method}".lower()]
        assert (row.pending, row.error) == (2, error), method
    shown = subprocess.run(
        [sys.executable, "-m", "hyperhook", "status", "s", "--home", str(home)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for method in of_trials:
        assert any(f"{how}_{method}".lower() in line and error in line for line in shown.splitlines()), shown


@pytest.mark.parametrize("method", ["study_started", "study_finished"])
def test_a_tracker_that_raises_at_a_studys_own_events_is_named(
    home: Path, tmp_path: Path, trackers: ModuleType, method: str
) -> None:
    broken = trackers.broken(method, "RuntimeError", str(tmp_path / "broken"))
    with opened(home, [broken, trackers.JsonLines(str(tmp_path / "good"))], "inline") as study:
        study.run(train, trials=1, progress=False)
        check(study, home, tmp_path / "good", trials=1)
        assert received(tmp_path / "broken") == everything(1)
        assert rows(home)[f"runtimeerror_{method}"].error == "RuntimeError: broken"


@pytest.mark.parametrize("how", ["RuntimeError", "SystemExit"])
def test_a_tracker_that_raises_in_resume_is_named_and_goes_on_when_it_no_longer_does(
    home: Path, tmp_path: Path, trackers: ModuleType, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(courier, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(courier, "FIRST_RETRY_SECONDS", 0.01)
    broken = trackers.broken("resume", how, str(tmp_path / "broken"))
    good = trackers.JsonLines(str(tmp_path / "good"))
    with opened(home, [broken, good], "inline") as study:
        trial = study.ask()
        train(trial)
        study._live.let_go(trial.id)  # as its process dies
        Home(home).alive(trial.id).release()
    left = deliver(Workspace(Home(home)), "s", load_trackers([broken, good]))
    assert [(row.tracker, row.items) for row in left] == [(f"{how}_resume".lower(), 1)]
    assert (rows(home)[f"{how}_resume".lower()].error or "").startswith(how)
    points, _ = everything(1)
    assert received(tmp_path / "good") == (points, {0: "KILLED"})
    monkeypatch.setattr(type(broken), "resume", trackers.JsonLines.resume)
    assert deliver(Workspace(Home(home)), "s", load_trackers([broken, good])) == []
    assert received(tmp_path / "broken") == (points, {0: "KILLED"})


@pytest.mark.parametrize("how", ["RuntimeError", "SystemExit"])
@pytest.mark.parametrize("delivery", ["forwarder", "inline"])
def test_a_tracker_that_raises_when_it_is_closed_has_everything_and_keeps_no_other_from_closing(
    home: Path, tmp_path: Path, trackers: ModuleType, delivery: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    broken = trackers.broken("close", how, str(tmp_path / "broken"))
    closing = trackers.Closing(str(tmp_path / "good"))
    with opened(home, [broken, closing], delivery) as study:
        study.run(train, trials=1, progress=False)
        check(study, home, tmp_path / "good", trials=1)
        study.close()
    assert received(tmp_path / "broken") == everything(1)
    wait_for((tmp_path / "good" / "closed").exists)
    if delivery == "inline":
        assert f"{how}_close".lower() in caplog.text.lower()
    elif how == "RuntimeError":  # a thread that exits says nothing
        assert f"{how}_close".lower() in (home / "logs" / "forwarder.log").read_text().lower()


@pytest.mark.parametrize("where", ["trial_started", "flush", "study_started"])
def test_a_tracker_that_hangs_is_named_wherever_it_does(
    home: Path, tmp_path: Path, trackers: ModuleType, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`deliver`, as `hyperhook sync` calls it, in this process and so with other patience."""
    monkeypatch.setattr(courier, "NOTICE_SECONDS", 0.1)
    monkeypatch.setattr(courier, "HANG_SECONDS", 0.3)
    monkeypatch.setattr(courier, "POLL_SECONDS", 0.01)
    named = [trackers.broken(where, "hang", str(tmp_path / "hanging")), trackers.JsonLines(str(tmp_path / "good"))]
    with opened(home, []) as study:
        study.run(train, trials=1, progress=False)
    with opened(home, [named[1]], "inline") as study:
        study.run(train, trials=2, progress=False)  # leaves a study's own journal, too
    box = Home(home)
    for name in load_trackers(named):
        for item in ("study", *(trial.id for trial in study.trials)):
            box.post("s", name, item)
    begun = time.monotonic()
    left = deliver(Workspace(box), "s", load_trackers(named))
    assert time.monotonic() - begun < BOUND_SECONDS
    assert [row.tracker for row in left] == [f"hang_{where}"]
    assert (left[0].error or "").startswith("no answer for ")
    assert received(tmp_path / "good") == everything(2)
    trackers.hold.set()  # it comes back, late: the rest arrives once
    wait_for(lambda: not box.posted("s", f"hang_{where}"))
    assert received(tmp_path / "hanging") == everything(2)


def test_a_tracker_that_takes_long_with_many_batches_does_not_hang(
    home: Path, tmp_path: Path, trackers: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Sending a long journal is one call of the courier's; what counts is that its batches are confirmed."""
    monkeypatch.setattr(courier, "NOTICE_SECONDS", 0.3)
    monkeypatch.setattr(courier, "HANG_SECONDS", 0.4)
    monkeypatch.setattr(courier, "POLL_SECONDS", 0.01)
    slow = trackers.Slow(str(tmp_path / "slow"))
    with opened(home, []) as study:
        study.run(train, trials=1, progress=False)
    Home(home).post("s", "slow", study.trials[0].id)
    begun = time.monotonic()
    assert deliver(Workspace(Home(home)), "s", load_trackers([slow])) == []
    assert time.monotonic() - begun > courier.HANG_SECONDS
    assert received(tmp_path / "slow") == everything(1)
    assert "has not returned from a call" not in caplog.text


def test_a_tracker_that_hangs_when_it_is_closed_is_left_behind(
    home: Path, tmp_path: Path, trackers: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(courier, "NOTICE_SECONDS", 0.1)
    monkeypatch.setattr(courier, "HANG_SECONDS", 0.3)
    monkeypatch.setattr(courier, "POLL_SECONDS", 0.01)
    named = [trackers.broken("close", "hang", str(tmp_path / "hanging")), trackers.JsonLines(str(tmp_path / "good"))]
    with opened(home, []) as study:
        study.run(train, trials=1, progress=False)
    for name in load_trackers(named):
        Home(home).post("s", name, study.trials[0].id)
    begun = time.monotonic()
    assert deliver(Workspace(Home(home)), "s", load_trackers(named)) == []
    assert time.monotonic() - begun < BOUND_SECONDS
    assert received(tmp_path / "hanging") == received(tmp_path / "good") == everything(1)
    assert "hang_close has not returned from a call" in caplog.text
    trackers.hold.set()
    wait_for(lambda: not any(thread.name == "hyperhook-hang_close" for thread in threading.enumerate()))


def test_a_training_whose_tracker_hangs_ends_in_time(
    home: Path, tmp_path: Path, trackers: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    named = [
        trackers.broken("metrics_logged", "hang", str(tmp_path / "hanging")),
        trackers.JsonLines(str(tmp_path / "good")),
    ]
    with opened(home, named) as study:
        begun = time.monotonic()
        study.run(train, trials=2, progress=False)
        assert time.monotonic() - begun < BOUND_SECONDS
        check(study, home, tmp_path / "good", trials=2)
    assert "hang_metrics_logged lacks 2 of study s" in caplog.text


def test_a_tracker_that_exits_the_forwarder_delays_no_training_and_is_left_out_of_the_next(
    home: Path, tmp_path: Path, trackers: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    exiting = trackers.broken("metrics_logged", "exit", str(tmp_path / "exiting"))
    good = trackers.JsonLines(str(tmp_path / "good"))
    with opened(home, [exiting, good]) as study:
        begun = time.monotonic()
        study.run(train, trials=2, progress=False)
        assert time.monotonic() - begun < BOUND_SECONDS
    assert "exit_metrics_logged lacks 2 of study s" in caplog.text
    with opened(home, [good]) as study:
        study.flush_timeout_seconds = 30.0
        assert study.run(train, trials=3, progress=False).flush()
        check(study, home, tmp_path / "good", trials=3)


@pytest.mark.slow
def test_a_tracker_that_exits_the_forwarder_costs_the_others_nothing(
    home: Path, tmp_path: Path, trackers: ModuleType
) -> None:
    exiting = trackers.broken("metrics_logged", "exit", str(tmp_path / "exiting"))
    good = trackers.SlowToStart(str(tmp_path / "good"))
    with opened(home, [exiting, good]) as study:
        study.flush_timeout_seconds = 5.0
        study.run(train, trials=2, progress=False)
        check(study, home, tmp_path / "good", trials=2)


def test_a_tracker_that_exits_the_forwarder_is_named(home: Path, tmp_path: Path, trackers: ModuleType) -> None:
    with opened(home, [trackers.broken("metrics_logged", "exit", str(tmp_path / "exiting"))]) as study:
        study.run(train, trials=1, progress=False)
        error = rows(home)["exit_metrics_logged"].error
    assert error is not None
    assert "exit" in error or "died" in error


def test_a_tracker_that_leaks_is_named_and_the_rest_of_the_memory_is_the_trainings(
    home: Path, tmp_path: Path, trackers: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It grows by 16 MB an event; each forwarder that became too large makes room for another one, which goes on."""
    monkeypatch.setenv("HYPERHOOK_FORWARDER_MB", "150")
    leaking, good = trackers.Leaking(str(tmp_path / "leaking")), trackers.JsonLines(str(tmp_path / "good"))
    with opened(home, [leaking, good]) as study:
        study.flush_timeout_seconds = 0.0
        study.run(train, trials=2, progress=False)
        study.flush_timeout_seconds = 60.0

        def is_named() -> bool:
            assert study.flush()
            return rows(home)["leaking"].error is not None

        wait_for(is_named, seconds=60.0)
        check(study, home, tmp_path / "good", trials=2)
        found = rows(home)
    assert received(tmp_path / "leaking") == everything(2)
    assert found["leaking"].error == "the forwarder became too large in its call"
    assert found["jsonlines"].error is None
    assert "leaking let the forwarder grow by" in (home / "logs" / "forwarder.log").read_text()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_tracker_that_raises_what_is_no_exception_is_tried_again(
    home: Path, tmp_path: Path, trackers: ModuleType
) -> None:
    """Libraries that use asyncio raise CancelledError, a BaseException; in a thread it is as good as any other."""
    named = [
        trackers.broken("metrics_logged", "once", str(tmp_path / "cancelled")),
        trackers.JsonLines(str(tmp_path / "good")),
    ]
    with opened(home, []) as study:
        study.run(train, trials=2, progress=False)
    for name in load_trackers(named):
        for trial in study.trials:
            Home(home).post("s", name, trial.id)
    assert deliver(Workspace(Home(home)), "s", load_trackers(named)) == []
    check(study, home, tmp_path / "good", trials=2)
    assert received(tmp_path / "cancelled") == everything(2)
