"""Each follower keeps the contract, with the library's own writer in a real process."""

from __future__ import annotations

from hyperhook.follower import Follower
from hyperhook.stdout import Stdout
from hyperhook.testing import FollowerContract
from hyperhook_adapters.followers.mlflow import MLflowFollower
from hyperhook_adapters.followers.tensorboard import TensorBoardFollower
from hyperhook_adapters.followers.wandb import WandBFollower


class TestStdout(FollowerContract):
    program = """
import json, sys
for line in sys.stdin:
    point = json.loads(line)
    print("epoch done", flush=True)
    print(json.dumps({**point["metrics"], "step": point["step"]}), flush=True)
"""

    def make(self) -> Follower:
        return Stdout()


class TestWandB(FollowerContract):
    program = """
import json, sys
import wandb
with wandb.init(project="mine") as run:
    for line in sys.stdin:
        point = json.loads(line)
        run.log(point["metrics"], step=point["step"])
"""

    def make(self) -> Follower:
        return WandBFollower()


class TestTensorBoard(FollowerContract):
    exact = False
    program = """
import json, sys, time
from tensorboard.compat.proto import event_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter
writer = EventFileWriter("runs/mine")
for line in sys.stdin:
    point = json.loads(line)
    event = event_pb2.Event(step=point["step"], wall_time=time.time())
    for name, value in point["metrics"].items():
        event.summary.value.add(tag=name, simple_value=value)
    writer.add_event(event)
writer.close()
"""

    def make(self) -> Follower:
        return TensorBoardFollower()


class TestMLflow(FollowerContract):
    program = """
import json, sys
import mlflow
with mlflow.start_run():
    for line in sys.stdin:
        point = json.loads(line)
        mlflow.log_metrics(point["metrics"], step=point["step"])
"""

    def make(self) -> Follower:
        return MLflowFollower()
