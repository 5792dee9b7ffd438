"""Ray Tune: our suggesters as its search algorithm, and its trials in our trackers."""

from __future__ import annotations

from hyperhook_adapters.ray_tune.callback import HyperhookTuneCallback
from hyperhook_adapters.ray_tune.search import HyperhookSearch

__all__ = ["HyperhookSearch", "HyperhookTuneCallback"]
