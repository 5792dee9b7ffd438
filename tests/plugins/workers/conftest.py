"""What the tests of the workers share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook.study import Study


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Callable[..., Study]]:
    """Opens studies in a home of their own, with a space and an objective, and closes them behind the test."""
    opened: list[Study] = []

    def open_study(**options: object) -> Study:
        given = {"space": {"x": hh.Float(-1.0, 1.0)}, "objective": hh.Minimize("loss"), "home": tmp_path / "home"}
        opened.append(Study("s", **{**given, **options}))  # type: ignore[arg-type]
        return opened[-1]

    yield open_study
    for made in opened:
        made.close()
