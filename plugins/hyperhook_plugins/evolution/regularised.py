"""Regularised evolution: the population are the youngest trials, parents the better ones of a few of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from hyperhook import Choice, Params, Scalar, Space, StudyRecord, TrialRecord, TrialState
from hyperhook.parameters import Parameter
from hyperhook.ranking import ranked

__all__ = ["Breeding"]

_TRIES = 16  # moves before a value stays as it is


@dataclass(frozen=True, slots=True)
class Breeding:
    """How children come from trials.

    Attributes:
        population: How many of the youngest trials may become parents; so many are drawn at random first.
        sample: Among how many of them, drawn at random, the best becomes a parent.
        crossover: How often a child has two parents, a probability.
    """

    population: int
    sample: int
    crossover: float

    def child(self, study: StudyRecord, ended: Sequence[TrialRecord], rng: random.Random) -> dict[str, Scalar]:
        """Return the params of a child.

        Args:
            study: The study, with all its trials.
            ended: Those that ended by themselves, in the order in which they did.
            rng: Draws.
        """
        alive, _ = ranked(study, ended[-self.population :])
        begun = sum(trial.state is not TrialState.KILLED for trial in study.trials)
        if begun < self.population or not alive:
            return study.space.sample(rng)
        parent = self._parent(alive, rng)
        other = self._parent(alive, rng) if rng.random() < self.crossover else parent
        return _mutated(study.space, _crossed(study.space, parent, other, rng), rng)

    def _parent(self, alive: Sequence[TrialRecord], rng: random.Random) -> Params:
        """Choose a parent: `alive` are the population, the best first."""
        return alive[min(rng.randrange(len(alive)) for _ in range(self.sample))].params


def _crossed(space: Space, one: Params, other: Params, rng: random.Random) -> dict[str, Scalar]:
    """Return a set of params with each value from one of two parents that have it."""
    params: dict[str, Scalar] = {}
    for name in space:
        if space.is_active(name, params):
            parents = [parent for parent in (one, other) if name in parent]
            params[name] = rng.choice(parents)[name]
    return params


def _mutated(space: Space, params: Params, rng: random.Random) -> dict[str, Scalar]:
    """Return params of which at least one has another value, and one on average."""
    able = [name for name in params if space[name].cardinality != 1]
    chosen = {name for name in able if rng.random() < 1 / len(able)} or set(rng.sample(able, min(1, len(able))))
    mutated: dict[str, Scalar] = {}
    for name, parameter in space.items():
        if not space.is_active(name, mutated):
            continue
        if name not in params:  # what a changed option makes active
            mutated[name] = parameter.quantile(rng.random())
        else:
            mutated[name] = _moved(parameter, params[name], rng) if name in chosen else params[name]
    return mutated


def _moved(parameter: Parameter, value: Scalar, rng: random.Random) -> Scalar:
    """Return another value: another option, or a number near this one, mostly at a distance of 0.3 % to 30 %."""
    spread = 0.3 * 10 ** (-2 * rng.random())
    for _ in range(_TRIES):
        if isinstance(parameter, Choice):
            moved = parameter.quantile(rng.random())
        else:
            moved = parameter.from_unit(_reflected(parameter.to_unit(value) + rng.gauss(0.0, spread)))
            spread = min(1.5 * spread, 1.0)  # a step may be wider than that
        if moved != value or type(moved) is not type(value):
            return moved
    return value


def _reflected(unit: float) -> float:
    """Return a coordinate that went out of [0, 1] as if the bounds were mirrors."""
    return abs((unit + 1) % 2 - 1)
