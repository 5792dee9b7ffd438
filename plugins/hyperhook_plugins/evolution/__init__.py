"""Evolution: CMA-ES in spaces of numbers, regularised evolution in mixed and conditional ones."""

from __future__ import annotations

from hyperhook_plugins.evolution.plugin import Evolution

__all__ = ["Evolution"]
