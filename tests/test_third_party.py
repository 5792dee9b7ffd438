"""A plugin that somebody else published: installed beside the built wheel, named, fed, and tested there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "third_party"

SCRIPT = """
import hyperhook as hh

study = hh.Study("s", {"x": hh.Float(0, 1)}, hh.Minimize("loss"), trackers=["jsonl"])

def train(trial):
    for step in range(4):
        trial.log({"loss": trial.params["x"] + step}, step=step, epoch=step // 2)

study.run(train, trials=2)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment that holds hyperhook's wheel and the example's, and no more."""
    wheels = tmp_path_factory.mktemp("wheels")
    for project in (ROOT, EXAMPLE):
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(project)]
        subprocess.run(build, check=True, capture_output=True, timeout=120)
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pinned = ["--constraint", str(ROOT / "constraints.txt")]
    install = [str(python), "-m", "pip", "install", "--quiet", *pinned, *map(str, wheels.glob("*.whl")), "pytest"]
    subprocess.run(install, check=True, capture_output=True, timeout=300)
    return python


def run(python: Path, *arguments: str, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "HYPERHOOK_HOME")}
    done = subprocess.run(
        [str(python), *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(600)
def test_it_is_named_by_the_command(python: Path, tmp_path: Path) -> None:
    rows = run(python, "-m", "hyperhook", "plugins", cwd=tmp_path).splitlines()
    (row,) = [row for row in rows if row.startswith("jsonl")]
    assert "tracker" in row
    assert "hyperhook-jsonl 1.0.0" in row
    assert row.rstrip().endswith("ready")


@pytest.mark.timeout(600)
def test_what_is_missing_is_told_with_the_line_that_installs_it(python: Path, tmp_path: Path) -> None:
    rows = {row.split()[0]: row for row in run(python, "-m", "hyperhook", "plugins", cwd=tmp_path).splitlines()}
    assert "pip install 'hyperhook[gp]'" in rows["gp"]
    assert "pip install 'hyperhook[mlflow]'" in rows["mlflow"]
    assert rows["random"].rstrip().endswith("ready")


@pytest.mark.timeout(600)
def test_it_is_fed_by_a_study(python: Path, tmp_path: Path) -> None:
    run(python, "-c", SCRIPT, cwd=tmp_path)
    for number in range(2):
        first, *points, last = map(json.loads, (tmp_path / "jsonl" / f"s-{number}.jsonl").read_text().splitlines())
        assert [(point["step"], point["epoch"]) for point in points] == [(0, 0), (1, 0), (2, 1), (3, 1)]
        assert points[0]["value"] == first["params"]["x"] == last["value"]
        assert last["state"] == "COMPLETE"


@pytest.mark.timeout(600)
def test_its_own_tests_pass_there(python: Path, tmp_path: Path) -> None:
    assert "3 passed" in run(
        python, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests"), cwd=tmp_path
    )
