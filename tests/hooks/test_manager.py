"""Plugins: found by name, checked when registered, isolated where they hear and heard where they decide."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import hyperhook as hh
from hyperhook.errors import HookError, MissingLibraryError, PluginError, UnknownPluginError
from hyperhook.hookspecs import Decisions, TrialEvents
from hyperhook.manager import (
    Manager,
    hooks_of,
    install_line,
    installed,
    load_plugin,
    load_tracker,
    load_trackers,
    missing_libraries,
)
from hyperhook.testing import RecordingPlugin

TRIAL = hh.TrialRecord("a", 0, "s")
STUDY = hh.StudyRecord("s", hh.Space({"x": hh.Float(0, 1)}))
EVENTS: dict[str, dict[str, object]] = {
    "study_started": {"study": STUDY},
    "trial_started": {"trial": TRIAL},
    "trial_resumed": {"trial": TRIAL},
    "trial_opened": {"trial": TRIAL},
    "params_logged": {"trial": TRIAL, "params": {"p": 1}},
    "metrics_logged": {"trial": TRIAL, "metrics": {"m": 1.0}, "step": 0, "epoch": None, "time": 0.0},
    "artifact_logged": {"trial": TRIAL, "artifact": hh.Artifact(Path("a"), "a")},
    "artifact_removed": {"trial": TRIAL, "artifact": hh.Artifact(Path("a"), "a")},
    "tags_logged": {"trial": TRIAL, "tags": {"t": "x"}},
    "note_logged": {"trial": TRIAL, "note": "n"},
    "dataset_logged": {"trial": TRIAL, "dataset": hh.Dataset("d")},
    "trial_finished": {"trial": TRIAL},
    "study_finished": {"study": STUDY},
}


def raiser(error: BaseException) -> object:
    """A plugin that raises in every event."""

    def method(name: str) -> Callable[[object], None]:
        def raising(self: object) -> None:
            raise error

        raising.__name__ = name
        return hh.hookimpl(raising)

    return type("Raiser", (), {name: method(name) for name in EVENTS})()


class Deciding:
    def __init__(self, name: str, answer: object, asked: list[str]) -> None:
        self.name, self.answer, self.asked = name, answer, asked

    @hh.hookimpl
    def suggest(self, study: hh.StudyRecord, count: int) -> object:
        self.asked.append(self.name)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def test_the_events_of_this_module_are_all() -> None:
    assert list(EVENTS) == [name for name in vars(TrialEvents) if not name.startswith("_")]


@pytest.mark.parametrize("hook", EVENTS)
@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3)])
def test_every_implementation_runs_although_another_raises(
    hook: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    before, behind = RecordingPlugin(), RecordingPlugin()
    manager = Manager([before, raiser(error), behind])
    for _ in range(3):
        getattr(manager.events, hook)(**EVENTS[hook])
    assert before.hooks() == behind.hooks() == [hook] * 3
    assert dict(before.calls[0].arguments) == EVENTS[hook]
    (report,) = caplog.records
    assert report.levelno == logging.ERROR
    assert report.getMessage().startswith(f"plugin Raiser raised in {hook};")
    assert report.exc_info is not None
    assert report.exc_info[1] is error


def test_each_hook_of_each_plugin_is_reported_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    manager = Manager([raiser(ValueError())])
    for _ in range(2):
        for hook, arguments in EVENTS.items():
            getattr(manager.events, hook)(**arguments)
    assert len(caplog.records) == len(EVENTS)


def test_ctrl_c_in_an_event_is_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt):
        Manager([raiser(KeyboardInterrupt())]).events.trial_started(trial=TRIAL)


def test_in_unguarded_events_a_failure_reaches_the_caller() -> None:
    with pytest.raises(ValueError, match="no"):
        Manager([raiser(ValueError("no"))]).unguarded.trial_started(trial=TRIAL)


def test_the_last_named_is_asked_first_and_the_first_answer_holds() -> None:
    asked: list[str] = []
    plugins = [Deciding(name, [{"x": name}], asked) for name in ("first", "last")]
    assert Manager(plugins).decide.suggest(study=STUDY, count=1) == [{"x": "last"}]
    assert asked == ["last"]


def test_none_passes_the_question_on_down_to_the_builtins() -> None:
    asked: list[str] = []
    manager = Manager([Deciding("plugin", None, asked)], [Deciding("builtin", [{}], asked)])
    assert manager.decide.suggest(study=STUDY, count=1) == [{}]
    assert asked == ["plugin", "builtin"]


def test_an_empty_answer_and_false_hold() -> None:
    asked: list[str] = []
    assert Manager([Deciding("a", [{}], asked), Deciding("b", [], asked)]).decide.suggest(study=STUDY, count=1) == []
    assert asked == ["b"]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()])
def test_what_a_decision_raises_reaches_the_caller_and_nobody_else_is_asked(error: BaseException) -> None:
    asked: list[str] = []
    manager = Manager([Deciding("a", [{}], asked), Deciding("b", error, asked)])
    with pytest.raises(type(error)):
        manager.decide.suggest(study=STUDY, count=1)
    assert asked == ["b"]


def test_decides_tells_whether_anyone_beside_the_builtins_may_answer() -> None:
    builtin = Deciding("builtin", None, [])
    assert not Manager([], [builtin]).decides("suggest")
    manager = Manager([Deciding("a", None, [])], [builtin])
    assert manager.decides("suggest")
    assert not manager.decides("should_stop")


class Misspelled:
    @hh.hookimpl
    def trial_start(self, trial: object) -> None: ...


class Invented:
    @hh.hookimpl
    def qqq(self) -> None: ...


class WrongArgument:
    @hh.hookimpl
    def metrics_logged(self, trial: object, metric: object) -> None: ...


class FarArgument:
    @hh.hookimpl
    def trial_started(self, zzz: object) -> None: ...


class Wrapping:
    @hh.hookimpl(wrapper=True)
    def trial_started(self, trial: object) -> object:
        return (yield)


class NoHook:
    def trial_started(self, trial: object) -> None: ...


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (Misspelled(), "plugin Misspelled: there is no hook 'trial_start'; did you mean 'trial_started'?"),
        (
            Invented(),
            "plugin Invented: there is no hook 'qqq'; the hooks are: study_started, trial_started, ",
        ),
        (
            WrongArgument(),
            "plugin WrongArgument: metrics_logged takes 'metric', its hook has trial, metrics, step, epoch, time; "
            "did you mean 'metrics'?",
        ),
        (FarArgument(), "plugin FarArgument: trial_started takes 'zzz', its hook has trial"),
        (Wrapping(), "plugin Wrapping: trial_started is an event, which nobody can wrap; drop wrapper=True"),
        (
            NoHook(),
            "plugin NoHook has no hook method: mark at least one with @hyperhook.hookimpl; the hooks are: study_",
        ),
    ],
)
def test_what_fits_no_contract_fails_when_registered_and_leaves_nothing(plugin: object, message: str) -> None:
    manager = Manager([])
    with pytest.raises(HookError) as raised:
        manager.register(plugin)
    assert str(raised.value).startswith(message)
    assert manager.plugins == []
    assert all(manager.implementations(hook) == [] for hook in EVENTS)
    manager.register(RecordingPlugin())


def test_a_plugin_takes_as_many_arguments_as_it_wants() -> None:
    heard: list[object] = []

    class Few:
        @hh.hookimpl
        def metrics_logged(self, time: float, step: int) -> None:
            heard.append((time, step))

    Manager([Few()]).events.metrics_logged(trial=TRIAL, metrics={}, step=3, epoch=None, time=1.5)
    assert heard == [(1.5, 3)]


def test_an_instance_twice_is_named_twice() -> None:
    plugin = RecordingPlugin()
    with pytest.raises(PluginError, match="plugin RecordingPlugin: named twice"):
        Manager([plugin, plugin])


def test_a_plugin_can_be_taken_out_again() -> None:
    plugin = RecordingPlugin()
    manager = Manager([plugin])
    manager.unregister(plugin)
    manager.events.trial_started(trial=TRIAL)
    assert plugin.calls == []
    assert manager.plugins == []


def test_a_pickled_manager_has_the_same_plugins() -> None:
    manager = pickle.loads(pickle.dumps(Manager([RecordingPlugin()], [Deciding("builtin", [{}], [])])))
    manager.events.trial_started(trial=TRIAL)
    assert manager.plugins[0].hooks() == ["trial_started"]
    assert not manager.decides("suggest")
    assert manager.decide.suggest(study=STUDY, count=1) == [{}]


def test_plugins_that_ship_are_found_and_keep_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERHOOK_WEBHOOK_URL", "http://127.0.0.1:9/")
    names = installed()
    assert list(names) == sorted(names)
    assert {"csv", "gp", "mlflow", "random", "tensorboard", "wandb", "webhook"} <= set(names)
    for name, entry in names.items():
        plugin = entry.load()()
        assert hooks_of(plugin), name
        Manager([]).register(plugin)


def test_an_unknown_name_lists_what_is_there_and_the_nearest() -> None:
    with pytest.raises(UnknownPluginError) as raised:
        load_plugin("randon")
    assert str(raised.value).startswith("no plugin 'randon' is installed; there are: ")
    assert str(raised.value).endswith("; did you mean 'random'?")
    with pytest.raises(UnknownPluginError, match=r"wandb, webhook$"):
        load_tracker("qqqqqqqq")


def test_without_any_plugin_installed_an_unknown_name_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hyperhook.manager.installed", lambda group: {})
    with pytest.raises(UnknownPluginError, match=r"there are: none$"):
        load_plugin("random")


def test_a_class_is_not_an_instance() -> None:
    with pytest.raises(
        PluginError, match=r"got the class RecordingPlugin, expected an instance; write RecordingPlugin\(\)"
    ):
        load_plugin(RecordingPlugin)
    with pytest.raises(PluginError, match=r"trackers: got the class Tracker, expected an instance; write Tracker\(\)"):
        load_tracker(hh.Tracker)


def test_trackers_and_plugins_are_not_mixed_up(mirrors: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"is a tracker; name it under trackers=\[…\]"):
        load_plugin(mirrors.Mirror(tmp_path))
    with pytest.raises(PluginError, match=r"is not a hyperhook.Tracker; name it under plugins=\[…\]"):
        load_tracker(RecordingPlugin())
    with pytest.raises(PluginError, match=r"plugins: 'mlflow' is a tracker"):
        load_plugin("mlflow")


@pytest.mark.parametrize("what", ["plugins", "trackers"])
@pytest.mark.parametrize("given", ["gp", {"gp"}, None, 3])
def test_names_stand_in_a_list(what: str, given: object) -> None:
    mend = "leave it out" if given is None else rf"write {what}=\["
    with pytest.raises(PluginError, match=rf"{what}: expected a list, got .*; {mend}"):
        Manager(given) if what == "plugins" else load_trackers(given)  # type: ignore[arg-type]


def test_cursors_are_named_by_the_entry_point_else_by_the_class(
    mirrors: ModuleType, publish: Callable[..., None], tmp_path: Path
) -> None:
    assert list(load_trackers([mirrors.Mirror(tmp_path)])) == ["mirror"]
    publish("looking-glass", "mirrors:Mirror")
    assert list(load_trackers([mirrors.Mirror(tmp_path)])) == ["looking-glass"]
    assert list(load_trackers(["looking-glass", mirrors.Slow(tmp_path)])) == ["looking-glass", "slow"]
    with pytest.raises(PluginError, match="'looking-glass' is named twice; name each once"):
        load_trackers(["looking-glass", mirrors.Mirror(tmp_path)])


def test_a_tracker_that_fits_no_contract_fails_where_it_is_named() -> None:
    class Misnamed(hh.Tracker):
        @hh.hookimpl
        def metric_logged(self, trial: object) -> None: ...

    with pytest.raises(HookError, match="did you mean 'metrics_logged'"):
        load_trackers([Misnamed()])


# A library that is missing: told in one line, with the command that installs it.


@pytest.fixture
def needy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, publish: Callable[..., None]) -> str:
    """A distribution whose plugins need libraries that nobody has."""
    (tmp_path / "needy.py").write_text(
        "import hyperhook as hh\n"
        "class Lazy(hh.Tracker):\n"
        "    requires = ('json', 'no_such_library')\n"
        "    @hh.hookimpl\n"
        "    def trial_started(self, trial): ...\n"
    )
    (tmp_path / "eager.py").write_text("import no_such_library\n")
    (tmp_path / "broken.py").write_text("class Broken:\n    def __init__(self): raise RuntimeError('no key')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    extra = "no-such.library>=2; extra == 'everything'", 'no-such-library>=2 ; extra == "lazy"', "other; extra == 'all'"
    publish("lazy", "needy:Lazy", *extra[1:])
    publish("eager", "eager:Eager", "no_such_library; extra == 'dev'")
    publish("broken", "broken:Broken")
    publish("gone", "needy:Gone")
    return "no_such_library"


@pytest.mark.parametrize("load", [lambda name: load_tracker(name), lambda name: Manager([name])])
def test_a_library_that_is_missing_is_named_with_the_line_that_installs_it(
    needy: str, load: Callable[[str], object]
) -> None:
    with pytest.raises(MissingLibraryError) as raised:
        load("eager")
    assert str(raised.value) == f"plugin 'eager' needs '{needy}', not installed here: pip install {needy}"
    assert "\n" not in str(raised.value)


def test_a_lazy_plugin_says_so_when_it_is_named_by_the_extra_that_brings_it(needy: str) -> None:
    expected = f"plugin 'lazy' needs '{needy}', not installed here: pip install 'lazy-dist[lazy]'"
    with pytest.raises(MissingLibraryError) as raised:
        load_tracker("lazy")
    assert str(raised.value) == expected
    instance = installed()["lazy"].load()()
    assert missing_libraries(instance) == missing_libraries(type(instance)) == [needy]
    with pytest.raises(MissingLibraryError) as raised:
        load_tracker(instance)
    assert str(raised.value) == expected


def test_of_several_extras_that_bring_a_library_the_plugin_s_own_is_named(publish: Callable[..., None]) -> None:
    publish("light", "lazy:Lazy", "no-such; extra == 'heavy'", "no-such; extra == 'light'")
    publish("other", "lazy:Lazy", "no-such; extra == 'heavy'", "no-such; extra == 'light'")
    assert install_line(installed()["light"], ["no_such"]) == "pip install 'light-dist[light]'"
    assert install_line(installed()["other"], ["no_such"]) == "pip install 'other-dist[heavy]'"


def test_the_extras_of_our_own_distribution_are_found() -> None:
    for name, library, extra in (("mlflow", "mlflow", "mlflow"), ("gp", "gpytorch", "gp"), ("sobol", "scipy", "sobol")):
        assert install_line(installed()[name], [library]) == f"pip install 'hyperhook[{extra}]'"
    assert install_line(None, ["a", "b"]) == "pip install a b"


def test_a_plugin_that_cannot_start_says_which_and_why(needy: str) -> None:
    with pytest.raises(PluginError, match=r"plugin 'broken' \(broken:Broken\) cannot start: RuntimeError: no key"):
        load_plugin("broken")
    with pytest.raises(PluginError, match=r"plugin 'gone' \(needy:Gone\) cannot start: AttributeError"):
        load_plugin("gone")


def test_installing_switches_nothing_on(needy: str, study: Callable[..., hh.Study]) -> None:
    assert "lazy" in installed()
    study().ask()


def test_hooks_of_a_class_and_of_an_instance() -> None:
    assert hooks_of(RecordingPlugin) == hooks_of(RecordingPlugin()) == list(EVENTS)
    assert hooks_of(NoHook()) == []
    assert hooks_of(Deciding("a", None, [])) == ["suggest"]
    assert set(hooks_of(Misspelled())) & {*vars(TrialEvents), *vars(Decisions)} == set()
