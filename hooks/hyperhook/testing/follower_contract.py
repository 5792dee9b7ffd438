"""The contract of followers, as tests: inherit, say how one is made and what a program looks like that it follows.

The program is a real one, in a process of its own: it is told what to log, a line at a time, and killed in the middle.
What it left is then written again elsewhere, byte by byte in torn pieces, beside a follower that reads in between.
"""

from __future__ import annotations

import json
import math
import os
import signal
import struct
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import ClassVar

from hyperhook.follower import Follower, Reading
from hyperhook.parameters import Params
from hyperhook.records import TrialRecord

__all__ = ["FollowerContract"]

_SECONDS = 60.0
_TRIAL = TrialRecord("trial-0", 0, "contract", {"lr": 0.1})
_METRICS = ("loss", "val/größe", "a.b")
_ROUGH = (math.nan, math.inf, -math.inf, 0.0, -1.5, 1e-30)


class FollowerContract(ABC):
    r"""What every follower promises; the test methods are run by pytest.

    Attributes:
        program: The source of a Python program that logs with the library. It reads lines of JSON from standard input,
            ``{"metrics": {"loss": 0.3}, "step": 4}``, logs each, NaN and infinities included, and ends with its input.
        exact: Whether values come back to the last bit; otherwise as 32-bit floats.

    Example:
        >>> class TestStdout(FollowerContract):
        ...     program = "import sys, json\nfor line in sys.stdin:\n    print(line, flush=True)"
        ...     def make(self):
        ...         return Stdout()
    """

    program: ClassVar[str]
    exact: ClassVar[bool] = True

    @abstractmethod
    def make(self) -> Follower:
        """Return a follower that was not used yet."""

    # What must hold

    def test_each_point_is_read_once_in_order_while_the_program_runs(self, tmp_path: Path) -> None:
        """Also NaN and infinities, what an earlier start left, and files whose ends are torn anywhere."""
        with _Stage(tmp_path, self.make(), self.program) as before:
            before.log(_sent(0, 3))
            before.end()
        with _Stage(tmp_path, self.make(), self.program) as stage:
            assert stage.read() == [], "what an earlier start of the program left was read again"
            sent = _sent(5, 40)
            stage.log(sent[:20])
            stage.wait_for_a_point()
            stage.log(sent[20:])
            code = stage.end()
            assert code == 0, f"the program ended with {code}; mend it"
            self._compare(stage.readings, sent)
            stage.read()
            self._compare(stage.readings, sent)
        for seed in range(10):
            self._compare(self._torn(stage, tmp_path / f"torn-{seed}", Random(seed)), sent)

    def test_a_program_that_is_killed(self, tmp_path: Path) -> None:
        """What is read is the beginning of what it logged, and no point twice."""
        sent = _sent(0, 200)
        with _Stage(tmp_path, self.make(), self.program) as stage:
            stage.log(sent[:100])
            stage.wait_for_a_point()
            stage.log(sent[100:])
            stage.kill()
            stage.read()
        found = self._series(_flat(stage.readings))
        for name, whole in self._series(sent).items():
            there = found.get(name, [])
            assert there == whole[: len(there)], f"{name}: read {there}, logged {whole}"
        assert found, "nothing was read"

    def test_a_program_that_writes_nothing(self, tmp_path: Path) -> None:
        """There is nothing to read, and nothing fails."""
        follower = self.make()
        assert list(follower.read()) == []
        variables = _prepare(follower, tmp_path)
        assert all(isinstance(name, str) and isinstance(value, str) for name, value in variables.items())
        assert list(follower.read()) == []
        for line in ("", "epoch 3: loss 0.5", '{"a": 1', "[1, 2]", "{" * 5000, '{"a": "b"}', '"' + "x" * 2_000_000):
            assert list(follower.read_line(line)) == [], f"a line that reports nothing was read: {line[:40]}"
        follower.close()
        assert list(follower.read()) == []

    # How it is seen

    def _torn(self, stage: _Stage, folder: Path, random: Random) -> list[Reading]:
        """Write what a program left once more, in pieces that end anywhere, and read in between."""
        follower = self.make()
        _prepare(follower, folder)
        files = stage.written()
        lines = b"".join(stage.output)
        readings: list[Reading] = []
        ends = [0.0, *sorted(random.random() for _ in range(8)), 1.0]
        for start, end in pairwise(ends):
            for place, content in files.items():
                target = folder / place
                target.parent.mkdir(parents=True, exist_ok=True)
                with open(target, "ab") as file:
                    file.write(content[int(start * len(content)) : int(end * len(content))])
            if not int(end * len(lines)) == len(lines):
                readings += follower.read()
        for line in lines.decode().splitlines():
            readings += follower.read_line(line)
        readings += follower.read()
        follower.close()
        return readings

    def _compare(self, readings: Sequence[Reading], sent: Sequence[_Point]) -> None:
        for reading in readings:
            assert reading.metrics, f"a reading without metrics: {reading}"
            assert reading.time is None or reading.time > 1e9, f"the time is in seconds since 1970, got {reading.time}"
        found, expected = self._series(_flat(readings)), self._series(sent)
        assert found.keys() == expected.keys(), f"read {list(found)}, logged {list(expected)}"
        for name, points in expected.items():
            assert found[name] == points, f"{name}: read {found[name]}, logged {points}"

    def _series(self, points: Sequence[_Point]) -> dict[str, list[tuple[int, str]]]:
        found: dict[str, list[tuple[int, str]]] = {}
        for name, step, value in points:
            found.setdefault(name, []).append((step, repr(value if self.exact else _rounded(value))))
        return found


_Point = tuple[str, int, float]


class _Stage:
    """A program, and a follower beside it."""

    def __init__(self, folder: Path, follower: Follower, program: str) -> None:
        self.folder = folder
        self.follower = follower
        self.readings: list[Reading] = []
        self.output: list[bytes] = []
        self._rest = b""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "program.py").write_text(program)
        variables = _prepare(follower, folder)
        self._before = {path: path.stat().st_size for path in _files(folder)}
        self._process = subprocess.Popen(
            [sys.executable, str(folder / "program.py")],
            cwd=folder / "work",
            env={**os.environ, "PYTHONUNBUFFERED": "1", **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        os.set_blocking(self._output.fileno(), False)
        follower.started(self._process.pid)

    def __enter__(self) -> _Stage:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.kill()
        self._input.close()
        self._output.close()
        self.follower.close()
        self.follower.close()

    def log(self, points: Sequence[_Point]) -> None:
        """Let the program log, the points of a step at once."""
        rows: dict[int, dict[str, float]] = {}
        for name, step, value in points:
            rows.setdefault(step, {})[name] = value
        for step, metrics in rows.items():
            self._input.write(json.dumps({"metrics": metrics, "step": step}).encode() + b"\n")
        self._input.flush()

    def read(self) -> list[Reading]:
        """Read what is new, standard output too."""
        found = list(self.follower.read())
        content = self._output.read()
        self.output.append(content or b"")
        *lines, self._rest = (self._rest + (content or b"")).split(b"\n")
        for line in lines:
            found += self.follower.read_line(line.decode())
        self.readings += found
        return found

    def wait_for_a_point(self) -> None:
        """Read until there is one; the program still runs."""
        deadline = time.monotonic() + _SECONDS
        while not self.readings:
            assert self._process.poll() is None, "the program ended; mend it"
            assert time.monotonic() < deadline, f"nothing was read within {_SECONDS:.0f} s, although the program logged"
            self.read()
            time.sleep(0.01)

    def end(self) -> int:
        """Let the program end, reading meanwhile and once behind it; return its exit code."""
        self._input.close()
        deadline = time.monotonic() + _SECONDS
        while self._process.poll() is None:
            assert time.monotonic() < deadline, f"the program did not end within {_SECONDS:.0f} s of its input's end"
            self.read()
            time.sleep(0.01)
        self.read()
        return self._process.returncode

    def kill(self) -> None:
        """Kill the program and its children, as nothing can be done about."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.read()

    def written(self) -> dict[Path, bytes]:
        """Return what the program wrote, by the place of each file."""
        found = {path: path.read_bytes()[self._before.get(path, 0) :] for path in _files(self.folder)}
        return {path.relative_to(self.folder): content for path, content in found.items() if content}


def _prepare(follower: Follower, folder: Path) -> dict[str, str]:
    """Call `environment` where the program will run."""
    params: Params = {"lr": 0.1}
    work, here = folder / "work", os.getcwd()
    work.mkdir(parents=True, exist_ok=True)
    os.chdir(work)
    try:
        return follower.environment(folder / "trial", params, "contract", _TRIAL)
    finally:
        os.chdir(here)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())


def _sent(first: int, count: int) -> list[_Point]:
    """Return points: three metrics at each of the steps from `first` on, with a gap, and some that are not finite."""
    steps = [first + index + (100 if index > count // 2 else 0) for index in range(count)]
    return [
        (name, step, _ROUGH[index % 7] if index % 7 < len(_ROUGH) and name != "loss" else index / 3)
        for index, step in enumerate(steps)
        for name in _METRICS
    ]


def _flat(readings: Sequence[Reading]) -> list[_Point]:
    return [(name, reading.step, value) for reading in readings for name, value in reading.metrics.items()]


def _rounded(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])
