"""W&B: what is read back from the offline files is what was logged, whatever failed on the way."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hyperhook import HyperhookError, TrialState
from hyperhook_adapters._offline_file import is_complete, wait_until_complete
from hyperhook_adapters.wandb import WandB

pytestmark = [
    pytest.mark.usefixtures("offline"),
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),  # W&B's own, at its teardown
]


@pytest.fixture(scope="module", autouse=True)
def service():
    """Leave no process of W&B's behind."""
    yield
    WandB().close()
    wait_until(lambda: cores() == [])
    gc.collect()


@pytest.fixture
def new(tmp_path):
    """Make a tracker, as each process has its own; the one before it ends."""
    made = []

    def make():
        close()
        made.append(pickle.loads(pickle.dumps(WandB(dir=tmp_path / "out"))))
        return made[-1]

    def close():
        for tracker in made:
            for run in tracker._runs.values():
                with contextlib.suppress(Exception):
                    run.run.finish()

    yield make
    close()


@pytest.fixture
def tracker(new):
    return new()


@pytest.fixture
def read(tmp_path, readers):
    return lambda: readers.read_wandb(tmp_path / "out")


@pytest.fixture
def rows(tmp_path, readers):
    """The history of the only run."""

    def read_rows():
        (path,) = (tmp_path / "out").rglob("*.wandb")
        return [readers._items(r.history.item) for r in readers.wandb_records(path) if r.HasField("history")]

    return read_rows


def cores(owner=None):
    """Processes of W&B's own that a process (this one, by default) started and that still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"wandb-core" in words[0] and str(owner or os.getpid()).encode() in words:
                found.append(int(folder.name))
    return found


def same(run, script, readers):
    params, points = script.expected(readers)
    assert run.points == points
    assert run.params == params
    return True


def test_a_trial_is_read_back_as_it_was_logged(tracker, forward, training, read, readers):
    script = training().end(value=0.11, step=11, epoch=2)
    forward(tracker, script).send()
    (run,) = read()
    assert same(run, script, readers)
    assert (run.name, run.study, run.status, run.native, run.value) == (
        "digits-0",
        "digits",
        "COMPLETE",
        "exit 0",
        0.11,
    )


def test_each_event_is_a_row_with_its_own_time_step_and_epoch(tracker, forward, training, rows):
    script = training().end()
    forward(tracker, script).send()
    calls = [call for hook, call in script.calls if hook == "metrics_logged"]
    assert [row["_step"] for row in rows()] == list(range(len(calls)))
    assert [row["_timestamp"] for row in rows()] == [call["time"] for call in calls]
    assert [row["trainer/global_step"] for row in rows()] == [call["step"] for call in calls]
    assert [row.get("epoch") for row in rows()] == [call["epoch"] for call in calls]


def test_charts_are_drawn_over_the_trainers_step(tracker, forward, training, tmp_path, readers):
    forward(tracker, training().end()).send()
    (path,) = (tmp_path / "out").rglob("*.wandb")
    axes = [record.metric for record in readers.wandb_records(path) if record.HasField("metric")]
    assert ("*", "trainer/global_step") in [(metric.glob_name, metric.step_metric) for metric in axes]


def test_nothing_is_recorded_that_was_not_logged(tracker, forward, training, tmp_path, readers):
    forward(tracker, training().end()).send()
    (path,) = (tmp_path / "out").rglob("*.wandb")
    kinds = {record.WhichOneof("record_type") for record in readers.wandb_records(path)}
    assert not kinds & {"stats", "output", "output_raw", "files", "artifact", "environment"}
    files = {file.name for file in path.parent.rglob("*") if file.is_file()}
    assert files <= {path.name, "debug.log", "debug-internal.log", "debug-core.log"}


@pytest.mark.parametrize(
    ("state", "native"), [("COMPLETE", "exit 0"), ("PRUNED", "exit 0"), ("FAILED", "exit 1"), ("KILLED", "exit 255")]
)
def test_each_final_state(tracker, forward, script, read, rows, state, native):
    forward(tracker, script().log({"loss": 1.0}, 0).end(TrialState(state), error="ValueError: no")).send()
    (run,) = read()
    assert (run.status, run.native) == (state, native)
    assert len(rows()) == 1


@pytest.mark.parametrize("again", ["same process", "new process"])
def test_a_batch_that_was_sent_and_not_confirmed_is_there_once(tracker, new, forward, training, read, readers, again):
    script = training().end()
    forwarder = forward(tracker, script).send(10).send(7, confirm=False)
    forwarder.restart(tracker if again == "same process" else new())
    assert forwarder.cursor == 0
    forwarder.send()
    (run,) = read()
    assert same(run, script, readers)


def test_a_crash_before_anything_was_confirmed(tracker, new, forward, training, read, readers):
    script = training().end()
    forward(tracker, script).send_without_flush(6).restart(new()).send()
    (run,) = read()
    assert same(run, script, readers)


def test_a_crash_behind_the_end_that_was_not_confirmed(tracker, new, forward, training, read, readers):
    script = training().end()
    forward(tracker, script).send(confirm=False).restart(new()).send()
    (run,) = read()
    assert same(run, script, readers)


def test_what_was_synced_and_what_is_others_is_never_removed(tracker, new, forward, training, tmp_path):
    script = training().end()
    forward(tracker, script).send()
    (path,) = (tmp_path / "out").rglob("*.wandb")
    folder = path.parent
    synced = folder.rename(folder.with_name(f"offline-run-20200101_000000-{script.trial.id}"))
    path = synced / path.name
    path.with_suffix(".wandb.synced").touch()
    others = [folder.with_name(f"offline-run-20200101_000000-other-{script.trial.id}"), tmp_path / folder.name]
    for other in others:
        other.mkdir()
    forward(new(), script).send()
    assert path.exists()
    assert all(other.exists() for other in others)
    assert len(list((tmp_path / "out").rglob("*.wandb"))) == 2


def test_batches_of_trials_interleave(tracker, forward, training, read, readers):
    scripts = [training(number).end() for number in range(3)]
    forwarders = [forward(tracker, script) for script in scripts]
    for size in (5, 9, None):
        for forwarder in forwarders:
            forwarder.send(size)
    assert all(same(run, script, readers) for run, script in zip(read(), scripts, strict=True))


def test_nan_and_infinities(tracker, forward, script, read, readers):
    made = script().log({"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1e300}, 0, 0).end(value=math.inf)
    forward(tracker, made).send()
    (run,) = read()
    assert same(run, made, readers)
    assert run.value == math.inf


def test_steps_that_repeat_or_go_back_keep_every_point(tracker, forward, script, read, readers):
    made = script()
    for step in (5, 5, 3, 5):
        made.log({"loss": 0.5}, step, 1)
    forward(tracker, made.end()).send()
    assert same(read()[0], made, readers)


def test_no_metrics_at_all(tracker, forward, script, read):
    forward(tracker, script(params={"lr": 0.1}).end(TrialState.FAILED)).send()
    (run,) = read()
    assert (run.points, run.params, run.status) == ([], {"lr": "0.1"}, "FAILED")


def test_two_hundred_params_of_every_type(tracker, forward, script, read, readers):
    params = {f"p{number}": number / 3 for number in range(195)}
    odd = {"none": None, "flag": False, "text": "größe", "a.b": 1, "a/b": 2}
    made = script(params=params).log_params({**odd, "long": "x" * 40_000}).end()
    forward(tracker, made).send()
    assert same(read()[0], made, readers)


def test_metrics_may_have_any_name(tracker, forward, script, read, readers):
    names = ["größe ✓", "a/b", "a.b", "a\\.b", "%", "_x", "hyperhook/state", "%hyperhook/state", "trainer/global_step"]
    names += ["_step", "_timestamp", "%_timestamp", "_runtime", "_wandb", "a\nb", " "]
    made = script().log(dict.fromkeys(names, 1.0), 3, 1).end(value=2.0)
    forward(tracker, made).send()
    (run,) = read()
    assert same(run, made, readers)
    assert (run.status, run.value) == ("COMPLETE", 2.0)


@pytest.mark.parametrize("study", ["größe ✓", "a/b\\c#d?e%f:g", "_0x2f_", "..", "../../x", "x" * 400])
def test_studies_may_have_any_name(tracker, forward, script, read, tmp_path, study):
    forward(tracker, script(study=study).log({"loss": 1.0}, 0).end()).send()
    (run,) = read()
    assert run.name == f"{study}-0"
    assert run.study == study if len(study) < 100 else len(run.study) == 128
    assert {file.parent.parent for file in tmp_path.rglob("*.wandb")} == {tmp_path / "out" / "wandb"}


def test_a_metric_called_epoch_takes_the_place_of_ours(tracker, forward, script, rows):
    forward(tracker, script().log({"epoch": 0.25, "loss": 1.0}, 3, 0).end()).send()
    assert rows()[0]["epoch"] == 0.25


def test_a_trial_that_goes_on_after_its_end_keeps_both_parts(tracker, forward, script, tmp_path, readers):
    made = script().log({"loss": 1.0}, 0).end(TrialState.KILLED)
    forwarder = forward(tracker, made).send()
    (path,) = (tmp_path / "out").rglob("*.wandb")
    path.parent.rename(path.parent.with_name(f"offline-run-20200101_000000-{made.trial.id}"))
    made.trial = replace(made.trial, state=TrialState.RUNNING)
    made.log({"loss": 0.5}, 1).end()
    forwarder.send()
    parts = readers.read_wandb(tmp_path / "out")
    assert readers.points(point for part in parts for point in part.points) == made.expected(readers)[1]


@pytest.mark.parametrize("size", [0, 1, 32_600, 33_000, 70_000])
def test_a_file_is_complete_with_its_last_byte(tracker, forward, script, tmp_path, size):
    forward(tracker, script().log_params({"long": "x" * size}).log({"loss": 1.0}, 0).end()).send()
    (path,) = (tmp_path / "out").rglob("*.wandb")
    assert is_complete(path)
    whole = path.read_bytes()
    for missing in range(1, 40):
        path.write_bytes(whole[:-missing])
        assert not is_complete(path)
    assert not is_complete(tmp_path / "nothing")


def test_a_file_that_never_ends_is_not_waited_for_long(tmp_path, caplog):
    wait_until_complete(tmp_path / "nothing", timeout_seconds=0.02)
    assert "has no end after" in caplog.text


def test_events_of_an_unknown_trial_are_refused(tracker, script):
    with pytest.raises(HyperhookError, match="not open here"):
        tracker.metrics_logged(script().trial, {"loss": 1.0}, 0, None, 0.0)


def test_wandbs_own_process_may_die(tracker, forward, training, read, readers):
    scripts = [training(0).end(), training(1).end()]
    forwarders = [forward(tracker, script).send(10) for script in scripts]
    (core,) = cores()
    os.kill(core, signal.SIGKILL)
    wait_until(lambda: cores() == [])
    for forwarder in forwarders:
        for _ in range(3):  # the forwarder tries again, too
            with contextlib.suppress(ConnectionError, HyperhookError):
                forwarder.send()
                break
            forwarder.restart()
    for run, script in zip(read(), scripts, strict=True):
        assert same(run, script, readers)


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def child(code, directory, **options):
    """Start a process that drives the tracker, below this one, which has a W&B process of its own."""
    lines = f"""
import os, sys
from hyperhook import TrialRecord, TrialState
from hyperhook_adapters._offline_file import is_complete, wait_until_complete
from hyperhook_adapters.wandb import WandB
tracker, trial = WandB(dir={str(directory)!r}), TrialRecord("child", 0, "s")
ended = TrialRecord("child", 0, "s", state=TrialState.COMPLETE, value=1.0)
{code}
"""
    return subprocess.Popen([sys.executable, "-c", lines], stdout=subprocess.PIPE, text=True, **options)


def test_a_process_that_was_killed_leaves_nothing_behind(tmp_path, new, forward, script, read, readers):
    """Its W&B notices, and what it wrote is replaced."""
    made = script().log({"loss": 1.0}, 0, 0).log({"loss": 0.5}, 1, 0).end(value=0.5)
    code = f"""
trial = TrialRecord({made.trial.id!r}, 0, "digits")
tracker.trial_started(trial)
tracker.metrics_logged(trial, {{"loss": 1.0}}, 0, 0, 1.0)
print("logged", flush=True)
sys.stdin.read()
"""
    with child(code, tmp_path / "out", stdin=subprocess.PIPE) as process:
        process.stdout.readline()
        (core,) = cores(process.pid)
        process.kill()
    assert len(list((tmp_path / "out").rglob("*.wandb"))) == 1
    forward(new(), made).send()
    (run,) = read()
    assert same(run, made, readers)
    wait_until(lambda: not running(core))


def test_a_key_is_never_asked_for_and_nothing_is_said(tmp_path):
    code = """
tracker.trial_started(trial)
tracker.metrics_logged(trial, {"loss": 1.0}, 0, 0, 1.0)
tracker.trial_finished(ended)
tracker.close()
"""
    with child(code, tmp_path, stdin=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, "")
    assert len(list(tmp_path.rglob("offline-run-*/*.wandb"))) == 1


def test_close_ends_wandbs_own_process_also_with_a_run_open(tmp_path):
    code = """
tracker.trial_started(trial)
print("open", flush=True)
sys.stdin.readline()
tracker.close()
sys.stdin.read()
"""
    with child(code, tmp_path, stdin=subprocess.PIPE) as process:
        process.stdout.readline()
        (core,) = cores(process.pid)
        process.stdin.write("close\n")
        process.stdin.flush()
        wait_until(lambda: not running(core))
        assert process.poll() is None


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


KEY = "0" * 40
MODES = [
    ({}, None, "offline"),
    ({"WANDB_API_KEY": KEY}, None, "online"),
    ({"WANDB_API_KEY": KEY}, "offline", "offline"),
    ({"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"}, None, "offline"),
    ({"WANDB_MODE": "disabled"}, None, "disabled"),
    ({"WANDB_MODE": "online"}, None, "HyperhookError"),
    ({}, "online", "HyperhookError"),
    ({"NETRC": "HERE/login"}, None, "offline"),
    ({"NETRC": "HERE/login", "WANDB_BASE_URL": "https://wandb.test"}, None, "online"),
]


def test_the_mode_is_offline_where_there_is_no_key(tmp_path):
    (tmp_path / "login").write_text(f"machine wandb.test login user password {KEY}")
    code = f"""
found, clean = [], dict(os.environ)
for environment, mode, _ in {MODES!r}:
    os.environ.clear()
    os.environ.update(clean | {{name: value.replace("HERE", {str(tmp_path)!r}) for name, value in environment.items()}})
    tracker = WandB(mode=mode)
    try:
        found.append(tracker._resolve_mode())
    except Exception as error:
        found.append(type(error).__name__)
    tracker.close()
print(*found)
"""
    with child(code, tmp_path) as process:
        assert process.communicate(timeout=60)[0].split() == [found for _, _, found in MODES]


def test_where_wandb_is_switched_off_nothing_is_written(tmp_path, forward, training):
    tracker = WandB(mode="disabled", dir=tmp_path / "off")
    forward(tracker, training().end()).send()
    assert list(tmp_path.rglob("*.wandb")) == []


def test_naming_the_tracker_loads_nothing_heavy():
    code = (
        "import sys, hyperhook_adapters.wandb as m; m.WandB();"
        "print([name for name in ('wandb', 'numpy', 'pydantic') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"project": Path("out")}, "WandB: project: expected a name, got "),
        ({"entity": 3}, "WandB: entity: expected a name, got 3"),
        ({"mode": "of"}, "WandB: mode: expected one of 'online', 'offline', 'disabled', got 'of'"),
    ],
)
def test_an_option_that_cannot_be_is_told_at_once(options, message):
    with pytest.raises(HyperhookError, match=message):
        WandB(**options)
