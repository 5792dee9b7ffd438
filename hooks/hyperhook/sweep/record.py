"""What a sweep file says: `Sweep`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hyperhook.objective import Objective
from hyperhook.parameters import Params, Scalar
from hyperhook.records import StudyRecord, TrialRecord, TrialState
from hyperhook.space import Space

__all__ = ["Addon", "Sweep"]

MENDABLE = ("run_cap", "description")
"""Keys that may change while the study goes on: what its trials mean does not depend on them."""


@dataclass(frozen=True, slots=True)
class Addon:
    """A plugin or a tracker by its name, and the options that it is made with."""

    name: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A study, and the program that its trials run.

    Attributes:
        name: The study's name; None where the file gives none.
        space: What may vary, constants included: each is a choice of one. A nested parameter is named by its path,
            joined by dots.
        objective: What is searched for; None where the file names no metric.
        target: No further trial begins once one has ended with this value; None: none stops the search.
        plugins: The plugins, the one of the method first.
        trackers: The trackers.
        command: The words and macros that a trial is started with.
        program: The script.
        places: Where each parameter stands in the file, as a path of names.
        options: Of the parameters whose options are lists or mappings: what each param's text stands for.
        run_cap: How many trials the study gets; None where there is no end.
        storage: The URL of the database; None where the file names none.
        metrics_from: Where the program's metrics are read: the name of a follower, or its name with options.
        max_retries: How often a trial whose agent died is tried again; None where the file does not say.
        ignored: The keys that mean nothing here.
        config: The file as plain data.
    """

    name: str | None
    space: Space
    objective: Objective | None
    target: float | None
    plugins: tuple[Addon, ...]
    trackers: tuple[Addon, ...]
    command: tuple[str, ...]
    program: str | None
    places: Mapping[str, tuple[str, ...]]
    options: Mapping[str, Mapping[str, object]]
    run_cap: int | None
    storage: str | None
    metrics_from: str | Mapping[str, Mapping[str, Any] | None]
    max_retries: int | None
    ignored: tuple[str, ...]
    config: Mapping[Scalar, object]

    def arguments(self, params: Params) -> dict[str, object]:
        """Return params as the file has them: nested, and lists as lists."""
        found: dict[str, object] = {}
        for name, value in params.items():
            *above, last = self.places[name]
            inner: dict[str, Any] = found
            for part in above:
                inner = inner.setdefault(part, {})
            inner[last] = self.options.get(name, {}).get(value, value) if isinstance(value, str) else value
        return found

    def is_at_target(self, value: float | None) -> bool:
        """Tell whether a trial's value ends the search."""
        if self.target is None or value is None or self.objective is None:
            return False
        return not self.objective.is_better(self.target, value)

    def reached(self, study: StudyRecord) -> TrialRecord | None:
        """Return the first trial of a study that reached the target; None where none has."""
        ended = (trial for trial in study.trials if trial.state is TrialState.COMPLETE)
        return next((trial for trial in ended if self.is_at_target(trial.value)), None)

    def difference(self, other: Sweep) -> str | None:
        """Say in what another file differs from this one, apart from what may change; None where it does not."""
        mine, theirs = ({key: v for key, v in s.config.items() if key not in MENDABLE} for s in (self, other))
        return next(_differences("", mine, theirs), None)


def _differences(place: str, mine: object, theirs: object) -> Iterator[str]:
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for key in [*mine, *(key for key in theirs if key not in mine)]:
            where = f"{place}.{key}" if place else str(key)
            if key in mine and key in theirs:
                yield from _differences(where, mine[key], theirs[key])
            else:
                there, here = (repr(side[key]) if key in side else "not there" for side in (mine, theirs))
                yield f"{where} was {there}, and is {here}"
    elif mine != theirs or type(mine) is not type(theirs):
        yield f"{place} was {mine!r}, and is {theirs!r}"
