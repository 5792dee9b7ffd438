"""For authors of plugins: a plugin that records what it hears, and the suites that trackers and suggesters pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyperhook.testing.recording import Call, RecordingPlugin
from hyperhook.testing.tracker_contract import RecordedPoint, RecordedRun, TrackerContract

if TYPE_CHECKING:
    from hyperhook.testing.suggester_contract import SuggesterContract

__all__ = ["Call", "RecordedPoint", "RecordedRun", "RecordingPlugin", "SuggesterContract", "TrackerContract"]


def __getattr__(name: str) -> object:
    """Import `SuggesterContract`, and with it hypothesis, when it is first asked for: the others do without."""
    if name == "SuggesterContract":
        from hyperhook.testing.suggester_contract import SuggesterContract

        return SuggesterContract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
