"""A script that uses W&B as it stands, without a server."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hyperhook import TrialRecord
from hyperhook_adapters._offline_file import OfflineFile
from hyperhook_adapters.followers.wandb import WandBFollower

RECORD = TrialRecord("trial-7", 7, "s", {})

SCRIPT = """
import json, math, sys
import wandb

wandb.init(project="mine", config={"lr": 9.0, "own": 1})
print("CONFIG", json.dumps(dict(wandb.config)))
wandb.define_metric("val/*", step_metric="epoch")
wandb.define_metric("updates/*", step_metric="update")
for step in range(3):
    wandb.log({"loss": 1 / (1 + step), "epoch": step // 2})
wandb.log({
    "val/acc": 0.5, "epoch": 2.0, "updates/reward": 3.5, "update": 70, "nan": math.nan, "inf": -math.inf,
    "nested": {"acc": 0.25, "deep": {"x": 1}}, "größe.a/b": 2, "text": "no", "flag": True, "none": None,
    "histogram": wandb.Histogram([1, 2, 3]), "table": wandb.Table(columns=["a"], data=[[1]]),
})
wandb.log({"a": 1}, step=1000)
wandb.log({"b": 2}, step=1000)
wandb.log({"a": 2}, step=1001)
wandb.summary["best"] = 0.75
wandb.summary["words"] = "good"
wandb.summary["loss"] = -1
wandb.finish()

with wandb.init(project="other") as run:
    run.log({"loss": 7.0})
resumed = run.id

with wandb.init(id=resumed, resume="allow") as run:
    run.log({"loss": 8.0})

wandb.init()
wandb.log({"last": 1})
sys.exit(3)
"""

PARAMS: dict[str, Any] = {
    "lr": 0.001,
    "optimizer": {"name": "adam", "betas": {"first": 0.9}},
    "a/b": 3,
    "model.width": 64,
    "größe": "groß: {x}",
    "flag": True,
    "nothing": None,
    "year": "2024-01-01",
}


def test_an_unmodified_script(follow: Callable[..., Any]) -> None:
    done = follow(WandBFollower(), SCRIPT, PARAMS)
    assert done.code == 3, done.output
    (line,) = [line for line in done.output.splitlines() if line.startswith("CONFIG ")]
    assert json.loads(line.removeprefix("CONFIG ")) == {**PARAMS, "own": 1}
    assert not (done.folder / "the work" / "wandb").exists()
    times = [reading.time for reading in done.readings]
    assert all(time is not None and time > 1e9 for time in times)
    found = [(reading.metrics, reading.step, reading.epoch) for reading in done.readings]
    rough = found[3][0].pop("nan")
    assert math.isnan(rough)
    row = {"inf": -math.inf, "nested.acc": 0.25, "nested.deep.x": 1.0, "größe.a/b": 2.0, "update": 70.0}
    assert found == [
        ({"loss": 1.0}, 0, 0),
        ({"loss": 0.5}, 1, 0),
        ({"loss": 1 / 3}, 2, 1),
        ({**row, "val/acc": 0.5}, 3, 2),
        ({"updates/reward": 3.5}, 70, 2),
        ({"a": 1.0, "b": 2.0}, 1000, None),
        ({"a": 2.0}, 1001, None),
        ({"best": 0.75}, 1001, 2),
        ({"loss": 7.0}, 0, None),
        ({"loss": 8.0}, 0, None),
        ({"last": 1.0}, 0, None),
    ]


def test_a_file_that_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    follower = WandBFollower()
    folder = Path(follower.environment(tmp_path, {}, "s", RECORD)["WANDB_DIR"]) / "wandb" / "offline-run-1-a"
    folder.mkdir(parents=True)
    (folder / "run-a.wandb").write_bytes(b"no such file, but long enough to be one")
    assert list(follower.read()) == []
    assert list(follower.read()) == []
    assert [record.getMessage()[:4] for record in caplog.records] == ["W&B:"]
    follower.close()


def test_a_hole_in_a_file_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "run.wandb"
    path.write_bytes(b":W&B\xc3\xd4\x00" + bytes(100))
    file = OfflineFile(path)
    assert list(file.records()) == []
    file.close()
