"""Lightning: one callback that turns a trainer's work into trial events."""

from __future__ import annotations

from hyperhook_adapters.lightning.callback import HyperhookCallback

__all__ = ["HyperhookCallback"]
