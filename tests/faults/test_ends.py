"""However a training ends, its trial has the right last word: in the store, in the journal and in every tracker.

Each test starts a training in a process of its own, ends it in one way, and reads back what is there.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from _pytest.mark import ParameterSet

from hyperhook.events import MetricsLogged, TrialFinished
from hyperhook.home import Home
from hyperhook.journal import read
from hyperhook.records import TrialRecord
from hyperhook.workspace import JOURNAL, Workspace

ROOT = Path(__file__).parents[2]
PATHS = [str(ROOT / "examples" / "third_party" / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
STEPS = 20
LAST_WORD_SECONDS = 60.0
"""How long the last word may take, where the training process had no chance to say it."""

Points = Counter[tuple[str, int, float]]

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # MLflow's, of databases that it does not close
]

LOOP = """
import ctypes, os, resource, signal, sys
import hyperhook as hh
from hyperhook_jsonl import JsonLines


class Impatient:
    @hh.hookimpl
    def should_stop(self, last):
        return last is not None and last.step == {steps} - 1


def limit_memory(more):
    pages = int(open("/proc/self/statm").read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, resource.RLIM_INFINITY))


def train(trial):
    for step in range({steps}):
        trial.log({{"loss": step / 4}}, step=step)
        os.write(acknowledged, f"loss {{step}} {{step / 4}}\\n".encode())
    {ending}


acknowledged = os.open("acknowledged", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
plugins = [Impatient()] if "should_stop" in {ending!r} else []
study = hh.Study("s", {{"x": hh.Float(0, 1)}}, hh.Minimize("loss"), plugins=plugins, trackers={trackers}, seed=0)
study.run(train, trials=1, progress=False)
"""

ENDS = {
    "normal": ("return", "COMPLETE", 0),
    "value": ("return 0.5", "COMPLETE", 0),
    "pruned": ("assert trial.should_stop", "PRUNED", 0),
    "exception": ("raise RuntimeError('the loss exploded')", "FAILED", 0),
    "memory": ("limit_memory(1 << 28); bytearray(1 << 30)", "FAILED", 0),
    "exit": ("sys.exit(3)", "KILLED", 3),
    "interrupt": ("os.kill(os.getpid(), signal.SIGINT); signal.pause()", "KILLED", -signal.SIGINT),
    "at once": ("os._exit(4)", "KILLED", 4),
    "terminate": ("os.kill(os.getpid(), signal.SIGTERM); signal.pause()", "KILLED", -signal.SIGTERM),
    "kill": ("os.kill(os.getpid(), signal.SIGKILL)", "KILLED", -signal.SIGKILL),
    "hang up": ("os.kill(os.getpid(), signal.SIGHUP); signal.pause()", "KILLED", -signal.SIGHUP),
    "abort": ("os.abort()", "KILLED", -signal.SIGABRT),
    "crash": ("ctypes.string_at(0)", "KILLED", -signal.SIGSEGV),
}
"""How a training function ends, the trial's state then, and the exit status of its process."""


def quick(*ends: str) -> list[ParameterSet]:
    """All ends, of which only those that are named belong to `make test`."""
    return [pytest.param(end, marks=[] if end in ends else pytest.mark.slow) for end in ENDS]


FIT = """
import os, signal, warnings
import lightning as L
import torch
import hyperhook as hh
from hyperhook_adapters.lightning import HyperhookCallback
from hyperhook_jsonl import JsonLines

warnings.simplefilter("ignore")
torch.set_num_threads(1)


class Acknowledge:
    @hh.hookimpl
    def metrics_logged(self, metrics, step):
        for name, value in metrics.items():
            os.write(acknowledged, f"{{name}} {{step}} {{value}}\\n".encode())


class Module(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, index):
        if index == {steps}:
            {ending}
        self.log("loss", self.layer(batch).square().mean())
        return self.layer(batch).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)


acknowledged = os.open("acknowledged", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
study = hh.Study("s", objective=hh.Minimize("loss"), plugins=[Acknowledge()], trackers={trackers})
with study.trial() as trial:
    trainer = L.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, callbacks=[HyperhookCallback()], enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )
    trainer.fit(Module(), torch.utils.data.DataLoader(torch.zeros(1000, 4) + 1))
"""

JSON_LINES = '[JsonLines("out")]'
REAL = '["tensorboard", "mlflow", "wandb"]'


def run(folder: Path, script: str, ending: str, trackers: str) -> int:
    """Run a training to its end, and return its exit status; what it said lies in the folder."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(PATHS)}
    environment |= {"WANDB_MODE": "offline", "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": ""}
    for name in ("MLFLOW_TRACKING_URI", "WANDB_API_KEY", "WANDB_DIR"):
        environment.pop(name, None)
    with open(folder / "said", "wb") as said:  # no pipe: it would stay open as long as a tracker's own processes live
        command = [sys.executable, "-c", script.format(steps=STEPS, ending=ending, trackers=trackers)]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said)
    try:
        status = process.wait(120)
    finally:
        process.kill()
    return status


def wait_for(condition: Callable[[], object], seconds: float = LAST_WORD_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {seconds} s"
        time.sleep(0.02)


def acknowledged(folder: Path) -> Points:
    rows = (line.split() for line in (folder / "acknowledged").read_text().splitlines())
    return Counter((name, int(step), float(value)) for name, step, value in rows)


def journalled(folder: Path, trial: TrialRecord) -> tuple[Points, list[str]]:
    """The points in a trial's journal, and the states that it ended with."""
    events = [event for event, _ in read(Home(folder / ".hyperhook").trial(trial.id) / JOURNAL)]
    points = [(e.metrics, e.step) for e in events if isinstance(e, MetricsLogged)]
    ends = [str(event.state) for event in events if isinstance(event, TrialFinished)]
    return Counter((name, step, float(v)) for metrics, step in points for name, v in metrics.items()), ends


def in_json_lines(folder: Path) -> tuple[Points, list[str]]:
    """The points in the tracker's file, and the states that the trial ended with there."""
    rows = [json.loads(line) for line in (folder / "out" / "s-0.jsonl").read_text().splitlines()]
    points = Counter((row["name"], row["step"], row["value"]) for row in rows if "name" in row)
    return points, [row["state"] for row in rows if "state" in row]


def forwarder_is_done(folder: Path) -> bool:
    home = Home(folder / ".hyperhook")
    return not any(home.posted("s", name) for name in home.trackers("s")) and not list(home.started())


def check_core(folder: Path, state: str) -> TrialRecord:
    """Wait for the end; compare store, journal and what `log` returned from."""
    wait_for(lambda: forwarder_is_done(folder))
    (trial,) = Workspace(Home(folder / ".hyperhook")).store.study("s").trials
    assert trial.state == state
    points, ends = journalled(folder, trial)
    assert ends == [state]
    assert points == acknowledged(folder)
    assert set(points.values()) == {1}
    return trial


@pytest.mark.parametrize("end", quick("exception", "exit", "interrupt", "terminate"))
def test_every_end_is_the_same_in_store_journal_and_tracker(tmp_path: Path, end: str) -> None:
    ending, state, status = ENDS[end]
    assert run(tmp_path, LOOP, ending, JSON_LINES) == status
    check_core(tmp_path, state)
    points, ends = in_json_lines(tmp_path)
    assert (points, ends) == (acknowledged(tmp_path), [state])
    assert len(points) == STEPS


def test_a_training_that_eats_all_memory_ends_too(tmp_path: Path) -> None:
    """What fills the memory is alive while the trial's end is written: the traceback holds it."""
    ending = (
        "limit_memory(1 << 26); eaten = []\n    while True: eaten.append(bytearray(1 << 14)); eaten.append(object())"
    )
    run(tmp_path, LOOP, ending, JSON_LINES)
    wait_for(lambda: forwarder_is_done(tmp_path))
    (trial,) = Workspace(Home(tmp_path / ".hyperhook")).store.study("s").trials
    assert trial.state in ("FAILED", "KILLED")
    check_core(tmp_path, trial.state)
    assert in_json_lines(tmp_path) == (acknowledged(tmp_path), [trial.state])


@pytest.fixture(scope="module")
def readers() -> ModuleType:
    """What reads the backends."""
    spec = importlib.util.spec_from_file_location("readers", ROOT / "tests" / "adapters" / "readers.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["readers"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


NATIVE = {
    "COMPLETE": ("STATUS_SUCCESS", "FINISHED", "exit 0"),
    "PRUNED": ("STATUS_SUCCESS", "FINISHED", "exit 0"),
    "FAILED": ("STATUS_FAILURE", "FAILED", "exit 1"),
    "KILLED": ("STATUS_FAILURE", "KILLED", "exit 255"),
}
"""The state in TensorBoard's, MLflow's and W&B's own words."""


def check_backends(folder: Path, readers: ModuleType, state: str) -> None:
    """Each backend has every point that `log` returned from once, and says how the trial ended in its own words."""
    found = {
        "tensorboard": readers.read_tensorboard(folder / "runs"),
        "mlflow": readers.read_mlflow(f"sqlite:///{folder / 'mlflow.db'}"),
        "wandb": readers.read_wandb(folder),
    }
    assert readers.differences(found) == []
    for backend, native in zip(found, NATIVE[state], strict=True):
        (there,) = found[backend]
        assert (there.status, there.native) == (state, native)
        points = Counter((point.name, point.step, point.value) for point in there.points)
        if backend == "tensorboard":
            rounded = ((name, step, readers.float32(value)) for name, step, value in acknowledged(folder))
            assert points == Counter(rounded)
        else:
            assert points == acknowledged(folder)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("end", [pytest.param(end, marks=pytest.mark.slow) for end in ENDS])
def test_every_end_is_in_tensorboard_mlflow_and_wandb(tmp_path: Path, readers: ModuleType, end: str) -> None:
    ending, state, status = ENDS[end]
    assert run(tmp_path, LOOP, ending, REAL) == status
    check_core(tmp_path, state)
    check_backends(tmp_path, readers, state)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("ending", "state"),
    [
        ("os.kill(os.getpid(), signal.SIGINT)", "KILLED"),
        pytest.param("os.kill(os.getpid(), signal.SIGTERM)", "KILLED", marks=pytest.mark.slow),
        pytest.param("os.kill(os.getpid(), signal.SIGKILL)", "KILLED", marks=pytest.mark.slow),
        pytest.param("raise RuntimeError('the loss exploded')", "FAILED", marks=pytest.mark.slow),
    ],
)
def test_a_fit_that_is_ended_from_outside_ends_its_trial_in_every_backend(
    tmp_path: Path, readers: ModuleType, ending: str, state: str
) -> None:
    run(tmp_path, FIT, ending, REAL)
    check_core(tmp_path, state)
    assert {step for _, step, _ in acknowledged(tmp_path)} >= set(range(STEPS))
    check_backends(tmp_path, readers, state)
