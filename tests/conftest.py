"""What all tests share: nothing of the machine's own settings reaches them, and none writes into the repository."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from hypothesis import settings

settings.register_profile("hyperhook", deadline=None, database=None, derandomize=True)
settings.load_profile("hyperhook")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No home, no rank and no launcher from outside."""
    ours = ("HYPERHOOK_HOME", "HYPERHOOK_LAUNCH", "HYPERHOOK_WEBHOOK_URL")
    for name in (*ours, "RANK", "LOCAL_RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let any report reach the process that collects them: what a test printed or logged may be no text at all."""
    report = yield
    report.sections = [(name, content.encode(errors="backslashreplace").decode()) for name, content in report.sections]
    return report
