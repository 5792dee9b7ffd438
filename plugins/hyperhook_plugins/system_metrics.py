"""The machine beside the training: CPU, memory, disk and network, and the GPUs where NVIDIA's library finds some.

Names and units: ``system/cpu_percent`` (of all cores), ``system/memory_percent``, ``system/disk_read_mb`` and
``…_write_mb``, ``system/network_sent_mb`` and ``…_received_mb`` (since the trial began), ``system/process_cpu_percent``
(100 is one core) and ``system/process_memory_mb`` of this process, and for each GPU ``system/gpu.0.busy_percent``,
``….memory_mb``, ``….power_watts`` and ``….temperature_celsius``. A megabyte is 2**20 bytes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

from hyperhook import HyperhookError, Trial, TrialRecord, hookimpl

__all__ = ["SystemMetrics"]

log = logging.getLogger("hyperhook")

_MB = 2**20


class SystemMetrics:
    """Logs how busy the machine is, at the step that the trial stands at, from a thread of its own.

    Args:
        interval_seconds: How often, in seconds; at least 0.1.

    Raises:
        HyperhookError: That is no such number.

    Example:
        >>> study = Study("digits", space, plugins=["gp", SystemMetrics(5.0)])  # doctest: +SKIP
    """

    requires: ClassVar[tuple[str, ...]] = ("psutil",)

    def __init__(self, interval_seconds: float = 15.0) -> None:
        if not isinstance(interval_seconds, int | float) or not interval_seconds >= 0.1:
            raise HyperhookError(
                f"SystemMetrics: interval_seconds: expected a number from 0.1, got {interval_seconds!r}"
            )
        self._interval_seconds = interval_seconds
        self._watches: dict[str, _Watch] = {}

    @hookimpl
    def trial_opened(self, trial: Trial) -> None:
        """Watch the machine while the trial runs."""
        watch = self._watches[trial.id] = _Watch(trial, self._interval_seconds)
        watch.start()

    @hookimpl
    def trial_finished(self, trial: TrialRecord) -> None:
        """Watch no longer."""
        watch = self._watches.pop(trial.id, None)
        if watch is not None:
            watch.end()

    def __getstate__(self) -> dict[str, Any]:
        return {"_interval_seconds": self._interval_seconds, "_watches": {}}


class _Watch(threading.Thread):
    """Takes a sample now and again, until the trial has ended."""

    def __init__(self, trial: Trial, interval_seconds: float) -> None:
        super().__init__(name=f"system-metrics-{trial.id}", daemon=True)
        self._trial = trial
        self._interval_seconds = interval_seconds
        self._ended = threading.Event()

    def end(self) -> None:
        self._ended.set()
        if self is not threading.current_thread():
            self.join()

    def run(self) -> None:
        with suppress(HyperhookError):  # the trial has ended
            machine = _Machine()
            while not self._ended.wait(self._interval_seconds):
                self._trial.log_beside(machine.sample())


class _Machine:
    """What is read of the machine; what grows is counted from now on."""

    def __init__(self) -> None:
        import psutil

        self._psutil = psutil
        self._process = psutil.Process()
        self._gpus = list(_gpus())
        self._start = self._totals()
        psutil.cpu_percent()  # the first call of each is the start of an interval
        self._process.cpu_percent()

    def sample(self) -> dict[str, float]:
        """Return names and values."""
        found = {
            "system/cpu_percent": self._psutil.cpu_percent(),
            "system/memory_percent": self._psutil.virtual_memory().percent,
            "system/process_cpu_percent": self._process.cpu_percent(),
            "system/process_memory_mb": self._process.memory_info().rss / _MB,
        }
        totals = self._totals()
        found |= {name: (total - self._start[name]) / _MB for name, total in totals.items() if name in self._start}
        for number, read in enumerate(self._gpus):
            found |= {f"system/gpu.{number}.{name}": value for name, value in read().items()}
        return found

    def _totals(self) -> dict[str, int]:
        disk, network = self._psutil.disk_io_counters(), self._psutil.net_io_counters()
        totals: dict[str, int] = {}
        if disk is not None:
            totals |= {"system/disk_read_mb": disk.read_bytes, "system/disk_write_mb": disk.write_bytes}
        if network is not None:
            totals |= {"system/network_sent_mb": network.bytes_sent, "system/network_received_mb": network.bytes_recv}
        return totals


def _gpus() -> Iterator[Callable[[], dict[str, float]]]:
    """Yield what reads each GPU; nothing where there is no library or no driver."""
    try:
        import pynvml
    except ModuleNotFoundError:
        return
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return
    for handle in handles:
        yield partial(_read_gpu, pynvml, handle)


def _read_gpu(nvml: Any, handle: Any) -> dict[str, float]:
    reads: dict[str, Callable[[], float]] = {
        "busy_percent": lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu,
        "memory_mb": lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used / _MB,
        "power_watts": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
        "temperature_celsius": lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
    }
    found = {}
    for name, read in reads.items():
        with suppress(nvml.NVMLError):  # not every card tells everything
            found[name] = float(read())
    return found
