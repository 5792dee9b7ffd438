"""What a trainer publishes: which metrics are new, which learning rates are used.

Everything here reads public attributes of the trainer and imports nothing of Lightning, so that it serves both of its
namespaces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, SupportsFloat

__all__ = ["LearningRates", "Metrics", "may_log_late", "monitored_names"]

_QUIET = tuple(
    f"{root}.{part}" for root in ("lightning.pytorch", "pytorch_lightning") for part in ("core", "callbacks")
)
"""Where the hooks come from that log nothing."""


@dataclass(slots=True)
class Metrics:
    """Tells new metrics from stale ones.

    Lightning publishes dictionaries that repeat what was logged long ago. A metric that was logged anew is another
    tensor, with a storage of its own, equal value or not; the last one of each name is kept alive here, so that its
    address stays taken. ``callback_metrics`` and ``logged_metrics`` share storages: what was seen in one is not new in
    the other.
    """

    _called_back: dict[str, tuple[int, Any]] = field(default_factory=dict)
    _logged: dict[str, tuple[int, Any]] = field(default_factory=dict)
    _names: Collection[str] = ()
    _has_aliases: bool = False

    def take(self, trainer: Any, *, skip: Collection[str] = (), logged: bool = False) -> dict[str, SupportsFloat]:
        """Return what was logged since the last call, each metric once.

        Args:
            trainer: The trainer.
            skip: Names to leave for a later call.
            logged: Look among ``logged_metrics`` as well, where single batches of an evaluation are published.
        """
        fresh = _fresh(trainer.callback_metrics, self._called_back, self._logged, skip)
        if logged:
            fresh.update(_fresh(trainer.logged_metrics, self._logged, self._called_back, skip))
        if fresh.keys() != self._names:  # the same from batch to batch
            self._names = set(fresh)
            self._has_aliases = any(
                name.partition("/dataloader_idx_")[0].endswith(("_step", "_epoch")) for name in self._names
            )
        if self._has_aliases:
            fresh = {name: value for name, value in fresh.items() if not _is_alias(name, fresh)}
        return _floats(fresh)


def _fresh(
    published: Mapping[str, Any],
    seen: dict[str, tuple[int, Any]],
    elsewhere: Mapping[str, tuple[int, Any]],
    skip: Collection[str],
) -> dict[str, Any]:
    """Return what is new in one dictionary, and not known from the other; this runs at every batch."""
    fresh = {}
    for name, value in published.items():
        last = seen.get(name)
        if (last is not None and last[1] is value) or name in skip:
            continue
        address = _address(value)
        seen[name] = address, value
        if last is not None and last[0] == address:
            continue
        other = elsewhere.get(name)
        if other is None or other[0] != address:
            fresh[name] = value
    return fresh


def _address(value: Any) -> int:
    try:
        return int(value.data_ptr())
    except AttributeError:  # no tensor
        return id(value)


def _is_alias(name: str, fresh: Mapping[str, Any]) -> bool:
    """Tell whether Lightning publishes this one, logged on steps and epochs, under its longer name as well."""
    stem, loader, index = name.partition("/dataloader_idx_")
    longer = (fresh.get(f"{stem}_{when}{loader}{index}") for when in ("step", "epoch"))
    return any(other is not None and _address(other) == _address(fresh[name]) for other in longer)


def _floats(metrics: Mapping[str, Any]) -> dict[str, SupportsFloat]:
    """Read tensors. Those on CUDA stay there: `Trial.log` does not wait for them. Others cross over together."""
    floats: dict[str, SupportsFloat] = {}
    away: dict[tuple[Any, Any], list[str]] = {}
    for name, value in metrics.items():
        if getattr(value, "is_cpu", False):
            floats[name] = value.item()
        elif not hasattr(value, "is_cuda"):  # no tensor
            floats[name] = float(value)
        elif value.is_cuda:
            floats[name] = value
        else:
            away.setdefault((value.device, value.dtype), []).append(name)
    for names in away.values():
        import torch

        together = torch.cat([metrics[name].detach().reshape(1) for name in names])
        floats.update(zip(names, together.tolist(), strict=True))
    return floats


@dataclass(slots=True)
class LearningRates:
    """The learning rates that batches are trained with, by the names that Lightning's own monitor gives them."""

    _last: dict[str, float] = field(default_factory=dict)
    _groups: list[tuple[list[Any], list[str]]] = field(default_factory=list)
    """The parameter groups of each optimizer, and their names."""

    @property
    def names(self) -> Collection[str]:
        """The names given so far."""
        return self._last.keys()

    def take(self, trainer: Any, *, everything: bool) -> dict[str, float]:
        """Return the rates that changed since the last call.

        Args:
            trainer: The trainer.
            everything: Return those that did not change as well, also of optimizers that are new.
        """
        if everything or not self._groups or any(len(groups) != len(names) for groups, names in self._groups):
            self._groups = list(_groups(trainer))
        changed = {}
        for groups, names in self._groups:
            for name, group in zip(names, groups, strict=True):
                rate = group["lr"]
                if everything or self._last.get(name) != rate:
                    changed[name] = self._last[name] = float(rate)
        return changed


def _groups(trainer: Any) -> Iterator[tuple[list[Any], list[str]]]:
    """Yield parameter groups and their names: optimizers with a scheduler count first, and it may bring a name."""
    scheduled = {id(config.scheduler.optimizer): config for config in reversed(trainer.lr_scheduler_configs)}
    optimizers = [config.scheduler.optimizer for config in reversed(scheduled.values())]
    optimizers += [optimizer for optimizer in trainer.optimizers if id(optimizer) not in scheduled]
    kinds: Counter[str] = Counter()
    for optimizer in optimizers:
        config = scheduled.get(id(optimizer))
        name = config.name if config is not None else None
        if name is None:
            kind = type(optimizer).__name__
            name = f"lr-{kind}-{kinds[kind]}" if kinds[kind] else f"lr-{kind}"
            kinds[kind] += 1
        groups = optimizer.param_groups
        parts = [
            group.get("name", f"pg{number}" if len(groups) > 1 else None)
            for number, group in enumerate(groups, start=1)
        ]
        yield groups, [name if part is None else f"{name}/{part}" for part in parts]


def may_log_late(module: Any, callbacks: Collection[Any]) -> bool:
    """Tell whether the module or a callback has an ``on_train_batch_end`` of its own: it may log behind ours."""
    hooks = (getattr(other, "on_train_batch_end", None) for other in (module, *callbacks))
    return any(not getattr(hook, "__module__", "").startswith(_QUIET) for hook in hooks)


def monitored_names(callbacks: Collection[Any]) -> set[str]:
    """Return the names that a learning-rate monitor among the callbacks publishes, before a batch rather than after."""
    names: set[str] = set()
    for callback in callbacks:
        if hasattr(callback, "lrs") and hasattr(callback, "last_momentum_values"):
            names.update(callback.lrs, callback.last_momentum_values, callback.last_weight_decay_values)
    return names
