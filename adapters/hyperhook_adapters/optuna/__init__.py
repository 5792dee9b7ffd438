"""Optuna, in both directions: our suggesters in its studies, and its samplers in ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyperhook_adapters.optuna.suggester import OptunaSuggester

if TYPE_CHECKING:
    from hyperhook_adapters.optuna.sampler import HyperhookSampler

__all__ = ["HyperhookSampler", "OptunaSuggester"]


def __getattr__(name: str) -> object:
    """Import `HyperhookSampler`, and with it Optuna, when it is first asked for: naming a suggester does without."""
    if name == "HyperhookSampler":
        from hyperhook_adapters.optuna.sampler import HyperhookSampler

        return HyperhookSampler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
