"""What a trial keeps as files: in its own folder, told to the listeners, refused with one clear error."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import hyperhook as hh
from hyperhook.errors import ArtifactError, HyperhookError
from hyperhook.testing import RecordingPlugin

mpl.use("agg")


@pytest.fixture
def recorder() -> RecordingPlugin:
    return RecordingPlugin()


@pytest.fixture
def trial(tmp_path: Path, recorder: RecordingPlugin) -> hh.Trial:
    return hh.Study("s", home=tmp_path / "home", plugins=[recorder]).ask()


def logged(recorder: RecordingPlugin, hook: str = "artifact_logged") -> list[hh.Artifact]:
    return [call.arguments["artifact"] for call in recorder.calls if call.hook == hook]  # type: ignore[misc]


def only(recorder: RecordingPlugin) -> hh.Artifact:
    (artifact,) = logged(recorder)
    return artifact


def test_a_file_is_copied_and_a_checkpoint_linked(trial: hh.Trial, recorder: RecordingPlugin, tmp_path: Path) -> None:
    source = tmp_path / "w.bin"
    source.write_bytes(b"one")
    trial.log_artifact(source, name="data/w.bin")
    trial.log_artifact(source, kind="checkpoint", step=3, score=0.5, aliases=["best", "last"])
    file, checkpoint = logged(recorder)
    assert (file.place, file.kind, file.aliases) == ("files/data/w.bin", "file", ())
    assert (checkpoint.place, checkpoint.name, checkpoint.step) == ("checkpoints/w.bin", "w.bin", 3)
    assert (checkpoint.score, checkpoint.aliases) == (0.5, ("best", "last"))
    assert not os.path.samefile(file.path, source)
    assert os.path.samefile(checkpoint.path, source)
    source.unlink()
    assert file.path.read_bytes() == checkpoint.path.read_bytes() == b"one"
    assert file.path.is_relative_to(tmp_path / "home" / "trials" / trial.id / "artifacts")


def test_the_same_name_takes_the_place_and_what_is_removed_is_gone(
    trial: hh.Trial, recorder: RecordingPlugin, tmp_path: Path
) -> None:
    source = tmp_path / "last.ckpt"
    for content in (b"one", b"two"):
        source.unlink(missing_ok=True)
        source.write_bytes(content)
        trial.log_artifact(source, kind="checkpoint")
    first, second = logged(recorder)
    assert first.path == second.path
    assert second.path.read_bytes() == b"two"
    trial.remove_artifact("last.ckpt", kind="checkpoint")
    trial.remove_artifact("last.ckpt", kind="checkpoint")
    trial.remove_artifact("never")
    (removed,) = logged(recorder, "artifact_removed")
    assert (removed.name, removed.place, removed.path) == ("last.ckpt", second.place, second.path)
    assert not second.path.exists()
    assert source.exists()


def test_metadata_goes_with_a_file(trial: hh.Trial, recorder: RecordingPlugin) -> None:
    trial.log_artifact(__file__, name="plain")
    trial.log_artifact(__file__, name="rich", metadata={"rows": 3, "loss": float("nan"), "signature": "{}"})
    plain, rich = logged(recorder)
    assert plain.metadata == {}
    assert rich.metadata == {"rows": 3, "loss": "nan", "signature": "{}"}


def test_a_folder_is_kept_whole_and_replaced_whole(trial: hh.Trial, recorder: RecordingPlugin, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a").write_text("1")
    trial.log_artifact(folder)
    (folder / "deep" / "a").rename(folder / "b")
    trial.log_artifact(folder)
    kept = logged(recorder)[-1].path
    assert [path.name for path in kept.rglob("*") if path.is_file()] == ["b"]
    trial.remove_artifact("shards")
    assert not kept.exists()


def test_a_link_to_a_checkpoint_is_followed(trial: hh.Trial, recorder: RecordingPlugin, tmp_path: Path) -> None:
    (tmp_path / "epoch.ckpt").write_bytes(b"w")
    (tmp_path / "last.ckpt").symlink_to("epoch.ckpt")
    trial.log_artifact(tmp_path / "last.ckpt", kind="checkpoint")
    assert not only(recorder).path.is_symlink()
    assert only(recorder).path.read_bytes() == b"w"


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "..", ".hidden", "a//b", "größe ✓", "a\0b", "n" * 400])
def test_no_name_leaves_the_trial_s_folder(
    trial: hh.Trial, recorder: RecordingPlugin, tmp_path: Path, name: str
) -> None:
    trial.log_text(name, "t")
    artifact = only(recorder)
    assert artifact.path.read_text() == "t"
    assert artifact.path.resolve().is_relative_to(tmp_path / "home" / "trials" / trial.id / "artifacts")
    assert artifact.name == name


HALF = np.full((4, 6), 0.5)
PICTURES: list[tuple[Callable[[], Any], tuple[int, int], str, Any]] = [
    (lambda: HALF, (6, 4), "L", 128),
    (lambda: np.full((4, 6, 3), 7, dtype=np.uint8), (6, 4), "RGB", (7, 7, 7)),
    (lambda: torch.ones(3, 4, 6), (6, 4), "RGB", (255, 255, 255)),
    (lambda: torch.zeros(1, 4, 6, requires_grad=True), (6, 4), "L", 0),
    (lambda: np.full((4, 6, 4), 1.0), (6, 4), "RGBA", (255, 255, 255, 255)),
    (lambda: HALF > 0, (6, 4), "L", 255),
    (lambda: HALF * np.nan, (6, 4), "L", 0),
    (lambda: HALF * 300, (6, 4), "L", 255),
    (lambda: Image.new("RGB", (6, 4), (1, 2, 3)), (6, 4), "RGB", (1, 2, 3)),
]


@pytest.mark.parametrize(("make", "size", "mode", "pixel"), PICTURES)
def test_an_image_is_a_png(
    trial: hh.Trial, recorder: RecordingPlugin, make: Callable[[], Any], size: object, mode: str, pixel: object
) -> None:
    trial.log_image("val/samples", make(), step=20)
    assert only(recorder).place == "images/val/samples/00000020.png"
    with Image.open(only(recorder).path) as image:
        assert (image.size, image.mode, image.getpixel((0, 0))) == (size, mode, pixel)


def test_an_image_of_a_path_stays_what_it_is(trial: hh.Trial, recorder: RecordingPlugin, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"jpg")
    trial.log_image("photo", tmp_path / "a.jpg")
    assert only(recorder).place == "images/photo.jpg"
    assert only(recorder).path.read_bytes() == b"jpg"


def test_figures_are_png_or_html(trial: hh.Trial, recorder: RecordingPlugin) -> None:
    drawn = Figure()
    drawn.subplots().plot([1, 2])
    trial.log_figure("curve", drawn, step=0)
    trial.log_figure("plot", go.Figure(go.Scatter(y=[1, 2])))
    png, page = logged(recorder)
    assert (png.place, page.place) == ("figures/curve/00000000.png", "figures/plot.html")
    assert png.path.read_bytes().startswith(b"\x89PNG")
    assert "plotly" in page.path.read_text()


@pytest.mark.parametrize(
    "table",
    [
        {"a": [1, 2], "b": [0.5, None]},
        [{"a": 1, "b": 0.5}, {"a": 2}],
        pd.DataFrame({"a": [1, 2], "b": [0.5, None]}),
        {"a": np.array([1, 2]), "b": np.array([0.5, np.nan])},
    ],
)
def test_a_table_is_columns_and_rows(trial: hh.Trial, recorder: RecordingPlugin, table: object) -> None:
    trial.log_table("results", table)
    assert json.loads(only(recorder).path.read_text()) == {"columns": ["a", "b"], "data": [[1, 0.5], [2, None]]}


def test_what_json_lacks_is_a_text_in_a_table(trial: hh.Trial, recorder: RecordingPlugin) -> None:
    trial.log_table("t", {"a": [Path("x"), np.float32(0.5)]})
    assert json.loads(only(recorder).path.read_text())["data"] == [["x"], [0.5]]


WRONG: list[tuple[Callable[[hh.Trial], object], type[Exception], str]] = [
    (lambda t: t.log_image("x", np.zeros(3)), ArtifactError, r"'x' got an array of shape \(3,\)"),
    (lambda t: t.log_image("x", np.zeros((5, 4, 7))), ArtifactError, r"shape \(5, 4, 7\)"),
    (lambda t: t.log_image("x", "missing.png"), FileNotFoundError, "log_image: there is no file"),
    (lambda t: t.log_image("x", np.array([["a"]])), ArtifactError, "type <U1"),
    (lambda t: t.log_figure("x", 3), ArtifactError, "'x' got 3 .int., expected a figure of matplotlib or plotly"),
    (lambda t: t.log_table("x", {"a": [1], "b": []}), ArtifactError, "equal length, got a: 1, b: 0"),
    (lambda t: t.log_table("x", "abc"), ArtifactError, "'x' got 'abc' .str., expected a DataFrame"),
    (lambda t: t.log_text("", "a"), HyperhookError, "names must be non-empty"),
    (lambda t: t.log_artifact(__file__, metadata=["a"]), ArtifactError, r"metadata: .*, got \['a'\]"),  # type: ignore[arg-type]
    (lambda t: t.log_text("x", "a", step=-1), HyperhookError, r"step: expected an int from 0 below 2\*\*63, got -1"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG)
def test_what_cannot_be_logged_is_refused_and_leaves_nothing(
    trial: hh.Trial,
    recorder: RecordingPlugin,
    tmp_path: Path,
    call: Callable[[hh.Trial], object],
    error: type[Exception],
    message: str,
) -> None:
    before = len(recorder.calls)
    with pytest.raises(error, match=message):
        call(trial)
    assert len(recorder.calls) == before
    assert not list((tmp_path / "home" / "trials" / trial.id).glob("artifacts/*/*"))


def test_a_disk_that_refuses_costs_the_file_and_is_named_once(
    trial: hh.Trial, recorder: RecordingPlugin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "home" / "trials" / trial.id / "artifacts").write_text("in the way")
    for step in range(3):
        trial.log_text("t", "x", step=step)
    trial.log({"loss": 1.0})
    assert logged(recorder) == []
    (record,) = caplog.records
    assert "training goes on unrecorded" in record.message
    assert recorder.points() == [("loss", 0, None, 1.0)]


def test_a_plugin_gets_the_live_trial_before_the_training_function(tmp_path: Path) -> None:
    class Host:
        @hh.hookimpl
        def trial_opened(self, trial: hh.Trial) -> None:
            trial.log_tags({"host": "h"})
            trial.log({"opened": 1.0}, step=0)

    recorder = RecordingPlugin()
    study = hh.Study("s", home=tmp_path, plugins=[recorder, Host()])
    study.run(lambda trial: trial.log({"loss": 1.0}, step=5), trials=1, progress=False)
    heard = [hook for hook in recorder.hooks() if hook != "trial_opened"]
    assert heard[:4] == ["study_started", "trial_started", "tags_logged", "metrics_logged"]
    assert recorder.points() == [("opened", 0, None, 1.0), ("loss", 5, None, 1.0)]
