"""What all tests share: nothing of the machine's own settings reaches them, and none writes into the repository."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("hyperhook", deadline=None, database=None, derandomize=True)
settings.load_profile("hyperhook")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No home, no rank and no launcher from outside."""
    ours = ("HYPERHOOK_HOME", "HYPERHOOK_LAUNCH", "HYPERHOOK_STORAGE", "HYPERHOOK_WEBHOOK_URL")
    for name in (*ours, "RANK", "LOCAL_RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


def postgres_server() -> Any:
    """Start a PostgreSQL; the test is skipped where there is none."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'hyperhook[postgres]'")
    path = Path(__file__).with_name("postgres.py")
    spec = importlib.util.spec_from_file_location("postgres", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["postgres"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if module.programs() is None:
        pytest.skip("there is no PostgreSQL here: apt-get install postgresql")
    return module.Server()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A PostgreSQL that the tests of this process share; see `postgres.Server`."""
    server = postgres_server()
    yield server
    server.close()


@pytest.fixture
def mortal_postgres() -> Iterator[Any]:
    """A PostgreSQL of one test, that may be killed."""
    server = postgres_server()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new store, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'hyperhook.db'}"
    return str(request.getfixturevalue("postgres").database())


@pytest.fixture(autouse=True)
def _no_leases_left() -> Iterator[None]:
    """What a test leaves running, as if its process had died, speaks in no other test."""
    yield
    if "hyperhook.lease" in sys.modules:
        sys.modules["hyperhook.lease"]._Keeper._leases.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let any report reach the process that collects them: what a test printed or logged may be no text at all."""
    report = yield
    report.sections = [(name, content.encode(errors="backslashreplace").decode()) for name, content in report.sections]
    return report
