"""Bad input gets one clear error that says what to do, and nothing is lost by it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook import errors

SPACE = {"x": hh.Float(0, 1)}


def parabola(trial: hh.Trial) -> None:
    trial.log({"y": float(trial.params["x"] or 0) ** 2}, step=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hh.Float(1, 0), "Float: low must not exceed high, got low=1, high=0; swap them"),
        (lambda: hh.Int(5, 2), "Int: low must not exceed high, got low=5, high=2; swap them"),
        (lambda: hh.Float(0, 1, log=True), "Float: log=True needs low > 0, got low=0; raise low, or drop log=True"),
        (lambda: hh.Int(-1, 8, log=True), "Int: log=True needs low > 0, got low=-1; raise low, or drop log=True"),
        (lambda: hh.Float(0, float("inf")), "Float: bounds and their distance must be finite, got low=0, high=inf"),
        (lambda: hh.Float("0", 1), "Float: low must be a number, got '0' (str)"),  # type: ignore[arg-type]
        (lambda: hh.Int(0.5, 2), "Int: low must be an int, got 0.5 (float); use Float for reals"),  # type: ignore[arg-type]
        (lambda: hh.Float(0, 1, step=0), "Float: step must be a finite number above 0, got step=0"),
        (lambda: hh.Int(1, 9, log=True, step=2), "Int: log=True and step=2 exclude each other; drop one of them"),
        (lambda: hh.Choice([]), "Choice: there is no option to choose from; give at least one"),
        (lambda: hh.Choice("relu"), "Choice: expected a list of options, got 'relu' (str)"),
        (
            lambda: hh.Choice([1, True]),
            "Choice: option True stands twice in [1, True] (to Python, 1, 1.0 and True are equal)",
        ),
        (
            lambda: hh.Choice([object]),  # type: ignore[list-item]
            "Choice: options must be strings, numbers, booleans or None, got <class 'object'> (type); "
            "name it by a string and look it up in the training function",
        ),
        (
            lambda: hh.Space({"x": 3}),  # type: ignore[dict-item]
            "space: 'x' must be a Float, Int or Choice, got 3 (int); a constant needs no parameter",
        ),
        (
            lambda: hh.Space({"a": hh.Choice({"on": {"a": hh.Int(0, 1)}})}),
            "space: the name 'a' stands twice; give each parameter a name of its own",
        ),
    ],
)
def test_spaces_that_cannot_be(make: Callable[[], object], message: str) -> None:
    with pytest.raises(errors.SpaceError) as raised:
        make()
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"plugins": ["gpp"]},
            errors.UnknownPluginError,
            "no plugin 'gpp' is installed; there are: gp, .* did you mean 'gp'",
        ),
        (
            {"trackers": ["tensorbord"]},
            errors.UnknownPluginError,
            "'tensorbord' is installed.*did you mean 'tensorboard'",
        ),
        ({"plugins": ["tensorboard"]}, errors.PluginError, "'tensorboard' is a tracker; name it under trackers="),
        ({"trackers": ["random"]}, errors.PluginError, "'random' is not a hyperhook.Tracker; name it under plugins="),
        ({"trackers": "mlflow"}, errors.PluginError, r"expected a list, got 'mlflow'; write trackers=\['mlflow'\]"),
        ({"trackers": ["tensorboard"] * 2}, errors.PluginError, "'tensorboard' is named twice"),
        (
            {"objective": "val_acc"},
            errors.ObjectiveError,
            r"expected hh.Maximize\(…\) or hh.Minimize\(…\), got 'val_acc'",
        ),
        ({"delivery": "later"}, errors.StudyError, "expected 'forwarder' or 'inline', got 'later'"),
    ],
)
def test_studies_that_cannot_be(
    tmp_path: Path, arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        hh.Study("s", SPACE, home=tmp_path, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "  ", 3, None])
def test_a_study_needs_a_name(tmp_path: Path, name: object) -> None:
    with pytest.raises(errors.StudyError, match="expected a name"):
        hh.Study(name, home=tmp_path)  # type: ignore[arg-type]


def test_another_space_or_objective_under_the_same_name(tmp_path: Path) -> None:
    study = hh.Study("s", SPACE, hh.Minimize("y"), home=tmp_path)
    study.run(parabola, trials=2, progress=False)
    with pytest.raises(errors.StudyMismatchError, match=r"'x' is Float\(low=0, high=1.*\) there, Float\(low=0, high=2"):
        hh.Study("s", {"x": hh.Float(0, 2)}, hh.Minimize("y"), home=tmp_path)
    with pytest.raises(errors.StudyMismatchError, match="'z' is not in it there"):
        hh.Study("s", {**SPACE, "z": hh.Int(0, 1)}, hh.Minimize("y"), home=tmp_path)
    with pytest.raises(errors.StudyMismatchError, match="exists with the objective"):
        hh.Study("s", SPACE, hh.Maximize("y"), home=tmp_path)
    assert [trial.state for trial in study.trials] == [hh.TrialState.COMPLETE] * 2


def test_a_misspelled_metric_stops_the_search_at_its_first_trial_and_can_be_mended(tmp_path: Path) -> None:
    study = hh.Study("s", SPACE, hh.Minimize("yy"), home=tmp_path)
    with pytest.raises(
        errors.ObjectiveError, match="metric 'yy' was never logged; logged so far: y; log it, or name one"
    ):
        study.run(parabola, trials=5, progress=False)
    (failed,) = study.trials
    assert failed.state is hh.TrialState.FAILED
    assert "was never logged" in (failed.error or "")
    mended = hh.Study("s", SPACE, hh.Minimize("y"), home=tmp_path)
    mended.run(parabola, trials=3, progress=False)
    assert [trial.state.value for trial in mended.trials] == ["FAILED", "COMPLETE", "COMPLETE"]


@pytest.mark.parametrize(
    ("reduce", "values", "message"),
    [
        (
            "best",
            [float("nan")] * 3,
            r"metric 'y' was nan at all of its 3 points \(last at step 2\); expected a finite number",
        ),
        ("last", [0.5, float("nan")], r"metric 'y' was nan at its last point \(last at step 1\)"),
        ("best", [float("inf")], "metric 'y' was inf at all of its 1 points"),
    ],
)
def test_a_metric_that_is_nan_fails_its_trial_and_the_study_goes_on(
    tmp_path: Path, reduce: str, values: list[float], message: str
) -> None:
    def train(trial: hh.Trial) -> None:
        for step, value in enumerate(values if trial.number == 0 else [0.5]):
            trial.log({"y": value}, step=step)

    study = hh.Study("s", SPACE, hh.Minimize("y", reduce=reduce), home=tmp_path)  # type: ignore[arg-type]
    study.run(train, trials=2, progress=False)
    diverged, good = study.trials
    assert (diverged.state, good.state) == (hh.TrialState.FAILED, hh.TrialState.COMPLETE)
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(diverged.error)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("0.9", r"returned '0.9' \(str\), expected a number, or None"),
        (True, r"returned True \(bool\), expected a number"),
        ([0.9], r"returned \[0.9\] \(list\), expected a number"),
        ({"y": 1.0}, "returned {'y': 1.0} .dict., expected a number"),
    ],
)
def test_a_training_function_that_returns_no_number(tmp_path: Path, returned: object, message: str) -> None:
    study = hh.Study("s", SPACE, hh.Minimize("y"), home=tmp_path)
    with pytest.raises(errors.ObjectiveError, match=message):
        study.run(lambda trial: returned, trials=5, progress=False)
    assert [trial.state for trial in study.trials] == [hh.TrialState.FAILED]


def test_a_wrong_value_told_leaves_the_trial_open(tmp_path: Path) -> None:
    study = hh.Study("s", SPACE, hh.Minimize("y"), home=tmp_path)
    trial = study.ask()
    for wrong in ("0.5", float("nan")):
        with pytest.raises(errors.ObjectiveError):
            study.tell(trial, wrong)
    assert study.tell(trial, 0.5).value == 0.5
    with pytest.raises(errors.TrialStateError, match="'s-0' has ended already, as COMPLETE"):
        study.tell(trial, 0.4)
    with pytest.raises(errors.TrialStateError, match="log: trial 's-0' ended as COMPLETE"):
        trial.log({"y": 1.0})


@pytest.mark.parametrize(
    ("metrics", "step", "message"),
    [
        ({"y": "0.5"}, 0, r"metric 'y' got '0.5' \(str\), expected a number"),
        ({"y": None}, 0, r"metric 'y' got None \(NoneType\), expected a number"),
        ({"y": [1.0]}, 0, r"metric 'y' got \[1.0\] \(list\)"),
        ({"": 1.0}, 0, "names must be non-empty strings, got ''"),
        ({3: 1.0}, 0, "names must be non-empty strings, got 3"),
        ({"y": 1.0}, -1, r"step: expected an int from 0, got -1 \(int\)"),
        ({"y": 1.0}, 1.5, r"step: expected an int from 0, got 1.5 \(float\)"),
    ],
)
def test_what_cannot_be_logged_logs_nothing(tmp_path: Path, metrics: dict[str, float], step: int, message: str) -> None:
    study = hh.Study("s", SPACE, hh.Minimize("y"), home=tmp_path)
    with study.trial() as trial:
        with pytest.raises(errors.MetricError, match=message):
            trial.log({"good": 1.0, **metrics}, step=step)
        assert list(trial.curve.names) == []
        trial.log({"y": 0.25}, step=3)
    assert (study.best.value, study.best.step) == (0.25, 3)


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(errors.StoreError, match=r"home '.*file' cannot be written: .*; choose another by home="):
        hh.Study("s", home=blocked)


def test_a_store_that_is_not_a_database(tmp_path: Path) -> None:
    (tmp_path / "hyperhook.db").write_text("not a database, but somebody's notes " * 100)
    with pytest.raises(
        errors.StoreError, match=r"hyperhook.db' is not a database that hyperhook wrote: .*; move the file away"
    ):
        hh.Study("s", home=tmp_path)
    assert (tmp_path / "hyperhook.db").read_text().startswith("not a database")


@pytest.mark.parametrize(
    "name", ["a/b", "..", "../../etc", ".", "ünï çødé 🤖", "x" * 250, "tab\tnewline\n", "con*?<>|"]
)
def test_any_name_is_a_name_and_stays_inside_the_home(tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    with hh.Study(name, SPACE, hh.Minimize("y"), home=home) as study:
        study.run(parabola, trials=1, progress=False)
    assert hh.Study(name, SPACE, hh.Minimize("y"), home=home).best.study == name
    assert list(tmp_path.iterdir()) == [home]


def test_a_tracker_that_the_forwarder_cannot_import(tmp_path: Path) -> None:
    script = """
import hyperhook as hh

class Mine(hh.Tracker):
    @hh.hookimpl
    def metrics_logged(self, metrics):
        pass

hh.Study("s", trackers=[Mine()])
"""
    environment = {**os.environ, "HYPERHOOK_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        "'mine' is defined in the script itself, where the forwarder cannot import it; move it to a module"
        in done.stderr
    )


@pytest.mark.parametrize("trials", [0, -1, 2.5, "3"])
def test_budgets_that_cannot_be(tmp_path: Path, trials: object) -> None:
    with pytest.raises(errors.StudyError, match="trials must be an int from 1"):
        hh.Study("s", home=tmp_path).run(parabola, trials=trials)  # type: ignore[arg-type]


def test_a_suggester_that_answers_outside_the_space(tmp_path: Path) -> None:
    class Wild:
        @hh.hookimpl
        def suggest(self) -> list[dict[str, float]]:
            return [{"x": 2.0}]

    with pytest.raises(errors.SpaceError, match=r"outside the space: params: 'x' got 2\.0, expected"):
        hh.Study("s", SPACE, plugins=[Wild()], home=tmp_path).ask()
