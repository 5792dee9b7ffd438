"""What a trainer publishes: which metrics are new, which learning rates were used, which checkpoints were written.

Everything here reads public attributes of the trainer and imports nothing of Lightning, so that it serves both of its
namespaces.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["CheckpointFile", "Checkpoints", "LearningRates", "Metrics", "monitored_names"]


@dataclass(slots=True)
class Metrics:
    """Tells new metrics from stale ones.

    Lightning publishes dictionaries that repeat what was logged long ago. A metric that was logged anew is another
    tensor, with a storage of its own; the last one of each name is kept alive here, so that its address stays taken.
    """

    _seen: dict[str, Any] = field(default_factory=dict)

    def take(self, published: Mapping[str, Any], skip: Collection[str] = ()) -> dict[str, float]:
        """Return what was logged since the last call, each metric once.

        Args:
            published: Names and tensors, as in ``trainer.callback_metrics``.
            skip: Names to leave for a later call.
        """
        fresh = {}
        for name, value in published.items():
            last = self._seen.get(name)
            if name in skip or (last is not None and _address(last) == _address(value)):
                continue
            fresh[name] = self._seen[name] = value
        for name in [name for name in fresh if _is_alias(name, fresh)]:
            del fresh[name]
        return {name: float(value) for name, value in fresh.items()}


def _address(value: Any) -> int:
    return value.data_ptr() if hasattr(value, "data_ptr") else id(value)


def _is_alias(name: str, fresh: Mapping[str, Any]) -> bool:
    """Tell whether Lightning publishes this one, logged on steps and epochs, under its longer name as well."""
    longer = (fresh.get(f"{name}_step"), fresh.get(f"{name}_epoch"))
    return any(other is not None and _address(other) == _address(fresh[name]) for other in longer)


@dataclass(slots=True)
class LearningRates:
    """The learning rates that batches are trained with, by the names that Lightning's own monitor gives them."""

    _last: dict[str, float] = field(default_factory=dict)

    @property
    def names(self) -> Collection[str]:
        """The names given so far."""
        return self._last.keys()

    def take(self, optimizers: Collection[Any], *, everything: bool) -> dict[str, float]:
        """Return the rates that changed since the last call.

        Args:
            optimizers: The trainer's optimizers.
            everything: Return those that did not change as well.
        """
        rates = dict(_rates(optimizers))
        changed = {name: rate for name, rate in rates.items() if everything or self._last.get(name) != rate}
        self._last = rates
        return changed


def _rates(optimizers: Collection[Any]) -> Iterator[tuple[str, float]]:
    seen: dict[str, int] = {}
    for optimizer in optimizers:
        kind = type(optimizer).__name__
        name = f"lr-{kind}" + (f"-{seen[kind]}" if kind in seen else "")
        seen[kind] = seen.get(kind, 0) + 1
        groups = optimizer.param_groups
        for number, group in enumerate(groups, start=1):
            yield (f"{name}/pg{number}" if len(groups) > 1 else name), float(group["lr"])


def monitored_names(callbacks: Collection[Any]) -> set[str]:
    """Return the names that a learning-rate monitor among the callbacks publishes, before a batch rather than after."""
    names: set[str] = set()
    for callback in callbacks:
        if hasattr(callback, "lrs") and hasattr(callback, "last_momentum_values"):
            names.update(callback.lrs, callback.last_momentum_values, callback.last_weight_decay_values)
    return names


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """A checkpoint that is there.

    Attributes:
        path: The file, or folder for sharded checkpoints.
        step: The trainer's global step (0-based) that it was saved at.
        score: The monitored metric that it was kept for.
    """

    path: Path
    step: int
    score: float | None


@dataclass(slots=True)
class Checkpoints:
    """Finds checkpoints once they are there: Lightning announces them before it writes."""

    _announced_step: int | None = None
    _seen: dict[str, int] = field(default_factory=dict)

    def announce(self, step: int) -> None:
        """Remember that a checkpoint of this step is about to be written."""
        self._announced_step = step

    def take(self, callbacks: Collection[Any]) -> list[CheckpointFile]:
        """Return what was written since the last call; looks at the disk only after an announcement.

        Args:
            callbacks: The trainer's checkpoint callbacks.
        """
        if self._announced_step is None:
            return []
        found = []
        for path, score in dict(_kept(callbacks)).items():
            file = Path(path)
            written = file.stat().st_mtime_ns if file.exists() else None
            if written is not None and self._seen.get(path) != written:
                self._seen[path] = written
                found.append(CheckpointFile(file, self._announced_step, score))
        if found:
            self._announced_step = None
        return found


def _kept(callbacks: Collection[Any]) -> Iterator[tuple[str, float | None]]:
    for callback in callbacks:
        best = {str(path): float(score) for path, score in getattr(callback, "best_k_models", {}).items()}
        for attribute in ("last_model_path", "best_model_path"):
            path = str(getattr(callback, attribute, "") or "")
            if path:
                yield path, best.get(path)
        yield from best.items()
