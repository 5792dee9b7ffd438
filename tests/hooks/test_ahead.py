"""Suggestions ahead of the workers: each is run once, in view of those that wait; workers wait while one serves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook import cli
from hyperhook.ahead import Ahead
from hyperhook.errors import PluginError, SpaceError, StudyError
from hyperhook.home import Home
from hyperhook.manager import Manager, load_plugin
from hyperhook.records import StudyRecord, TrialState
from hyperhook.store import Store
from hyperhook.suggestions import Supply
from hyperhook.sweep.record import Sweep
from hyperhook.workspace import Workspace

SPACE = hh.Space({"x": hh.Float(0.0, 1.0)})
LEASE = 0.4
Wait = Callable[..., None]


class Counts:
    """Suggests 0.001, 0.002, …, and keeps the studies that it was asked in view of."""

    def __init__(self, most: int = 1000) -> None:
        self.most = most
        self.made = 0
        self.asked: list[tuple[StudyRecord, int]] = []

    @hh.hookimpl
    def suggest(self, study: StudyRecord, count: int) -> list[hh.Params]:
        self.asked.append((study, count))
        count = min(count, self.most - self.made)
        self.made += count
        return [{"x": (self.made - left) / 1000} for left in range(count - 1, -1, -1)]


class Silent:
    """A worker's suggester that must not be asked."""

    @hh.hookimpl
    def suggest(self, study: StudyRecord, count: int) -> list[hh.Params]:
        raise AssertionError("a worker asked for itself")


class Served:
    """A study of a store, and a process that suggests ahead: here a thread."""

    def __init__(self, storage: str, home: Path) -> None:
        self.storage, self.home = storage, home
        self.store = Workspace(Home(home), storage).store
        self.store.open_study("s", SPACE, hh.Minimize("loss"))
        self.over = threading.Event()
        self.thread: threading.Thread | None = None
        self.reasons: list[str | None] = []

    def start(self, plugin: object, **options: object) -> Ahead:
        ahead = Ahead(self.store, "s", Manager([plugin]), **options)  # type: ignore[arg-type]
        self.thread = threading.Thread(target=lambda: self.reasons.append(ahead.run(self.over.is_set)))
        self.thread.start()
        return ahead

    def end(self) -> str | None:
        self.over.set()
        return self.join()

    def join(self) -> str | None:
        if self.thread is not None:
            self.thread.join(30)
            assert not self.thread.is_alive()
            self.thread = None
        return self.reasons[-1] if self.reasons else None

    def waiting(self) -> list[float]:
        return [float(each.params["x"]) for each in self.store.waiting("s")]

    def worker(self, *plugins: object, **options: object) -> hh.Study:
        options = {"home": self.home, "storage": self.storage, "flush_timeout_seconds": 5.0, **options}
        return hh.Study("s", plugins=plugins or [Silent()], **options)  # type: ignore[arg-type]


@pytest.fixture
def served(storage: str, tmp_path: Path) -> Iterator[Served]:
    made = Served(storage, tmp_path / "home")
    yield made
    made.end()


def offer(store: Store, *params: float, known: int = 0, batch: str = "b", server: str = "a") -> bool:
    return store.offer("s", server, batch, [{"x": x} for x in params], known) is not None


def supply(store: Store) -> Supply:
    store.study("s")
    return store.supply("s")


def test_suggestions_are_taken_in_order_each_once(served: Served) -> None:
    store = served.store
    assert supply(store) == Supply()
    assert store.serve("s", "a", 60.0)
    assert offer(store, 0.1, 0.2, 0.3)
    assert offer(store, 0.1, 0.2, 0.3)  # the answer to the first was lost
    assert supply(store) == Supply(3, True)
    assert [store.take("s", f"t{i}", budget=2) for i in range(3)][2] is None  # the budget is used up
    assert [(t.number, t.params["x"], t.state) for t in store.study("s").trials] == [
        (0, 0.1, TrialState.RUNNING),
        (1, 0.2, TrialState.RUNNING),
    ]
    assert store.withdraw("s", "a") == 1
    assert store.take("s", "t3") is None
    assert supply(store) == Supply()


def test_what_was_run_meanwhile_is_dropped(served: Served) -> None:
    store = served.store
    store.claim("s", "before", {"x": 0.1})
    store.serve("s", "a", 60.0)
    offer(store, 0.1, 0.2, 0.3, known=1)
    store.enqueue("s", "user", {"x": 0.2})
    taken = [store.take("s", f"t{i}") for i in range(3)]
    assert [trial.params["x"] if trial else None for trial in taken] == [0.1, 0.3, None]  # 0.1 was known when chosen


def test_one_serves_and_whoever_lost_its_lease_is_fenced_off(served: Served, wait_for: Wait) -> None:
    store = served.store
    assert store.serve("s", "a", LEASE)
    assert offer(store, 0.1)
    assert not store.serve("s", "b", 60.0)
    assert store.renew_serving("s", "a")
    wait_for(lambda: not supply(store).is_served)
    assert store.serve("s", "b", 60.0)
    assert not store.renew_serving("s", "a")
    assert not offer(store, 0.2, batch="c")
    assert store.withdraw("s", "a") == 0
    assert supply(store) == Supply(1, True)
    assert not store.serve("none", "b", 60.0)


def test_it_keeps_so_many_waiting_chosen_together_in_view_of_all(served: Served, wait_for: Wait) -> None:
    plugin = Counts()
    ahead = served.start(plugin, depth=4)
    wait_for(lambda: len(served.waiting()) == 4)
    with served.worker() as worker:
        assert [worker.ask().params["x"] for _ in range(3)] == [0.001, 0.002, 0.003]
        wait_for(lambda: len(served.waiting()) == 4)
    assert served.end() is None
    assert plugin.asked[0][1] == 4
    for study, count in plugin.asked:
        assert [trial.number for trial in study.trials] == list(range(len(study.trials)))
        assert len(study.trials) + count <= ahead.made
        assert {float(trial.params["x"]) for trial in study.trials} == {
            (i + 1) / 1000 for i in range(len(study.trials))
        }
    assert (ahead.made, ahead.withdrawn, ahead.replaced) == (7, 4, 0)
    assert supply(served.store) == Supply()


def test_what_a_user_queued_goes_first_and_stays(served: Served, wait_for: Wait) -> None:
    served.start(Counts(), depth=2)
    wait_for(lambda: len(served.waiting()) == 2)
    with served.worker() as worker:
        worker.enqueue({"x": 0.7})
        worker.enqueue({"x": 0.8})
        assert [worker.ask().params["x"] for _ in range(1)] == [0.7]
        served.end()
        assert served.waiting() == []
        assert [trial.params["x"] for trial in worker.trials if trial.state is TrialState.QUEUED] == [0.8]
        assert worker.ask().params["x"] == 0.8


def test_the_budget_is_given_out_and_no_more(served: Served, wait_for: Wait) -> None:
    with served.worker() as worker:
        worker.enqueue({"x": 0.9})
        ahead = served.start(Counts(), depth=8, budget=4)
        wait_for(lambda: len(served.waiting()) == 3)
        worker.run(lambda trial: trial.params["x"], trials=4, progress=False)
        assert served.join() == "its budget of 4 trials is given out"
        assert [trial.params["x"] for trial in worker.trials] == [0.9, 0.001, 0.002, 0.003]
    assert (ahead.made, ahead.withdrawn) == (3, 0)


def test_what_a_user_queues_later_takes_the_place_of_suggestions(served: Served, wait_for: Wait) -> None:
    ahead = served.start(Counts(), depth=8, budget=2)
    wait_for(lambda: len(served.waiting()) == 2)
    for number in range(2):
        served.store.enqueue("s", f"user-{number}", {"x": 0.5 + number / 10})
    assert served.join() == "its budget of 2 trials is given out"
    assert (ahead.made, ahead.withdrawn) == (2, 2)


def test_what_waits_is_chosen_anew_when_many_results_have_come(served: Served, wait_for: Wait) -> None:
    plugin = Counts()
    ahead = served.start(plugin, depth=4)
    wait_for(lambda: len(served.waiting()) == 4)
    with served.worker() as worker:
        running = [worker.ask(), worker.ask()]
        wait_for(lambda: len(served.waiting()) == 4)
        worker.tell(running[0], 1.0)
        before = served.waiting()
        worker.tell(running[1], 2.0)
        wait_for(lambda: not set(before) & set(served.waiting()))
    assert ahead.replaced == 4
    assert [trial.state for trial in plugin.asked[-1][0].trials] == [TrialState.COMPLETE] * 2


def test_the_end_of_a_grid_ends_it(served: Served) -> None:
    served.start(load_plugin("grid", {"points": 7}), depth=3)
    with served.worker(load_plugin("grid", {"points": 7})) as worker:
        worker.run(lambda trial: trial.params["x"], trials=50, progress=False)
        assert sorted(trial.params["x"] for trial in worker.trials) == pytest.approx([i / 6 for i in range(7)])
    assert served.join() == "study s: the suggester has nothing left to try after 7 trials"


class Enough:
    """Ends a study behind some trials."""

    @hh.hookimpl
    def should_end(self, study: StudyRecord) -> str | None:
        return "enough" if sum(trial.state.is_finished for trial in study.trials) >= 2 else None


def test_a_plugin_that_ends_the_study_ends_it(served: Served) -> None:
    ahead = Ahead(served.store, "s", Manager([Counts(), Enough()]), depth=2)
    with served.worker() as worker:
        served.store.serve("s", "x", 1e-9)  # one that is dead: taken over
        worker.enqueue({"x": 0.5})
        worker.enqueue({"x": 0.6})
        worker.run(lambda trial: trial.params["x"], trials=2, progress=False)
    assert ahead.run(lambda: False) == "enough"
    assert supply(served.store) == Supply()


def test_a_worker_waits_only_while_it_is_served(served: Served, wait_for: Wait) -> None:
    store = served.store
    assert store.serve("s", "a", 60.0)
    own = Counts()
    found: list[hh.Trial] = []
    with served.worker(own) as worker:
        thread = threading.Thread(target=lambda: found.append(worker.ask()))
        thread.start()
        thread.join(0.3)
        assert not found
        assert not own.asked
        offer(store, 0.5)
        thread.join(30)
        assert found[0].params["x"] == 0.5
        thread = threading.Thread(target=lambda: found.append(worker.ask()))
        thread.start()
        thread.join(0.2)
        assert store.withdraw("s", "a") == 0
        thread.join(30)
        assert found[1].params["x"] == 0.001
        assert store.serve("s", "b", LEASE)  # and dies
        offer(store, 0.6, server="b")
        assert [worker.ask().params["x"] for _ in range(2)] == [0.6, 0.002]


def test_a_worker_that_waits_sees_what_is_queued_and_what_ends_it(served: Served) -> None:
    assert served.store.serve("s", "a", 60.0)
    with served.worker() as worker:
        taken: list[hh.Trial | None] = []
        thread = threading.Thread(target=lambda: taken.append(worker.next_trial(budget=1)))
        thread.start()
        served.store.enqueue("s", "user", {"x": 0.3})
        thread.join(30)
        assert taken[0] is not None
        assert taken[0].params["x"] == 0.3
        assert worker.next_trial(budget=1) is None
        answers = iter([False, False, True])
        assert worker.next_trial(gives_up=lambda: next(answers)) is None


def test_a_server_whose_study_another_one_took_over_says_so(served: Served, wait_for: Wait) -> None:
    class Slow(Counts):
        @hh.hookimpl
        def suggest(self, study: StudyRecord, count: int) -> list[hh.Params]:
            served.store.withdraw("s", ahead._server)  # as if it had been stopped for longer than its lease
            assert served.store.serve("s", "b", 60.0)
            return super().suggest(study, count)

    ahead = Ahead(served.store, "s", Manager([Slow()]), depth=2)
    with pytest.raises(StudyError, match=r"another process serves study 's' by now, .* its lease \(15 s\)"):
        ahead.run(lambda: False)
    assert supply(served.store) == Supply(0, True)
    with pytest.raises(StudyError, match="another process serves study 's', and one is enough"):
        Ahead(served.store, "s", Manager([Counts()])).run(lambda: False)


def test_what_cannot_be_served_is_refused(served: Served) -> None:
    manager = Manager([Counts()])
    with pytest.raises(StudyError, match="there is no study 'none' here"):
        Ahead(served.store, "none", manager)
    with pytest.raises(StudyError, match="depth: expected an int from 1, got 0"):
        Ahead(served.store, "s", manager, depth=0)
    with pytest.raises(StudyError, match="lease_seconds: expected a number above 0, got nan"):
        Ahead(served.store, "s", manager, lease_seconds=float("nan"))
    served.store.open_study("grows", None, hh.Minimize("loss"))
    with pytest.raises(StudyError, match="study 'grows' has no space of its own"):
        Ahead(served.store, "grows", manager)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ([{"x": 0.5}] * 3, PluginError, "expected a list of 2 sets of params, got"),
        ([{"x": 0.5}, 0.5], PluginError, "expected a list of 2 sets of params, got"),
        (None, PluginError, "expected a list of 2 sets of params, got None"),
        ([{"x": 5.0}], SpaceError, "a suggester answered outside the space"),
    ],
)
def test_a_wrong_answer_ends_it_and_leaves_nothing(
    tmp_path: Path, answer: object, error: type[Exception], message: str
) -> None:
    class Wrong:
        @hh.hookimpl
        def suggest(self, study: StudyRecord, count: int) -> object:
            return answer

    served = Served(f"sqlite:///{tmp_path / 'hyperhook.db'}", tmp_path / "home")
    with pytest.raises(error, match=message):
        Ahead(served.store, "s", Manager([Wrong()]), depth=2).run(lambda: False)
    assert supply(served.store) == Supply()


def test_the_target_of_a_sweep_is_found() -> None:
    sweep = Sweep(None, SPACE, hh.Minimize("loss"), 0.5, (), (), (), None, {}, {}, None, None, "stdout", None, (), {})
    trials = tuple(
        hh.TrialRecord(str(i), i, "s", {"x": 0.1}, state, value=value)
        for i, (state, value) in enumerate(
            [(TrialState.COMPLETE, 0.9), (TrialState.PRUNED, 0.1), (TrialState.COMPLETE, 0.5)]
        )
    )
    study = StudyRecord("s", SPACE, hh.Minimize("loss"), trials=trials[:2])
    assert sweep.reached(study) is None
    assert sweep.reached(StudyRecord("s", SPACE, hh.Minimize("loss"), trials=trials)) == trials[2]


WORKER = """
import os, sys
import hyperhook as hh

class Mine:
    @hh.hookimpl
    def suggest(self, study, count):
        os.write(asked, b"asked\\n")
        return None

asked = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
study = hh.Study("s", home=sys.argv[1], plugins=[Mine()])
study.run(lambda trial: trial.params["x"], trials=int(sys.argv[3]), progress=False)
"""


class Processes:
    """A server and workers in processes of their own."""

    def __init__(self, served: Served, folder: Path) -> None:
        self.served, self.asked = served, folder / "asked"
        self.environment = {**os.environ, "HYPERHOOK_STORAGE": served.storage, "HYPERHOOK_HOME": str(served.home)}
        self.running: list[subprocess.Popen[str]] = []

    def _start(self, *words: str) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [sys.executable, *words]
        self.running.append(subprocess.Popen(command, env=self.environment, text=True, **pipes))  # type: ignore[call-overload]
        return self.running[-1]

    def server(self, *options: str) -> subprocess.Popen[str]:
        return self._start("-m", "hyperhook", "suggest-ahead", "s", "--plugin", "random", *options)

    def worker(self, trials: int) -> subprocess.Popen[str]:
        return self._start("-c", WORKER, str(self.served.home), str(self.asked), str(trials))


@pytest.fixture
def processes(served: Served, tmp_path: Path) -> Iterator[Processes]:
    made = Processes(served, tmp_path)
    yield made
    for process in made.running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_one_process_thinks_for_all_workers(processes: Processes, wait_for: Wait) -> None:
    store = processes.served.store
    server = processes.server("--depth", "4", "--trials", "30")
    wait_for(lambda: len(store.waiting("s")) == 4)
    for worker in [processes.worker(30) for _ in range(3)]:
        said, complaints = worker.communicate(timeout=60)
        assert worker.returncode == 0, complaints
    said, complaints = server.communicate(timeout=60)
    assert server.returncode == 0, complaints
    assert "study s: its budget of 30 trials is given out" in said.splitlines()
    trials = store.study("s").trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 30
    assert len({trial.params["x"] for trial in trials}) == 30
    assert not processes.asked.exists() or processes.asked.read_text() == ""
    assert supply(store) == Supply()


def test_a_killed_server_costs_nothing_but_its_lease(processes: Processes, wait_for: Wait) -> None:
    store = processes.served.store
    server = processes.server("--depth", "4", "--lease-seconds", "1")
    wait_for(lambda: len(store.waiting("s")) == 4)
    server.kill()
    server.wait()
    left = processes.served.waiting()
    for worker in [processes.worker(12) for _ in range(2)]:
        _, complaints = worker.communicate(timeout=60)
        assert worker.returncode == 0, complaints
    trials = store.study("s").trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 12
    assert [trial.params["x"] for trial in trials][:4] == left
    assert len(processes.asked.read_text().splitlines()) >= 8


def test_a_server_that_is_asked_to_end_withdraws(processes: Processes, wait_for: Wait) -> None:
    store = processes.served.store
    store.enqueue("s", "user", {"x": 0.5})
    server = processes.server("--depth", "3")
    wait_for(lambda: len(store.waiting("s")) == 3)
    second = processes.server()
    _, complaints = second.communicate(timeout=60)
    assert second.returncode == 2
    assert "another process serves study 's', and one is enough" in complaints
    server.send_signal(signal.SIGTERM)
    said, complaints = server.communicate(timeout=60)
    assert server.returncode == 143, complaints
    assert "3 withdrawn" in said
    assert store.waiting("s") == ()
    assert [trial.state for trial in store.study("s").trials] == [TrialState.QUEUED]


def test_a_server_that_was_stopped_goes_on(processes: Processes, wait_for: Wait) -> None:
    store = processes.served.store
    server = processes.server("--depth", "2", "--lease-seconds", "0.5")
    wait_for(lambda: len(store.waiting("s")) == 2)
    server.send_signal(signal.SIGSTOP)
    wait_for(lambda: not supply(store).is_served)
    server.send_signal(signal.SIGCONT)
    wait_for(lambda: supply(store).is_served)
    assert store.take("s", "t") is not None
    wait_for(lambda: len(store.waiting("s")) == 2)


SWEEP = """
name: s
program: train.py
command: ["${interpreter}", -I, -S, -u, "${program}", "${args_json}"]
method: random
metric: {name: loss, target: 0.0}
run_cap: 4
parameters: {x: {min: 0.1, max: 1.0}}
"""
TRAIN = """
import json, sys
print(json.dumps({"hyperhook": {"loss": json.loads(sys.argv[1])["x"]}}))
"""


def test_agents_of_a_sweep_are_served_by_what_its_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_for: Wait
) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "s.yaml").write_text(SWEEP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYPERHOOK_HOME", str(tmp_path / "home"))
    hyperhook = [sys.executable, "-m", "hyperhook"]
    subprocess.run([*hyperhook, "sweep", "s.yaml"], check=True, capture_output=True, timeout=60)
    store = Workspace(Home(tmp_path / "home")).store
    pipe = subprocess.PIPE
    with subprocess.Popen([*hyperhook, "suggest-ahead", "s"], stdout=pipe, stderr=pipe, text=True) as server:
        try:
            wait_for(lambda: len(store.waiting("s")) == 4)
            wanted = [each.params for each in store.waiting("s")]
            subprocess.run([*hyperhook, "agent", "s"], check=True, capture_output=True, timeout=60)
            said, complaints = server.communicate(timeout=60)
        finally:
            server.kill()
    assert (server.returncode, complaints) == (0, "")
    assert said.splitlines()[0] == "study s: up to 32 suggestions wait for its workers, by random; Ctrl-C ends this"
    assert said.splitlines()[-1] == "study s: its budget of 4 trials is given out"
    trials = store.study("s").trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    assert [trial.params for trial in trials] == wanted


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--plugin", "random", "--device", "cuda"], "--device is for gp, and the plugins are: random; leave it out"),
        (["--plugin", "asha"], "none of the plugins suggests anything: asha"),
        (["--plugin", "gpp"], "no plugin 'gpp' is installed"),
        (["--plugin", "random", "--lease-seconds", "0"], "lease_seconds: expected a number above 0, got 0.0"),
    ],
)
def test_the_command_refuses_what_cannot_be(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    home = tmp_path / "home"
    Workspace(Home(home)).store.open_study("s", SPACE, hh.Minimize("loss"))
    monkeypatch.setattr(sys, "argv", ["hyperhook", "suggest-ahead", "s", "--home", str(home), *options])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
