"""How much memory this process has."""

from __future__ import annotations

import os
import sys

__all__ = ["resident_bytes"]


def resident_bytes() -> int:
    """Return how many bytes of memory this process holds; where the system only tells the most it ever held, that."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # no Linux
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
