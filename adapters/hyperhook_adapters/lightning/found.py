"""The callback that Lightning finds by itself in a script that runs a trial."""

from __future__ import annotations

from typing import Any

from hyperhook_adapters.lightning.callback import HyperhookCallback

__all__ = ["FoundCallback"]


class FoundCallback(HyperhookCallback):
    """A `HyperhookCallback` that stays silent where the script has one of its own, or another one was found first."""

    def _open(self, trainer: Any) -> None:
        ours = [callback for callback in trainer.callbacks if isinstance(callback, HyperhookCallback)]
        found = [callback for callback in ours if isinstance(callback, FoundCallback)]
        if found == ours and found[0] is self:
            super()._open(trainer)
