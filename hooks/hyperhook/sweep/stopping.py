"""``early_terminate`` of a sweep file as options of ASHA: the same rungs."""

from __future__ import annotations

__all__ = ["FARTHEST", "halving_options"]

FARTHEST = 10**9
"""Rungs end here where the file gives no end."""


def halving_options(
    *,
    min_iter: int | None = None,
    max_iter: int | None = None,
    s: int | None = None,
    eta: float = 3,
    strict: bool = False,
) -> dict[str, object]:
    """Return options of the plugin ``asha`` that stop trials at the rungs of a sweep file's hyperband.

    Args:
        min_iter: The first rung; each further one is eta times as far, cut to a whole number.
        max_iter: With `s`, the rungs are max_iter / eta, max_iter / eta², …, cut likewise; without it, the last rung is
            at this at the most.
        s: How many rungs there are below `max_iter`.
        eta: One of so many goes on from a rung; above 1.
        strict: False lets one more go on from each rung.

    Raises:
        ValueError: They give no rung.
    """
    if max_iter is not None and s is not None:
        rungs = sorted({int(max_iter / eta**k) for k in range(1, s + 1)} - {0})
        if not rungs:
            raise ValueError(f"there is no rung below max_iter={max_iter}: expected it to be eta={eta:g} at least")
    elif min_iter is not None:
        rungs = _climb(min_iter, eta, FARTHEST if max_iter is None else max_iter)
        if not rungs:
            raise ValueError(f"expected min_iter up to max_iter, got min_iter={min_iter}, max_iter={max_iter}")
    else:
        raise ValueError("expected min_iter, or max_iter and s, which say where trials are judged")
    return {"rungs": rungs, "reduction": eta, "spare": 0 if strict else 1}


def _climb(first: int, eta: float, last: int) -> list[int]:
    rungs: list[int] = []
    rung: float = first
    while rung < last + 1:
        if not rungs or int(rung) > rungs[-1]:
            rungs.append(int(rung))
        rung *= eta
    return rungs
