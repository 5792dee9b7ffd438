"""What the next trial of a study is to be: the first in the queue, else what the suggesters answer."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from hyperhook.errors import PluginError, SpaceError
from hyperhook.given import completed
from hyperhook.growth import aligned
from hyperhook.manager import Manager
from hyperhook.parameters import Params, Scalar, plain
from hyperhook.records import StudyRecord, TrialRecord, TrialState

__all__ = ["Draft", "chosen", "draft", "ended", "filled", "nothing_left", "suggested", "total", "used"]


class Draft(NamedTuple):
    """A trial that is about to be claimed.

    Attributes:
        params: What it is to be run with; nothing where the space grows with what it asks for.
        proposed: What it is answered when it asks; None where the space is fixed.
        queued: The trial that waits in the store with them, if one does.
        known: The number behind all trials that the choice was made by.
        ahead: Whether it is to be the first suggestion that waits in the store, rather than these params.
    """

    params: Params
    proposed: Params | None
    queued: TrialRecord | None
    known: int
    ahead: bool = False


def draft(study: StudyRecord, manager: Manager, queued: TrialRecord | None, *, ahead: bool = False) -> Draft | None:
    """Choose what the next trial is to be; None where nothing is left to try.

    Args:
        study: The study with its trials.
        manager: Its plugins.
        queued: The first trial of the queue, which goes before what they suggest; None where there is none.
        ahead: Whether suggestions wait in the store, which are taken before the plugins are asked.

    Raises:
        PluginError: A suggester answered with something that is no list of one set of params.
        SpaceError: It answered with params outside the space.
    """
    known = study.trials[-1].number + 1 if study.trials else 0
    if ahead and queued is None:
        return Draft({}, None, None, known, ahead=True)
    if study.grows:
        proposed = _proposed(study, manager, queued)
        return None if proposed is None else Draft({}, proposed, queued, known)
    params = suggested(study, manager) if queued is None else queued.params
    return None if params is None else Draft(params, None, queued, known)


def _proposed(study: StudyRecord, manager: Manager, queued: TrialRecord | None) -> Params | None:
    """Return what a trial is answered when it asks for params: what it was queued with, else what is suggested."""
    if queued is None:
        return suggested(study, manager)
    if queued.proposed is not None:  # it ran before
        return {**queued.proposed, **queued.params}
    return {**(suggested(study, manager) or {}), **queued.params}


def suggested(study: StudyRecord, manager: Manager) -> dict[str, Scalar] | None:
    """Ask for the params of one trial; None where nothing is left to try.

    Raises:
        PluginError: See `draft`.
        SpaceError: See `draft`.
    """
    if not study.space:
        return {}
    found = chosen(study, manager, 1)
    return found[0] if found else None


def chosen(study: StudyRecord, manager: Manager, count: int) -> list[dict[str, Scalar]]:
    """Ask for the params of so many trials, chosen together; fewer where fewer are left to try.

    Raises:
        PluginError: See `draft`.
        SpaceError: See `draft`.
    """
    study = aligned(study)
    answers = manager.decide.suggest(study=study, count=count)
    is_list = isinstance(answers, Sequence) and not isinstance(answers, str) and len(answers) <= count
    if not is_list or not all(isinstance(answer, Mapping) for answer in answers or ()):
        sets = f"{count} {'set' if count == 1 else 'sets'} of params"
        raise PluginError(f"suggest: expected a list of {sets}, got {answers!r}; mend the suggester")
    try:
        for answer in answers or ():
            study.space.validate(answer)
    except SpaceError as error:
        raise SpaceError(f"a suggester answered outside the space: {error}") from None
    return [{name: plain(value) for name, value in answer.items()} for answer in answers or ()]


def ended(study: StudyRecord, manager: Manager) -> str | None:
    """Return why a study is to begin no further trial; None where it goes on.

    Somebody stopped it, or a plugin says so by the hook `should_end`.

    Raises:
        PluginError: A plugin answered with something that is no text.
    """
    if study.stopped is not None:
        return f"it was stopped ({study.stopped}); `hyperhook stop --undo {study.name}` lets it go on"
    reason = manager.decide.should_end(study=aligned(study)) if manager.decides("should_end") else None
    if reason is not None and (not isinstance(reason, str) or not reason):
        raise PluginError(f"should_end: expected a reason in words, or None to go on, got {reason!r}; mend the plugin")
    return reason


def filled(study: StudyRecord, wanted: Params, suggest: Callable[[StudyRecord], Params | None]) -> dict[str, Scalar]:
    """Return a whole set of params that holds those wanted; the suggester is asked where they leave anything open."""
    rng = random.Random(None if study.seed is None else f"{study.seed}:{len(study.trials)}")
    whole = completed(study.space, wanted, {}, rng)
    return whole if whole.keys() == wanted.keys() else completed(study.space, wanted, suggest(study) or {}, rng)


def total(study: StudyRecord, manager: Manager, budget: int) -> int:
    """Return how many trials will have ended by themselves in the end: the budget, or fewer where fewer are left."""
    left = manager.decide.left_to_try(study=study)
    if left is None:
        return budget
    queued = sum(trial.state is TrialState.QUEUED for trial in study.trials)
    return min(budget, used(study) + queued + left)


def nothing_left(study: StudyRecord) -> str:
    """Say that the suggesters have no further answer."""
    return f"study {study.name}: the suggester has nothing left to try after {len(study.trials)} trials"


def used(study: StudyRecord) -> int:
    """Return how much of its budget a study has used up: what ended by itself, and what still runs."""
    return sum(trial.state.ended_by_itself or trial.state is TrialState.RUNNING for trial in study.trials)
