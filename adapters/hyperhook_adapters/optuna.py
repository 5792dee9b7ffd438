"""Optuna: hyperhook's suggesters as a sampler of Optuna's own studies.

How a study is seen:

- The parameters that all of its trials share are suggested together; the others, such as those that only some trials
  have, are drawn at random, as Optuna's own samplers for a fixed space do. What has a single value is not searched.
- Trials that run are pending, those that failed count as bad as the worst, pruned ones count with their last value.
  A trial whose params are not of the space as it is now, since a range has changed, is left out.
- A categorical parameter is a choice between its positions, so that it may hold any object.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import FrozenTrial

from hyperhook import Choice, Float, Int, Maximize, Minimize, Scalar, Space, StudyRecord, TrialRecord, TrialState
from hyperhook.errors import HyperhookError, ObjectiveError
from hyperhook.manager import Manager

__all__ = ["HyperhookSampler"]

_STATES = {
    optuna.trial.TrialState.RUNNING: TrialState.RUNNING,
    optuna.trial.TrialState.WAITING: TrialState.QUEUED,
    optuna.trial.TrialState.COMPLETE: TrialState.COMPLETE,
    optuna.trial.TrialState.PRUNED: TrialState.PRUNED,
    optuna.trial.TrialState.FAIL: TrialState.FAILED,
}


class HyperhookSampler(BaseSampler):
    """Samples an Optuna study by a suggester of hyperhook's.

    Args:
        suggester: The plugin that suggests: its name, or an instance with options.
        seed: Seed of the search; with one, the same trials give the same suggestion.

    Raises:
        PluginError: The suggester is not installed, lacks a library, or suggests nothing.

    Example:
        >>> study = optuna.create_study(sampler=HyperhookSampler(seed=0))  # doctest: +SKIP
        >>> study.optimize(objective, n_trials=50)  # doctest: +SKIP
    """

    def __init__(self, suggester: str | object = "gp", *, seed: int | None = None) -> None:
        self._manager = Manager([suggester])
        if not self._manager.decides("suggest"):
            raise HyperhookError(f"HyperhookSampler: {suggester!r} does not suggest; expected a plugin such as 'gp'")
        self._seed = random.SystemRandom().getrandbits(31) if seed is None else seed
        self._independent = RandomSampler(seed=seed)
        self._shared = IntersectionSearchSpace()

    def reseed_rng(self) -> None:
        """Take another seed: Optuna asks for that in each process of its own."""
        self._seed = random.SystemRandom().getrandbits(31)
        self._independent.reseed_rng()

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that all trials have, and that vary."""
        shared = self._shared.calculate(study)
        return {name: distribution for name, distribution in shared.items() if not distribution.single()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Suggest params for what all trials have.

        Raises:
            ObjectiveError: The study has several objectives.
        """
        _check(study)
        if not search_space:
            return {}
        space = Space({name: _parameter(distribution) for name, distribution in search_space.items()})
        objective = (Maximize if study.direction == optuna.study.StudyDirection.MAXIMIZE else Minimize)("value")
        trials = tuple(_records(study, trial, search_space, space))
        record = StudyRecord(study.study_name, space, objective, self._seed, trials)
        suggested = self._manager.decide.suggest(study=record, count=1)
        if not suggested:
            return {}  # it passes: `sample_independent` takes over
        return {name: _back(search_space[name], value) for name, value in suggested[0].items()}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw a parameter at random that not all trials have.

        Raises:
            ObjectiveError: The study has several objectives.
        """
        _check(study)
        return self._independent.sample_independent(study, trial, param_name, param_distribution)


def _check(study: optuna.Study) -> None:
    if len(study.directions) > 1:
        raise ObjectiveError(
            f"HyperhookSampler: expected a study with one objective, got {len(study.directions)}; "
            "use another sampler, such as optuna.samplers.NSGAIISampler"
        )


def _records(
    study: optuna.Study, current: FrozenTrial, distributions: Mapping[str, BaseDistribution], space: Space
) -> Iterator[TrialRecord]:
    """Yield the other trials.

    One that tells nothing stands as killed, so that suggestions that are asked for at the same time are still numbered,
    and differ.
    """
    for trial in study.get_trials(deepcopy=False):
        if trial.number == current.number:
            continue
        params = {
            name: _there(distribution, trial.params[name])
            for name, distribution in distributions.items()
            if name in trial.params
        }
        if len(params) == len(space) and all(space[name].contains(value) for name, value in params.items()):
            state, value = _STATES[trial.state], _value(trial)
            yield TrialRecord(str(trial.number), trial.number, study.study_name, params, state, value)
        elif trial.number < current.number:
            yield TrialRecord(str(trial.number), trial.number, study.study_name, {}, TrialState.KILLED)


def _value(trial: FrozenTrial) -> float | None:
    if trial.state == optuna.trial.TrialState.PRUNED and trial.intermediate_values:
        return trial.intermediate_values[max(trial.intermediate_values)]
    return trial.value if trial.state == optuna.trial.TrialState.COMPLETE else None


def _parameter(distribution: BaseDistribution) -> Float | Int | Choice:
    match distribution:
        case FloatDistribution():
            return Float(distribution.low, distribution.high, log=distribution.log, step=distribution.step)
        case IntDistribution(log=True):
            return Int(distribution.low, distribution.high, log=True)
        case IntDistribution():
            return Int(distribution.low, distribution.high, step=distribution.step)
        case CategoricalDistribution():
            return Choice(list(range(len(distribution.choices))))
    raise HyperhookError(f"HyperhookSampler: expected a float, int or categorical parameter, got {distribution!r}")


def _there(distribution: BaseDistribution, value: Any) -> Scalar:
    """Return a value of Optuna's as the space has it; None where it is none of its categories."""
    if not isinstance(distribution, CategoricalDistribution):
        return float(value) if isinstance(distribution, FloatDistribution) else int(value)
    try:
        return int(distribution.to_internal_repr(value))
    except ValueError:
        return None


def _back(distribution: BaseDistribution, value: Any) -> Any:
    return distribution.choices[value] if isinstance(distribution, CategoricalDistribution) else value
