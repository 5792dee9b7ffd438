"""Optuna: hyperhook's suggesters as a sampler of Optuna's own studies.

::

    study = optuna.create_study(sampler=HyperhookSampler())  # "gp": Bayesian optimization with a Gaussian process
    study = optuna.create_study(sampler=HyperhookSampler("random"))  # or any other suggester, by its name

How a study of Optuna's is put to a suggester:

- The space holds the parameters that all complete trials have in the same range (`intersection_search_space`). What is
  outside of it, so all of the first trial, and what depends on a condition, is drawn by Optuna's `RandomSampler`.
- A categorical parameter is a choice between the positions of its options, which may thus be any objects.
- Running trials are passed on as running, and a suggester takes them as pending. Threads that share a sampler see all
  that was suggested for them; other processes see those that have asked for all of their parameters.
- A pruned trial has its last intermediate value. A failed one has none: the GP takes it as one as bad as the worst.
- Of several objectives the first is ``value``, the others are ``value1``, ``value2``, …, each in its own direction. A
  suggester that heeds them, as the GP does, widens the Pareto front. Optuna prunes no trial then.
- A trial that lacks a parameter, or had one outside of its present range, tells nothing: it stands there as killed,
  without params, so that trials keep their places.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Mapping, Sequence
from uuid import NAMESPACE_OID, uuid5

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import intersection_search_space
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from hyperhook import (
    Choice,
    Float,
    Int,
    Maximize,
    Minimize,
    Objective,
    Params,
    Scalar,
    Space,
    StudyRecord,
    TrialRecord,
    TrialState,
)
from hyperhook.errors import PluginError, SpaceError
from hyperhook.manager import Manager
from hyperhook.parameters import plain

__all__ = ["HyperhookSampler"]

log = logging.getLogger("hyperhook")

STATES = {
    optuna.trial.TrialState.COMPLETE: TrialState.COMPLETE,
    optuna.trial.TrialState.FAIL: TrialState.FAILED,
    optuna.trial.TrialState.PRUNED: TrialState.PRUNED,
    optuna.trial.TrialState.RUNNING: TrialState.RUNNING,
}
"""What Optuna's states are called here. One that waits has no params yet, and is left out."""


class HyperhookSampler(BaseSampler):
    """A sampler for Optuna that asks one of hyperhook's suggesters.

    The same seed and the same trials give the same suggestion, also where a study goes on in another process. With
    ``n_jobs`` above 1, Optuna has a fresh seed drawn. A study may have several objectives; constraints are not heeded.

    Args:
        suggester: The name of a suggester that is installed, or an instance of one, such as ``GP(startup=10)``.
        seed: Seed of the search; without it every search differs.

    Raises:
        PluginError: There is no such suggester, a library that it needs is missing, or it answers no `suggest`.

    Example:
        >>> import optuna
        >>> study = optuna.create_study(sampler=HyperhookSampler("random", seed=0))
        >>> study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=3)
        >>> study.best_value < 1
        True
    """

    def __init__(self, suggester: str | object = "gp", *, seed: int | None = None) -> None:
        self._manager = Manager([suggester])
        if not self._manager.decides("suggest"):
            raise PluginError(f"HyperhookSampler: {suggester!r} has no hook `suggest`; name a suggester, such as 'gp'")
        self._seed = _fresh_seed() if seed is None else seed
        self._suggested: dict[tuple[str, int], dict[str, object]] = {}
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._lock = threading.Lock()

    def reseed_rng(self) -> None:
        """Take a fresh seed: Optuna asks for it where trials run in several threads."""
        self._seed = _fresh_seed()

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that all complete trials have in the same range, and that can vary."""
        shared = intersection_search_space(study.get_trials(deepcopy=False))
        return {name: distribution for name, distribution in shared.items() if not distribution.single()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, object]:
        """Ask the suggester for all parameters of the space together; an empty answer where it passes.

        Raises:
            PluginError: The suggester did not answer with one set of params.
            SpaceError: It answered outside of the space, or the space cannot be.
        """
        if not search_space:
            return {}
        with self._lock:  # a thread that comes next sees what this one was given
            record = self._record(study, trial, search_space)
            answers = self._manager.decide.suggest(study=record, count=1)
            if answers is None:
                return {}
            params = _single(answers, record.space)
            chosen = {name: _external(search_space[name], value) for name, value in params.items()}
            self._suggested[study.study_name, trial.number] = chosen
        return dict(chosen)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> object:
        """Draw a parameter that is not part of the space at random, by the seed, the trial's number and its name."""
        if param_name not in self._told and study.get_trials(
            deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)
        ):
            self._told.add(param_name)
            log.warning(
                "optuna: parameter %r is drawn at random; the suggester chooses only what every complete trial has, "
                "in the same range",
                param_name,
            )
        draws = random.Random(f"{self._seed}:{trial.number}:{param_name}").getrandbits(32)
        return RandomSampler(draws).sample_independent(study, trial, param_name, param_distribution)

    def _record(
        self, study: optuna.Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> StudyRecord:
        """Return the study as the suggester sees it, without the trial that it is to choose for."""
        name = study.study_name
        space = Space({key: _parameter(key, distribution) for key, distribution in search_space.items()})
        records: list[TrialRecord] = []
        for other in study.get_trials(deepcopy=False):
            if other.number == trial.number or other.state not in STATES:
                continue
            known = {**self._suggested.get((name, other.number), {}), **other.params}
            params = _params(known, search_space, space)
            if params is not None or other.number < trial.number:
                records.append(_trial_record(name, other, params))
        first, *others = (_objective(place, direction) for place, direction in enumerate(study.directions))
        return StudyRecord(name, space, first, self._seed, tuple(records), further=tuple(others))


def _fresh_seed() -> int:
    return random.SystemRandom().getrandbits(31)


def _objective(place: int, direction: StudyDirection) -> Objective:
    """Return one of the study's objectives, counted from 0."""
    build = Maximize if direction is StudyDirection.MAXIMIZE else Minimize
    return build(_metric(place), reduce="last")


def _metric(place: int) -> str:
    return f"value{place}" if place else "value"


def _parameter(name: str, distribution: BaseDistribution) -> Float | Int | Choice:
    match distribution:
        case FloatDistribution():
            return Float(distribution.low, distribution.high, log=distribution.log, step=distribution.step)
        case IntDistribution():
            return Int(distribution.low, distribution.high, log=distribution.log, step=distribution.step)
        case CategoricalDistribution():
            return Choice(range(len(distribution.choices)))
    raise SpaceError(
        f"HyperhookSampler: parameter {name!r} has a {type(distribution).__name__}, expected a FloatDistribution, an "
        "IntDistribution or a CategoricalDistribution; take one of these"
    )


def _external(distribution: BaseDistribution, value: Scalar) -> object:
    """Return a value of the space as Optuna has it; all parameters of the space are numbers."""
    external: object = distribution.to_external_repr(plain(value))  # type: ignore[arg-type]
    return external


def _params(known: Mapping[str, object], search_space: Mapping[str, BaseDistribution], space: Space) -> Params | None:
    """Return the values of a trial's parameters as the space has them; None where they are not all there."""
    params: dict[str, Scalar] = {}
    try:
        for name, distribution in search_space.items():
            number = distribution.to_internal_repr(known[name])
            params[name] = number if isinstance(distribution, FloatDistribution) else int(number)
        space.validate(params)
    except (KeyError, ValueError, OverflowError):  # missing; no option any more, or out of range; infinite
        return None
    return params


def _trial_record(study: str, trial: FrozenTrial, params: Params | None) -> TrialRecord:
    identity = uuid5(NAMESPACE_OID, f"{study}/{trial.number}").hex
    started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    finished = trial.datetime_complete.timestamp() if trial.datetime_complete else None
    if params is None:
        return TrialRecord(identity, trial.number, study, state=TrialState.KILLED, started_time=started)
    state = STATES[trial.state]
    values = trial.values if state in (TrialState.COMPLETE, TrialState.PRUNED) else None
    value, *others = values or [None]
    step = trial.last_step
    if state is TrialState.PRUNED and value is None and step is not None:
        value = trial.intermediate_values[step]
    return TrialRecord(
        identity,
        trial.number,
        study,
        params,
        state,
        value,
        None if value is None else step,
        started_time=started,
        finished_time=finished,
        metrics={_metric(place): other for place, other in enumerate(others, 1)},
    )


def _single(answers: Sequence[Params], space: Space) -> Params:
    """Return the one set of params that a suggester answered with."""
    if not isinstance(answers, Sequence) or len(answers) != 1 or not isinstance(answers[0], Mapping):
        raise PluginError(f"suggest: expected a list of 1 set of params, got {answers!r}; mend the suggester")
    try:
        space.validate(answers[0])
    except SpaceError as error:
        raise SpaceError(f"a suggester answered outside the space: {error}") from None
    return answers[0]
