"""What the tests of followers share: a script that is followed to its end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from hyperhook import Params, TrialRecord
from hyperhook.follower import Follower, Reading

RECORD = TrialRecord("trial-7", 7, "the study", {"lr": 0.5})


class Followed(NamedTuple):
    """What came of it."""

    readings: list[Reading]
    code: int
    output: str
    folder: Path


@pytest.fixture
def follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Followed]:
    """Runs a script in a folder of its own, and reads what it logs."""

    def run(
        follower: Follower,
        script: str,
        params: Params | None = None,
        environment: Mapping[str, str] | None = None,
        arguments: tuple[str, ...] = (),
    ) -> Followed:
        work = tmp_path / "the work"
        work.mkdir(exist_ok=True)
        monkeypatch.chdir(work)
        variables = follower.environment(tmp_path / "a trial", params or {}, "the study", RECORD)
        (work / "script.py").write_text(script)
        process = subprocess.Popen(
            [sys.executable, "script.py", *arguments],
            env={**os.environ, **(environment or {}), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        follower.started(process.pid)
        readings: list[Reading] = []
        deadline = time.monotonic() + 90
        while process.poll() is None:
            assert time.monotonic() < deadline
            readings += follower.read()
            time.sleep(0.02)
        readings += follower.read()
        output = process.communicate()[0]
        follower.close()
        return Followed(readings, process.returncode, output, tmp_path)

    return run
