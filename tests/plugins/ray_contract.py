"""The contract of executors on Ray; `test_ray` runs it in a process of its own, since Ray leaves processes unwaited."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator

import pytest
import ray

from hyperhook.testing import ExecutorContract
from hyperhook_plugins.ray import Ray


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Ray on this machine, for all tests; its sockets' paths may have 107 bytes."""
    folder = tempfile.mkdtemp(prefix="h")
    small = {"include_dashboard": False, "object_store_memory": 80_000_000, "log_to_driver": False}
    ray.init("local", num_cpus=2, _temp_dir=folder, **small)
    yield
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.usefixtures("cluster")
class TestRay(ExecutorContract):
    def make(self) -> Ray:
        return Ray(workers=2)
