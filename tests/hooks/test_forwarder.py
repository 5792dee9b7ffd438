"""The forwarder, as a study sees it: every event in every tracker, once, whatever is slow, down or killed."""

from __future__ import annotations

import json
import logging
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

import hyperhook as hh
from hyperhook import courier, forwarder
from hyperhook.errors import PluginError
from hyperhook.forwarder import Pending, deliver, pending
from hyperhook.home import Home
from hyperhook.manager import load_trackers
from hyperhook.study import Study
from hyperhook.testing import RecordingPlugin
from hyperhook.workspace import Workspace

OpenStudy = Callable[..., Study]
Wait = Callable[..., None]

STEPS = 5


def train(trial: hh.Trial) -> None:
    trial.log_params({"p": trial.number})
    for step in range(STEPS):
        trial.log({"loss": trial.number + step / 10}, step=step)


def everything(trials: int, first: int = 0) -> Counter[tuple[int, str, int, float]]:
    return Counter((n, "loss", step, n + step / 10) for n in range(first, trials) for step in range(STEPS))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def forwarder_pid(study: Study) -> int | None:
    made = study._outlet._forwarder
    assert made is not None
    return made.pid


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("delivery", ["forwarder", "inline"])
def test_every_event_is_there_once_when_run_returns(
    study: OpenStudy, mirrors: ModuleType, out: Path, home: Path, delivery: str
) -> None:
    trackers = [mirrors.Mirror(out / "a"), mirrors.Forgetful(out / "b"), mirrors.Slow(out / "c")]
    made = study(trackers=trackers, delivery=delivery)
    made.run(train, trials=3)
    for folder in (out / "a", out / "b", out / "c"):
        assert mirrors.points(folder) == everything(3)
        for trial, rows in zip(made.trials, mirrors.rows(folder), strict=True):
            assert [row["hook"] for row in rows] == [
                "trial_started",
                "params_logged",
                *["metrics_logged"] * STEPS,
                "trial_finished",
            ]
            assert rows[0]["params"] == trial.params
            assert (rows[-1]["state"], rows[-1]["value"]) == ("COMPLETE", trial.value)
        hooks = [line.split('"')[3] for line in (folder / "study.jsonl").read_text().splitlines()]
        assert hooks == ["study_started", "study_finished"]
    assert all(Home(home).posted("s", name) == [] for name in ("mirror", "forgetful", "slow"))
    assert made.flush()


def test_the_forwarder_is_another_process_and_ends_with_the_study(
    study: OpenStudy, mirrors: ModuleType, out: Path, wait_for: Wait
) -> None:
    made = study(trackers=[mirrors.Mirror(out)])
    assert forwarder_pid(made) is None
    made.run(train, trials=1)
    pid = forwarder_pid(made)
    assert pid not in (None, os.getpid())
    made.close()
    assert forwarder_pid(made) is None
    wait_for(lambda: not alive(pid))  # type: ignore[arg-type]


def test_points_arrive_while_the_trial_runs(study: OpenStudy, mirrors: ModuleType, out: Path, wait_for: Wait) -> None:
    made = study(trackers=[mirrors.Mirror(out)])
    with made.trial() as trial:
        train(trial)
        wait_for(lambda: mirrors.points(out) == everything(1))
        assert mirrors.states(out) == []


def test_plugins_hear_at_once_in_this_process(study: OpenStudy, mirrors: ModuleType, out: Path) -> None:
    recorder = RecordingPlugin()
    made = study(trackers=[mirrors.Mirror(out)], plugins=[recorder])
    made.run(train, trials=1)
    assert Counter((0, *point[:2], point[3]) for point in recorder.points()) == everything(1)


def test_two_studies_in_one_home_do_not_mix(study: OpenStudy, mirrors: ModuleType, out: Path) -> None:
    one = study("a/b", trackers=[mirrors.Mirror(out / "one")])
    two = study("a", trackers=[mirrors.Mirror(out / "two")])
    for budget in (1, 2):
        one.run(train, trials=budget)
        two.run(train, trials=budget + 1)
    assert mirrors.points(out / "one") == everything(2)
    assert mirrors.points(out / "two") == everything(3)
    assert '"study": "a"' not in (out / "one" / "study.jsonl").read_text()


def test_a_tracker_that_is_down_delays_no_other_and_is_named_with_the_way_to_send(
    study: OpenStudy, mirrors: ModuleType, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (out / "down").mkdir(parents=True)
    (out / "down" / "down").touch()
    made = study(trackers=[mirrors.Down(out / "down"), mirrors.Mirror(out / "up")], flush_timeout_seconds=1.5)
    begun = time.monotonic()
    made.run(train, trials=2)
    assert time.monotonic() - begun < 10
    assert mirrors.points(out / "up") == everything(2)
    assert not mirrors.points(out / "down")
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.getMessage() == (
        "down lacks 2 of study s (ConnectionError: the server is down); send the rest later: hyperhook sync 's'"
    )
    (out / "down" / "down").unlink()
    made.flush_timeout_seconds = 20.0
    assert made.flush()
    assert mirrors.points(out / "down") == everything(2)
    assert mirrors.states(out / "down") == ["COMPLETE"] * 2


def test_a_killed_forwarder_is_started_again_at_the_next_trial(
    study: OpenStudy, mirrors: ModuleType, out: Path, wait_for: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarder, "FIRST_RETRY_SECONDS", 0.0)
    made = study(trackers=[mirrors.Mirror(out)])
    pids = []

    def killing(trial: hh.Trial) -> None:
        pid = forwarder_pid(made)
        assert pid is not None
        pids.append(pid)
        train(trial)
        if trial.number == 0:
            wait_for(lambda: mirrors.points(out))
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: forwarder_pid(made) is None)

    made.run(killing, trials=3)
    assert len(set(pids)) == 2
    assert mirrors.points(out) == everything(3)
    assert mirrors.states(out) == ["COMPLETE"] * 3


def test_a_forwarder_that_dies_at_its_start_is_told_and_training_goes_on(
    study: OpenStudy, mirrors: ModuleType, out: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = study(trackers=[mirrors.Mirror(out)], flush_timeout_seconds=0.5)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", "/bin/false")
        made.run(train, trials=2)
    assert [trial.state for trial in made.trials] == [hh.TrialState.COMPLETE] * 2
    assert "mirror lacks 3 of study s; send the rest later" in caplog.text
    made.flush_timeout_seconds = 30.0
    assert made.flush()
    assert mirrors.points(out) == everything(2)


def test_a_trainer_that_dies_has_its_points_delivered_and_its_trial_marked_at_once(
    study: OpenStudy, mirrors: ModuleType, out: Path, home: Path, wait_for: Wait
) -> None:
    script = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import hyperhook as hh, mirrors
space, trackers = {{"x": hh.Float(-1.0, 1.0)}}, [mirrors.Mirror({str(out)!r})]
study = hh.Study("s", space, hh.Minimize("loss"), home={str(home)!r}, trackers=trackers)
for trial in (study.ask(), study.ask()):
    for step in range({STEPS}):
        trial.log({{"loss": trial.number + step / 10}}, step=step)
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    wait_for(lambda: mirrors.states(out) == ["KILLED", "KILLED"])
    assert mirrors.points(out) == everything(2)
    assert [trial.state for trial in study().trials] == [hh.TrialState.KILLED] * 2


def test_a_trial_that_was_asked_and_never_told_is_marked_after_a_normal_exit(
    study: OpenStudy, mirrors: ModuleType, out: Path, home: Path, wait_for: Wait
) -> None:
    script = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
import hyperhook as hh, mirrors
space, trackers = {{"x": hh.Float(-1.0, 1.0)}}, [mirrors.Mirror({str(out)!r})]
study = hh.Study("s", space, hh.Minimize("loss"), home={str(home)!r}, trackers=trackers)
study.ask().log({{"loss": 0.5}}, step=0)
study.close()
print("closed", flush=True)
sys.stdin.read()
"""
    trainer = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert trainer.stdout is not None
    assert trainer.stdout.readline() == b"closed\n"
    wait_for(lambda: mirrors.points(out) == {(0, "loss", 0, 0.5): 1})
    assert mirrors.states(out) == []  # its process lives: it may still be told
    trainer.communicate()
    wait_for(lambda: mirrors.states(out) == ["KILLED"])
    assert study().trials[0].state is hh.TrialState.KILLED


def test_a_home_that_was_deleted_is_not_made_again_and_the_forwarder_ends(
    mirrors: ModuleType, out: Path, home: Path, wait_for: Wait
) -> None:
    script = f"""
import shutil, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import hyperhook as hh, mirrors
study = hh.Study("s", home={str(home)!r}, trackers=[mirrors.Mirror({str(out)!r})])
study.tell(study.ask())
study.flush()
print(study._outlet._forwarder.pid)
shutil.rmtree({str(home)!r})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    wait_for(lambda: not alive(int(done.stdout)))
    assert mirrors.states(out) == ["COMPLETE"]
    assert not home.exists()


def test_inline_delivery_survives_a_tracker_that_fails_and_sends_the_rest_at_the_end(
    study: OpenStudy, mirrors: ModuleType, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out.mkdir()
    (out / "down").touch()
    made = study(trackers=[mirrors.Down(out)], delivery="inline")
    made.run(train, trials=2)
    assert "down lacks 2 of study s (ConnectionError: the server is down)" in caplog.text
    assert not mirrors.points(out)
    (out / "down").unlink()
    assert made.flush()
    assert mirrors.points(out) == everything(2)


def test_inline_delivery_sends_what_a_process_that_died_left(
    study: OpenStudy, mirrors: ModuleType, out: Path, home: Path
) -> None:
    made = study(trackers=[mirrors.Mirror(out)], delivery="inline")
    trial = made.ask()
    train(trial)
    Workspace(Home(home)).home.alive(trial.id).release()  # as its process dies
    made._live.let_go(trial.id)
    again = study(trackers=[mirrors.Mirror(out)], delivery="inline")
    again.run(train, trials=1)
    assert mirrors.states(out) == ["KILLED", "COMPLETE"]
    assert mirrors.points(out) == everything(2)


def test_a_forked_child_does_not_keep_the_forwarder_alive(
    study: OpenStudy, mirrors: ModuleType, out: Path, wait_for: Wait
) -> None:
    made = study(trackers=[mirrors.Mirror(out)])
    made.run(train, trials=1)
    pid = forwarder_pid(made)
    assert pid is not None
    end, hold = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(hold)
        os.read(end, 1)  # lives until its parent closes the pipe
        os._exit(0)
    os.close(end)
    made.close()
    wait_for(lambda: not alive(pid))
    os.close(hold)
    os.waitpid(child, 0)


def test_a_tracker_that_no_other_process_can_have_is_refused_before_anything_starts(
    study: OpenStudy, mirrors: ModuleType, out: Path
) -> None:
    with pytest.raises(
        PluginError, match=r"trackers: 'unpicklable' cannot be sent to the forwarder .*delivery='inline'"
    ):
        study(trackers=[mirrors.Unpicklable(out)])
    made = study(trackers=[mirrors.Unpicklable(out)], delivery="inline")
    made.run(train, trials=1)
    assert mirrors.points(out) == everything(1)


def test_a_tracker_defined_in_the_script_is_refused_with_two_ways_out(home: Path) -> None:
    script = (
        "import hyperhook as hh\n"
        "class Mine(hh.Tracker):\n"
        "    @hh.hookimpl\n"
        "    def trial_started(self, trial): print(trial.name)\n"
        f"try: hh.Study('s', home={str(home)!r}, trackers=[Mine()])\n"
        "except hh.HyperhookError as error: print(error)\n"
        f"hh.Study('s', home={str(home)!r}, trackers=[Mine()], delivery='inline').ask()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "trackers: 'mine' is defined in the script itself, where the forwarder cannot import it; "
        "move it to a module, or use Study(…, delivery='inline')",
        "s-0",
    ]


def test_a_raising_tracker_works_again_behind_its_retries(
    study: OpenStudy, mirrors: ModuleType, out: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`deliver`, as `hyperhook sync` calls it, in this process and so with other patience."""
    monkeypatch.setattr(courier, "FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(courier, "POLL_SECONDS", 0.01)
    made = study(trackers=[mirrors.Mirror(out)], delivery="inline")
    made.run(train, trials=2)
    failures = iter([True] * 4)

    class Flaky(mirrors.Mirror):  # type: ignore[name-defined, misc]
        @hh.hookimpl
        def metrics_logged(self, trial: hh.TrialRecord, metrics: dict[str, float], step: int) -> None:
            if next(failures, False):
                raise ConnectionError("not yet")
            super().metrics_logged(trial, metrics, step)

    workspace = Workspace(Home(home))
    for trial in made.trials:
        workspace.home.post("s", "flaky", trial.id)
    tracker = Flaky(out / "flaky")
    assert deliver(workspace, "s", load_trackers([tracker])) == []
    assert mirrors.points(out / "flaky") == everything(2)


@pytest.mark.parametrize("kind", ["Picky", "PickyLater", "PickyForgetful"])
@pytest.mark.parametrize("delivery", ["forwarder", "inline"])
def test_a_refused_event_is_set_aside_and_the_rest_arrives(
    study: OpenStudy, mirrors: ModuleType, out: Path, home: Path, kind: str, delivery: str
) -> None:
    made = study(trackers=[getattr(mirrors, kind)(out)], delivery=delivery)
    made.run(train, trials=2)
    assert made.flush()
    expected = everything(2)
    del expected[(0, "loss", 2, 0.2)]
    assert mirrors.points(out) == expected
    assert mirrors.states(out) == ["COMPLETE"] * 2
    (aside,) = (home / "trials").rglob("*.aside.jsonl")
    (line,) = map(json.loads, aside.read_text().splitlines())
    assert aside.parents[1].name == made.trials[0].id
    assert line["error"] == "ValueError: 0.2 is no number that I know"
    assert line["event"]["metrics"] == {"loss": 0.2}


def test_a_tracker_that_hangs_is_named_and_left_behind(
    study: OpenStudy, mirrors: ModuleType, out: Path, home: Path, wait_for: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`deliver`, as `hyperhook sync` calls it, in this process and so with other patience."""
    monkeypatch.setattr(courier, "NOTICE_SECONDS", 0.1)
    monkeypatch.setattr(courier, "HANG_SECONDS", 0.3)
    monkeypatch.setattr(courier, "POLL_SECONDS", 0.01)
    made = study()
    made.run(train, trials=1)
    trackers = load_trackers([mirrors.Hanging(out / "hanging"), mirrors.Mirror(out / "mirror")])
    workspace = Workspace(Home(home))
    for name in trackers:
        workspace.home.post("s", name, made.trials[0].id)
    (out / "hanging").mkdir(parents=True)
    (out / "hanging" / "hang").touch()
    (left,) = deliver(workspace, "s", trackers)
    assert (left.tracker, left.items) == ("hanging", 1)
    assert left.error is not None
    assert left.error.startswith("no answer for ")
    assert mirrors.points(out / "mirror") == everything(1)
    (out / "hanging" / "hang").unlink()  # it comes back, late: the rest arrives once
    wait_for(lambda: not pending(workspace.home, "s", trackers))
    assert mirrors.points(out / "hanging") == everything(1)


def test_patience_ends_where_nothing_moves(
    study: OpenStudy, mirrors: ModuleType, out: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(courier, "POLL_SECONDS", 0.01)
    out.mkdir()
    (out / "down").touch()
    made = study(trackers=[mirrors.Down(out)], delivery="inline")
    made.run(train, trials=1)
    trackers = load_trackers([mirrors.Down(out)])
    made.close()
    left = deliver(Workspace(Home(home)), "s", trackers)
    assert left == pending(Home(home), "s", trackers) == [Pending("down", 1, "ConnectionError: the server is down")]


def test_what_a_living_trial_still_lacks_is_not_pending(
    study: OpenStudy, mirrors: ModuleType, out: Path, home: Path
) -> None:
    made = study(trackers=[mirrors.Mirror(out)])
    trackers = load_trackers([mirrors.Mirror(out)])
    trial = made.ask()
    assert made.flush()
    assert pending(Home(home), "s", trackers) == []
    made.tell(trial, 0.5)
    assert made.flush()
    assert mirrors.states(out) == ["COMPLETE"]


def test_no_descriptor_and_no_process_is_left_behind(
    study: OpenStudy, mirrors: ModuleType, out: Path, wait_for: Wait
) -> None:
    def cycle(budget: int) -> int:
        made = study(trackers=[mirrors.Mirror(out)])
        made.run(train, trials=budget)
        pid = forwarder_pid(made)
        made.close()
        wait_for(lambda: pid is None or not alive(pid))
        return len(os.listdir("/proc/self/fd"))

    assert cycle(1) == cycle(2)
