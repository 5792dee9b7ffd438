"""Numbers on their way from an accelerator to the host, which does not wait for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Arrival", "Transfer", "is_away", "start"]


class Arrival(Protocol):
    """Tells when a copy has arrived: a ``torch.cuda.Event``, or what stands in for one."""

    def record(self) -> None:
        """Stand behind everything that was asked of the device so far."""

    def query(self) -> bool:
        """Tell, without waiting, whether everything before it is done."""
        ...

    def synchronize(self) -> None:
        """Wait until everything before it is done."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Values that were sent off together.

    Attributes:
        names: What they are called.
        buffer: Pinned host memory, one float64 for each; valid once the copy has arrived.
        arrivals: One for each device that values come from.
    """

    names: Sequence[str]
    buffer: Any
    arrivals: Sequence[Arrival]

    @property
    def has_arrived(self) -> bool:
        """Whether the values are there; does not wait."""
        return all(arrival.query() for arrival in self.arrivals)

    def take(self) -> dict[str, float]:
        """Return the values; waits for them where they are not there yet."""
        for arrival in self.arrivals:
            arrival.synchronize()
        return dict(zip(self.names, self.buffer.tolist(), strict=True))


def is_away(value: object) -> bool:
    """Tell whether a value is on a device that would have to be waited for, and can be copied without."""
    return getattr(value, "is_cuda", False) is True


def start(values: Mapping[str, Any]) -> Transfer:
    """Send values off, in the order of the stream that computes them, and return at once.

    What is done to a tensor later, in place too, does not change what arrives.

    Args:
        values: CUDA tensors of one element each, by name.

    Raises:
        RuntimeError: One has more than one element.
    """
    import torch

    places: dict[Any, list[int]] = {}
    for position, value in enumerate(values.values()):
        places.setdefault(value.device, []).append(position)
    flat = [value.detach().reshape(()).to(torch.float64) for value in values.values()]
    names = list(values)
    buffer = torch.empty(len(flat), dtype=torch.float64, pin_memory=True)
    arrivals, order, begin = [], list[int](), 0
    for device, positions in places.items():
        with torch.cuda.device(device):
            together = torch.stack([flat[position] for position in positions])
            buffer[begin : begin + len(positions)].copy_(together, non_blocking=True)
            arrival: Arrival = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrival.record()
        arrivals.append(arrival)
        order += positions
        begin += len(positions)
    return Transfer([names[position] for position in order], buffer, arrivals)
