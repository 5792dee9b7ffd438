"""The global random states, which belong to the user: of `random`, and of numpy where it is loaded."""

from __future__ import annotations

import pickle
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["global_states_restored", "seed_globally", "states"]


@contextmanager
def global_states_restored() -> Iterator[None]:
    """Put the global random states back, whatever happens inside.

    Example:
        >>> before = states()
        >>> with global_states_restored():
        ...     _ = random.random()
        >>> states() == before
        True
    """
    numpy = sys.modules.get("numpy")
    kept, kept_by_numpy = random.getstate(), numpy.random.get_state() if numpy else None
    try:
        yield
    finally:
        random.setstate(kept)
        if numpy:
            numpy.random.set_state(kept_by_numpy)


def seed_globally(seed: int) -> dict[str, bytes]:
    """Seed the global generators, and return their states."""
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed)
    return states()


def states() -> dict[str, bytes]:
    """Return the global random states by the names of their libraries, as bytes to compare."""
    found: dict[str, object] = {"random": random.getstate()}
    if numpy := sys.modules.get("numpy"):
        found["numpy"] = numpy.random.get_state()
    return {name: pickle.dumps(state) for name, state in found.items()}
