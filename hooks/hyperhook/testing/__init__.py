"""For authors of plugins: a plugin that records what it hears, and the suite that every tracker passes."""

from __future__ import annotations

from hyperhook.testing.recording import Call, RecordingPlugin
from hyperhook.testing.tracker_contract import RecordedPoint, RecordedRun, TrackerContract

__all__ = ["Call", "RecordedPoint", "RecordedRun", "RecordingPlugin", "TrackerContract"]
