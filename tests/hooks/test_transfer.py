"""Device tensors: nobody waits for them, order is kept, and nothing of them is lost at the end."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

import hyperhook as hh
import hyperhook.trial
from hyperhook.errors import MetricError
from hyperhook.testing import RecordingPlugin
from hyperhook.transfer import Transfer, is_away, start


class OnDevice:
    """What `Trial.log` sees of a CUDA tensor."""

    is_cuda = True

    def __init__(self, value: float, count: int = 1) -> None:
        self.value, self.shape = value, (count,)

    def numel(self) -> int:
        return self.shape[0]

    def __float__(self) -> float:
        raise AssertionError("the host waited for the device")


class Arrival:
    """Stands in for a device's event: the values arrive when the test says so, or when they are waited for."""

    def __init__(self) -> None:
        self.is_there = False
        self.waited = 0

    def record(self) -> None: ...

    def query(self) -> bool:
        return self.is_there

    def synchronize(self) -> None:
        self.waited += not self.is_there
        self.is_there = True


@pytest.fixture
def arrivals(monkeypatch: pytest.MonkeyPatch) -> list[Arrival]:
    """The events of the transfers that were started, in order."""
    made: list[Arrival] = []

    def sent(values: dict[str, Any]) -> Transfer:
        made.append(Arrival())
        buffer = torch.tensor([value.value for value in values.values()], dtype=torch.float64)
        return Transfer(list(values), buffer, [made[-1]])

    monkeypatch.setattr(hyperhook.trial, "start", sent)
    return made


@pytest.fixture
def recorder() -> RecordingPlugin:
    return RecordingPlugin()


@pytest.fixture
def study(tmp_path: Path, recorder: RecordingPlugin) -> hh.Study:
    return hh.Study("s", objective=hh.Minimize("loss"), home=tmp_path, plugins=[recorder])


def away(value: float) -> Any:
    return OnDevice(value)


def steps(recorder: RecordingPlugin) -> list[tuple[int, str, float]]:
    return [(step, name, value) for name, step, _, value in recorder.points()]


def test_nobody_waits_and_the_order_is_kept(
    study: hh.Study, recorder: RecordingPlugin, arrivals: list[Arrival]
) -> None:
    trial = study.ask()
    trial.log({"cpu": 0.5, "loss": away(3.0), "acc": away(0.1)})
    trial.log({"cpu": 1.5})
    trial.log({"loss": away(2.0)})
    assert steps(recorder) == []
    arrivals[1].is_there = True
    trial.log({"cpu": 2.5})
    assert steps(recorder) == []
    arrivals[0].is_there = True
    trial.log({"cpu": 3.5})
    assert steps(recorder) == [
        (0, "cpu", 0.5),
        (0, "loss", 3.0),
        (0, "acc", 0.1),
        (1, "cpu", 1.5),
        (2, "loss", 2.0),
        (3, "cpu", 2.5),
        (4, "cpu", 3.5),
    ]
    assert [arrival.waited for arrival in arrivals] == [0, 0]


def test_the_end_waits_for_what_is_on_its_way(
    study: hh.Study, recorder: RecordingPlugin, arrivals: list[Arrival]
) -> None:
    trial = study.ask()
    trial.log({"loss": away(3.0)}, step=7, epoch=1)
    assert study.tell(trial).value == 3.0
    assert recorder.points() == [("loss", 7, 1, 3.0)]
    assert recorder.hooks()[-1] == "trial_finished"


def test_a_decision_an_artifact_and_a_flush_wait_too(
    study: hh.Study, recorder: RecordingPlugin, arrivals: list[Arrival]
) -> None:
    trial = study.ask()
    trial.log({"loss": away(3.0)})
    assert not trial.should_stop
    trial.log({"loss": away(2.0)})
    trial.log_text("t", "x")
    trial.log({"loss": away(1.0)})
    trial.flush()
    assert [value for *_, value in recorder.points()] == [3.0, 2.0, 1.0]
    assert [arrival.waited for arrival in arrivals] == [1, 1, 1]
    assert recorder.hooks()[3:] == ["metrics_logged", "metrics_logged", "artifact_logged", "metrics_logged"]


def test_the_times_are_those_of_the_calls(
    study: hh.Study, recorder: RecordingPlugin, arrivals: list[Arrival], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([100.0, 200.0, 300.0])
    trial = study.ask()
    monkeypatch.setattr("hyperhook.trial.time.time", lambda: next(now))
    trial.log({"loss": away(3.0)})
    trial.log({"loss": away(2.0)})
    monkeypatch.undo()
    trial.flush()
    assert [c.arguments["time"] for c in recorder.calls if c.hook == "metrics_logged"] == [100.0, 200.0]


def test_only_so_many_wait(
    study: hh.Study, recorder: RecordingPlugin, arrivals: list[Arrival], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hyperhook.trial, "_MOST_WAITING", 3)
    trial = study.ask()
    for step in range(5):
        trial.log({"loss": away(step)})
    assert [step for step, *_ in steps(recorder)] == [0, 1]


def test_more_than_one_number_is_refused(study: hh.Study, arrivals: list[Arrival]) -> None:
    trial = study.ask()
    with pytest.raises(MetricError, match=r"'loss' got a tensor of shape \(2,\), expected one number"):
        trial.log({"loss": OnDevice(1.0, 2)})
    assert trial.last_step == 0
    assert arrivals == []


def test_a_trial_that_travels_has_nothing_left_on_its_way(
    study: hh.Study, recorder: RecordingPlugin, arrivals: list[Arrival]
) -> None:
    trial = study.ask()
    trial.log({"loss": away(3.0)})
    copy = pickle.loads(pickle.dumps(trial))
    assert steps(recorder) == [(0, "loss", 3.0)]
    copy.log({"loss": 1.0})
    study.tell(trial)
    assert [value for *_, value in recorder.points()] == [3.0]  # the copy's own listeners are its process's


def test_what_is_on_the_host_is_not_away() -> None:
    assert not is_away(1.0)
    assert not is_away(torch.tensor(1.0))
    assert is_away(OnDevice(1.0))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_values_come_from_the_device_as_they_were_when_they_were_sent() -> None:
    loss, hits = torch.tensor(0.25, device="cuda"), torch.tensor([3], device="cuda")
    transfer = start({"loss": loss, "hits": hits})
    loss += 1
    assert transfer.take() == {"loss": 0.25, "hits": 3.0}
    assert transfer.has_arrived
