"""The code in the README and the docs runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook.manager import Manager
from hyperhook.tracker import Tracker

ROOT = Path(__file__).parents[1]


def blocks(page: str) -> list[str]:
    """Return the Python code of a page, block by block."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)


def classes(names: dict[str, object]) -> list[type]:
    return [value for value in names.values() if isinstance(value, type) and value.__module__ == "docs"]


@pytest.mark.parametrize("code", blocks("docs/hooks.md"))
def test_each_hook_has_an_example_that_registers(code: str) -> None:
    names: dict[str, object] = {"__name__": "docs", "hh": hh}
    exec(code, names)
    (plugin,) = classes(names)
    Manager([plugin()])


def test_the_plugin_guide_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "docs"}
    for code in blocks("docs/writing-a-plugin.md"):
        exec(code, names)
    (tracker,) = [found for found in classes(names) if issubclass(found, Tracker)]
    assert tracker.__name__ == "JsonLines"
    test = names["test_every_point_arrives"]
    assert callable(test)
    test(tmp_path / "test")


def test_the_error_in_the_plugin_guide_is_the_one_that_is_raised() -> None:
    class StopBelowChance:
        @hh.hookimpl
        def should_stopp(self, trial: hh.TrialRecord) -> bool:
            return False

    with pytest.raises(hh.HyperhookError) as raised:
        Manager([StopBelowChance()])
    assert f"HookError: {raised.value}" in (ROOT / "docs/writing-a-plugin.md").read_text()
