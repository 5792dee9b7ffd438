"""For authors of plugins: one that records what it hears, and the suites that each kind of plugin passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyperhook.testing.follower_contract import FollowerContract
from hyperhook.testing.recording import Call, RecordingPlugin
from hyperhook.testing.tracker_contract import RecordedPoint, RecordedRun, TrackerContract

if TYPE_CHECKING:
    from hyperhook.testing.pruner_contract import PrunerContract
    from hyperhook.testing.suggester_contract import SuggesterContract

__all__ = [
    "Call",
    "FollowerContract",
    "PrunerContract",
    "RecordedPoint",
    "RecordedRun",
    "RecordingPlugin",
    "SuggesterContract",
    "TrackerContract",
]


def __getattr__(name: str) -> object:
    """Import what needs hypothesis when it is first asked for: the others do without."""
    if name == "PrunerContract":
        from hyperhook.testing.pruner_contract import PrunerContract

        return PrunerContract
    if name == "SuggesterContract":
        from hyperhook.testing.suggester_contract import SuggesterContract

        return SuggesterContract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
