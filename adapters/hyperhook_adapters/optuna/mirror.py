"""A study of ours as one of Optuna's, in memory, that a sampler can look at.

- Each trial is there once, in the order of their numbers, and follows as it ends: RUNNING and QUEUED ones run, COMPLETE
  ones have their losses, a PRUNED one has its loss as its last intermediate value, FAILED and KILLED ones failed, and
  so did those whose loss is not finite. A trial of several objectives that was stopped has failed, too.
- Losses are minimised, whatever the direction of the study.
- Parameters are asked for one by one, those below an option where it is chosen. A float in steps is the number of its
  step, since Optuna takes only such as end at the upper bound.
- Constraints are Optuna's own (`Trial.set_constraint`, which there is from Optuna 5 on).
- A sampler that keeps notes beside its trials writes them anew where a study is rebuilt: it is asked for each trial
  again, and told the params that the trial has. Other samplers are handed the trials as they ended.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, create_trial

from hyperhook import Choice, Float, Int, Params, Scalar, StudyRecord, TrialRecord, TrialState
from hyperhook.given import holds
from hyperhook.parameters import Parameter

__all__ = ["MakeSampler", "Mirror"]

MakeSampler: TypeAlias = Callable[[int], BaseSampler]
"""From a trial's number to the sampler that is asked for its params."""

FORGETFUL = (TPESampler, GPSampler, RandomSampler)
"""Samplers that read the trials only, and keep no notes."""

_ENDS = {TrialState.COMPLETE: optuna.trial.TrialState.COMPLETE, TrialState.PRUNED: optuna.trial.TrialState.PRUNED}


class Mirror:
    """Optuna's study for a study of ours.

    Args:
        study: The study; its space and its objectives stay what they are.
        make: Returns the sampler to ask.
    """

    def __init__(self, study: StudyRecord, make: MakeSampler) -> None:
        self._space = study.space
        self._search = _search(study)
        self._make = make
        self._records: list[TrialRecord] = []
        self._open: dict[str, optuna.Trial] = {}
        self._asked: list[tuple[Params, optuna.Trial]] = []
        with _quiet():
            sampler = make(0)
            aims = [StudyDirection.MINIMIZE] * max(len(study.objectives), 1)
            self._study = optuna.create_study(directions=aims, sampler=sampler)
        self._hands_over = type(sampler) in FORGETFUL and not study.constraints

    def goes_on(self, study: StudyRecord) -> bool:
        """Tell whether a study is this one, further on.

        Otherwise the mirror is to be made anew: a trial is another one, or runs again that had ended; or what was
        suggested here was begun by nobody.
        """
        if study.space != self._space or _search(study) != self._search:
            return False
        known, new = study.trials[: len(self._records)], study.trials[len(self._records) :]
        if any(all(not holds(trial.params, params) for trial in new) for params, _ in self._asked):
            return False
        return len(known) == len(self._records) and all(
            old == now or (not old.state.is_finished and (old.id, old.params) == (now.id, now.params))
            for old, now in zip(self._records, known, strict=True)
        )

    def follow(self, study: StudyRecord) -> None:
        """Take over what is new in a study that `goes_on`."""
        with _quiet():
            for trial in study.trials[: len(self._records)]:
                self._end(study, trial)
            for trial in study.trials[len(self._records) :]:
                adopted = self._adopted(trial)
                if adopted is None and trial.state.is_finished and self._hands_over:
                    self._study.add_trial(self._frozen(study, trial))
                else:
                    self._open[trial.id] = adopted or self._replayed(trial)
                    self._end(study, trial)
            self._records = list(study.trials)

    def ask(self) -> Params:
        """Ask the sampler for params."""
        with _quiet():
            self._study.sampler = self._make(len(self._records) + len(self._asked))
            trial = self._study.ask()
            params: dict[str, Scalar] = {}
            for name, parameter in self._space.items():
                if self._space.is_active(name, params):
                    params[name] = _suggested(trial, name, parameter)
            self._asked.append((params, trial))
            return dict(params)

    def _adopted(self, record: TrialRecord) -> optuna.Trial | None:
        """Return the trial that was asked for here and became this one; None where another worker was asked."""
        for place, (params, trial) in enumerate(self._asked):
            if holds(record.params, params):
                del self._asked[place]
                return trial
        return None

    def _frozen(self, study: StudyRecord, record: TrialRecord) -> FrozenTrial:
        """Return a trial that ended."""
        state, losses = _end_of(study, record)
        active = {name: self._space[name] for name in self._space if name in record.params}
        return create_trial(
            state=state,
            values=losses if state is optuna.trial.TrialState.COMPLETE else None,
            params={name: _external(parameter, record.params[name]) for name, parameter in active.items()},
            distributions={name: _distribution(parameter) for name, parameter in active.items()},
            intermediate_values={record.step or 0: losses[0]} if state is optuna.trial.TrialState.PRUNED else None,
        )

    def _replayed(self, record: TrialRecord) -> optuna.Trial:
        """Begin a trial whose params are known, as if it had been asked for here."""
        self._study.sampler = RandomSampler(0) if self._hands_over else self._make(record.number)
        active = {name: self._space[name] for name in self._space if name in record.params}
        self._study.enqueue_trial({name: _external(active[name], record.params[name]) for name in active})
        trial = self._study.ask()
        _ = trial.relative_params  # the sampler is asked when somebody looks, and writes its notes
        for name, parameter in active.items():
            _suggested(trial, name, parameter)
        return trial

    def _end(self, study: StudyRecord, record: TrialRecord) -> None:
        """End a trial that ended."""
        if not record.state.is_finished or record.id not in self._open:
            return
        trial = self._open.pop(record.id)
        self._study.sampler = self._make(record.number)
        state, losses = _end_of(study, record)
        if losses:
            _set_constraints(trial, study, record)
        if state is optuna.trial.TrialState.PRUNED:
            trial.report(losses[0], record.step or 0)
        self._study.tell(trial, losses if state is optuna.trial.TrialState.COMPLETE else None, state=state)


def _end_of(study: StudyRecord, record: TrialRecord) -> tuple[optuna.trial.TrialState, tuple[float, ...]]:
    """Return how a trial ended to Optuna, and its losses; none where it failed there."""
    losses = study.losses(record)
    state = _ENDS.get(record.state, optuna.trial.TrialState.FAIL)
    is_known = losses is not None and all(map(math.isfinite, losses))
    if losses is None or not is_known or (state is optuna.trial.TrialState.PRUNED and len(losses) > 1):
        return optuna.trial.TrialState.FAIL, ()
    return (state, losses) if record.state in _ENDS else (state, ())


def _search(study: StudyRecord) -> tuple[object, ...]:
    """Return what makes a study another one, its space and trials excepted."""
    return study.name, study.seed, study.objectives, study.constraints


def _set_constraints(trial: optuna.Trial, study: StudyRecord, record: TrialRecord) -> None:
    """Say how far a trial is outside of each constraint, as far as it has their metrics."""
    for place, bound in enumerate(study.constraints):
        if bound.metric in record.metrics and hasattr(trial, "set_constraint"):
            trial.set_constraint(f"{place}", bound.violation(record.metrics[bound.metric]))


def _suggested(trial: optuna.Trial, name: str, parameter: Parameter) -> Scalar:
    """Return what a trial suggests for a parameter, in our terms."""
    asked = _distribution(parameter)
    if isinstance(asked, CategoricalDistribution):
        return trial.suggest_categorical(name, asked.choices)
    if isinstance(asked, FloatDistribution):
        value = trial.suggest_float(name, asked.low, asked.high, log=asked.log)
        return min(max(value, asked.low), asked.high)
    number = trial.suggest_int(name, asked.low, asked.high, log=asked.log, step=asked.step)
    if isinstance(parameter, Float):
        return parameter.from_unit((number + 0.5) / (parameter.cardinality or 1))
    return number


def _distribution(parameter: Parameter) -> CategoricalDistribution | FloatDistribution | IntDistribution:
    if isinstance(parameter, Choice):
        return CategoricalDistribution(parameter.options)
    if isinstance(parameter, Int):
        last = parameter.low + (parameter.cardinality - 1) * parameter.step
        return IntDistribution(parameter.low, last, log=parameter.log, step=parameter.step)
    if parameter.cardinality is not None:
        return IntDistribution(0, parameter.cardinality - 1)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log)


def _external(parameter: Parameter, value: Scalar) -> Scalar:
    """Return a value as `_suggested` asks Optuna for it."""
    if isinstance(parameter, Choice | Int) or parameter.cardinality is None:
        return value
    return min(int(parameter.to_unit(value) * parameter.cardinality), parameter.cardinality - 1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from telling of studies and features that the user never asked it for."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(level, optuna.logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
