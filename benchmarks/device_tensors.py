"""What logging a GPU's tensors costs a training step: not at all, by `Trial.log`, or by reading each one first.

    python benchmarks/device_tensors.py [--steps 2000] [--device cuda]

A small network trains on the device and logs five metrics at every step. Sides take turns in blocks of 50 steps:
*no logging*; *Trial.log*, which is given the tensors and does not wait for the device; *item*, which reads each value
first, as loggers do. What is printed is the time of a step, as the host sees it with the device's queue drained at each
block's end, and the ratio to no logging. To reach: a step that `Trial.log` does not lengthen, where ``item`` does.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import hyperhook as hh

BLOCK = 50
Log = Callable[[dict[str, Tensor]], None]


def main() -> None:
    """Run the sides in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000, help="of each side")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--width", type=int, default=2048, help="of the network's layers")
    options = parser.parse_args()
    device = torch.device(options.device)
    with tempfile.TemporaryDirectory() as home, hh.Study("device", home=home) as study, study.trial() as trial:
        sides: dict[str, Log] = {
            "no logging": lambda metrics: None,
            "Trial.log": trial.log,
            "item": lambda metrics: trial.log({name: value.item() for name, value in metrics.items()}),
        }
        step = training(device, options.width)
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for block in range(options.steps // BLOCK + 1):
            for name, log in sides.items():
                taken = timed(step, log, device)
                if block:  # the first one warms up
                    seconds[name].append(taken)
    show(seconds)


def training(device: torch.device, width: int) -> Callable[[], dict[str, Tensor]]:
    """Return what does one step and returns its metrics, which are on the device."""
    net = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))
    net.to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    inputs, labels = torch.randn(256, width, device=device), torch.randint(10, (256,), device=device)

    def step() -> dict[str, Tensor]:
        logits = net(inputs)
        loss = nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        logits = logits.detach()
        accuracy = (logits.argmax(1) == labels).float().mean()
        return {
            "loss": loss.detach(),
            "accuracy": accuracy,
            "margin": logits.amax(),
            "spread": logits.std(),
            "norm": logits.norm(),
        }

    return step


def timed(step: Callable[[], dict[str, Tensor]], log: Log, device: torch.device) -> float:
    """Return the seconds of one step, as the mean of a block."""
    synchronise(device)
    began = time.perf_counter()
    for _ in range(BLOCK):
        log(step())
    synchronise(device)
    return (time.perf_counter() - began) / BLOCK


def synchronise(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def show(seconds: dict[str, list[float]]) -> None:
    """Print a row for each side."""
    print("| | ms a step: lower quartile, median, upper | ratio to no logging, block by block |\n|---|---|---|")
    bare = seconds["no logging"]
    for name, taken in seconds.items():
        low, median, high = (1000 * cut for cut in statistics.quantiles(taken, n=4))
        ratio = statistics.median(with_ / without for with_, without in zip(taken, bare, strict=True))
        print(f"| {name} | {low:.3f}, {median:.3f}, {high:.3f} | {ratio:.3f} |")


if __name__ == "__main__":
    main()
