"""Define-by-run: a trial asks for its params as it goes, with Optuna's names and meaning."""

from __future__ import annotations

import json
import logging
import operator
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import SupportsFloat, SupportsIndex, TypeVar

from hyperhook.curve import Curve
from hyperhook.errors import ObjectiveError, SpaceError
from hyperhook.events import ParamsLogged, text
from hyperhook.parameters import Choice, Float, Int, Parameter, Scalar
from hyperhook.records import TrialRecord
from hyperhook.scalars import is_number
from hyperhook.sink import Sink
from hyperhook.values import as_count, brief

__all__ = ["ParamsByRun"]

Option = TypeVar("Option", bound=Scalar)

log = logging.getLogger("hyperhook")


class ParamsByRun(ABC):
    """The part of a `Trial` that asks for params, and reports as Optuna's trials do.

    In a study that was opened without a space, the space grows with what its trials ask for. Where a study has a space,
    asking returns the param that the trial has.
    """

    _sink: Sink
    _record: TrialRecord
    _emits: bool
    _known_params: dict[str, Scalar]
    _user_attrs: dict[str, object]
    _reported: set[int]
    """The steps that were reported."""
    curve: Curve

    @abstractmethod
    def _is_heard(self, what: str) -> bool:
        """Tell whether this handle logs."""

    @abstractmethod
    def _check_running(self, what: str) -> None:
        """Refuse what a trial that ended cannot do."""

    @abstractmethod
    def log(self, metrics: Mapping[str, SupportsFloat], *, step: int | None = None) -> None:
        """Log metrics, all at one step."""

    @abstractmethod
    def log_tags(self, tags: Mapping[str, object]) -> None:
        """Put labels on the trial."""

    @property
    @abstractmethod
    def should_stop(self) -> bool:
        """Whether a pruner wants the trial to end now."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return the value of a parameter that is a real number.

        The suggester's proposal is taken where it lies within these bounds, else the value is drawn from them by the
        study's seed. A name that the trial has asked for before has the value that it had.

        Args:
            name: What it is called.
            low: Lower bound, included.
            high: Upper bound, included. Both may differ from trial to trial.
            step: Allow only ``low, low + step, …``; not together with `log`.
            log: Search on a logarithmic scale; needs ``low > 0``.

        Raises:
            SpaceError: The bounds cannot be, or do not go together with those of other trials or of a fixed space.
            TrialStateError: The trial has ended.

        Example:
            >>> lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)  # doctest: +SKIP
        """
        asked = Float(_number(name, low), _number(name, high), log=log, step=None if step is None else float(step))
        return float(self._ask("suggest_float", name, asked))  # type: ignore[arg-type]

    def suggest_int(
        self, name: str, low: SupportsIndex, high: SupportsIndex, *, step: SupportsIndex = 1, log: bool = False
    ) -> int:
        """Return the value of a parameter that is a whole number; see `suggest_float`.

        Args:
            name: What it is called.
            low: Lower bound, included.
            high: Upper bound, included.
            step: Allow only ``low, low + step, …``; with `log` it must stay 1.
            log: Search on a logarithmic scale; needs ``low > 0``.

        Raises:
            SpaceError: See `suggest_float`.
            TrialStateError: The trial has ended.

        Example:
            >>> width = trial.suggest_int("width", 16, 256, log=True)  # doctest: +SKIP
        """
        asked = Int(_whole(name, low), _whole(name, high), log=log, step=_whole(name, step))
        return int(self._ask("suggest_int", name, asked))  # type: ignore[arg-type]

    def suggest_categorical(self, name: str, choices: Sequence[Option]) -> Option:
        """Return one of several options.

        Args:
            name: What it is called.
            choices: Strings, numbers, booleans or None; the same ones, in the same order, in each trial.

        Raises:
            SpaceError: There is no option, one is none of these, or other trials had others.
            TrialStateError: The trial has ended.

        Example:
            >>> optimizer = trial.suggest_categorical("optimizer", ["sgd", "adam"])  # doctest: +SKIP
        """
        if isinstance(choices, str) or not isinstance(choices, Iterable):
            raise SpaceError(f"suggest_categorical: {name!r} expected a list of options, got {brief(choices)}")
        return self._ask("suggest_categorical", name, Choice(list(choices)))  # type: ignore[return-value]

    def report(self, value: SupportsFloat, step: int) -> None:
        """Log the objective's metric, as Optuna's ``report`` does: for pruners, and for the trackers.

        Args:
            value: Its value.
            step: From 0; one that was reported before is passed over, and a warning says so.

        Raises:
            ObjectiveError: The study has no objective.
            MetricError: The value is no number, or the step no int from 0.
            TrialStateError: The trial has ended.
        """
        objective = self.curve.objective
        if objective is None:
            raise ObjectiveError(
                "report: the study has no objective, so that nobody knows what the value is called; give it one, as in "
                "objective=hh.Minimize('value'), or use trial.log({'value': value}, step=step)"
            )
        step = as_count("step", step)
        if step in self._reported:
            log.warning("report: step %s was reported before; this value is left out", step)
            return
        self._reported.add(step)
        self.log({objective.metric: value}, step=step)

    def should_prune(self) -> bool:
        """Return `should_stop`, by Optuna's name: raise `hyperhook.TrialPruned` where it is True."""
        return self.should_stop

    def set_user_attr(self, key: str, value: object) -> None:
        """Note something about the trial: kept as a tag, as text where it is no string.

        Args:
            key: What it is called.
            value: Anything.

        Raises:
            ArtifactError: The key is no string.
            TrialStateError: The trial has ended.
        """
        self.log_tags({key: value if isinstance(value, str) else json.dumps(value, default=text)})
        self._user_attrs[key] = value

    @property
    def user_attrs(self) -> dict[str, object]:
        """What was set by `set_user_attr` on this handle, as a dictionary of your own."""
        return dict(self._user_attrs)

    def _ask(self, what: str, name: str, asked: Parameter) -> Scalar:
        """Return the value of a parameter: the one that the trial has, else the one that it is answered now."""
        if not isinstance(name, str) or not name:
            raise SpaceError(f"{what}: expected a name, got {brief(name)}")
        self._check_running(what)
        if name in self._record.params:
            return self._again(what, name, asked)
        if self._record.proposed is None:
            raise SpaceError(
                f"{what}: {name!r} is not among the params of this trial, whose study has a fixed space; it has "
                f"{', '.join(self._record.params) or 'none'}; open a study without a space, which grows"
            )
        value = self._sink.meet(self._record, name, asked)
        before, self._record = self._record, replace(self._record, params={**self._record.params, name: value})
        if self._emits and name not in self._known_params:
            self._known_params[name] = value
            self._sink.emit(before, ParamsLogged(time=time.time(), params={name: value}))
        return value

    def _again(self, what: str, name: str, asked: Parameter) -> Scalar:
        """Return what the trial has already."""
        value = self._record.params[name]
        if (isinstance(asked, Int) and not _is_int(value)) or (isinstance(asked, Float) and not is_number(value)):
            raise SpaceError(f"{what}: {name!r} is {value!r} in this trial; asked for {asked!r}; use another name")
        if not asked.contains(value):
            if self._record.proposed is None:
                raise SpaceError(
                    f"{what}: {name!r} is {value!r} in this trial, whose study has a fixed space; asked for {asked!r}; "
                    "ask for bounds that hold those of the space, or open a study without a space, which grows"
                )
            log.warning(
                "%s: %r was asked for before in this trial, and stays %r; asked for %r", what, name, value, asked
            )
        return value


def _number(name: str, bound: SupportsFloat) -> float:
    try:
        return float(bound)
    except (TypeError, ValueError):
        raise SpaceError(f"suggest_float: {name!r} has the bound {bound!r}, expected a number") from None


def _whole(name: str, bound: SupportsIndex) -> int:
    try:
        return operator.index(bound)
    except TypeError:
        raise SpaceError(f"suggest_int: {name!r} has the bound or step {bound!r}, expected an int") from None


def _is_int(value: Scalar) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
