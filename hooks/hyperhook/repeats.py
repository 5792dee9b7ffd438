"""A training function that is run several times in each trial: `Repeated`."""

from __future__ import annotations

import os
from collections.abc import Callable

from hyperhook.objective import Objective, by_metric
from hyperhook.trial import Trial

__all__ = ["Repeated"]


class Repeated:
    """Runs a training function several times on one trial, whose value becomes the mean with its standard error.

    It is a training function itself, and pickled as the one within is, so that any executor can run it.

    Args:
        train: The training function.
        repeats: How many times to run it, from 1.
        objectives: What is searched for.
    """

    def __init__(self, train: Callable[[Trial], object], repeats: int, objectives: tuple[Objective, ...]) -> None:
        self.train = train
        self.repeats = repeats
        self.objectives = objectives

    def __call__(self, trial: Trial) -> None:
        """Run it, until a pruner asked between two repeats for the trial's end."""
        for number in range(self.repeats):
            if number and not _is_in_a_group() and trial.should_stop:
                return
            with trial.fold(number, kind="repeat") as part:
                part.result = by_metric(self.train(part), self.objectives)


def _is_in_a_group() -> bool:
    """Tell whether other ranks run along, who would not hear that this one stops between two repeats."""
    return int(os.environ.get("WORLD_SIZE") or 1) > 1
