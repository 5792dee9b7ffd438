"""Grid search: every combination of some values of each parameter, once."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping

from hyperhook import Params, Space, StudyRecord, hookimpl
from hyperhook.errors import SpaceError
from hyperhook.grid import Grid
from hyperhook.untried import Untried

__all__ = ["GridSearch"]

log = logging.getLogger("hyperhook")

LARGEST = 10_000
_TRIES = 1_000  # draws from a large grid before it is searched in order for what is left


class GridSearch:
    """Go through the product of the parameters' values, and end when all of it was tried.

    A discrete parameter has all of its values, in ascending order, a choice its options as they were given; a
    continuous one has `points` values, its bounds included, evenly on its own scale (in log where it is logarithmic).
    Parameters below an option vary only with that option. The order is that of the space, the last parameter changing
    fastest. Priors and the study's seed change nothing.

    What the study has tried, runs or has queued does not come again, also with several workers. A FAILED combination
    counts as tried, one that was KILLED comes again. When nothing is left `Study.run` ends, whatever its budget.

    A grid of more than `largest` combinations is not gone through in order: it is drawn from at random, by the study's
    seed, nothing twice. A warning says so.

    Args:
        points: How many values a continuous parameter has, 1 or more; or this for some parameters by their names, as in
            ``{"lr": 9, "width": 4}``: other continuous ones have 5. A discrete one that is named has at most as many.
        largest: The largest grid that is gone through in order, 1 or more.

    Raises:
        ValueError: `points` or `largest` is none of these.

    Example:
        >>> from hyperhook import Choice, Float
        >>> study = StudyRecord("demo", Space({"lr": Float(0.01, 1.0, log=True), "net": Choice(["a", "b"])}))
        >>> [tuple(params.values()) for params in GridSearch(points=3).suggest(study, 4)]
        [(0.01, 'a'), (0.01, 'b'), (0.1, 'a'), (0.1, 'b')]
    """

    def __init__(self, *, points: int | Mapping[str, int] = 5, largest: int = LARGEST) -> None:
        for number in points.values() if isinstance(points, Mapping) else (points,):
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise ValueError(f"GridSearch: points must be an int from 1, or ints by names, got {points!r}")
        if not isinstance(largest, int) or isinstance(largest, bool) or largest < 1:
            raise ValueError(f"GridSearch: largest must be an int from 1, got {largest!r}")
        self.points = points
        self.largest = largest
        self._warned: set[str] = set()
        self._known: tuple[Space, Grid, list[Params]] | None = None

    @hookimpl
    def prepare(self, study: StudyRecord) -> None:
        """Refuse a space that grows: its grid is never known.

        Raises:
            SpaceError: The study was opened without a space.
        """
        if study.grows:
            raise SpaceError(
                f"grid: study {study.name!r} has no space of its own, so that there is no grid to go through; give it "
                "one: hh.Study(name, {'lr': hh.Float(…)}), or take another suggester"
            )

    @hookimpl
    def suggest(self, study: StudyRecord, count: int) -> list[Params]:
        """Return the next `count` combinations; fewer where fewer are left.

        Raises:
            SpaceError: `points` names what is not a number of the space.
        """
        grid, listed = self._grid(study.space)
        untried = Untried(study)
        rng = random.Random() if study.seed is None else random.Random(f"{study.seed}:{len(study.trials)}")
        if not listed:
            self._warn(study, grid)
        chosen: list[Params] = []
        for _ in range(count):
            params = untried.first(listed) if listed else _drawn(grid, untried, rng)
            if params is not None:
                chosen.append(params)
        return chosen

    @hookimpl
    def left_to_try(self, study: StudyRecord) -> int | None:
        """Return how many combinations are left; None for a grid that is drawn from at random."""
        _, listed = self._grid(study.space)
        untried = Untried(study)
        return sum(params in untried for params in listed) if listed else None

    def _grid(self, space: Space) -> tuple[Grid, list[Params]]:
        """Return the grid over a space, and all of it where it is not too large."""
        if self._known is None or self._known[0] != space:
            grid = Grid(space, self.points)
            self._known = space, grid, list(grid) if grid.size <= self.largest else []
        return self._known[1:]

    def _warn(self, study: StudyRecord, grid: Grid) -> None:
        if study.name not in self._warned:
            self._warned.add(study.name)
            log.warning(
                "grid: study %s has %s combinations, more than %s: they are drawn at random, none of them twice",
                study.name,
                f"{grid.size:,}" if grid.size < 10**15 else f"about 10^{len(str(grid.size)) - 1}",
                f"{self.largest:,}",
            )

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_known": None}


def _drawn(grid: Grid, untried: Untried, rng: random.Random) -> Params | None:
    """Draw a combination that is new; None where all were tried."""
    return untried.first(grid.sample(rng) for _ in range(_TRIES)) or untried.first(grid)
