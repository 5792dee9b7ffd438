"""What Lightning asks for callbacks when it makes a trainer, by the entry points ``…callbacks_factory``.

It is imported in every Lightning script where hyperhook is installed, and so does nothing at all unless the script runs
a trial of ``hyperhook agent`` or ``hyperhook run``.
"""

from __future__ import annotations

import os

__all__ = ["callbacks"]


def callbacks() -> list[object]:
    """Return the callback for a script that runs a trial, else nothing."""
    if not os.environ.get("HYPERHOOK_TRIAL"):
        return []
    from hyperhook_adapters.lightning.found import FoundCallback

    return [FoundCallback()]
