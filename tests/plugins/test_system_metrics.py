"""The machine beside the training."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import hyperhook as hh
from hyperhook.testing import RecordingPlugin
from hyperhook_plugins import system_metrics
from hyperhook_plugins.system_metrics import SystemMetrics


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {seconds} s"
        time.sleep(0.005)


def watching() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("system-metrics")]


def test_the_machine_is_logged_at_the_trial_s_step_until_it_ends(tmp_path: Path) -> None:
    recorder = RecordingPlugin()
    with hh.Study("s", home=tmp_path, plugins=[recorder, SystemMetrics(0.1)]) as study:
        with study.trial() as trial:
            trial.log({"loss": 1.0}, step=7)
            wait_for(lambda: len({name for name, *_ in recorder.points()}) > 4)
            trial.log({"loss": 0.5})
        assert watching() == []
        count = len(recorder.points())
        found = {name: (step, value) for name, step, _, value in recorder.points() if step == 7}
        assert {"system/cpu_percent", "system/memory_percent", "system/process_memory_mb"} <= found.keys()
        assert 10 < found["system/process_memory_mb"][1] < 100_000
        assert 0 <= found["system/memory_percent"][1] <= 100
        assert [(s, v) for n, s, _, v in recorder.points() if n == "loss"] == [(7, 1.0), (8, 0.5)]
    assert len(recorder.points()) == count


def test_gpus_are_read_and_what_a_card_does_not_tell_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class NVMLError(Exception):
        pass

    def silent(handle: object) -> int:
        raise NVMLError

    nvml: Any = SimpleNamespace(
        NVMLError=NVMLError,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda number: number,
        nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=50 + handle),
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(used=3 * 2**20),
        nvmlDeviceGetPowerUsage=silent,
        nvmlDeviceGetTemperature=lambda handle, sensor: 40,
    )
    monkeypatch.setitem(__import__("sys").modules, "pynvml", nvml)
    found = system_metrics._Machine().sample()
    assert {name: value for name, value in found.items() if "gpu" in name} == {
        "system/gpu.0.busy_percent": 50.0,
        "system/gpu.0.memory_mb": 3.0,
        "system/gpu.0.temperature_celsius": 40.0,
        "system/gpu.1.busy_percent": 51.0,
        "system/gpu.1.memory_mb": 3.0,
        "system/gpu.1.temperature_celsius": 40.0,
    }


def test_a_trial_that_ended_elsewhere_ends_the_watch(tmp_path: Path) -> None:
    plugin = SystemMetrics(0.1)
    study = hh.Study("s", home=tmp_path, plugins=[plugin])
    trial = study.ask()
    plugin._watches.clear()
    study.tell(trial)
    wait_for(lambda: watching() == [])


def test_it_travels_without_its_threads(tmp_path: Path) -> None:
    plugin = SystemMetrics(60)
    with hh.Study("s", home=tmp_path, plugins=[plugin]) as study, study.trial():
        assert pickle.loads(pickle.dumps(plugin))._watches == {}


@pytest.mark.parametrize("interval", [0, -1, 0.01, "1", float("nan")])
def test_an_interval_that_cannot_be(interval: Any) -> None:
    with pytest.raises(hh.HyperhookError, match=r"interval_seconds: expected a number from 0\.1"):
        SystemMetrics(interval)


def test_it_is_named_system() -> None:
    from hyperhook.manager import load_plugin

    assert isinstance(load_plugin("system"), SystemMetrics)
