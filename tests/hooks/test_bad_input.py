"""Bad input: one clear error that says what, got, expected and the mend; and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook.errors import (
    HyperhookError,
    ObjectiveError,
    PluginError,
    SpaceError,
    StoreError,
    StudyMismatchError,
    UnknownPluginError,
)
from hyperhook.study import Study
from hyperhook.testing import RecordingPlugin

OpenStudy = Callable[..., Study]
NAN = float("nan")

PARAMETERS: list[tuple[Callable[[], object], str]] = [
    (lambda: hh.Float(2, 1), "Float: low must not exceed high, got low=2, high=1; swap them"),
    (lambda: hh.Int(2, 1), "Int: low must not exceed high, got low=2, high=1; swap them"),
    (lambda: hh.Float(0, 1, log=True), "Float: log=True needs low > 0, got low=0; raise low, or drop log=True"),
    (lambda: hh.Float(-1, 1, log=True), "Float: log=True needs low > 0, got low=-1; raise low, or drop log=True"),
    (lambda: hh.Int(0, 8, log=True), "Int: log=True needs low > 0, got low=0; raise low, or drop log=True"),
    (lambda: hh.Float(NAN, 1), "Float: bounds and their distance must be finite, got low=nan, high=1"),
    (lambda: hh.Float(0, float("inf")), "Float: bounds and their distance must be finite, got low=0, high=inf"),
    (lambda: hh.Float(-1.7e308, 1.7e308), "Float: bounds and their distance must be finite, got low=-1.7e+308"),
    (lambda: hh.Float("0", 1), "Float: low must be a number, got '0' (str)"),  # type: ignore[arg-type]
    (lambda: hh.Float(0, True), "Float: high must be a number, got True (bool)"),
    (lambda: hh.Float(0, None), "Float: high must be a number, got None (NoneType)"),  # type: ignore[arg-type]
    (lambda: hh.Float(0, 1, step="x"), "Float: step must be a number, got 'x' (str)"),  # type: ignore[arg-type]
    (lambda: hh.Float(0, 1, step=0), "Float: step must be a finite number above 0, got step=0"),
    (lambda: hh.Float(0, 1, step=-0.1), "Float: step must be a finite number above 0, got step=-0.1"),
    (lambda: hh.Float(0, 1, step=NAN), "Float: step must be a finite number above 0, got step=nan"),
    (lambda: hh.Float(1, 2, step=0.1, log=True), "Float: log=True and step=0.1 exclude each other; drop one of them"),
    (lambda: hh.Int(1, 8, step=2, log=True), "Int: log=True and step=2 exclude each other; drop one of them"),
    (lambda: hh.Int(1, 8, step=0), "Int: step must be a finite number above 0, got step=0"),
    (lambda: hh.Int(1, 8.0), "Int: high must be an int, got 8.0 (float); use Float for reals"),  # type: ignore[arg-type]
    (lambda: hh.Int(False, 8), "Int: low must be an int, got False (bool); use Float for reals"),
    (lambda: hh.Int(0, 2**63), "Int: high must fit in 64 bits, got 9223372036854775808; use Float for such sizes"),
    (lambda: hh.Choice([]), "Choice: there is no option to choose from; give at least one"),
    (lambda: hh.Choice({}), "Choice: there is no option to choose from; give at least one"),
    (lambda: hh.Choice("abc"), "Choice: expected a list of options, got 'abc' (str)"),
    (lambda: hh.Choice(3), "Choice: expected a list of options, got 3 (int)"),  # type: ignore[arg-type]
    (lambda: hh.Choice({1, 2}), "Choice: expected a list of options, got {1, 2} (set)"),  # type: ignore[arg-type]
    (lambda: hh.Choice(["a", "b", "a"]), "Choice: option 'a' stands twice in ['a', 'b', 'a']"),
    (
        lambda: hh.Choice([1, True]),
        "Choice: option True stands twice in [1, True] (to Python, 1, 1.0 and True are equal)",
    ),
    (lambda: hh.Choice([NAN]), "Choice: options must be finite, got nan"),
    (
        lambda: hh.Choice([(1, 2)]),  # type: ignore[list-item]
        "Choice: options must be strings, numbers, booleans or None, got (1, 2) (tuple); name it by a string and look",
    ),
    (lambda: hh.Choice(["a"]).index("b"), "Choice: 'b' is none of the options ['a']"),
    (
        lambda: hh.Space({"x": 3}),  # type: ignore[dict-item]
        "space: 'x' must be a Float, Int or Choice, got 3 (int); a constant needs no parameter",
    ),
    (lambda: hh.Space({"": hh.Int(0, 1)}), "space: names must be non-empty strings, got ''"),
    (lambda: hh.Space({1: hh.Int(0, 1)}), "space: names must be non-empty strings, got 1"),  # type: ignore[dict-item]
    (
        lambda: hh.Space({"x": hh.Int(0, 1), "c": hh.Choice({"a": {"x": hh.Int(0, 1)}})}),
        "space: the name 'x' stands twice; give each parameter a name of its own",
    ),
]


@pytest.mark.parametrize(("make", "message"), PARAMETERS, ids=[message[:48] for _, message in PARAMETERS])
def test_a_space_that_cannot_be(make: Callable[[], object], message: str) -> None:
    with pytest.raises(SpaceError) as raised:
        make()
    assert str(raised.value).startswith(message)
    assert isinstance(raised.value, HyperhookError | ValueError)
    assert "\n" not in str(raised.value)


STUDIES: list[tuple[dict[str, object], type[HyperhookError], str]] = [
    ({"plugins": ["gpp"]}, UnknownPluginError, "no plugin 'gpp' is installed; there are: asha, csv, evolution, gp, "),
    ({"trackers": ["wandbb"]}, UnknownPluginError, "did you mean 'wandb'?"),
    ({"plugins": "gp"}, PluginError, "plugins: expected a list, got 'gp'; write plugins=['gp']"),
    ({"trackers": "wandb"}, PluginError, "trackers: expected a list, got 'wandb'; write trackers=['wandb']"),
    ({"plugins": [RecordingPlugin]}, PluginError, "expected an instance; write RecordingPlugin()"),
    (
        {"plugins": [object()]},
        PluginError,
        "plugin object has no hook method: mark at least one with @hyperhook.hookimpl",
    ),
    ({"plugins": ["wandb"]}, PluginError, "plugins: 'wandb' is a tracker; name it under trackers=[…]"),
    ({"trackers": ["random"]}, PluginError, "trackers: 'random' is not a hyperhook.Tracker; name it under plugins=[…]"),
    ({"trackers": ["mlflow", "mlflow"]}, PluginError, "trackers: 'mlflow' is named twice; name each once"),
    ({"space": {"x": hh.Float(0, 2)}}, StudyMismatchError, "study 's' exists with another space: 'x' is "),
    ({"space": {}}, StudyMismatchError, "'x' is Float(low=-1.0, high=1.0, log=False, step=None) there, not in it here"),
    (
        {"objective": hh.Maximize("loss")},
        StudyMismatchError,
        "study 's' exists with the objective Objective(metric='loss'",
    ),
    ({"constraints": {"ms": ("<=", 20)}}, StudyMismatchError, "exists with the constraints none, got ms <= 20; give"),
    ({"constraints": {"ms": ("<", 20)}}, ObjectiveError, "constraint: expected '<=' or '>=' between 'ms' and its"),
    ({"objective": hh.Minimize("loss", reduce="last")}, StudyMismatchError, "give this search another name"),
    ({"home": "/proc/hyperhook"}, StoreError, "home '/proc/hyperhook' cannot be written: "),
]


@pytest.mark.parametrize(("options", "error", "message"), STUDIES, ids=[message[:48] for *_, message in STUDIES])
def test_a_study_that_cannot_be_opened_leaves_the_one_that_is_there_as_it_was(
    study: OpenStudy, options: dict[str, object], error: type[Exception], message: str
) -> None:
    there = study()
    there.tell(there.ask(), 0.5)
    before = there.record()
    with pytest.raises(error) as raised:
        study(**options)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    again = study()
    assert again.record() == before
    assert again.tell(again.ask(), 0.25).number == 1


@pytest.mark.parametrize("below", ["", "below"])
def test_a_file_in_the_place_of_the_home_is_left_alone(study: OpenStudy, tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match="cannot be written"):
        study(home=tmp_path / "file" / below)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_store_that_is_no_database_is_left_alone(study: OpenStudy, home: Path) -> None:
    home.mkdir()
    (home / "hyperhook.db").write_text("my notes\n" * 100)
    with pytest.raises(StoreError, match=r"is not a database that hyperhook wrote: .*; move the file away, or choose"):
        study()
    assert (home / "hyperhook.db").read_text() == "my notes\n" * 100


NAMES = [
    "a/b",
    "..",
    ".",
    "../../escape",
    "a.b",
    "ünïversal 🎛",
    "x" * 300,
    " padded ",
    "a\nb",
    "%",
    "-rf",
    "CON",
    "'; --",
    "[red]",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_a_study_s_and_stays_in_the_home(study: OpenStudy, home: Path, name: str) -> None:
    made = study(name)
    made.run(lambda trial: trial.log({name: 1.0, "loss": 0.5}), trials=1)
    assert made.best.study == study(name).name == name
    assert study("another").trials == ()
    assert {path.name for path in home.parent.iterdir()} == {"home"}


@pytest.mark.parametrize("name", ["val/acc", "../m", "ünïversal 🎛", "x" * 5000, "a b", "nan", "event", "time", "'\"\\"])
def test_any_name_is_a_metric_s(study: OpenStudy, name: str) -> None:
    made = study(objective=hh.Minimize(name))
    made.run(lambda trial: trial.log({name: 0.5}), trials=1)
    assert made.best.value == 0.5


WRONG: list[tuple[Callable[[hh.Trial], object], type[HyperhookError] | None, str]] = [
    (
        lambda trial: trial.log({"los": 0.5}),
        ObjectiveError,
        "metric 'loss' was never logged; logged so far: los; log it, or name one of these in the objective",
    ),
    (
        lambda trial: None,
        ObjectiveError,
        "metric 'loss' was never logged; logged so far: nothing; log it",
    ),
    (
        lambda trial: "0.5",
        ObjectiveError,
        "the training function returned '0.5' (str), expected a number, or None to take the metric of the objective",
    ),
    (
        lambda trial: True,
        ObjectiveError,
        "the training function returned True (bool), expected a number, or None to take the metric of the objective",
    ),
    (
        lambda trial: [0.5],
        ObjectiveError,
        "the training function returned [0.5] (list), expected a number, or None to take the metric of the objective",
    ),
    (
        lambda trial: [trial.log({"loss": NAN}, step=step) for step in range(3)] and None,
        None,
        "metric 'loss' was nan at all of its 3 points (last at step 2); expected a finite number: the training",
    ),
    (lambda trial: NAN, None, "the training function returned nan, expected a finite number: the training diverged"),
    (lambda trial: float("inf"), None, "the training function returned inf, expected a finite number: the training"),
    (
        lambda trial: trial.log({"loss": "low"}),  # type: ignore[dict-item]
        None,
        "MetricError: log: metric 'loss' got 'low' (str), expected a number",
    ),
    (lambda trial: 1 / 0, None, "ZeroDivisionError: division by zero"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG, ids=[message[:48] for *_, message in WRONG])
def test_a_training_function_that_gives_no_value_fails_its_trial_and_the_study_goes_on(
    study: OpenStudy, wrong: Callable[[hh.Trial], object], error: type[Exception] | None, message: str
) -> None:
    made = study()

    def train(trial: hh.Trial) -> object:
        return wrong(trial) if trial.number == 0 else 0.5

    if error is None:
        made.run(train, trials=1)
    else:
        with pytest.raises(error) as raised:
            made.run(train, trials=1)
        assert str(raised.value) == message
    (failed,) = made.trials
    assert failed.state is hh.TrialState.FAILED
    assert failed.error is not None
    assert failed.error.startswith(message)
    made.run(train, trials=3)
    assert [str(trial.state) for trial in made.trials] == ["FAILED", "COMPLETE", "COMPLETE"]


def test_a_bound_of_the_forwarders_memory_that_is_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERHOOK_FORWARDER_MB", "2GB")
    with pytest.raises(HyperhookError, match="HYPERHOOK_FORWARDER_MB: expected megabytes, such as 2048, got '2GB'"):
        hh.Study("s", trackers=["tensorboard"], home=tmp_path)
