"""What a study's trials may have come to: the rough cases by name, and a strategy that draws any mixture of them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from hypothesis import strategies as st

from hyperhook.records import TrialRecord, TrialState
from hyperhook.space import Space

__all__ = ["ROUGH", "Outcome", "finished", "outcomes", "trials_of"]

_DONE = TrialState.COMPLETE


class Outcome(NamedTuple):
    """What a trial came to: its state, and its value if it has one."""

    state: TrialState
    value: float | None = None


ROUGH: Mapping[str, Callable[[int], Outcome]] = {
    "all failed": lambda i: Outcome(TrialState.FAILED),
    "all killed": lambda i: Outcome(TrialState.KILLED),
    "all running": lambda i: Outcome(TrialState.RUNNING),
    "all queued": lambda i: Outcome(TrialState.QUEUED),
    "all pruned, none with a value": lambda i: Outcome(TrialState.PRUNED),
    "all pruned, some with a value": lambda i: Outcome(TrialState.PRUNED, float(i) if i % 2 else None),
    "all complete without a value": lambda i: Outcome(_DONE),
    "one complete, the others failed": lambda i: Outcome(TrialState.FAILED) if i else Outcome(_DONE, 1.0),
    "NaN": lambda i: Outcome(_DONE, math.nan),
    "infinite": lambda i: Outcome(_DONE, (math.inf, -math.inf)[i % 2]),
    "some NaN, some infinite": lambda i: Outcome(_DONE, (math.nan, math.inf, -math.inf, float(i))[i % 4]),
    "constant": lambda i: Outcome(_DONE, 3.0),
    "zero": lambda i: Outcome(_DONE, 0.0),
    "huge": lambda i: Outcome(_DONE, (-1.0) ** i * 1e300),
    "the largest there are": lambda i: Outcome(_DONE, (-1.0) ** i * 1.7e308),
    "tiny": lambda i: Outcome(_DONE, i * 5e-324),
    "one far out": lambda i: Outcome(_DONE, 1e30 if i == 4 else float(i)),
}
"""For each case, what trial number i came to."""

_VALUES = st.floats(-9.0, 9.0) | st.floats() | st.sampled_from([None, 0.0, 1.0, math.nan, math.inf, -math.inf, 1e300])
_STATES = st.sampled_from([_DONE, _DONE, *TrialState])


def outcomes() -> st.SearchStrategy[list[Outcome]]:
    """Draw what trials came to: any state, any value; a few trials, or as many as a model begins with."""

    def outcome(state: TrialState) -> st.SearchStrategy[Outcome]:
        may_have_one = state in (_DONE, TrialState.PRUNED)
        return st.builds(Outcome, st.just(state), _VALUES if may_have_one else st.none())

    trials = _STATES.flatmap(outcome)
    return st.lists(trials, max_size=6) | st.lists(trials, min_size=8, max_size=16)


def trials_of(space: Space, history: Sequence[Outcome], *, repeat: bool = False) -> tuple[TrialRecord, ...]:
    """Return trials that came to this, with params drawn at random but always the same.

    Args:
        space: The space that their params are of.
        history: What each came to.
        repeat: Give all of them the same params.
    """
    rng = random.Random(7)
    params = space.sample(rng)
    return tuple(
        TrialRecord(f"contract-{i}", i, "contract", dict(params if repeat else space.sample(rng)), *outcome)
        for i, outcome in enumerate(history)
    )


def finished(space: Space, count: int) -> tuple[TrialRecord, ...]:
    """Return that many trials that completed, each with a value of its own."""
    return trials_of(space, [Outcome(_DONE, math.sin(3.0 * i)) for i in range(count)])
