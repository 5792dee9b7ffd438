"""Trials in the order of how good they are: `ranked`, for suggesters that go by ranks."""

from __future__ import annotations

import math
from collections.abc import Iterable

from hyperhook.pareto import front
from hyperhook.records import StudyRecord, TrialRecord, TrialState

__all__ = ["ranked"]


def ranked(study: StudyRecord, trials: Iterable[TrialRecord]) -> tuple[list[TrialRecord], list[TrialRecord]]:
    """Sort trials, the best first, equal ones by number.

    Feasible ones come first, by their losses: a PRUNED one with the loss that it had. Those that do not meet the
    constraints follow, by how far they are from it. With several objectives what counts is how many layers of trials
    have to go before it is on the Pareto front.

    Args:
        study: What they are trials of.
        trials: Trials that have ended.

    Returns:
        The trials that tell how good they are, and by number those that do not: FAILED, or without a finite loss.
    """
    known: dict[int, tuple[TrialRecord, tuple[float, ...]]] = {}
    silent: list[TrialRecord] = []
    for trial in sorted(trials, key=lambda trial: trial.number):
        losses = None if trial.state is TrialState.FAILED else study.losses(trial)
        if losses is None or not all(map(math.isfinite, losses)):
            silent.append(trial)
        else:
            known[trial.number] = trial, losses
    layers = _layers({number: losses for number, (_, losses) in known.items()})
    order = sorted(known, key=lambda number: (study.excess(known[number][0]), layers[number], number))
    return [known[number][0] for number in order], silent


def _layers(losses: dict[int, tuple[float, ...]]) -> dict[int, float]:
    """Return the layer of each, from 0; of a single objective its loss does."""
    if all(len(each) == 1 for each in losses.values()):
        return {number: each[0] for number, each in losses.items()}
    layers: dict[int, float] = {}
    left = dict(losses)
    while left:
        numbers = list(left)
        for position in front([left[number] for number in numbers]):
            layers[numbers[position]] = float(len(losses) - len(left))
        left = {number: each for number, each in left.items() if number not in layers}
    return layers
