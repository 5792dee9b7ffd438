"""What the tests of the core share."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

import hyperhook as hh
from hyperhook.study import Study

SPACE = {"x": hh.Float(-1.0, 1.0)}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that is not there yet."""
    return tmp_path / "home"


@pytest.fixture
def study(home: Path) -> Iterator[Callable[..., Study]]:
    """Opens studies in `home`, with a space and an objective, and closes them behind the test."""
    opened: list[Study] = []

    def open_study(name: str = "s", **options: object) -> Study:
        arguments = {"space": SPACE, "objective": hh.Minimize("loss"), "home": home, "flush_timeout_seconds": 20.0}
        opened.append(Study(name, **{**arguments, **options}))  # type: ignore[arg-type]
        opened[-1].run = partial(opened[-1].run, progress=False)  # type: ignore[method-assign]
        return opened[-1]

    yield open_study
    for made in opened:
        made.close()


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module with the trackers, importable here and in forwarders."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setenv("MIRROR_FOLDER", str(tmp_path / "mirror"))
    return importlib.import_module("mirrors")


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Publishes an entry point, as an installed distribution would."""

    def add(name: str, target: str, *requires: str, group: str = "hyperhook") -> None:
        folder = tmp_path / "site" / f"{name}_dist-1.0.dist-info"
        folder.mkdir(parents=True)
        needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-dist\nVersion: 1.0\n{needs}")
        (folder / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")
        monkeypatch.syspath_prepend(str(folder.parent))

    return add


@pytest.fixture
def wait_for() -> Callable[..., None]:
    """Waits until a condition holds, no longer than a bound."""

    def wait(condition: Callable[[], object], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"still not so after {seconds} s"
            time.sleep(0.01)

    return wait
