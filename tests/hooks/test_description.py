"""What is said of a trial: told to the listeners, once, and refused with one clear error."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook.errors import ArtifactError
from hyperhook.testing import RecordingPlugin


@pytest.fixture
def recorder() -> RecordingPlugin:
    return RecordingPlugin()


@pytest.fixture
def trial(tmp_path: Path, recorder: RecordingPlugin) -> hh.Trial:
    return hh.Study("s", home=tmp_path / "home", plugins=[recorder]).ask()


def datasets(recorder: RecordingPlugin) -> list[object]:
    return [call.arguments["dataset"] for call in recorder.calls if call.hook == "dataset_logged"]


def test_tags_and_notes_reach_the_listeners(trial: hh.Trial, recorder: RecordingPlugin) -> None:
    trial.log_tags({"team": "vision", "attempt": 3})
    trial.log_tags({})
    trial.log_note("Better than *before*.")
    assert [(c.hook, c.arguments.get("tags"), c.arguments.get("note")) for c in recorder.calls[-2:]] == [
        ("tags_logged", {"team": "vision", "attempt": "3"}, None),
        ("note_logged", None, "Better than *before*."),
    ]


def test_a_dataset_reaches_the_listeners(trial: hh.Trial, recorder: RecordingPlugin) -> None:
    trial.log_dataset("digits")
    trial.log_dataset(
        "digits",
        context="test",
        digest="5d41",
        source="s3://d",
        profile={"rows": 3, "shape": (3, 8), "mean": {"x": 0.5}},
    )
    assert datasets(recorder) == [
        hh.Dataset("digits", "training", None, None, {}),
        hh.Dataset("digits", "test", "5d41", "s3://d", {"rows": 3, "shape": "(3, 8)", "mean/x": 0.5}),
    ]


def test_what_is_known_already_is_not_told_again(trial: hh.Trial, recorder: RecordingPlugin) -> None:
    for rows in (3, 3, 4, 4, 3):
        trial.log_dataset("digits", profile={"rows": rows})
    assert [dataset.profile for dataset in datasets(recorder)] == [{"rows": 3}, {"rows": 4}, {"rows": 3}]  # type: ignore[attr-defined]


def test_a_trial_that_is_resumed_remembers_its_datasets(tmp_path: Path) -> None:
    recorder = RecordingPlugin()
    with hh.Study("s", home=tmp_path, plugins=[recorder]) as study, study.trial() as trial:
        trial.log_dataset("digits", profile={"rows": 3})
    with hh.Study("s", home=tmp_path, plugins=[recorder]) as study, study.trial(resume=0) as trial:
        trial.log_dataset("digits", profile={"rows": 3})
        trial.log_dataset("digits", context="validation", profile={"rows": 3})
    assert [dataset.context for dataset in datasets(recorder)] == ["training", "validation"]  # type: ignore[attr-defined]


def test_a_dataset_can_be_pickled() -> None:
    dataset = hh.Dataset("digits", "test", profile={"rows": 3})
    assert pickle.loads(pickle.dumps(dataset)) == dataset


WRONG: list[tuple[Callable[[hh.Trial], object], str]] = [
    (lambda t: t.log_tags(["a"]), "expected names and texts"),  # type: ignore[arg-type]
    (lambda t: t.log_tags({"": "a"}), "names must be strings"),
    (lambda t: t.log_tags({"a": "x" * 100_001}), "100000 characters, got 100001; log it by log_text"),
    (lambda t: t.log_note("x" * 100_001), "log_note: a text may have 100000"),
    (lambda t: t.log_dataset(""), "log_dataset: name: expected a string of 1 to 10000 characters, got ''"),
    (lambda t: t.log_dataset(3), "log_dataset: name: .* got 3"),  # type: ignore[arg-type]
    (lambda t: t.log_dataset("d", context=None), "log_dataset: context: .* got None"),  # type: ignore[arg-type]
    (lambda t: t.log_dataset("d", digest="x" * 10_001), r"log_dataset: digest: .* \(10003 characters\)"),
    (lambda t: t.log_dataset("d", source=Path("d")), "log_dataset: source: .* got PosixPath"),  # type: ignore[arg-type]
    (lambda t: t.log_dataset("d", profile=[3]), r"profile: expected names and values, .* got \[3\]"),  # type: ignore[arg-type]
    (lambda t: t.log_dataset("d", profile={"": 1}), "profile: a name: expected a string"),
    (
        lambda t: t.log_dataset("d", profile={str(number): number for number in range(101)}),
        "profile: expected 100 entries at the most, got 101; log a table instead",
    ),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_what_cannot_be_said_is_refused_and_leaves_nothing(
    trial: hh.Trial, recorder: RecordingPlugin, call: Callable[[hh.Trial], object], message: str
) -> None:
    before = len(recorder.calls)
    with pytest.raises(ArtifactError, match=message):
        call(trial)
    assert len(recorder.calls) == before
