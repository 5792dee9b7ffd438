"""What the tests of the trackers share: the readers, a forwarder's loop, a scripted trial."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hyperhook import Scalar, Tracker, TrialRecord, TrialState

Call = tuple[str, dict[str, Any]]


@pytest.fixture(scope="session")
def readers() -> ModuleType:
    """The module beside this one."""
    spec = importlib.util.spec_from_file_location("readers", Path(__file__).with_name("readers.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@dataclass
class Script:
    """A trial and the hook calls that it causes, from its start on.

    Its clock goes on by 10 ms with each event, so that times are whole milliseconds, which MLflow keeps.
    """

    trial: TrialRecord
    calls: list[Call] = field(default_factory=list)
    points: list[tuple[str, int, int | None, float]] = field(default_factory=list)
    params: dict[str, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.params = dict(self.trial.params)
        self.time = self.trial.started_time
        self.calls.append(("trial_started", {}))

    def log(self, metrics: Mapping[str, float], step: int, epoch: int | None = None) -> Script:
        self.time = round(self.time + 0.01, 3)
        self.calls.append(("metrics_logged", {"metrics": metrics, "step": step, "epoch": epoch, "time": self.time}))
        self.points.extend((name, step, epoch, value) for name, value in metrics.items())
        return self

    def log_params(self, params: Mapping[str, Scalar]) -> Script:
        self.calls.append(("params_logged", {"params": params}))
        self.params.update(params)
        return self

    def end(self, state: TrialState = TrialState.COMPLETE, **facts: Any) -> Script:
        self.trial = replace(self.trial, state=state, finished_time=self.time + 1, **facts)
        self.calls.append(("trial_finished", {}))
        return self

    def expected(self, readers: ModuleType) -> tuple[dict[str, str], list[Any]]:
        """What a reader should find: the params and the points."""
        return {name: readers.text(value) for name, value in sorted(self.params.items())}, readers.points(self.points)


class Forwarder:
    """Sends a script's calls as the real forwarder does, and fails where it is told to."""

    def __init__(self, tracker: Tracker, script: Script) -> None:
        self.tracker = tracker
        self.script = script
        self.cursor = 0
        self.state: Mapping[str, Scalar] = {}

    def send(self, count: int | None = None, *, confirm: bool = True) -> Forwarder:
        """Send a batch from the cursor on; without `confirm` the process dies before the cursor is saved."""
        last = len(self.script.calls) if count is None else self.cursor + count
        self._call(self.cursor, last)
        return self.flush(last, confirm=confirm)

    def send_without_flush(self, count: int) -> Forwarder:
        """Send a part of a batch, in the middle of which something goes wrong."""
        self._call(self.cursor, self.cursor + count)
        return self

    def flush(self, last: int, *, confirm: bool = True) -> Forwarder:
        state = self.tracker.flush(self._record(last - 1))
        if confirm:
            self.cursor, self.state = last, state
        return self

    def restart(self, tracker: Tracker | None = None) -> Forwarder:
        """Go on behind the last confirmed batch, with the same tracker or another process's."""
        self.tracker = tracker or self.tracker
        if self.cursor and not self.tracker.resume(self._record(self.cursor - 1), self.state):
            self.cursor = 0
        return self

    def _record(self, index: int) -> TrialRecord:
        ended = self.script.calls[index][0] == "trial_finished"
        trial = self.script.trial
        return trial if ended else replace(trial, state=TrialState.RUNNING, value=None, step=None, finished_time=None)

    def _call(self, first: int, last: int) -> None:
        for index in range(first, last):
            hook, arguments = self.script.calls[index]
            function = getattr(self.tracker, hook, None)
            if function is not None:
                names = function.__code__.co_varnames[: function.__code__.co_argcount]
                known = {"trial": self._record(index), **arguments}
                function(**{name: known[name] for name in names if name != "self"})


@pytest.fixture
def forward() -> Callable[[Tracker, Script], Forwarder]:
    """A forwarder for a tracker and a script, at its beginning."""
    return Forwarder


@pytest.fixture
def script() -> Callable[..., Script]:
    """A new trial's script; numbers give distinct trials."""

    def make(number: int = 0, params: Mapping[str, Scalar] | None = None, study: str = "digits") -> Script:
        trial = TrialRecord(
            id=f"{number:016x}", number=number, study=study, params=params or {}, started_time=1_700_000_000.0 + number
        )
        return Script(trial)

    return make


@pytest.fixture
def training(script: Callable[..., Script]) -> Callable[..., Script]:
    """A trial as a Lightning fit logs it: train, validation and lr, at the same and at different steps."""

    def make(number: int = 0, steps: int = 12, **options: Any) -> Script:
        made = script(number, params={"lr": 0.01, "width": 64, "activation": "relu", "bias": True}, **options)
        made.log_params({"model/depth": 3, "optimizer": "adam"})
        for step in range(steps):
            epoch = step // 4
            made.log({"train_loss": 1 / (step + 1 + number)}, step, epoch)
            made.log({"lr-Adam": 0.01 * 0.9**epoch}, step, epoch)
            if step % 4 == 3:
                made.log({"val_loss": 2 / (step + 1), "val_acc": step / 100}, step, epoch)
                made.log({"train_loss_epoch": 0.5 / (epoch + 1)}, step, epoch)
        return made.log({"test_acc": 0.875}, steps, None)

    return make


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of this machine, no telemetry."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb-config"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
