"""The Pareto front: what nothing else is better than in one way, and at least as good in every other."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["dominates", "front"]


def dominates(losses: Sequence[float], others: Sequence[float]) -> bool:
    """Tell whether one is at least as good in every loss (less is better), and better in at least one.

    Args:
        losses: Losses of the one, finite.
        others: As many of the other.

    Example:
        >>> dominates((1, 2), (1, 3)), dominates((1, 2), (1, 2)), dominates((0, 3), (1, 2))
        (True, False, False)
    """
    pairs = list(zip(losses, others, strict=True))
    return all(loss <= other for loss, other in pairs) and any(loss < other for loss, other in pairs)


def front(losses: Sequence[Sequence[float]]) -> list[int]:
    """Return which ones no other dominates, equal ones included, in the order of their positions.

    Args:
        losses: For each one its losses, finite and as many for all; less is better.

    Example:
        >>> front([(1, 3), (2, 2), (3, 2), (3, 1), (1, 3)])
        [0, 1, 3, 4]
    """
    kept: list[int] = []
    for index in sorted(range(len(losses)), key=lambda index: tuple(losses[index])):
        # in this order none is dominated by a later one, and what an earlier one dominates the front dominates, too
        if not any(dominates(losses[other], losses[index]) for other in kept):
            kept.append(index)
    return sorted(kept)
