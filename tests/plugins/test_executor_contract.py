"""The executors in the box pass the contract that other authors' executors pass."""

from __future__ import annotations

from hyperhook.executor import ThisProcess
from hyperhook.testing import ExecutorContract
from hyperhook_plugins.workers import Workers


class TestThisProcess(ExecutorContract):
    def make(self) -> ThisProcess:
        return ThisProcess()


class TestWorkers(ExecutorContract):
    def make(self) -> Workers:
        return Workers(2)
