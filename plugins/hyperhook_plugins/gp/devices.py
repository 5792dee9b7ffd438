"""Where the linear algebra runs, how much memory it takes there, and that it gives it back.

A suggestion is thousands of small operations. What a GPU needs to begin one of them is what a CPU core needs for a few
hundred observations, so the GPU pays only with many. The trainer's memory comes first: the optimizer goes to a GPU only
where it takes less than half of what is free there, and back to the CPU where the GPU has too little after all.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from hyperhook import HyperhookError

__all__ = ["bytes_needed", "device_of", "given_back"]

log = logging.getLogger("hyperhook")

GPU_FROM = 500
"""From so many observations on ``auto`` takes a GPU. From what the operations cost each, not yet from a measurement."""
SHARE = 0.5
"""Of the memory that is free on a GPU, the optimizer takes at most this."""
MATRICES = 24
"""So many matrices of n x n, n being the observations that the model sees, exist at the same time at the most."""
CANDIDATES = 400
"""So many points are scored at once."""


def device_of(name: str, observations: int = 0, columns: int = 1) -> torch.device:
    """Return the device of that name; ``"auto"`` is the GPU where there is one, it pays, and it has the memory.

    Args:
        name: ``"auto"``, or what ``torch.device`` takes.
        observations: How many trials the model sees, running ones included.
        columns: How many columns each has.

    Raises:
        HyperhookError: There is no such device here.
    """
    if name == "auto":
        name = _chosen(observations, columns)
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without CUDA
        reason = str(error).splitlines()[0]
        raise HyperhookError(f"GP: device {name!r} cannot be used ({reason}); use device='auto' or 'cpu'") from None
    log.debug("gp: device %s", device)
    return device


def bytes_needed(observations: int, columns: int) -> int:
    """Return what a suggestion takes at the most: `MATRICES` of n x n, and what scoring the candidates takes.

    Args:
        observations: n, those that the model sees, running ones included.
        columns: How many columns each has.
    """
    scoring = 8 * CANDIDATES * (observations + columns)
    return 8 * (MATRICES * observations**2 + scoring)


@contextmanager
def given_back(device: torch.device) -> Iterator[None]:
    """Give the memory that a GPU lent back to the trainer at the end."""
    try:
        yield
    finally:
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _chosen(observations: int, columns: int) -> str:
    if not torch.cuda.is_available() or observations < GPU_FROM:
        return "cpu"
    free, needed = torch.cuda.mem_get_info()[0], bytes_needed(observations, columns)
    if needed > SHARE * free:
        log.info("gp: %d MB would be needed on the GPU, %d are free; the CPU is taken", needed >> 20, free >> 20)
        return "cpu"
    return "cuda"
