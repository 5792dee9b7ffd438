"""A training script on a Ray cluster of two nodes, one of which is taken away in mid-study. Not a test by itself."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

import hyperhook as hh
from hyperhook_plugins.ray import Ray

HERE = {"object_store_memory": 80_000_000}


class Last:
    """Stops the first two trials behind their second epoch: a pruner that is asked on the nodes."""

    @hh.hookimpl
    def should_stop(self, trial: hh.TrialRecord) -> bool:
        """Stop."""
        return trial.number in (0, 1) and trial.epoch == 1


def train(trial: hh.Trial) -> None:
    """Train a little, until a pruner stops it."""
    trial.log_tags({"node": ray.get_runtime_context().get_node_id()})
    for epoch in range(4):
        time.sleep(0.1)  # so that both nodes have trials
        trial.log({"loss": abs(trial.params["x"]) + 1 / (1 + epoch)}, epoch=epoch)
        if trial.should_stop:
            return


def main(folder: Path) -> None:
    """Run it, and leave a report."""
    head = {"num_cpus": 1, "include_dashboard": False, "temp_dir": str(folder / "r"), **HERE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    other = cluster.add_node(num_cpus=2, **HERE)
    study = hh.Study(
        "s",
        {"x": hh.Float(-1, 1)},
        hh.Minimize("loss"),
        plugins=[Last()],
        trackers=["csv"],
        home=folder / "home",
    )

    def take_away() -> None:
        while sum(trial.state.is_finished for trial in study.trials) < 4:
            time.sleep(0.02)
        cluster.remove_node(other)

    thread = threading.Thread(target=take_away)
    thread.start()
    study.run(train, trials=12, executor=Ray(cluster.address))
    thread.join()
    is_left = ray.is_initialized()

    def fail(trial: hh.Trial) -> None:
        raise RuntimeError(f"no data on {trial.number}")

    ray.init(cluster.address, log_to_driver=False)
    failing = hh.Study("f", {"x": hh.Float(-1, 1)}, hh.Minimize("loss"), home=folder / "home")
    stopped = ""
    try:
        failing.run(fail, trials=9, executor=Ray(workers=1))
    except hh.HyperhookError as error:
        stopped = f"{type(error).__name__}: {error}"
    report = {"is_left": is_left, "stopped": stopped, "is_kept": ray.is_initialized()}
    (folder / "report.json").write_text(json.dumps(report))
    ray.shutdown()
    cluster.shutdown()


main(Path(sys.argv[1]))
