"""Trials on a Ray cluster."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyperhook.errors import PluginError
from hyperhook.records import TrialState
from hyperhook.study import Study
from hyperhook_plugins.ray import Ray

HERE = Path(__file__).parent


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own, with Ray's token authentication on."""
    environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *words],
        env={**os.environ, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short name: paths of sockets may have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="h"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"address": 5}, "address must be a string"),
        ({"workers": 0}, "workers must be an int from 1, got 0"),
        ({"workers": True}, "workers must be an int from 1"),
        ({"cpus_per_trial": -1}, "share of CPU must be a number from 0, got -1"),
        ({"gpus_per_trial": "1"}, "share of GPU must be a number from 0"),
        ({"gpus_per_trial": float("nan")}, "share of GPU must be"),
        ({"resources": {"tpu": float("inf")}}, "share of tpu must be"),
    ],
)
def test_options_that_cannot_be(options: dict[str, object], words: str) -> None:
    with pytest.raises(PluginError, match=words):
        Ray(**options)  # type: ignore[arg-type]


@pytest.mark.timeout(300)
def test_a_node_that_is_lost_costs_its_trials_and_the_budget_stays_exact(short: Path) -> None:
    done = run(short, str(HERE / "ray_script.py"), str(short))
    assert done.returncode == 0, done.stdout + done.stderr
    with Study("s", home=short / "home") as made:
        trials = made.trials
    states = Counter(trial.state for trial in trials)
    assert states[TrialState.COMPLETE] == 10
    assert [trial.number for trial in trials if trial.state is TrialState.PRUNED] == [0, 1]
    assert 1 <= states[TrialState.KILLED] <= 2  # the node had two workers
    assert [trial.number for trial in trials] == list(range(len(trials)))
    for trial in trials:
        rows = (short / "csv" / "s" / f"{trial.name}.csv").read_text().splitlines()[1:]
        epochs = [row.split(",")[2] for row in rows]
        assert epochs == ["0", "1", "2", "3"][: len(epochs)]
        assert trial.state is TrialState.KILLED or len(epochs) == (2 if trial.number < 2 else 4)
    assert "another takes its place" in done.stderr
    report = json.loads((short / "report.json").read_text())
    assert report["stopped"].startswith("TooManyFailuresError: 5 trials in a row failed, the last with: RuntimeError")
    assert not report["is_left"]
    assert report["is_kept"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ray_passes_the_contract_of_executors(short: Path) -> None:
    warnings = ["-W", "ignore::ResourceWarning", "-W", "ignore::pytest.PytestUnraisableExceptionWarning"]
    places = ["-c", str(HERE.parents[1] / "pyproject.toml"), "--rootdir", str(short), str(HERE / "ray_contract.py")]
    done = run(short, "-m", "pytest", "-q", "-p", "no:cacheprovider", *warnings, *places)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed" in done.stdout
