"""Ever longer pauses, for whoever asks a database again and again until something is there."""

from __future__ import annotations

import random
import time

__all__ = ["Pauses"]


class Pauses:
    """Pauses that grow, each by half, and end.

    Args:
        first_seconds: How long the first lasts, in seconds.
        longest_seconds: How long any lasts at the most.
        total_seconds: How long after the first began none begins any more.
    """

    def __init__(self, first_seconds: float, longest_seconds: float, total_seconds: float) -> None:
        self._next_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._total_seconds = total_seconds
        self._began: float | None = None

    def wait(self) -> bool:
        """Pause; tell whether that was still allowed. Workers that begin together do not stay together."""
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        if now - self._began > self._total_seconds:
            return False
        time.sleep(self._next_seconds * random.uniform(0.5, 1.0))
        self._next_seconds = min(1.5 * self._next_seconds, self._longest_seconds)
        return True
