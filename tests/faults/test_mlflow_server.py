"""A real MLflow server that is killed, absent, overloaded, silent, or answers too late: every point is there, once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import hyperhook as hh
from hyperhook.home import Home
from hyperhook.status import status
from hyperhook.workspace import Workspace
from hyperhook_adapters.mlflow import MLflow

STEPS = 20
BOUND_SECONDS = 20.0

Opened = Callable[..., contextlib.AbstractContextManager[hh.Study]]


@pytest.fixture(scope="module")
def server(servers: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    made = servers.Server(tmp_path_factory.mktemp("server"))
    made.start()
    yield made
    made.kill()


@pytest.fixture
def proxy(servers: ModuleType, server: Any) -> Iterator[Any]:
    server.start()
    made = servers.Proxy(server.port)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's own client gives up soon, so that it is the forwarder that tries again."""
    for name, value in {"MAX_RETRIES": "0", "TIMEOUT": "3"}.items():
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def opened(tmp_path: Path, request: pytest.FixtureRequest) -> Opened:
    """Open a study of the test's own name; in the end its forwarder is killed, which else goes on for a minute."""

    @contextlib.contextmanager
    def open_study(address: str, flush_timeout_seconds: float = 60.0) -> Iterator[hh.Study]:
        study = hh.Study(
            name_of(request),
            objective=hh.Minimize("loss"),
            trackers=[MLflow(address)],
            home=tmp_path / "home",
            flush_timeout_seconds=flush_timeout_seconds,
        )
        forwarder = study._outlet._forwarder
        assert forwarder is not None
        try:
            yield study
        finally:
            pid = forwarder.pid
            study.flush_timeout_seconds = 0.0
            study.close()
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    return open_study


def name_of(request: pytest.FixtureRequest) -> str:
    return str(request.node.name).replace("[", "-").strip("]")


def log(trial: hh.Trial, steps: range) -> None:
    for step in steps:
        trial.log({"loss": 1.0 / (1 + step), "acc": step / 100}, step=step, epoch=step // 5)


def check(readers: ModuleType, server: Any, study: str) -> None:
    """The server has the one run, with every point once, and its end."""
    (run,) = [run for run in readers.read_mlflow(server.address) if run.study == study]
    assert (run.status, run.native) == ("COMPLETE", "FINISHED")
    expected = [("loss", step, step // 5, 1.0 / (1 + step)) for step in range(STEPS)]
    expected += [("acc", step, step // 5, step / 100) for step in range(STEPS)]
    assert run.points == readers.points(expected)


def arrived(readers: ModuleType, server: Any, study: str) -> bool:
    return any(run.study == study and run.points for run in readers.read_mlflow(server.address))


def hyperhook(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hyperhook", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("how", "times"), [("500", 3), ("429", 3), ("silent", 1), ("swallow", 3)], ids=["500", "429", "silent", "swallow"]
)
def test_a_server_that_misbehaves_for_a_while(
    readers: ModuleType, server: Any, proxy: Any, opened: Opened, request: pytest.FixtureRequest, how: str, times: int
) -> None:
    """``swallow`` is the doubled write: the server took it, and the client heard nothing."""
    proxy.plan.extend([how] * times)
    with opened(proxy.address) as study:
        with study.trial() as trial:
            begun = time.monotonic()
            log(trial, range(STEPS))
            assert time.monotonic() - begun < 1.0  # nobody waits for a server here
        assert study.flush()
    assert proxy.done[how] == times
    check(readers, server, name_of(request))


def test_a_server_that_is_killed_in_mid_run_and_comes_back(
    servers: ModuleType, readers: ModuleType, server: Any, opened: Opened, request: pytest.FixtureRequest
) -> None:
    server.start()
    with opened(server.address) as study:
        with study.trial() as trial:
            log(trial, range(10))
            servers.wait_for(lambda: arrived(readers, server, name_of(request)))
            server.kill()
            log(trial, range(10, STEPS))
        server.start()
        assert study.flush()
    check(readers, server, name_of(request))


@pytest.mark.slow
def test_a_server_that_is_away_for_twenty_seconds(
    servers: ModuleType, readers: ModuleType, server: Any, opened: Opened, request: pytest.FixtureRequest
) -> None:
    server.start()
    with opened(server.address, flush_timeout_seconds=120.0) as study:
        with study.trial() as trial:
            log(trial, range(5))
            servers.wait_for(lambda: arrived(readers, server, name_of(request)))
            server.kill()
            back = time.monotonic() + 20.0
            for step in range(5, STEPS):
                log(trial, range(step, step + 1))
                servers.wait_for(lambda: time.monotonic() > back - 20.0 * (STEPS - step) / STEPS, 30.0)  # noqa: B023
            server.start()
        assert study.flush()
    check(readers, server, name_of(request))


SLOW = pytest.mark.slow


@pytest.mark.parametrize("when", [pytest.param("before", marks=SLOW), "amid", pytest.param("at the end", marks=SLOW)])
def test_a_server_that_is_gone_costs_nothing_but_the_sending(
    servers: ModuleType,
    readers: ModuleType,
    server: Any,
    opened: Opened,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    when: str,
) -> None:
    """Training ends normally and in time, the status names what is wrong, and `sync` sends everything later."""
    server.kill() if when == "before" else server.start()
    begun = time.monotonic()
    with opened(server.address, flush_timeout_seconds=2.0) as study:
        with study.trial() as trial:
            log(trial, range(10))
            if when == "amid":
                servers.wait_for(lambda: arrived(readers, server, name_of(request)))
                server.kill()
                begun = time.monotonic()
            log(trial, range(10, STEPS))
            if when == "at the end":
                server.kill()
        assert not study.flush()
        assert time.monotonic() - begun < BOUND_SECONDS
        home = Home(tmp_path / "home")
        servers.wait_for(lambda: status(home, study.record())[0].error)
    (row,) = status(home, Workspace(home).store.study(name_of(request)))
    assert (row.tracker, row.pending) == ("mlflow", 1)
    assert "refused" in (row.error or "")
    assert [trial.state for trial in study.trials] == ["COMPLETE"]
    server.start()
    done = hyperhook("sync", name_of(request), "--home", str(tmp_path / "home"))
    assert done.returncode == 0, done.stdout + done.stderr
    check(readers, server, name_of(request))


def test_files_go_to_the_server_and_what_is_removed_leaves_it(
    readers: ModuleType, server: Any, proxy: Any, opened: Opened, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    with opened(proxy.address) as study:
        with study.trial() as trial:
            log(trial, range(STEPS))
            for name in ("gone.ckpt", "größe 100%.ckpt"):
                (tmp_path / name).write_bytes(name.encode() * 1000)
                trial.log_artifact(tmp_path / name, kind="checkpoint", aliases=["best"])
            trial.remove_artifact("gone.ckpt", kind="checkpoint")
        assert study.flush()
    client = MlflowClient(server.address)
    experiment = client.get_experiment_by_name(name_of(request))
    (run,) = client.search_runs([experiment.experiment_id], f"tags.`hyperhook.trial_id` = '{trial.id}'")
    servers_have = [file.path for file in client.list_artifacts(run.info.run_id, "checkpoints")]
    assert servers_have == ["checkpoints/gr~C3~B6~C3~9Fe 100~25.ckpt"]
    found = Path(client.download_artifacts(run.info.run_id, servers_have[0], str(tmp_path)))
    assert found.read_bytes() == "größe 100%.ckpt".encode() * 1000
    check(readers, server, name_of(request))
