"""The scripts of `examples/scripts`, unmodified: each is tuned, pruned while it runs, and forwarded to two trackers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import hyperhook as hh
from hyperhook.events import MetricsLogged
from hyperhook.home import Home
from hyperhook.journal import read
from hyperhook.workspace import JOURNAL

SCRIPTS = Path(__file__).parents[2] / "examples" / "scripts"
EPOCHS = 27
"""How many the scripts train, where nobody ends them."""
HOPELESS = 1e-9
"""At this learning rate nothing is learnt: whatever the machine, the trial is the last of all at the first rung."""
GRID = {
    "method": "grid",
    "parameters": {"lr": {"values": [0.01, HOPELESS]}, "width": {"value": 1024}},
    "early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 2, "strict": True},
    "run_cap": 2,
}
"""The same sweep on a grid: of two trials at a rung, one goes on; so wide a network takes seconds to train."""
LONGER = {
    **GRID,
    "parameters": {"lr": {"values": [0.01, 0.003, HOPELESS]}, "width": {"value": 1024}},
    "early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 2},
    "run_cap": 3,
}
"""Of three, two go on."""

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),  # MLflow on SQLAlchemy 2.1
    pytest.mark.timeout(400),
]


def hyperhook(folder: Path, *words: str) -> None:
    ours = ("WANDB_", "MLFLOW_", "TB_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment |= {
        "WANDB_MODE": "offline",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "hyperhook", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "send the rest later" not in done.stderr


def journalled(home: Path, trial: hh.TrialRecord, readers: ModuleType) -> Any:
    """A trial as its journal has it, in the shape of the backends' readers."""
    events = [event for event, _ in read(Home(home).trial(trial.id) / JOURNAL)]
    logged = (
        (name, event.step, event.epoch, value)
        for event in events
        if isinstance(event, MetricsLogged)
        for name, value in event.values().items()
    )
    return readers.Run(
        name=trial.name,
        study=trial.study,
        params={name: readers.text(value) for name, value in sorted(trial.params.items())},
        points=readers.points(logged),
        status=trial.state.value,
        value=trial.value,
        native="",
    )


@pytest.mark.parametrize(
    ("library", "others", "grid"),
    [
        ("mlflow", ("tensorboard", "wandb"), GRID),
        pytest.param("mlflow", ("tensorboard", "wandb"), LONGER, marks=pytest.mark.slow),
        pytest.param("wandb", ("tensorboard", "mlflow"), LONGER, marks=pytest.mark.slow),
        pytest.param("tensorboard", ("mlflow", "wandb"), LONGER, marks=pytest.mark.slow),
    ],
)
def test_a_script_that_knows_one_library_is_tuned_pruned_and_forwarded_to_the_others(
    library: str, others: tuple[str, str], grid: dict[str, Any], tmp_path: Path, readers: ModuleType
) -> None:
    sweep = yaml.safe_load((SCRIPTS / f"{library}.yaml").read_text())
    sweep |= {**grid, "program": str(SCRIPTS / sweep["program"]), "trackers": list(others)}
    (tmp_path / "digits.yaml").write_text(yaml.safe_dump(sweep))

    hyperhook(tmp_path, "sweep", "digits.yaml")
    hyperhook(tmp_path, "agent", "digits", "--grace-seconds", "20")

    home = tmp_path / ".hyperhook"
    with hh.Study("digits", home=home) as study:
        trials = study.trials
    rates = grid["parameters"]["lr"]["values"]
    assert [(trial.params["lr"], trial.state) for trial in trials] == [
        (rate, "PRUNED" if rate == HOPELESS else "COMPLETE") for rate in rates
    ]
    runs = [journalled(home, trial, readers) for trial in trials]
    for run in runs:
        steps = {name: [p.step for p in run.points if p.name == name] for name in ("loss", "val_acc")}
        assert steps["val_acc"] == list(range(len(steps["val_acc"])))
        if run.status == "COMPLETE":
            assert steps["loss"] == steps["val_acc"] == list(range(EPOCHS))
            assert max(p.value for p in run.points if p.name == "val_acc") == run.value
        else:
            assert 1 <= len(steps["val_acc"]) < EPOCHS, "the program was not ended while it trained"
    backends = {
        "tensorboard": lambda: readers.read_tensorboard(tmp_path / "runs"),
        "mlflow": lambda: readers.read_mlflow(f"sqlite:///{tmp_path / 'mlflow.db'}"),
        "wandb": lambda: readers.read_wandb(tmp_path / "wandb"),
    }
    found = {"journal": runs} | {name: backends[name]() for name in others}
    assert readers.differences(found) == []
