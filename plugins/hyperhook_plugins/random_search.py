"""Random search: each parameter by its prior, or else evenly on its own scale. The built-in answer to `suggest`."""

from __future__ import annotations

import random

from hyperhook import Params, StudyRecord, hookimpl
from hyperhook.untried import Untried

__all__ = ["RandomSearch"]


class RandomSearch:
    """Suggest params at random; the same study (seed and number of trials) gets the same answer.

    In a finite space no params come twice until all were tried; those of a killed trial may come again.

    Example:
        >>> from hyperhook import Float, Space, StudyRecord
        >>> study = StudyRecord("demo", Space({"lr": Float(1e-4, 1e-1, log=True)}), seed=0)
        >>> RandomSearch().suggest(study, 1) == RandomSearch().suggest(study, 1)
        True
    """

    @hookimpl
    def suggest(self, study: StudyRecord, count: int) -> list[Params]:
        """Draw `count` sets of params.

        Args:
            study: The study; its seed (None: fresh entropy) and its number of trials choose the stream.
            count: How many, 1 or more.
        """
        rng = random.Random() if study.seed is None else random.Random(f"{study.seed}:{len(study.trials)}")
        if study.space.cardinality is None:  # nothing comes twice, so that nobody looks through thousands of trials
            return [study.space.sample(rng) for _ in range(count)]
        untried = Untried(study)
        return [untried.take(lambda: study.space.sample(rng), rng) for _ in range(count)]
