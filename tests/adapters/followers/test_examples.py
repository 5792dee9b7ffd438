"""The scripts in examples/scripts, none of which knows hyperhook."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from hyperhook.follower import Follower
from hyperhook_adapters.followers.mlflow import MLflowFollower
from hyperhook_adapters.followers.tensorboard import TensorBoardFollower
from hyperhook_adapters.followers.wandb import WandBFollower

SCRIPTS = Path(__file__).parents[3] / "examples" / "scripts"
PARAMS = {"lr": 0.01, "width": 8}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind", "arguments"),
    [
        ("wandb", WandBFollower, ()),
        ("mlflow", MLflowFollower, ("--lr=0.01", "--width=8")),
        ("tensorboard", TensorBoardFollower, ("--lr=0.01", "--width=8")),
    ],
)
def test_its_curve_is_read(
    follow: Callable[..., Any], name: str, kind: type[Follower], arguments: tuple[str, ...]
) -> None:
    sweep = yaml.safe_load((SCRIPTS / f"{name}.yaml").read_text())
    done = follow(kind(), (SCRIPTS / sweep["program"]).read_text(), PARAMS, arguments=arguments)
    assert done.code == 0, done.output
    assert sweep["metrics_from"] == name
    curve = [(row.step, row.metrics[sweep["metric"]["name"]]) for row in done.readings if "val_acc" in row.metrics]
    assert [step for step, _ in curve] == list(range(27))
    assert curve[-1][1] == pytest.approx(expected(), abs=1e-6), "the params did not arrive"


def expected() -> float:
    """Return what the scripts come to with these params."""
    images, labels = load_digits(return_X_y=True)
    train_x, val_x, train_y, val_y = train_test_split(images / 16, labels, random_state=0)
    model = MLPClassifier((PARAMS["width"],), learning_rate_init=PARAMS["lr"], random_state=0)
    for _ in range(27):
        model.partial_fit(train_x, train_y, classes=range(10))
    return float(model.score(val_x, val_y))
