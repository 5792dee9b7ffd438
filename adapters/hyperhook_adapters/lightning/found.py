"""The callback that Lightning finds by itself in a script that runs a trial."""

from __future__ import annotations

from typing import Any

from hyperhook_adapters.lightning.callback import HyperhookCallback

__all__ = ["FoundCallback"]


class FoundCallback(HyperhookCallback):
    """A `HyperhookCallback` that stays silent where the script has one of its own."""

    def _open(self, trainer: Any) -> None:
        others = (callback for callback in trainer.callbacks if isinstance(callback, HyperhookCallback))
        if all(callback is self for callback in others):
            super()._open(trainer)
