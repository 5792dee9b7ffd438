"""The command line: what it prints, and one line and exit code 2 where it cannot."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import hyperhook as hh
from hyperhook import cli, courier
from hyperhook.errors import NothingLeftError
from hyperhook.home import Home
from hyperhook.study import Study
from hyperhook_adapters.tensorboard import TensorBoard

OpenStudy = Callable[..., Study]


class Done:
    """What a command left: exit code and lines."""

    def __init__(self, code: object, captured: tuple[str, str]) -> None:
        self.code = code
        self.out, self.err = (text.splitlines() for text in captured)

    def json(self) -> list[dict[str, Any]]:
        """What was answered to a program."""
        (line,) = self.out
        return json.loads(line)  # type: ignore[no-any-return]

    def table(self) -> list[dict[str, str]]:
        """The rows of a table, by the names of the columns."""
        header = self.out[0]
        starts = [match.start() for match in re.finditer(r"(?<!\S)\S", header)]
        ends = [*starts[1:], None]
        cells = [[line[a:b].strip() for a, b in zip(starts, ends, strict=True)] for line in self.out]
        return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


@pytest.fixture
def hyperhook(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs the command as the console script does, in `home`."""
    monkeypatch.setenv("HYPERHOOK_HOME", str(home))

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["hyperhook", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Done(ended.value.code, capsys.readouterr())

    return run


def test_plugins_lists_what_ships_with_its_kind_and_hooks(hyperhook: Callable[..., Done]) -> None:
    done = hyperhook("plugins")
    assert done.code == 0
    rows = {row["name"]: row for row in done.table()}
    assert {name: row["kind"] for name, row in rows.items()} == {
        "asha": "plugin",
        "budget": "plugin",
        "converged": "plugin",
        "csv": "tracker",
        "evolution": "plugin",
        "gp": "plugin",
        "grid": "plugin",
        "hyperband": "plugin",
        "median": "plugin",
        "no_improvement": "plugin",
        "patience": "plugin",
        "percentile": "plugin",
        "provenance": "plugin",
        "refine": "plugin",
        "sobol": "plugin",
        "system": "plugin",
        "mlflow": "tracker",
        "random": "plugin",
        "target": "plugin",
        "tensorboard": "tracker",
        "tpe": "plugin",
        "wandb": "tracker",
        "webhook": "tracker",
        "ray": "plugin",
        "workers": "plugin",
    }
    assert rows["random"]["hooks"] == "suggest"
    assert rows["gp"]["hooks"] == "prepare, suggest, predict, importance, which_is_best"
    assert rows["mlflow"]["hooks"] == "events"
    assert rows["random"]["from"] == f"hyperhook {hh.__version__}"
    assert {row["state"] for row in rows.values()} == {"ready"}


def test_plugins_names_what_is_missing_and_what_is_broken(
    hyperhook: Callable[..., Done], publish: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs.py").write_text(
        "import hyperhook as hh\nclass Lazy(hh.Tracker):\n    requires = ('no_such',)\n"
    )
    (tmp_path / "eager.py").write_text("import no_such\n")
    (tmp_path / "raising.py").write_text("raise RuntimeError('[red]not here')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    publish("lazy", "theirs:Lazy", "no-such; extra == 'lazy'")
    publish("eager", "eager:Eager")
    publish("raising", "raising:Raising")
    rows = {row["name"]: row for row in hyperhook("plugins").table()}
    assert rows["lazy"]["state"] == "missing: pip install 'lazy-dist[lazy]'"
    assert rows["eager"]["state"] == "missing: pip install no_such"
    assert rows["raising"]["state"] == "broken: RuntimeError: [red]not here"
    assert rows["lazy"]["from"] == "lazy-dist 1.0"


def test_studies_lists_each_with_its_count_and_best(hyperhook: Callable[..., Done], study: OpenStudy) -> None:
    one = study("one", objective=hh.Maximize("acc"))
    one.run(lambda trial: trial.number / 10, trials=3)
    one.tell(one.ask(), state=hh.TrialState.FAILED)
    one.tell(one.ask(), state=hh.TrialState.KILLED)
    one.ask()
    study("[two]", space=None, objective=None)
    done = hyperhook("studies")
    assert done.code == 0
    assert done.table() == [
        {
            "study": "one",
            "objective": "maximize acc",
            "trials": "6",
            "running": "1",
            "complete": "3",
            "failed": "1",
            "killed": "1",
            "best": "0.2",
        },
        {
            "study": "[two]",
            "objective": "-",
            "trials": "0",
            "running": "0",
            "complete": "0",
            "failed": "0",
            "killed": "0",
            "best": "-",
        },
    ]


def test_programs_are_answered_in_json(hyperhook: Callable[..., Done], study: OpenStudy) -> None:
    made = study(constraints={"ms": ("<=", 20)})
    made.tell(made.ask(), {"loss": 0.5, "ms": 12}, stderr=0.125)
    made.tell(made.ask(), {"loss": 0.25, "ms": 30})
    made.tell(made.ask(), state=hh.TrialState.FAILED, error="[no]")
    made.enqueue({"x": 0.5})
    (listed,) = hyperhook("studies", "--json").json()
    assert listed == {
        "study": "s",
        "objectives": ["minimize loss"],
        "trials": 4,
        "queued": 1,
        "running": 0,
        "complete": 2,
        "pruned": 0,
        "failed": 1,
        "killed": 0,
        "best_trials": [0],
        "best_value": 0.5,
        "feasible": True,
    }
    trials = hyperhook("show", "s", "--json").json()
    assert [trial["trial"] for trial in trials] == [0, 1, 2, 3]
    assert [trial["feasible"] for trial in trials] == [True, False, None, None]
    assert (trials[0]["value"], trials[0]["stderr"], trials[0]["metrics"]) == (0.5, 0.125, {"ms": 12.0})
    assert [trial["params"] for trial in trials] == [dict(made.trials[trial["trial"]].params) for trial in trials]
    assert trials[2]["error"] == "[no]"
    assert hyperhook("best", "s", "--json").json() == trials[:1]
    assert hyperhook("status", "--json").json() == []
    (random,) = (row for row in hyperhook("plugins", "--json").json() if row["name"] == "random")
    assert (random["kind"], random["state"]) == ("plugin", "ready")


def test_best_is_the_best_trial_or_the_front(hyperhook: Callable[..., Done], study: OpenStudy) -> None:
    one = study("one")
    done = hyperhook("best", "one")
    assert (done.code, done.err) == (
        2,
        ["hyperhook: study 'one' has no trial with a value yet (0 trials); run it first"],
    )
    one.run(lambda trial: [0.5, 0.25, 0.75][trial.number], trials=3)
    assert [row["trial"] for row in hyperhook("best", "one").table()] == ["1"]
    two = study("two", objective=[hh.Minimize("loss"), hh.Maximize("speed")])
    for loss, speed in [(0.2, 1), (0.4, 3), (0.3, 1)]:
        two.tell(two.ask(), {"loss": loss, "speed": speed})
    assert [row["trial"] for row in hyperhook("best", "two").table()] == ["0", "1"]


@pytest.mark.parametrize(("objective", "order"), [(hh.Maximize("m"), "2 0 1"), (hh.Minimize("m"), "1 0 2")])
def test_show_puts_the_best_first_and_those_without_a_value_behind(
    hyperhook: Callable[..., Done], study: OpenStudy, objective: hh.Objective, order: str
) -> None:
    made = study(objective=objective)
    for value in (0.5, 0.0, 0.75):
        trial = made.ask()
        trial.log({"m": value}, step=7, epoch=1)
        made.tell(trial)
    made.tell(made.ask(), state=hh.TrialState.FAILED, error="ValueError: [bold]no")
    pruned = made.ask()
    pruned.log({"m": 9.0 if objective.direction == "maximize" else -9.0})
    made.tell(pruned, state=hh.TrialState.PRUNED)
    made.ask()
    done = hyperhook("show", "s")
    assert done.code == 0
    rows = done.table()
    assert [row["trial"] for row in rows] == [*order.split(), "3", "4", "5"]
    assert [row["state"] for row in rows] == ["COMPLETE"] * 3 + ["FAILED", "PRUNED", "RUNNING"]
    best = made.best
    assert (rows[0]["value"], rows[0]["step"], rows[0]["epoch"]) == (f"{best.value:.6g}", "7", "1")
    assert rows[0]["x"] == f"{best.params['x']:.6g}"
    assert rows[3]["error"] == "ValueError: [bold]no"
    assert rows[5]["time"] == "-"


def test_constraints_are_shown_and_what_does_not_meet_them_stands_behind(
    hyperhook: Callable[..., Done], study: OpenStudy
) -> None:
    made = study(constraints={"ms": ("<=", 20)})
    made.tell(made.ask(), {"loss": 0.25, "ms": 30})
    assert hyperhook("studies").table()[0]["best"] == "0.25 (infeasible)"
    made.tell(made.ask(), {"loss": 0.1, "ms": 40})
    made.tell(made.ask(), {"loss": 0.75, "ms": 20})
    made.tell(made.ask(), {"loss": 0.5, "ms": 12.5})
    made.tell(made.ask(), state=hh.TrialState.FAILED)
    rows = hyperhook("show", "s").table()
    assert [(row["trial"], row["ms"], row["feasible"]) for row in rows] == [
        ("3", "12.5", "yes"),
        ("2", "20", "yes"),
        ("0", "30", "no"),
        ("1", "40", "no"),
        ("4", "-", "-"),
    ]
    assert hyperhook("studies").table()[0]["best"] == "0.5"


def test_several_objectives_are_shown_with_the_best_trials_in_front(
    hyperhook: Callable[..., Done], study: OpenStudy
) -> None:
    made = study(objective=[hh.Minimize("loss"), hh.Maximize("speed")])
    for loss, speed in [(0.2, 1), (0.4, 3), (0.3, 2), (0.3, 1)]:
        made.tell(made.ask(), {"loss": loss, "speed": speed})
    made.tell(made.ask(), state=hh.TrialState.FAILED)
    (listed,) = hyperhook("studies").table()
    assert (listed["objective"], listed["best"]) == ("minimize loss, maximize speed", "3 trials")
    rows = hyperhook("show", "s").table()
    assert [(row["trial"], row["value"], row["speed"], row["best"]) for row in rows] == [
        ("0", "0.2", "1", "yes"),
        ("2", "0.3", "2", "yes"),
        ("1", "0.4", "3", "yes"),
        ("3", "0.3", "1", "no"),
        ("4", "-", "-", "no"),
    ]


def test_show_shows_conditional_params_where_they_are_active(hyperhook: Callable[..., Done], study: OpenStudy) -> None:
    made = study(space={"net": hh.Choice({"cnn": {"width": hh.Int(3, 3)}, "mlp": {}})})
    made.run(lambda trial: 0.0, trials=2)
    assert sorted((row["net"], row["width"]) for row in hyperhook("show", "s").table()) == [("cnn", "3"), ("mlp", "-")]


def test_enqueue_queues_params_as_the_space_has_them(hyperhook: Callable[..., Done], study: OpenStudy) -> None:
    space = {
        "x": hh.Float(0, 1),
        "n": hh.Int(1, 9),
        "net": hh.Choice({"cnn": {"k": hh.Int(1, 7)}, None: {}, "a=b": {}}),
    }
    made = study(space=space)
    assert hyperhook("enqueue", "s", "x=1", "n=3", "k=7").out == ["s-0 is queued: x=1 n=3 net=cnn k=7"]
    assert hyperhook("enqueue", "s", "n=3", "net=cnn").out == ["s-0 is queued: x=1 n=3 net=cnn k=7"]
    for option in ("None", "a=b"):
        assert hyperhook("enqueue", "s", "x=0.5", "n=3", f"net={option}").code == 0
    assert hyperhook("enqueue", "s", "x=1", "--repeat").code == 0
    assert [dict(t.params) for t in made.trials][:3] == [
        {"x": 1.0, "n": 3, "net": "cnn", "k": 7},
        {"x": 0.5, "n": 3, "net": None},
        {"x": 0.5, "n": 3, "net": "a=b"},
    ]
    made.run(lambda trial: 0.5, trials=4)
    assert [t.state.value for t in made.trials] == ["COMPLETE"] * 4
    assert hyperhook("enqueue", "s", "n=3", "k=7").out == ["s-0 has these values, and is COMPLETE: x=1 n=3 net=cnn k=7"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("x", "hyperhook: enqueue: expected NAME=VALUE, got 'x'"),
        ("x=high", "hyperhook: params: 'x' got 'high', expected a value of Float(low=-1.0, high=1.0"),
        ("x=2", "hyperhook: params: 'x' got 2.0, expected a value of Float"),
        ("y=2", "hyperhook: params: 'y' is not in the space; it has x"),
    ],
)
def test_enqueue_says_what_is_wrong(
    hyperhook: Callable[..., Done], study: OpenStudy, params: str, message: str
) -> None:
    made = study()
    done = hyperhook("enqueue", "s", params)
    assert (done.code, done.out, made.trials) == (2, [], ())
    (line,) = done.err
    assert line.startswith(message)


def test_what_is_queued_is_shown_and_not_sent(
    hyperhook: Callable[..., Done], study: OpenStudy, mirror: Path, mirrors: ModuleType
) -> None:
    made = study()
    made.run(train, trials=1)
    made.enqueue({"x": 0.5})
    assert [row["state"] for row in hyperhook("show", "s").table()] == ["COMPLETE", "QUEUED"]
    done = hyperhook("sync", "s", "--to", "mirror")
    assert (done.code, done.out) == (0, ["s: nothing left to deliver (mirror)"])
    assert mirrors.points(mirror) == {(0, "loss", 0, 0.5): 1}
    assert [row.split(",")[2] for row in hyperhook("export", "s").out[1:]] == ["COMPLETE", "QUEUED"]


def test_home_can_be_named(hyperhook: Callable[..., Done], study: OpenStudy, tmp_path: Path, home: Path) -> None:
    study("elsewhere", home=tmp_path / "other")
    assert hyperhook("studies", "--home", str(tmp_path / "other")).table()[0]["study"] == "elsewhere"
    assert hyperhook("studies").code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("export", "s", "--output", "t.xlsx"),
            "hyperhook: export: 't.xlsx' asks for the format 'xlsx'; there are: csv",
        ),
        (("show", "nope"), "hyperhook: there is no study 'nope' here; there are: s"),
        (("sync", "nope"), "hyperhook: there is no study 'nope' here; there are: s"),
        (("sync", "s", "--to", "wandbb"), "hyperhook: no plugin 'wandbb' is installed; there are: "),
        (("sync", "s", "--to", "random"), "hyperhook: trackers: 'random' is not a hyperhook.Tracker; name it under"),
        (
            ("studies", "--home", "/nowhere/at/all"),
            "hyperhook: there is no hyperhook home at '/nowhere/at/all'; name one",
        ),
    ],
)
def test_what_goes_wrong_is_one_line_and_exit_code_2(
    hyperhook: Callable[..., Done], study: OpenStudy, arguments: tuple[str, ...], message: str
) -> None:
    study()
    done = hyperhook(*arguments)
    assert done.code == 2
    assert done.out == []
    (line,) = done.err
    assert line.startswith(message)


def test_a_store_that_is_no_database_is_one_line(hyperhook: Callable[..., Done], home: Path) -> None:
    home.mkdir()
    (home / "hyperhook.db").write_text("my notes\n" * 100)
    done = hyperhook("studies")
    assert (done.code, len(done.err)) == (2, 1)
    assert "is not a database that hyperhook wrote" in done.err[0]


@pytest.fixture
def mirror(mirrors: ModuleType, publish: Callable[..., None], tmp_path: Path) -> Path:
    """The folder of a tracker that is installed as ``mirror``."""
    publish("mirror", "mirrors:Down")
    return tmp_path / "mirror"


def train(trial: hh.Trial) -> None:
    trial.log({"loss": 0.5}, step=trial.number)


def test_sync_sends_what_a_study_could_not(
    hyperhook: Callable[..., Done], study: OpenStudy, mirror: Path, mirrors: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(courier, "FIRST_RETRY_SECONDS", 0.01)
    mirror.mkdir()
    (mirror / "down").touch()
    made = study(trackers=["mirror"], delivery="inline")
    made.run(train, trials=2)
    made.close()
    done = hyperhook("sync", "s")
    assert done.code == 1
    assert done.out == ["mirror: 2 not delivered (ConnectionError: the server is down)", "s: try again later (mirror)"]
    (mirror / "down").unlink()
    done = hyperhook("sync", "s")
    assert (done.code, done.out) == (0, ["s: nothing left to deliver (mirror)"])
    assert mirrors.points(mirror) == {(0, "loss", 0, 0.5): 1, (1, "loss", 1, 0.5): 1}
    assert mirrors.states(mirror) == ["COMPLETE"] * 2
    assert hyperhook("sync", "s").out == ["s: nothing left to deliver (no trackers)"]


def test_sync_sends_a_finished_study_to_a_tracker_never_named_once(
    hyperhook: Callable[..., Done], study: OpenStudy, mirror: Path, mirrors: ModuleType
) -> None:
    study().run(train, trials=2)
    for _ in range(2):
        done = hyperhook("sync", "s", "--to", "mirror")
        assert (done.code, done.out) == (0, ["s: nothing left to deliver (mirror)"])
        assert mirrors.points(mirror) == {(0, "loss", 0, 0.5): 1, (1, "loss", 1, 0.5): 1}


def test_sync_to_another_tracker_sends_the_study_s_own_events_too(
    hyperhook: Callable[..., Done], study: OpenStudy, mirror: Path, mirrors: ModuleType, tmp_path: Path
) -> None:
    study(trackers=[mirrors.Forgetful(tmp_path / "first")], delivery="inline").run(train, trials=1)
    for _ in range(2):
        assert hyperhook("sync", "s", "--to", "mirror").code == 0
    assert (mirror / "study.jsonl").read_text() == (tmp_path / "first" / "study.jsonl").read_text()


def test_sync_marks_what_died(
    hyperhook: Callable[..., Done], study: OpenStudy, mirror: Path, mirrors: ModuleType, home: Path
) -> None:
    made = study()
    trial = made.ask()
    train(trial)
    Home(home).alive(trial.id).release()  # as its process dies
    assert hyperhook("sync", "s", "--to", "mirror").code == 0
    assert mirrors.states(mirror) == ["KILLED"]
    assert made.trials[0].state is hh.TrialState.KILLED


def test_sync_of_a_tracker_given_as_an_instance_says_how_else(
    hyperhook: Callable[..., Done], study: OpenStudy, mirrors: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "down").touch()
    study(trackers=[mirrors.Down(tmp_path / "out")], delivery="inline").run(train, trials=1)
    done = hyperhook("sync", "s")
    assert done.code == 2
    assert done.err == [
        "hyperhook: tracker 'down' of study 's' was made with options that were not kept; "
        "it is sent for by the script that makes it: study.flush()"
    ]


def test_sync_goes_on_where_the_study_sent_to(
    hyperhook: Callable[..., Done], study: OpenStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the options nor the directory of the script are those of the command."""
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    for folder, tracker in (("runs", "tensorboard"), ("logs", TensorBoard("logs"))):
        (tmp_path / "there" / folder).touch()  # where the tracker wants a folder
        made = study(folder, trackers=[tracker], delivery="inline")
        made.run(train, trials=1)
        made.close()
        (tmp_path / "there" / folder).unlink()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert hyperhook("sync").code == 0
    assert list((tmp_path / "here").iterdir()) == []
    for folder in ("runs", "logs"):
        assert len(list((tmp_path / "there" / folder / folder).glob(f"{folder}-0/*.scalars"))) == 1


def test_sync_since_sends_the_trials_that_started_then(
    hyperhook: Callable[..., Done], study: OpenStudy, mirror: Path, mirrors: ModuleType
) -> None:
    made = study()
    made.run(train, trials=2)
    started = datetime.fromtimestamp(made.trials[1].started_time).isoformat()[:19]
    assert hyperhook("sync", "s", "--to", "mirror", "--since", "2999-01-01").out == [
        "s: nothing left to deliver (mirror)"
    ]
    assert mirrors.points(mirror) == {}
    assert hyperhook("sync", "s", "--to", "mirror", "--since", started).code == 0
    assert (1, "loss", 1, 0.5) in mirrors.points(mirror)
    done = hyperhook("sync", "s", "--since", started)
    assert (done.code, done.err[0][:39]) == (2, "hyperhook: sync: --since goes with --to")


def test_status_says_how_far_each_tracker_is(
    hyperhook: Callable[..., Done], study: OpenStudy, mirrors: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "down").mkdir()
    (tmp_path / "down" / "down").touch()
    made = study(trackers=[mirrors.Down(tmp_path / "down"), mirrors.Picky(tmp_path / "picky")], delivery="inline")
    made.run(lambda trial: trial.log({"loss": 0.1 * (trial.number + 1)}, step=0), trials=2)
    running = made.ask()
    header, down, picky = (re.split(r"  +", line.strip()) for line in hyperhook("status", "s").out)
    assert header == ["study", "tracker", "delivered", "pending", "set aside", "last error"]
    assert down == ["s", "down", "0", "3", "0", "ConnectionError: the server is down"]
    assert picky == ["s", "picky", "2", "1", "1", "-"]
    made.tell(running, 0.5)
    assert hyperhook("status", "nope").code == 2


def test_no_arguments_show_help_and_the_module_is_the_command(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hyperhook", "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
    )
    assert done.returncode == 0
    for command in ("plugins", "studies", "show", "sync", "enqueue"):
        assert re.search(rf"\b{command}\b", done.stdout)


def test_the_shell_completes_names_of_studies(
    study: OpenStudy, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("bowl", "bell", "plate"):
        study(name)
    for variable, value in {
        "_HYPERHOOK_COMPLETE": "complete_bash",
        "COMP_WORDS": f"hyperhook show --home {home} b",
        "COMP_CWORD": "4",
    }.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(sys, "argv", ["hyperhook"])
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().out.split() == ["bowl", "bell"]


def test_stop_lets_no_worker_begin_until_it_is_undone(
    hyperhook: Callable[..., Done], study: OpenStudy, caplog: pytest.LogCaptureFixture
) -> None:
    made = study()
    running = made.ask()
    assert hyperhook("stop", "s", "--reason", "lunch").out == ["s: no further trial begins; 1 run to their end"]
    made.tell(running, 0.5)
    made.run(train, trials=3)
    assert [trial.state for trial in made.trials] == ["COMPLETE"]
    assert made.ended == "it was stopped (lunch); `hyperhook stop --undo s` lets it go on"
    assert f"study s ends: {made.ended}" in caplog.messages
    assert study().ended == made.ended
    with pytest.raises(NothingLeftError, match=r"it was stopped \(lunch\)"):
        made.ask()
    assert hyperhook("stop", "s", "--undo").out == ["s: goes on"]
    assert made.ended is None
    made.run(train, trials=3)
    assert len(made.trials) == 3
    assert hyperhook("stop", "t").code == 2


def test_delete_leaves_nothing_of_a_study_and_all_of_the_others(
    hyperhook: Callable[..., Done], study: OpenStudy, mirror: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = study("kept")
    kept.run(train, trials=2)
    files = {path for path in home.rglob("*") if path.is_file()}
    gone = study("gone/..", trackers=["mirror"], delivery="inline")
    gone.run(train, trials=2)
    live = gone.ask()
    done = hyperhook("delete", "gone/..", "--yes")
    assert (done.code, done.out) == (2, [])
    assert done.err == ["hyperhook: study 'gone/..' has trials that run: gone/..-2; wait for their end"]
    gone.tell(live, 0.5)
    gone.close()
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert hyperhook("delete", "gone/..").code == 1
    assert len(gone.trials) == 3
    assert hyperhook("delete", "gone/..", "--yes").out == ["gone/..: 3 trials deleted"]
    left = {path for path in home.rglob("*") if path.is_file()}
    assert {path for path in left - files if path.parent.name not in ("logs", "launches")} == set()
    assert files - left == set()
    assert [row["study"] for row in hyperhook("studies").table()] == ["kept"]
    assert hyperhook("delete", "gone/..", "--yes").code == 2
    assert len(study("gone/..").trials) == 0
