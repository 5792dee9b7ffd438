"""A real Tuner, searched by our suggesters, into our trackers."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook.errors import UnknownPluginError
from hyperhook.study import Study
from hyperhook_adapters.ray_tune import HyperhookTuneCallback

SCRIPT = """
import sys
import ray
from ray import tune
import hyperhook as hh
from hyperhook_adapters.ray_tune import HyperhookSearch, HyperhookTuneCallback

def train(config):
    if config["n"] == 2:
        raise ValueError("two is not to be")
    for epoch in range(3):
        tune.report({"loss": config["m"]["x"] ** 2 + 1 / (1 + epoch), "top": {"acc": 0.5}, "note": "words"})

ray.init("local", num_cpus=1, include_dashboard=False, object_store_memory=80_000_000, _temp_dir=sys.argv[1] + "/r")
mirror = HyperhookTuneCallback(["csv"], objective=hh.Minimize("loss"), home=sys.argv[1] + "/home")
results = tune.Tuner(
    train,
    param_space={"m": {"x": tune.uniform(-3, 3)}, "n": tune.randint(0, 3), "depth": 5},
    tune_config=tune.TuneConfig(
        search_alg=HyperhookSearch(plugins=["grid"]), metric="loss", mode="min", num_samples=4
    ),
    run_config=tune.RunConfig(storage_path=sys.argv[1] + "/tune", callbacks=[mirror], verbose=0),
).fit()
print("BEST", results.get_best_result().metrics["loss"], results.num_errors)
"""


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short name: paths of sockets may have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="h"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_every_trial_of_a_tuner_is_one_of_a_study_with_all_it_reported(short: Path) -> None:
    script = short / "script.py"
    script.write_text(SCRIPT)
    environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, script, short],
        env={**os.environ, **environment},
        cwd=short,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with Study("tune", home=short / "home") as made:
        trials = made.trials
        assert f"BEST {made.best.value + 0.0}" in done.stdout
        table = made.to_dataframe()
    states = [trial.state for trial in trials]
    assert states == [hh.TrialState.COMPLETE, hh.TrialState.COMPLETE, hh.TrialState.FAILED, hh.TrialState.COMPLETE]
    assert trials[2].error == "ValueError: two is not to be"
    assert list(table["param.n"]) == [0, 1, 2, 0]
    assert set(table["param.depth"]) == {5}
    assert table["param.m/x"].is_monotonic_increasing
    for trial in trials:
        rows = [row.split(",") for row in (short / "csv/tune" / f"{trial.name}.csv").read_text().splitlines()[1:]]
        points = [(row[1], row[3]) for row in rows]
        expected = [(str(step), name) for step in range(3) for name in ("loss", "top/acc")]
        assert points == ([] if trial.state is hh.TrialState.FAILED else expected)


def test_an_unknown_tracker_is_told_at_once() -> None:
    with pytest.raises(UnknownPluginError, match="no plugin 'mlfow' is installed"):
        HyperhookTuneCallback(["mlfow"])
