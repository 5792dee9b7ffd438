"""hyperhook sweep, agent and run: real programs run the trials of a study, and are ended whatever happens."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from textwrap import dedent

import pytest

import hyperhook as hh
from hyperhook import cli
from hyperhook.events import MetricsLogged
from hyperhook.handover import attached_trial
from hyperhook.home import Home
from hyperhook.interrupt import Interrupt
from hyperhook.journal import read
from hyperhook.study import Study

PLAIN = '["${interpreter}", -I, -S, -u, "${program}", "${args}"]'
"""The command of a script that imports nothing: quick."""

WhereItRuns = Callable[..., Path]
Wait = Callable[..., None]


class Done:
    """What a command left: exit code and lines."""

    def __init__(self, code: object, captured: tuple[str, str]) -> None:
        self.code = code
        self.out, self.err = (text.splitlines() for text in captured)


@pytest.fixture
def hyperhook(home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs the command as the console script does, in `home`, from the folder that it is in."""
    monkeypatch.setenv("HYPERHOOK_HOME", str(home))

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["hyperhook", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Done(ended.value.code, capfd.readouterr())

    return run


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WhereItRuns:
    """Writes a folder with a program and a sweep file, and goes there."""
    folder = tmp_path / "a project"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def write(program: str, sweep: str = "", *, parameters: str = "{x: {min: 0.0, max: 1.0}}", **keys: str) -> Path:
        (folder / "train.py").write_text(dedent(program))
        default = {"command": PLAIN, "method": "random", "metric": "{name: loss}", "run_cap": "2"}
        lines = [f"{key}: {value}" for key, value in (default | keys).items()]
        text = "\n".join(["program: train.py", f"parameters: {parameters}", *lines, dedent(sweep)])
        (folder / "s.yaml").write_text(text)
        return folder

    return write


@pytest.fixture
def started(home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the command as a process of its own; ends what is left of it."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "hyperhook", *arguments]
        environment = {**os.environ, "HYPERHOOK_HOME": str(home), "PYTHONUNBUFFERED": "1"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        processes.append(subprocess.Popen(words, env=environment, text=True, **pipes))  # type: ignore[call-overload]
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def trials(home: Path, study: str = "s") -> tuple[hh.TrialRecord, ...]:
    with Study(study, home=home) as opened:
        return opened.trials


def points(home: Path, trial: hh.TrialRecord) -> list[tuple[int, int | None, dict[str, float]]]:
    events = [event for event, _ in read(Home(home).trial(trial.id) / "journal.jsonl")]
    return [(event.step, event.epoch, event.values()) for event in events if isinstance(event, MetricsLogged)]


def is_running(pid: int) -> bool:
    """Tell whether a process runs; one that ended and waits to be asked for its code does not."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


REPORTS = """
import json, sys
x = float(sys.argv[1].removeprefix("--x="))
for step in range(3):
    print(json.dumps({"hyperhook": {"loss": x + 2 - step, "step": 10 * step, "epoch": step}}))
print("a word")
"""


def test_a_sweep_from_its_file_to_its_best(hyperhook: Callable[..., Done], project: WhereItRuns, home: Path) -> None:
    project(REPORTS, "kind: sweep\nname: it's a study", run_cap="3", trackers="[csv]")
    made = hyperhook("sweep", "s.yaml")
    assert (made.code, made.err) == (0, [])
    assert made.out == [
        "study it's a study: 1 parameters, minimize loss, by random; 0 trials so far",
        "kind is ignored",
        "start agents, as many as you like:",
        "  hyperhook agent 'it'\"'\"'s a study'",
    ]
    done = hyperhook("agent", "it's a study", "--count", "2")
    assert done.code == 0, done.err
    assert [line for line in done.out if "|" not in line and "begins" not in line][-1] == (
        "2 trials of study it's a study run here"
    )
    assert done.out.count("it's a study-1 | a word") == 1
    assert hyperhook("agent", "it's a study", "--quiet").code == 0
    assert hyperhook("agent", "it's a study").out == ["0 trials of study it's a study run here"]
    found = trials(home, "it's a study")
    assert [trial.state for trial in found] == [hh.TrialState.COMPLETE] * 3
    for trial in found:
        x = trial.params["x"]
        assert isinstance(x, float)
        assert (trial.value, trial.step, trial.epoch) == (pytest.approx(x), 20, 2)
        assert points(home, trial) == [(10 * n, n, {"loss": pytest.approx(x + 2 - n)}) for n in range(3)]
        assert (Home(home).trial(trial.id) / "output.log").read_text().endswith("a word\n")
    assert list(Path("csv").rglob("*.csv"))


def test_the_same_file_goes_on_and_another_is_refused(
    hyperhook: Callable[..., Done], project: WhereItRuns, home: Path
) -> None:
    project(REPORTS, run_cap="1")
    hyperhook("sweep", "s.yaml")
    hyperhook("agent", "s")
    project(REPORTS, "# another comment\ndescription: longer", run_cap="2")
    assert hyperhook("sweep", "s.yaml").out[0].endswith("1 trials so far")
    hyperhook("agent", "s")
    assert len(trials(home)) == 2
    for keys, difference in [
        ({"metric": "{name: acc}"}, "metric.name was 'loss', and is 'acc'"),
        ({"parameters": "{x: {min: 0.0, max: 2.0}}"}, "parameters.x.max was 1.0, and is 2.0"),
    ]:
        project(REPORTS, **keys)
        done = hyperhook("sweep", "s.yaml")
        assert done.code == 2
        assert done.err == [
            f"hyperhook: s.yaml: study 's' was made from another file: {difference}; "
            "give this search another name, by --name, or go on with the old file"
        ]
    assert hyperhook("sweep", "s.yaml", "--name", "other").code == 0


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"method": "gird"}, "s.yaml, line 4: method: expected one of"),
        ({"plugins": "[gpp]"}, "no plugin 'gpp' is installed"),
        ({"trackers": "[{csv: {nope: 1}}]"}, "plugin 'csv' .* cannot start: TypeError"),
        ({"trackers": "[random]"}, "is not a hyperhook.Tracker"),
        ({"metrics_from": "stdot"}, "no follower 'stdot' is installed; there are: "),
    ],
)
def test_a_file_that_cannot_be_makes_no_study(
    hyperhook: Callable[..., Done], project: WhereItRuns, home: Path, keys: dict[str, str], message: str
) -> None:
    project(REPORTS, **keys)
    done = hyperhook("sweep", "s.yaml")
    assert (done.code, len(done.err)) == (2, 1)
    assert re.search(message, done.err[0])
    assert hyperhook("agent", "s").code == 2


def test_what_is_not_there_is_said(hyperhook: Callable[..., Done], project: WhereItRuns, home: Path) -> None:
    folder = project(REPORTS)
    assert hyperhook("sweep", "no.yaml").err == ["hyperhook: no.yaml: it cannot be read: No such file or directory"]
    (folder / "train.py").unlink()
    assert "there is no 'train.py' in" in hyperhook("sweep", "s.yaml").out[1]
    Study("runs", home=home).close()
    assert hyperhook("agent", "runs").err[0].startswith("hyperhook: study 'runs' came from no sweep file; make one by:")
    assert hyperhook("agent", "nope").err[0].startswith("hyperhook: there is no study 'nope' here")
    done = hyperhook("agent", "s", "--directory", str(folder / "no"))
    assert "which cannot be entered (No such file or directory); name the folder by --directory" in done.err[0]


def test_the_line_for_agents_names_the_database(
    hyperhook: Callable[..., Done], project: WhereItRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYPERHOOK_STORAGE", "")
    project(REPORTS)
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    assert hyperhook("sweep", "s.yaml", "--storage", url).out[-1] == f"  hyperhook agent s --storage {url}"
    assert os.environ["HYPERHOOK_STORAGE"] == url  # which programs and forwarders find, too
    project(REPORTS, storage=url)
    assert hyperhook("sweep", "s.yaml", "--name", "t").out[-1] == f"  hyperhook agent t --storage {url}"


def test_no_name_leaves_the_home(
    hyperhook: Callable[..., Done], project: WhereItRuns, home: Path, tmp_path: Path
) -> None:
    project(REPORTS, run_cap="1", trackers="[csv]")
    before = {path for path in tmp_path.rglob("*") if home not in path.parents}
    for name in ("../../x", "a/b\nc"):
        assert hyperhook("sweep", "s.yaml", "--name", name).code == 0
        assert hyperhook("agent", name, "--quiet").code == 0
        assert [trial.state for trial in trials(home, name)] == ["COMPLETE"]
    new = {path for path in tmp_path.rglob("*") if home not in path.parents} - before - {home}
    assert all(path.is_relative_to(tmp_path / "a project" / "csv") for path in new), new


def test_a_trial_that_is_tried_again_begins_anew(
    hyperhook: Callable[..., Done], project: WhereItRuns, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier attempt left (that it was attached, that it was stopped) means nothing for the next one."""
    with Study("again", home=home, objective=hh.Minimize("loss"), plugins=[StopsAtOnce()]) as study:
        trial = study.ask()
        for step in range(3):
            trial.log({"loss": 1.0}, step=step)
        assert trial.should_stop
        study.tell(trial)
        resumed = study.resume(0)
        monkeypatch.setenv("HYPERHOOK_HOME", str(home))
        monkeypatch.setenv("HYPERHOOK_TRIAL", resumed.id)
        attached_trial.cache_clear()
        inside = hh.current_trial()
        assert inside is not None
        assert (inside.stop_requested, inside.last_step) == (False, 2)
        for step in range(1, 5):
            inside.log({"loss": 0.5}, step=step)
        assert not inside.should_stop
        ended = study.tell(resumed)
    assert [step for step, _, _ in points(home, ended)] == [0, 1, 2, 3, 4]
    assert (ended.state, ended.value, ended.step) == ("COMPLETE", 0.5, 3)


class StopsAtOnce:
    """Stops every trial."""

    @hh.hookimpl
    def should_stop(self) -> bool:
        return True


def test_params_stay_values(hyperhook: Callable[..., Done], project: WhereItRuns, home: Path, tmp_path: Path) -> None:
    options = ["--help", "; touch pwned", "$(touch pwned)", "a\nb", "'\"", "../../x", " "]
    project(
        "import json, sys; print(json.dumps({'hyperhook': {'loss': 1}})); print(json.dumps(sys.argv[1:]))",
        method="grid",
        run_cap="7",
        parameters=json.dumps({"x": {"values": options}}),
    )
    hyperhook("sweep", "s.yaml")
    assert hyperhook("agent", "s").code == 0
    found = trials(home)
    assert sorted(str(trial.params["x"]) for trial in found) == sorted(options)
    for trial in found:
        last = (Home(home).trial(trial.id) / "output.log").read_text().splitlines()[-1]
        assert json.loads(last) == [f"--x={trial.params['x']}"]
    assert not list(tmp_path.rglob("pwned"))


def test_a_crash_fails_its_trial_and_a_crash_loop_ends(
    hyperhook: Callable[..., Done], project: WhereItRuns, home: Path
) -> None:
    project("import sys; print('first', file=sys.stderr); sys.exit('no data')", run_cap="9")
    hyperhook("sweep", "s.yaml")
    done = hyperhook("agent", "s", "--max-failures", "3")
    assert done.code == 2
    assert done.err[-1].startswith("hyperhook: 3 trials in a row failed, the last with: exit code 1: no data; what it")
    assert "s-0 | first" in done.err
    assert [(trial.state, trial.error) for trial in trials(home)] == [("FAILED", "exit code 1: no data")] * 3


@pytest.mark.parametrize(
    ("number", "state"),
    [(signal.SIGKILL, "FAILED"), (signal.SIGSEGV, "FAILED"), (signal.SIGTERM, "KILLED"), (signal.SIGHUP, "KILLED")],
)
def test_a_program_that_a_signal_ends(
    hyperhook: Callable[..., Done], project: WhereItRuns, home: Path, number: signal.Signals, state: str
) -> None:
    project(f"import os; os.kill(os.getpid(), {int(number)})")
    hyperhook("sweep", "s.yaml")
    assert hyperhook("agent", "s", "--count", "1").code == 0
    assert [(trial.state, trial.error) for trial in trials(home)] == [(state, f"ended by {number.name}")]


def test_a_metric_that_never_comes_ends_the_agent(
    hyperhook: Callable[..., Done], project: WhereItRuns, home: Path
) -> None:
    project(REPORTS, metric="{name: val_los}", run_cap="9")
    hyperhook("sweep", "s.yaml")
    done = hyperhook("agent", "s")
    assert done.code == 2
    assert done.err[-1].startswith("hyperhook: metric 'val_los' was never logged; logged so far: loss;")
    assert [trial.state for trial in trials(home)] == ["FAILED"]


def test_without_a_metric_a_trial_is_complete_when_its_program_is(
    hyperhook: Callable[..., Done], project: WhereItRuns, home: Path
) -> None:
    project("print('done')")
    text = Path("s.yaml").read_text().replace("metric: {name: loss}\n", "")
    Path("s.yaml").write_text(text)
    hyperhook("sweep", "s.yaml")
    assert hyperhook("agent", "s").code == 0
    assert [trial.state for trial in trials(home)] == ["COMPLETE"] * 2


def test_a_program_that_cannot_start_costs_no_trial(
    hyperhook: Callable[..., Done], project: WhereItRuns, home: Path
) -> None:
    project(REPORTS, command="[no-such-program]")
    hyperhook("sweep", "s.yaml")
    done = hyperhook("agent", "s")
    assert done.code == 2
    assert done.err[-1].startswith("hyperhook: the program 'no-such-program' cannot be started in")
    assert [trial.state for trial in trials(home)] == ["KILLED"]


def test_the_target_ends_the_search(hyperhook: Callable[..., Done], project: WhereItRuns, home: Path) -> None:
    project(REPORTS, metric="{name: loss, target: 1.5}", run_cap="9")
    hyperhook("sweep", "s.yaml")
    done = hyperhook("agent", "s")
    assert (done.code, len(trials(home))) == (0, 1)
    assert done.out[-2].startswith("s-0 reached the target: ")


SLOW = """
import json, os, signal, sys, time
x = float(sys.argv[1].removeprefix("--x="))
if "{handler}" == "ignore":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("pid", os.getpid())
for step in range(2 if x < 0.5 else 10_000):
    print(json.dumps({{"hyperhook": {{"loss": x, "step": step}}}}))
    time.sleep(0 if x < 0.5 else 0.02)
"""


@pytest.mark.parametrize("handler", ["", "ignore"])
def test_a_pruned_program_is_ended(
    hyperhook: Callable[..., Done], project: WhereItRuns, home: Path, handler: str
) -> None:
    project(
        SLOW.format(handler=handler),
        method="grid",
        parameters="{x: {values: [0.0, 0.25, 0.75]}}",
        run_cap="3",
        early_terminate="{type: hyperband, min_iter: 2, strict: true}",
    )
    hyperhook("sweep", "s.yaml")
    done = hyperhook("agent", "s", "--grace-seconds", "0.2")
    assert done.code == 0, done.err
    assert [trial.state for trial in trials(home)] == ["COMPLETE", "PRUNED", "PRUNED"]
    assert all(trial.value == trial.params["x"] for trial in trials(home))
    pids = [int(line.split()[-1]) for line in done.out if "| pid" in line]
    assert len(pids) == 3
    assert not any(map(is_running, pids))


TREE = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"])
with open(os.environ["PIDS"], "a") as file:
    file.write(f"{os.getpid()}\\n{child.pid}\\n")
if len(sys.argv) > 2:
    sys.exit()
time.sleep(600)
"""


@pytest.fixture
def pids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[int]]:
    """The processes of programs so far: each with its child."""
    file = tmp_path / "pids"
    monkeypatch.setenv("PIDS", str(file))
    return lambda: [int(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_what_a_program_leaves_behind_ends_with_it(
    hyperhook: Callable[..., Done], project: WhereItRuns, pids: Callable[[], list[int]], wait_for: Wait, home: Path
) -> None:
    command = PLAIN.replace(", -I", "").replace("]", ", leave]")
    project(TREE, command=command, run_cap="1")
    hyperhook("sweep", "s.yaml")
    hyperhook("agent", "s")
    assert len(pids()) == 2
    wait_for(lambda: not any(map(is_running, pids())))


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_agent_that_is_asked_to_end_puts_its_trial_down(
    started: Callable[..., subprocess.Popen[str]],
    hyperhook: Callable[..., Done],
    project: WhereItRuns,
    pids: Callable[[], list[int]],
    wait_for: Wait,
    home: Path,
    number: signal.Signals,
) -> None:
    project(TREE, command=PLAIN)
    hyperhook("sweep", "s.yaml")
    agent = started("agent", "s")
    wait_for(lambda: len(pids()) == 2)
    agent.send_signal(number)
    assert agent.wait(30) == 128 + number
    assert not any(map(is_running, pids()))
    (trial,) = trials(home)
    assert (trial.state, trial.error) == ("KILLED", f"its agent was stopped by {number.name}")


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGHUP)
            assert interrupt.count == 0
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            assert (interrupt.signal, interrupt.count) == (signal.SIGTERM, 2)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_killed_agent_leaves_no_program_and_no_running_trial(
    started: Callable[..., subprocess.Popen[str]],
    hyperhook: Callable[..., Done],
    project: WhereItRuns,
    pids: Callable[[], list[int]],
    wait_for: Wait,
    home: Path,
) -> None:
    project(TREE + "\n", command=PLAIN)
    hyperhook("sweep", "s.yaml")
    agent = started("agent", "s", "--grace-seconds", "5")
    wait_for(lambda: len(pids()) == 2)
    agent.kill()
    agent.wait()
    wait_for(lambda: not any(map(is_running, pids())))
    project('print(\'{"hyperhook": {"loss": 1}}\')', command=PLAIN)
    assert hyperhook("agent", "s").code == 0
    assert [trial.state for trial in trials(home)] == ["KILLED", "COMPLETE", "COMPLETE"]


def test_a_killed_program_costs_one_trial(
    started: Callable[..., subprocess.Popen[str]],
    hyperhook: Callable[..., Done],
    project: WhereItRuns,
    pids: Callable[[], list[int]],
    wait_for: Wait,
    home: Path,
) -> None:
    project(TREE, command=PLAIN)
    hyperhook("sweep", "s.yaml")
    agent = started("agent", "s")
    for ran in (1, 2):
        wait_for(lambda ran=ran: len(pids()) == 2 * ran)
        os.kill(pids()[-2], signal.SIGKILL)
    assert agent.wait(30) == 0
    assert [(trial.state, trial.error) for trial in trials(home)] == [("FAILED", "ended by SIGKILL")] * 2
    wait_for(lambda: not any(map(is_running, pids())))


def test_many_agents_share_a_study(
    started: Callable[..., subprocess.Popen[str]], hyperhook: Callable[..., Done], project: WhereItRuns, home: Path
) -> None:
    project(REPORTS, method="grid", run_cap="12", parameters=json.dumps({"x": {"values": [n / 16 for n in range(12)]}}))
    hyperhook("sweep", "s.yaml")
    agents = [started("agent", "s", "--quiet") for _ in range(3)]
    assert [agent.wait(60) for agent in agents] == [0, 0, 0]
    found = trials(home)
    assert [trial.state for trial in found] == ["COMPLETE"] * 12
    assert sorted(float(trial.params["x"]) for trial in found) == [n / 16 for n in range(12)]  # type: ignore[arg-type]


ATTACHES = """
import hyperhook as hh, os
trial = hh.current_trial()
assert hh.current_trial() is trial
print('{"hyperhook": {"loss": -1.0}}')
for epoch in range(5):
    trial.log({"loss": trial.params["x"] + 1 / (epoch + 1)}, epoch=epoch)
    if trial.should_stop:
        trial.log_note("stopped")
        break
else:
    trial.log_text("end", "it ended")
"""


def test_a_script_that_takes_its_trial_logs_and_asks_by_itself(
    hyperhook: Callable[..., Done], project: WhereItRuns, home: Path
) -> None:
    project(
        ATTACHES,
        command='["${interpreter}", "${program}"]',
        method="grid",
        parameters="{x: {values: [0, 1]}}",
        early_terminate="{type: hyperband, min_iter: 2, strict: true}",
        run_cap="2",
    )
    hyperhook("sweep", "s.yaml")
    done = hyperhook("agent", "s")
    assert done.code == 0, done.err
    first, second = trials(home)
    assert (first.state, first.value, first.epoch) == ("COMPLETE", pytest.approx(0.2), 4)
    assert (second.state, second.value, second.epoch) == ("PRUNED", 1.5, 1)
    assert [values["loss"] for _, _, values in points(home, first)] == [1 / n for n in range(1, 6)]
    assert (Home(home).trial(first.id) / "artifacts" / "texts" / "end.txt").read_text() == "it ended"


def test_a_script_that_does_not_stop_when_it_is_told_is_ended(
    hyperhook: Callable[..., Done], project: WhereItRuns, home: Path
) -> None:
    project(
        """
        import hyperhook as hh, time
        trial = hh.current_trial()
        for epoch in range(3):
            trial.log({"loss": trial.params["x"]}, epoch=epoch)
            trial.should_stop
        while trial.params["x"]:
            time.sleep(0.1)
        """,
        command='["${interpreter}", "${program}"]',
        method="grid",
        parameters="{x: {values: [0, 1]}}",
        early_terminate="{type: hyperband, min_iter: 2, strict: true}",
    )
    hyperhook("sweep", "s.yaml")
    assert hyperhook("agent", "s", "--grace-seconds", "0.3").code == 0
    assert [trial.state for trial in trials(home)] == ["COMPLETE", "PRUNED"]


def test_other_ranks_are_silent(hyperhook: Callable[..., Done], project: WhereItRuns, home: Path) -> None:
    project(
        """
        import hyperhook as hh, os, subprocess, sys
        trial = hh.current_trial()
        rank = int(os.environ.get("LOCAL_RANK", 0))
        trial.log({"loss": trial.params["x"] - rank})
        assert trial.emits == (rank == 0)
        if rank == 0:
            sys.exit(subprocess.run([sys.executable, __file__], env={**os.environ, "LOCAL_RANK": "1"}).returncode)
        """,
        command='["${interpreter}", "${program}"]',
        run_cap="1",
    )
    hyperhook("sweep", "s.yaml")
    assert hyperhook("agent", "s").code == 0
    (trial,) = trials(home)
    assert trial.value == trial.params["x"]
    assert len(points(home, trial)) == 1


def test_a_script_of_a_trial_that_ended_is_told(
    hyperhook: Callable[..., Done], study: Callable[..., Study], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = study()
    trial = made.ask()
    made.tell(trial, 1.0)
    monkeypatch.setenv("HYPERHOOK_HOME", str(home))
    monkeypatch.setenv("HYPERHOOK_TRIAL", trial.id)
    with pytest.raises(hh.HyperhookError, match="names trial 's-0', which ended as COMPLETE; unset it"):
        hh.current_trial()
    monkeypatch.setenv("HYPERHOOK_TRIAL", "nope")
    with pytest.raises(hh.HyperhookError, match=r"names the trial 'nope', which home .* lacks; unset it, or set"):
        hh.current_trial()


def test_run_is_one_tracked_trial(hyperhook: Callable[..., Done], project: WhereItRuns, home: Path) -> None:
    project(
        """
        import sys, hyperhook as hh
        hh.current_trial().log({"loss": 0.5}, step=3)
        print("given", sys.argv[1:])
        sys.exit(7 if "fail" in sys.argv else 0)
        """
    )
    for arguments, given, code in [
        (["--lr", "0.1"], ["--lr", "0.1"], 0),
        (["--", "--study", "x"], ["--study", "x"], 0),
        (["fail"], ["fail"], 7),
    ]:
        tracker = ["--tracker", "csv"] if code else []
        done = hyperhook("run", "--study", "mine", *tracker, "train.py", *arguments)
        assert done.code == code
        assert f"given {given}" in done.out
    found = trials(home, "mine")
    assert [trial.state for trial in found] == ["COMPLETE", "COMPLETE", "FAILED"]
    assert found[2].error == "exit code 7"
    assert points(home, found[0]) == [(3, None, {"loss": 0.5})]
    assert list(Path("csv").rglob("*.csv"))


def test_run_passes_signals_on(
    started: Callable[..., subprocess.Popen[str]],
    project: WhereItRuns,
    pids: Callable[[], list[int]],
    wait_for: Wait,
    home: Path,
) -> None:
    project("import os, time; open(os.environ['PIDS'], 'w').write(str(os.getpid())); time.sleep(600)")
    process = started("run", "train.py")
    wait_for(pids)
    process.terminate()
    assert process.wait(30) == 128 + signal.SIGTERM
    assert [(trial.state, trial.error) for trial in trials(home, "runs")] == [("KILLED", "stopped by SIGTERM")]
    os.unlink(os.environ["PIDS"])
    process = started("run", "--grace-seconds", "5", "train.py")
    wait_for(pids)
    process.kill()
    process.wait()
    wait_for(lambda: not is_running(pids()[0]))


def test_run_refuses_a_study_that_searches(hyperhook: Callable[..., Done], project: WhereItRuns, home: Path) -> None:
    project(REPORTS)
    hyperhook("sweep", "s.yaml")
    assert hyperhook("run", "--study", "s", "train.py").err == [
        "hyperhook: run: study 's' searches; its trials are run by: hyperhook agent s"
    ]
    assert hyperhook("run", "no-such-program").code == 2
    assert [trial.state for trial in trials(home, "runs")] == ["KILLED"]
