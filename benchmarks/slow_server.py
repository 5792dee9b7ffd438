"""A Lightning fit while its tracking server is far away: behind 200 ms of latency, and with a large upload on its way.

    python benchmarks/slow_server.py [--blocks 120] [--megabytes 2048] [--side checkpoint]

A real MLflow server runs on loopback, behind a proxy that holds back every piece of an answer and of a request for
100 ms. Logging (20 metrics at every step) is switched on and off within one fit, as in `fit_throughput.py`, whose
network this is; beside it stands the same without the proxy, so that what the distance costs can be told. The last side
logs no metric: a checkpoint of 2 GB goes out at 10 MB/s while logging is on.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fit_throughput
import torch
from fit_throughput import Arguments, Model, Side, Switch, fit, native, nothing, quieten, row
from lightning.pytorch.loggers import MLFlowLogger
from torch import Tensor, nn

import hyperhook as hh
from hyperhook_adapters.lightning import HyperhookCallback
from hyperhook_adapters.mlflow import MLflow

LATENCY_SECONDS = 0.2
BYTES_PER_SECOND = 10e6


class Talkative(Model):
    """Logs twenty metrics at every step."""

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Train on one batch."""
        inputs, labels = batch
        loss = nn.functional.cross_entropy(self.net(inputs), labels)
        value = loss.detach()
        self.log_dict({f"metric_{number}": value + number for number in range(20)})
        return loss


class Silent(Model):
    """Logs nothing."""

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Train on one batch."""
        inputs, labels = batch
        return nn.functional.cross_entropy(self.net(inputs), labels)


def main() -> None:
    """Run the sides and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=120, help="of 50 batches, in each fit")
    parser.add_argument("--megabytes", type=int, default=2048, help="size of the checkpoint")
    parser.add_argument("--side", action="append", help="part of a side's name; all of them by default")
    options = parser.parse_args()
    chosen = options.side or [""]
    quieten()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, server(Path(folder)) as address:
        with proxy(address, LATENCY_SECONDS) as far:
            sides: dict[str, Side] = {
                "no logger": nothing,
                "hyperhook, MLflow near": hyperhook(address),
                "hyperhook, MLflow 200 ms away": hyperhook(far),
                "MLFlowLogger, 200 ms away": native(lambda _: MLFlowLogger(tracking_uri=far)),
            }
            fit_throughput.Model = Talkative  # type: ignore[misc]
            fit(nothing, 4)
            print("| logging | whole | pairs: lower quartile, median, upper | ms a step | s around the loop |")
            print("|---|---|---|---|---|", flush=True)
            for name, side in sides.items():
                if any(part in name for part in chosen):
                    blocks = options.blocks if "MLFlowLogger" not in name else 8
                    switch, around = fit(side, blocks)
                    print(f"| {name} | {row(switch)} | {around:.1f} |", flush=True)
        if any(part in "checkpoint" for part in chosen):
            fit_throughput.Model = Silent  # type: ignore[misc]
            switch, _ = fit(upload(address, options.megabytes), options.blocks)
            show_steps(switch, options.megabytes)


def hyperhook(address: str) -> Side:
    """Log to the server; what is not there at the end of the fit is left behind, and counted."""

    @contextmanager
    def side(folder: Path) -> Iterator[Arguments]:
        with hh.Study("far", trackers=[MLflow(address)], home=folder / "home", flush_timeout_seconds=600.0) as study:
            with study.trial() as trial:
                yield {"logger": False, "callbacks": [HyperhookCallback(trial)]}
            if not study.flush():
                raise SystemExit("not everything arrived")

    return side


def upload(address: str, megabytes: int) -> Side:
    """Send a checkpoint, and end while it is on its way."""

    @contextmanager
    def side(folder: Path) -> Iterator[Arguments]:
        checkpoint = folder / "model.ckpt"
        piece = os.urandom(1 << 20)
        with open(checkpoint, "wb") as file:
            for _ in range(megabytes):
                file.write(piece)
        tracker = MLflow(address, upload_bytes_per_second=BYTES_PER_SECOND)
        study = hh.Study("upload", trackers=[tracker], home=folder / "home", flush_timeout_seconds=0.0)
        trial = study.ask()
        before = time.perf_counter()
        trial.log_artifact(checkpoint, kind="checkpoint")
        print(f"log_artifact of {megabytes} MB returned after {1000 * (time.perf_counter() - before):.1f} ms")
        cursor = next((folder / "home" / "trials").glob("*")) / "cursors" / "mlflow.json"
        while not (cursor.exists() and b" MB" in cursor.read_bytes()):
            time.sleep(0.1)  # until the upload is under way
        yield {"logger": False, "callbacks": []}
        print(cursor.read_text())
        study.tell(trial)
        study.close()

    return side


def show_steps(switch: Switch, megabytes: int) -> None:
    """Print how long steps took with the upload going on, and without."""
    print(f"| {megabytes} MB at 10 MB/s | p50 | p99 of a step, ms |\n|---|---|---|")
    cuts = {on: statistics.quantiles(steps, n=100) for on, steps in switch.steps.items()}
    for on, name in ((False, "stopped"), (True, "going out")):
        print(f"| {name} | {1000 * cuts[on][49]:.3f} | {1000 * cuts[on][98]:.3f} |")
    print(f"| ratio | {cuts[True][49] / cuts[False][49]:.3f} | {cuts[True][98] / cuts[False][98]:.3f} |")


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run an MLflow server; yield its address."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "store"),
    ]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with open(folder / "server.log", "wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        await_answer(f"{address}/health")
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


@contextmanager
def proxy(address: str, latency_seconds: float) -> Iterator[str]:
    """Pass on to an address, half the latency each way; yield where to connect."""
    port = free_port()
    target = int(address.rsplit(":", 1)[1])
    process = multiprocessing.get_context("spawn").Process(
        target=run_proxy, args=(port, target, latency_seconds / 2), daemon=True
    )
    process.start()
    try:
        await_answer(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.join()


def run_proxy(port: int, target: int, delay_seconds: float) -> None:
    """Serve until the process is ended."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(1 << 16):
                await asyncio.sleep(delay_seconds)
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(pump(reader, back), pump(there, writer))

    async def serve() -> None:
        listening = await asyncio.start_server(connected, "127.0.0.1", port)
        await listening.serve_forever()

    asyncio.run(serve())


def await_answer(address: str, timeout_seconds: float = 60.0) -> None:
    """Wait until somebody answers."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


Maker = Callable[[Path], Any]

if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
