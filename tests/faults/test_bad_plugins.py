"""Plugins that fail: when they are imported, made, registered, or called. The training completes, the others hear all.

A plugin that cannot be used is one clear error before anything starts; nothing of the study is begun then.
"""

from __future__ import annotations

import importlib
import json
import logging
import re
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest

import hyperhook as hh
from hyperhook.events import MetricsLogged
from hyperhook.home import Home
from hyperhook.hookspecs import TrialEvents
from hyperhook.journal import read
from hyperhook.testing import RecordingPlugin
from hyperhook.workspace import JOURNAL

ROOT = Path(__file__).parents[2]
STEPS = 5
EVENTS = [name for name in vars(TrialEvents) if not name.startswith("_")]
ERRORS = [RuntimeError("broken"), SystemExit(3)]


Publish = Callable[[str, str], None]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that is not there yet."""
    return tmp_path / "home"


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module with the tracker that writes JSON lines."""
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "third_party" / "src"))
    return importlib.import_module("hyperhook_jsonl")


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Publish:
    """Installs a module with a class ``Bad``, published as the plugin ``bad``, as a distribution would."""

    def add(name: str, source: str) -> None:
        site = tmp_path / "site"
        info = site / f"{name}_dist-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-dist\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[hyperhook]\nbad = {name}:Bad\n")
        (site / f"{name}.py").write_text(f"import sys\nimport hyperhook as hh\n{source}")
        monkeypatch.syspath_prepend(str(site))

    return add


def train(trial: hh.Trial) -> None:
    """Cause every event that a trial can."""
    trial.log_params({"p": trial.number})
    trial.log_tags({"t": "x"})
    trial.log_note("n")
    trial.log_dataset("d")
    trial.log_artifact(__file__, name="w")
    trial.remove_artifact("w")
    for step in range(STEPS):
        trial.log({"loss": float(step)}, step=step)


def check(study: hh.Study, home: Path, out: Path, trials: int = 2) -> None:
    """Every trial ended, and journal and tracker have each of its points once."""
    assert [str(trial.state) for trial in study.trials] == ["COMPLETE"] * trials
    for trial in study.trials:
        events = [event for event, _ in read(Home(home).trial(trial.id) / JOURNAL)]
        assert [event.step for event in events if isinstance(event, MetricsLogged)] == list(range(STEPS))
        rows = [json.loads(line) for line in (out / f"{trial.name}.jsonl").read_text().splitlines()]
        assert Counter(row["step"] for row in rows if "name" in row) == Counter(range(STEPS))
        assert [row["state"] for row in rows if "state" in row] == ["COMPLETE"]
    assert list(Home(home).started()) == []


def culprits(records: Sequence[logging.LogRecord]) -> Counter[tuple[str, str]]:
    """How often each (plugin, hook) is named in the log."""
    named = (re.match(r"plugin (\w+) raised in (\w+);", record.getMessage()) for record in records)
    return Counter((match[1], match[2]) for match in named if match)


def plugin_that(name: str, raising: Callable[[], None], hooks: Sequence[str]) -> object:
    """A plugin whose hooks do this."""

    def method(hook: str) -> Callable[[object], None]:
        def implementation(self: object) -> None:
            raising()

        implementation.__name__ = hook
        return hh.hookimpl(implementation)

    return type(name, (), {hook: method(hook) for hook in hooks})()


def raiser(error: BaseException) -> Callable[[], None]:
    def raising() -> None:
        raise error

    return raising


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_plugin_that_raises_in_every_event_harms_nobody_and_is_named_once_for_each(
    home: Path, tmp_path: Path, third_party: ModuleType, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    before, after, out = RecordingPlugin(), RecordingPlugin(), tmp_path / "out"
    bad = plugin_that("Bad", raiser(error), EVENTS)
    with hh.Study("s", home=home, plugins=[before, bad, after], trackers=[third_party.JsonLines(str(out))]) as study:
        study.run(train, trials=2, progress=False)
    check(study, home, out)
    alone = RecordingPlugin()
    with hh.Study("s", home=tmp_path / "another home", plugins=[alone]) as other:
        other.run(train, trials=2, progress=False)
    assert before.hooks() == after.hooks() == alone.hooks()
    assert before.points() == after.points() == alone.points()
    assert culprits(caplog.records) == Counter(("Bad", hook) for hook in set(alone.hooks()))
    assert set(alone.hooks()) >= set(EVENTS) - {"trial_resumed"}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise ImportError('no such symbol')", "ImportError: no such symbol"),
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("sys.exit('no licence')", "SystemExit: no licence"),
        ("sys.exit()", "SystemExit"),
        ("class Bad:\n    def __init__(self): raise OSError('no socket')", "OSError: no socket"),
        ("class Bad:\n    def __init__(self): sys.exit(3)", "SystemExit: 3"),
        ("class Bad(hh.Tracker):\n    def __init__(self): raise KeyError('TOKEN')", "KeyError: 'TOKEN'"),
        ("class Bad:\n    def", "SyntaxError"),
        ("import no_such_library", "needs 'no_such_library'"),
    ],
)
@pytest.mark.parametrize("what", ["plugins", "trackers"])
def test_a_plugin_that_fails_at_import_or_when_made_is_one_error_that_names_it(
    home: Path, publish: Publish, source: str, reason: str, what: str
) -> None:
    publish(f"bad_{what}_{zlib.crc32(source.encode())}", source)
    with pytest.raises(hh.HyperhookError, match=r"'bad'.*" + re.escape(reason)):
        hh.Study("s", home=home, **{what: ["bad"]})  # type: ignore[arg-type]
    assert not home.exists()


HOOK = "    @hh.hookimpl\n    def trial_started(self, trial): pass\n"


@pytest.mark.parametrize("failure", ["raise RuntimeError('not now')", "sys.exit('not now')"])
@pytest.mark.parametrize(
    "source",
    [
        "class Bad:\n    @property\n    def odd(self): {failure}\n" + HOOK,
        "class Bad:\n    def __getattribute__(self, name):\n        if name.startswith('study_'): {failure}\n"
        "        return super().__getattribute__(name)\n" + HOOK,
        "class Bad:\n    def __hash__(self): {failure}\n" + HOOK,
    ],
    ids=["property", "attribute", "hash"],
)
def test_what_raises_when_it_is_looked_at_is_no_hook_and_no_hindrance(
    home: Path, publish: Publish, source: str, failure: str
) -> None:
    """Registering looks at every attribute of a plugin."""
    source = source.format(failure=failure)
    publish(f"bad_{zlib.crc32(source.encode())}", source)
    with hh.Study("s", home=home, plugins=["bad"]) as study:
        study.run(train, trials=1, progress=False)
    assert [str(trial.state) for trial in study.trials] == ["COMPLETE"]


@pytest.mark.parametrize("what", ["plugins", "trackers"])
def test_what_fails_to_register_is_one_error_before_anything_is_made(home: Path, publish: Publish, what: str) -> None:
    base = "hh.Tracker" if what == "trackers" else "object"
    publish(f"bad_hook_{what}", f"class Bad({base}):\n" + HOOK.replace("trial_started", "trial_start"))
    with pytest.raises(hh.HyperhookError, match="plugin Bad: there is no hook 'trial_start'; did you mean"):
        hh.Study("s", home=home, **{what: ["bad"]})  # type: ignore[arg-type]
    assert not home.exists()


def test_a_broken_plugin_that_nobody_named_is_not_even_imported(home: Path, publish: Publish, tmp_path: Path) -> None:
    publish("bad_unnamed", f"open({str(tmp_path / 'imported')!r}, 'w').close(); sys.exit('never')")
    with hh.Study("s", home=home) as study:
        study.run(train, trials=1, progress=False)
    assert [str(trial.state) for trial in study.trials] == ["COMPLETE"]
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_suggester_that_raises_stops_the_search_and_leaves_no_trial_running(
    home: Path, tmp_path: Path, third_party: ModuleType, error: BaseException
) -> None:
    """A decision's failure reaches the caller: there are no params to go on with."""
    failing = False

    def suggest() -> None:
        if failing:
            raise error

    out = tmp_path / "out"
    study = hh.Study(
        "s",
        {"x": hh.Float(0, 1)},
        home=home,
        plugins=[plugin_that("Bad", suggest, ["suggest"])],
        trackers=[third_party.JsonLines(str(out))],
    )
    study.run(train, trials=1, progress=False)
    failing = True
    with pytest.raises(type(error)):
        study.run(train, trials=2, progress=False)
    study.close()
    check(study, home, out, trials=1)


@pytest.mark.parametrize(("error", "state"), list(zip(ERRORS, ["FAILED", "KILLED"], strict=True)), ids=repr)
def test_a_pruner_that_raises_ends_the_trial_that_asked_it_and_its_points_are_kept(
    home: Path, tmp_path: Path, third_party: ModuleType, error: BaseException, state: str
) -> None:
    def asking(trial: hh.Trial) -> None:
        train(trial)
        assert trial.should_stop is not None

    out = tmp_path / "out"
    bad = plugin_that("Bad", raiser(error), ["should_stop"])
    study = hh.Study("s", home=home, plugins=[bad], trackers=[third_party.JsonLines(str(out))])
    if isinstance(error, Exception):
        study.run(asking, trials=1, progress=False)
    else:
        with pytest.raises(type(error)):
            study.run(asking, trials=1, progress=False)
    study.close()
    (trial,) = study.trials
    assert (trial.state, trial.error) == (state, f"{type(error).__name__}: {error}")
    rows = [json.loads(line) for line in (out / "s-0.jsonl").read_text().splitlines()]
    assert Counter(row["step"] for row in rows if "name" in row) == Counter(range(STEPS))
    assert [row["state"] for row in rows if "state" in row] == [state]
