"""A space that grows: what define-by-run trials asked for, and how suggesters see it.

The store keeps such a space flat: every parameter that a trial asked for, in the order in which they were met, each
with bounds that hold all that was ever asked. A trial's params are those that it asked for.

Suggesters are promised more: each trial of theirs has exactly the active params of the space. So two things are made
of what is kept:

- `nested` infers what makes a parameter active. One that all trials met below one option of a choice, and that no
  complete trial with that option did without, hangs below that option. Any other is always active.
- `aligned` gives each trial what it lacks: what was proposed to it and not asked for, so that a model sees that it
  makes no difference; else, where the parameter was not known yet, the middle.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from hyperhook.errors import SpaceError
from hyperhook.given import holds
from hyperhook.parameters import Choice, Float, Int, Parameter, Params, Scalar, plain
from hyperhook.records import StudyRecord, TrialRecord, TrialState
from hyperhook.scalars import is_number
from hyperhook.space import Condition, Space

__all__ = ["aligned", "answer", "fitted", "grown", "nested", "proposals", "united"]


def answer(trial: TrialRecord, name: str, asked: Parameter, seed: int | None) -> Scalar:
    """Return the value of a parameter that a trial asks for: what was proposed, where that is one of its values.

    Args:
        trial: The trial.
        name: What the parameter is called.
        asked: The parameter.
        seed: What is not proposed is drawn by this, the trial's number and the name; None for another draw each time.
    """
    if name in (trial.proposed or {}):
        proposed = _as_asked(asked, (trial.proposed or {})[name])
        if asked.contains(proposed):
            return proposed
    return asked.from_unit(random.Random(None if seed is None else f"{seed}:{trial.number}:{name}").random())


def grown(space: Space, name: str, asked: Parameter) -> Space:
    """Return a flat space that holds a parameter as it was asked for.

    Raises:
        SpaceError: It is known as one of another kind, see `united`.
    """
    known = space.get(name)
    return Space({**space, name: asked if known is None else united(name, known, asked)})


def united(name: str, known: Parameter, asked: Parameter) -> Parameter:
    """Return a parameter that has the values of both: bounds may change from trial to trial, all else may not.

    Steps that do not fit each other give the finest that has all values, and for a `Float` none.

    Args:
        name: What it is called.
        known: As the space has it.
        asked: As a trial asks for it.

    Raises:
        SpaceError: One is logarithmic and the other not, one is an int and the other a float, or options differ.

    Example:
        >>> united("n", Int(0, 4, step=2), Int(1, 9, step=2))
        Int(low=0, high=9, log=False, step=1)
    """
    if known == asked:
        return known
    if isinstance(known, Choice) or isinstance(asked, Choice) or type(known) is not type(asked):
        raise SpaceError(
            f"suggest: {name!r} was {known!r} in another trial, now {asked!r}; the options of a choice and the kind of "
            "a parameter cannot change: give the new one another name"
        )
    if known.log != asked.log:
        raise SpaceError(
            f"suggest: {name!r} had log={known.log} in another trial, now log={asked.log}; give it another name"
        )
    if isinstance(known, Int) and isinstance(asked, Int):
        step = math.gcd(known.step, asked.step, known.low - asked.low)
        return Int(min(known.low, asked.low), max(known.high, asked.high), log=known.log, step=1 if known.log else step)
    fits = known.step == asked.step and _is_on_grid(known.low, asked.low, known.step)
    low, high = min(known.low, asked.low), max(known.high, asked.high)
    return Float(low, high, log=known.log, step=known.step if fits else None)


def nested(study: StudyRecord) -> StudyRecord:
    """Return a study whose space is known to grow with the conditions that its trials let one infer."""
    if not study.grows:
        return study
    flat = {name: Choice(p.options) if isinstance(p, Choice) else p for name, p in study.space.items()}
    conditions = {name: _condition(name, flat, study.trials) for name in flat}

    def below(condition: Condition | None) -> dict[str, Parameter]:
        return {name: whole(name, parameter) for name, parameter in flat.items() if conditions[name] == condition}

    def whole(name: str, parameter: Parameter) -> Parameter:
        if not isinstance(parameter, Choice):
            return parameter
        return Choice({option: below(Condition(name, option)) for option in parameter.options})

    return replace(study, space=Space(below(None)))


def aligned(study: StudyRecord) -> StudyRecord:
    """Return a study as suggesters are promised it: each trial has exactly the active params of the space."""
    if not study.grows:
        return study
    study = nested(study)
    return replace(study, trials=tuple(replace(t, params=_params_of(study.space, t)) for t in study.trials))


def fitted(space: Space, *known: Params) -> dict[str, Scalar]:
    """Return the active params of a space: the first of those known that is a value of it, else the middle."""
    params: dict[str, Scalar] = {}
    for name, parameter in space.items():
        if space.is_active(name, params):
            values = [found[name] for found in known if name in found]
            params[name] = next(filter(parameter.contains, values), parameter.from_unit(0.5))
    return params


def proposals(params: object) -> dict[str, Scalar]:
    """Check values that a user queues for names which no trial may have asked for yet.

    Raises:
        SpaceError: There are none, a name is no string, or a value is no plain scalar.
    """
    if not isinstance(params, Mapping) or not params:
        raise SpaceError(f"params: expected values by their names, as in {{'lr': 0.01}}, got {params!r}")
    found = {name: plain(value) for name, value in params.items()}
    for name, value in found.items():
        if not isinstance(name, str) or not name:
            raise SpaceError(f"params: names must be non-empty strings, got {name!r}")
        Choice([value])  # refuses what no parameter can be
    return found


def _condition(name: str, space: Mapping[str, Parameter], trials: Sequence[TrialRecord]) -> Condition | None:
    """Return the option that a parameter was met below and nowhere else; the one that was asked for last of several."""
    met = [trial.params for trial in trials if name in trial.params and trial.state is not TrialState.QUEUED]
    without = [t.params for t in trials if t.state is TrialState.COMPLETE and name not in t.params]
    if not met or not without:
        return None
    for parent in reversed(list(_before(name, met[0]))):
        if not isinstance(space.get(parent), Choice):
            continue
        option = {parent: met[0][parent]}
        if any(holds(params, option) for params in without):
            continue
        if all(holds(params, option) and parent in _before(name, params) for params in met):
            return Condition(parent, option[parent])
    return None


def _before(name: str, params: Params) -> Iterable[str]:
    """Return the names that a trial asked for before this one."""
    names = list(params)
    return names[: names.index(name)]


def _params_of(space: Space, trial: TrialRecord) -> dict[str, Scalar]:
    """Return the active params of a trial, those that it lacks included."""
    return fitted(space, trial.params, trial.proposed or {})


def _as_asked(asked: Parameter, value: Scalar) -> Scalar:
    """Return a number as the kind that is asked for: from a command line, ``16`` may be meant as either."""
    if not is_number(value):
        return value
    if isinstance(asked, Choice):
        return next((option for option in asked.options if is_number(option) and option == value), value)
    if isinstance(asked, Float):
        return float(value)  # type: ignore[arg-type]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_on_grid(low: float, other: float, step: float | None) -> bool:
    """Tell whether one lower bound is whole steps away from another; without steps, always."""
    return step is None or (Decimal(str(low)) - Decimal(str(other))) % Decimal(str(step)) == 0
