"""What plugins learned from a study's trials: predictions, the parameters' importance, and which trial is best."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from hyperhook.errors import EmptyStudyError, PluginError, SpaceError
from hyperhook.growth import aligned, fitted
from hyperhook.manager import Manager
from hyperhook.parameters import Params, plain
from hyperhook.records import Prediction, StudyRecord, TrialRecord, TrialState
from hyperhook.scalars import is_number

__all__ = ["best", "importance", "predict"]


def predict(study: StudyRecord, manager: Manager, many: Sequence[Params]) -> list[Prediction]:
    """Return what the objective would be at each set of params, tried or not, by the hook `predict`.

    Args:
        study: The study with all its trials.
        manager: The plugins to ask.
        many: Sets of params; none gives an empty list.

    Returns:
        Means and standard deviations in the objective's own unit and direction.

    Raises:
        SpaceError: A set of params is not of the space.
        EmptyStudyError: The study has no objective, or no trial with a value.
        PluginError: No plugin answers, or one answers with something else.
    """
    study = aligned(study)
    valid = _valid(study, many)
    _require_values(study, "predict")
    if not valid:
        return []
    answer = manager.decide.predict(study=study, many=valid)
    if answer is None:
        raise _unanswered(study, manager, "predict")
    if not isinstance(answer, Sequence) or len(answer) != len(valid) or not all(map(_is_prediction, answer)):
        raise PluginError(
            f"predict: expected a list of {len(valid)} hyperhook.Prediction, each with a finite mean and a std from 0, "
            f"got {answer!r}; mend the plugin"
        )
    return list(answer)


def importance(study: StudyRecord, manager: Manager) -> dict[str, float]:
    """Return the share that each parameter has in how the objective varies over the space, by the hook `importance`.

    Args:
        study: The study with all its trials.
        manager: The plugins to ask.

    Returns:
        A share for each parameter of the space, from 0 to 1, together 1; the greatest first.

    Raises:
        EmptyStudyError: The study has no objective, or no trial with a value.
        PluginError: No plugin answers, or one answers with something else.
    """
    study = aligned(study)
    _require_values(study, "importance")
    answer = manager.decide.importance(study=study)
    if answer is None:
        raise _unanswered(study, manager, "importance")
    if not isinstance(answer, Mapping) or answer.keys() != study.space.keys() or not _are_shares(answer.values()):
        raise PluginError(
            f"importance: expected a share from 0 for each of {', '.join(study.space)}, together 1, got {answer!r}; "
            "mend the plugin"
        )
    return {name: answer[name] for name in sorted(study.space, key=lambda name: -answer[name])}


def best(study: StudyRecord, manager: Manager) -> TrialRecord | None:
    """Return the best COMPLETE trial by the hook `which_is_best`, where all pass that with the best value.

    Plugins see only the trials that meet all constraints; where none does, nobody is asked.

    Args:
        study: The study with all its trials.
        manager: The plugins to ask.

    Returns:
        A trial of the study; None where no trial is COMPLETE with a value.

    Raises:
        PluginError: A plugin answers with something else.
    """
    if study.best is None or not study.is_feasible(study.best):
        return study.best
    seen = aligned(study)
    candidates = replace(seen, trials=tuple(filter(study.is_feasible, seen.trials))) if study.constraints else seen
    answer = manager.decide.which_is_best(study=candidates)
    if answer is None:
        return study.best
    if answer not in candidates.trials or answer.state is not TrialState.COMPLETE or answer.value is None:
        raise PluginError(
            f"which_is_best: expected a COMPLETE trial of study {study.name!r} that has a value, got {answer!r}; "
            "mend the plugin"
        )
    return next(trial for trial in study.trials if trial.id == answer.id)


def _valid(study: StudyRecord, many: object) -> list[Params]:
    if isinstance(many, str) or not isinstance(many, Sequence) or not all(isinstance(one, Mapping) for one in many):
        raise SpaceError(f"predict: expected params by name, such as trial.params, or a list of such, got {many!r}")
    if study.grows:  # what a trial did not ask for makes no difference
        many = [{**fitted(study.space, params), **params} for params in many]
    for place, params in enumerate(many):
        try:
            study.space.validate(params)
        except SpaceError as error:
            raise SpaceError(f"predict: {f'set {place} of {len(many)}: ' if len(many) > 1 else ''}{error}") from None
    return [{name: plain(value) for name, value in params.items()} for params in many]


def _require_values(study: StudyRecord, question: str) -> None:
    """Refuse a study that has nothing to learn from."""
    if study.objective is None:
        raise EmptyStudyError(f"{question}: study {study.name!r} has no objective; give it one to learn about")
    losses = [study.loss(t) for t in study.trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    if not any(loss is not None and math.isfinite(loss) for loss in losses):
        raise EmptyStudyError(
            f"{question}: study {study.name!r} has no trial with a value yet ({len(study.trials)} trials); run it first"
        )


def _unanswered(study: StudyRecord, manager: Manager, hook: str) -> PluginError:
    asked = ", ".join(type(implementation.plugin).__name__ for implementation in manager.implementations(hook))
    if asked:
        return PluginError(f"{hook}: no plugin of study {study.name!r} has an answer for this space; asked: {asked}")
    return PluginError(
        f"{hook}: no plugin of study {study.name!r} learns from its trials; add one that does: plugins=['gp']"
    )


def _is_prediction(answer: object) -> bool:
    if not isinstance(answer, Prediction) or not is_number(answer.mean) or not is_number(answer.std):
        return False
    return math.isfinite(answer.mean) and 0 <= answer.std < math.inf


def _are_shares(shares: Collection[float]) -> bool:
    return all(is_number(share) and share >= 0 for share in shares) and (
        not shares or math.isclose(sum(shares), 1.0, abs_tol=1e-6)
    )
