"""The contract of followers finds what is wrong with one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hyperhook import Params, TrialRecord
from hyperhook.follower import Follower, Reading
from hyperhook.testing import FollowerContract

PROGRAM = """
import json, os, sys
with open(os.environ["LINES"], "a") as file:
    for line in sys.stdin:
        point = json.loads(line)
        for name, value in point["metrics"].items():
            print(point["step"], name, value, "end", file=file, flush=True)
"""


class Lines(Follower):
    """Reads lines of a file, with a mistake."""

    def __init__(self, mistake: str) -> None:
        self.mistake, self.path, self.position = mistake, Path("none"), 0

    def environment(self, folder: Path, params: Params, study: str, trial: TrialRecord) -> dict[str, str]:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "lines.txt"
        if self.path.exists() and self.mistake != "reads what was there":
            self.position = self.path.stat().st_size
        return {"LINES": str(self.path)}

    def read(self) -> Iterator[Reading]:
        content = self.path.read_bytes()[self.position :] if self.path.exists() else b""
        whole = content if self.mistake == "takes torn lines" else content[: content.rfind(b"\n") + 1]
        self.position += 0 if self.mistake == "reads twice" else len(whole)
        lines = [line.split(" ") for line in whole.decode(errors="replace").splitlines()]
        for step, name, value in (line[:3] for line in lines if len(line) == 4 and line[3] == "end"):
            if not (self.mistake == "drops NaN" and value == "nan"):
                yield Reading({name: float(value)}, int(step))


@pytest.mark.parametrize("mistake", ["takes torn lines", "reads twice", "drops NaN", "reads what was there"])
def test_a_mistake_is_found(mistake: str, tmp_path: Path) -> None:
    class Contract(FollowerContract):
        program = PROGRAM

        def make(self) -> Follower:
            return Lines(mistake)

    with pytest.raises((AssertionError, ValueError)):
        Contract().test_each_point_is_read_once_in_order_while_the_program_runs(tmp_path)


def test_a_right_one_passes(tmp_path: Path) -> None:
    class Contract(FollowerContract):
        program = PROGRAM

        def make(self) -> Follower:
            return Lines("none")

    Contract().test_each_point_is_read_once_in_order_while_the_program_runs(tmp_path / "a")
    Contract().test_a_program_that_is_killed(tmp_path / "b")
    Contract().test_a_program_that_writes_nothing(tmp_path / "c")
