"""Coarse to fine: random search in the whole space, then in narrower and narrower ranges around the best trials."""

from __future__ import annotations

import random

from hyperhook import Choice, Params, Scalar, StudyRecord, TrialState, hookimpl
from hyperhook.ranking import ranked
from hyperhook.untried import Untried

__all__ = ["Refine"]


class Refine:
    """Search at random in stages, each in a narrower range around the best trials so far.

    The first stage draws from the whole space, by its priors. In stage s, counted from 0, a number lies in a range of
    ``shrink ** s`` of its scale around that of one of the best trials; an integer or a stepped number keeps its value
    once the range is narrower than a step. An option is that of the best trial, or with probability ``shrink ** s``
    drawn anew; what only then becomes active is drawn from its whole range. Behind the last stage it goes on there.

    The stage follows from the number of trials, so a study goes on where it was, and workers share the stages. Trials
    that failed are no centre; with constraints the feasible ones are the best, with several objectives those on the
    Pareto front. A finite space is tried whole before anything comes twice.

    Args:
        stages: How many stages there are, 1 or more.
        trials_per_stage: How many trials a stage has, 1 or more; that of the whole space is one.
        shrink: How much narrower a range is than that of the stage before, above 0 and below 1.
        around: Around how many of the best trials the ranges lie, 1 or more; each trial takes one of them at random.

    Raises:
        ValueError: One of them is none of these.

    Example:
        >>> study = hh.Study("s", space={"lr": hh.Float(0.0, 1.0)}, plugins=[Refine(stages=3)])  # doctest: +SKIP
    """

    def __init__(self, *, stages: int = 4, trials_per_stage: int = 20, shrink: float = 0.4, around: int = 2) -> None:
        for name, number in (("stages", stages), ("trials_per_stage", trials_per_stage), ("around", around)):
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise ValueError(f"Refine: {name} must be an int from 1, got {number!r}")
        if not isinstance(shrink, int | float) or not 0 < shrink < 1:
            raise ValueError(f"Refine: shrink must be above 0 and below 1, got {shrink!r}")
        self.stages = stages
        self.trials_per_stage = trials_per_stage
        self.shrink = shrink
        self.around = around

    @hookimpl
    def suggest(self, study: StudyRecord, count: int) -> list[Params]:
        """Draw `count` sets of params.

        Args:
            study: The study; its seed and its number of trials choose the draws, its best trials where they lie.
            count: How many, 1 or more.
        """
        begun = sum(trial.state is not TrialState.KILLED for trial in study.trials)
        rng = random.Random() if study.seed is None else random.Random(f"{study.seed}:{len(study.trials)}")
        centres = self._centres(study)
        untried = Untried(study)
        drawn: list[Params] = []
        for number in range(begun, begun + count):
            stage = min(number // self.trials_per_stage, self.stages - 1)
            width = self.shrink**stage if centres else 1.0
            centre = rng.choice(centres) if centres else {}
            drawn.append(untried.take(lambda: _near(study, centre, width, rng), rng))  # noqa: B023
        return drawn

    def _centres(self, study: StudyRecord) -> list[Params]:
        complete = [trial for trial in study.trials if trial.state is TrialState.COMPLETE]
        best, _ = ranked(study, complete)
        return [trial.params for trial in best[: self.around]]


def _near(study: StudyRecord, centre: Params, width: float, rng: random.Random) -> Params:
    """Draw params near a centre: `width` is how much of its scale a range takes; all of it ignores the centre."""
    space = study.space
    if width == 1.0:
        return space.sample(rng)
    params: dict[str, Scalar] = {}
    for name, parameter in space.items():
        if not space.is_active(name, params):
            continue
        known = space.is_active(name, centre)
        if isinstance(parameter, Choice):
            params[name] = parameter.quantile(rng.random()) if not known or rng.random() < width else centre[name]
        elif known:
            low = min(max(parameter.to_unit(centre[name]) - width / 2, 0.0), 1.0 - width)
            params[name] = parameter.from_unit(low + rng.random() * width)
        else:
            params[name] = parameter.quantile(rng.random())
    return params
