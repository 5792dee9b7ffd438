"""Lightning scripts with no changed line: the callback comes by Lightning's entry point, where a trial is active."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import hyperhook as hh
from hyperhook.events import MetricsLogged
from hyperhook.handover import attached_trial
from hyperhook.home import Home
from hyperhook.journal import read
from hyperhook_adapters import _lightning_factory
from hyperhook_adapters.lightning import HyperhookCallback
from hyperhook_adapters.lightning.found import FoundCallback

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

Make = Callable[..., Any]
ROOT = Path(__file__).parents[3]


def points(home: Path, study: str) -> list[tuple[str, int, int | None]]:
    with hh.Study(study, home=home) as opened:
        (trial,) = opened.trials
    events = [event for event, _ in read(Home(home).trial(trial.id) / "journal.jsonl")]
    return [
        (name, event.step, event.epoch)
        for event in events
        if isinstance(event, MetricsLogged)
        for name in event.metrics
        if not name.startswith("lr-")
    ]


def test_without_a_trial_it_does_nothing_and_imports_nothing() -> None:
    code = (
        "import sys; from hyperhook_adapters._lightning_factory import callbacks; before = set(sys.modules); "
        "assert callbacks() == []; assert set(sys.modules) == before; "
        "print([name for name in sys.modules if name.split('.')[0] in ('hyperhook', 'lightning', 'torch')])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "HYPERHOOK_TRIAL"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_entry_points_are_in_the_project() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for group in ("lightning.pytorch.callbacks_factory", "pytorch_lightning.callbacks_factory"):
        value = project["entry-points"][group]["hyperhook"]
        assert EntryPoint("hyperhook", value, group).load() is _lightning_factory.callbacks


@pytest.fixture
def active(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a trial that this process was started for, as far as it can tell."""
    home = tmp_path / "home"
    study = hh.Study("s", home=home)
    trial = study.ask()
    monkeypatch.setenv("HYPERHOOK_HOME", str(home))
    monkeypatch.setenv("HYPERHOOK_TRIAL", trial.id)
    attached_trial.cache_clear()
    return home


@pytest.mark.parametrize("own", [False, True])
def test_it_stays_silent_where_the_script_has_a_callback_of_its_own(
    active: Path, pl: ModuleType, make_trainer: Make, make_module: Make, own: bool
) -> None:
    (found,) = _lightning_factory.callbacks()
    assert isinstance(found, FoundCallback)
    more = [HyperhookCallback()] if own else []
    module = make_module(pl, train=lambda self, batch, index: self.log("loss", 0.5))
    make_trainer(pl, found, callbacks=more, max_epochs=1).fit(module)
    assert points(active, "s") == [("loss", step, 0) for step in range(4)]


SCRIPT = """
import sys
import {namespace} as pl
from {namespace}.demos.boring_classes import BoringModel

class Model(BoringModel):
    def training_step(self, batch, index):
        self.log("loss", 0.5)
        return super().training_step(batch, index)

options = dict(accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False)
pl.Trainer(max_steps=3, limit_val_batches=0, enable_model_summary=False, **options).fit(Model())
print("given", sys.argv[1:])
"""


@pytest.mark.parametrize("namespace", ["lightning.pytorch", pytest.param("pytorch_lightning", marks=pytest.mark.slow)])
def test_a_script_runs_tracked_with_no_changed_line(tmp_path: Path, namespace: str) -> None:
    site = tmp_path / "site" / "published-1.0.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: published\nVersion: 1.0\n")
    target = "hyperhook = hyperhook_adapters._lightning_factory:callbacks\n"
    (site / "entry_points.txt").write_text(f"[{namespace}.callbacks_factory]\n{target}")
    (tmp_path / "train.py").write_text(SCRIPT.format(namespace=namespace))
    path = os.pathsep.join([str(site.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "HYPERHOOK_HOME": str(tmp_path / "home")}
    words = ["run", "--study", "mine", "train.py", "--", "--epochs", "3"]
    done = subprocess.run(
        [sys.executable, "-m", "hyperhook", *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "given ['--epochs', '3']" in done.stdout
    assert points(tmp_path / "home", "mine") == [("loss", step, 0) for step in range(3)]
    with hh.Study("mine", home=tmp_path / "home") as study:
        assert [trial.state for trial in study.trials] == ["COMPLETE"]
