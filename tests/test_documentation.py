"""The code in the README and the docs runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import hyperhook as hh
from hyperhook.manager import Manager
from hyperhook.stdout import Stdout
from hyperhook.sweep import read_sweep
from hyperhook.sweep.command import MACROS
from hyperhook.sweep.form import DISTRIBUTIONS, TOP
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
    module = ModuleType("docs")
    monkeypatch.setitem(sys.modules, "docs", module)  # what is pickled is looked up there
    names = vars(module)
    for code in blocks("docs/writing-a-plugin.md"):
        exec(code, names)
    (tracker,) = [found for found in classes(names) if issubclass(found, Tracker)]
    assert tracker.__name__ == "JsonLines"
    contract: Any = names["TestJsonLines"]
    contract().test_a_trial_comes_back_equal_in_every_point(tmp_path)
    suggesters: Any = names["TestNearTheBest"]
    suggesters().test_a_study_goes_on_by_its_name(tmp_path)
    for name in dir(suggesters):
        if name.startswith("test_") and name != "test_a_study_goes_on_by_its_name":
            getattr(suggesters(), name)()
    pruners: Any = names["TestLastOfAll"]
    pruners().test_another_process_with_the_same_store_agrees(tmp_path / "pruners")
    for name in dir(pruners):
        if name.startswith("test_") and not name.startswith("test_another_process"):
            getattr(pruners(), name)()


def test_the_page_on_pruning_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "docs"}
    (code,) = blocks("docs/pruning.md")
    exec(code, names)
    assert 30 < names["epochs"] < 27 * 30 / 2
    assert names["study"].best.value < 0.2


def test_the_page_on_executors_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}  # as in a script: the function travels by value
    (code,) = blocks("docs/executors.md")
    exec(code, names)
    assert [trial.state.ended_by_itself for trial in names["study"].trials] == [True] * 8
    names["study"].close()


def test_the_page_on_spaces_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "docs"}
    (code,) = blocks("docs/spaces.md")
    exec(code, names)
    assert len(names["study"].trials) == 5
    assert names["study"].enqueue({"dropout": 0.2}).params["dropout"] == 0.2


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # BoTorch's, when it is imported
def test_the_page_on_define_by_run_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "docs"}
    (code,) = blocks("docs/define_by_run.md")
    exec(code, names)
    assert len(names["study"].trials) == 12
    assert set(names["study"].space) == {"optimizer", "lr", "momentum"}


def test_the_page_on_stopping_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "docs"}
    for code in blocks("docs/stopping.md"):
        exec(code, names)
    assert names["study"].ended == "nothing better in the last 8 trials"
    assert len(names["study"].trials) < 200
    assert all(trial.stderr for trial in names["repeated"].trials)


def test_the_page_on_sweeps_says_what_is_so() -> None:
    page = (ROOT / "docs/sweeps.md").read_text()
    first, *_ = re.findall(r"^```yaml\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    shown = read_sweep(first, "docs")
    example = read_sweep((ROOT / "examples/sweep/sweep.yaml").read_text(), "example")
    assert shown.difference(example) is None
    (line,) = re.findall(r'^{"hyperhook".*$', page, flags=re.MULTILINE)
    assert list(Stdout().read_line(line))
    for code in blocks("docs/sweeps.md"):
        exec(code, {"__name__": "docs"})
    for word in (*DISTRIBUTIONS, *TOP, *(f"${{{macro}}}" for macro in MACROS)):
        assert f"`{word}`" in page, word


def test_the_page_on_suggesters_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "docs"}
    for code in blocks("docs/suggesters.md"):
        exec(code, names)


def test_the_follower_in_the_page_on_following_keeps_its_contract(tmp_path: Path) -> None:
    names: dict[str, Any] = {"__name__": "docs"}
    exec(blocks("docs/following.md")[-1], names)
    contract = names["TestLines"]()
    for name in dir(contract):
        if name.startswith("test_"):
            getattr(contract, name)(tmp_path / name)


def test_the_page_on_many_workers_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "docs"}
    for code in blocks("docs/scaling.md"):
        exec(code, names)
    names["study"].close()
    assert [trial.state for trial in names["study"].trials] == ["COMPLETE"] * 3
    assert (tmp_path / "shared.db").exists()


def test_the_error_in_the_plugin_guide_is_the_one_that_is_raised() -> None:
    class StopBelowChance:
        @hh.hookimpl
        def should_stopp(self, trial: hh.TrialRecord) -> bool:
            return False

    with pytest.raises(hh.HyperhookError) as raised:
        Manager([StopBelowChance()])
    assert f"HookError: {raised.value}" in (ROOT / "docs/writing-a-plugin.md").read_text()


def test_the_readme_runs_from_top_to_bottom(tmp_path: Path) -> None:
    script = tmp_path / "readme.py"
    script.write_text("\n".join(blocks("README.md")))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "examples"), "WANDB_MODE": "offline"}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=170
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "at step" in done.stdout
    states = {
        name: Counter(trial.state.value for trial in hh.Study(name, home=tmp_path / ".hyperhook").trials)
        for name in ("runs", "parabola")
    }
    assert states == {"runs": {"COMPLETE": 1}, "parabola": {"COMPLETE": 4}}
    shown = subprocess.run(
        [sys.executable, "-m", "hyperhook", "show", "digits-cnn"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.count("COMPLETE") == 5
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 5
    assert len(list((tmp_path / "runs" / "digits-cnn").glob("digits-cnn-*"))) == 5


def test_the_readme_s_first_program_ends_by_line_thirty() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()[:30]
    start = lines.index("```python") + 1
    program = lines[start : lines.index("```", start)]
    assert len([line for line in program if line.strip()]) >= 15
