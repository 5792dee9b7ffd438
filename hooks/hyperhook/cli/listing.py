"""How studies and trials are listed: as facts for programs, as rows for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hyperhook.progress import format_seconds
from hyperhook.records import StudyRecord, TrialRecord, TrialState

__all__ = ["Listing", "cell", "listing_of_studies", "listing_of_trials"]


@dataclass(frozen=True, slots=True)
class Listing:
    """What a command answers.

    Attributes:
        facts: For programs: values by their names, ready for JSON.
        rows: For people: texts by the columns of a table; what a row lacks is shown as ``-``.
        columns: The columns, in order.
    """

    facts: Sequence[Mapping[str, object]]
    rows: Sequence[Mapping[str, str]]
    columns: Sequence[str]


def listing_of_studies(studies: Sequence[StudyRecord]) -> Listing:
    """List studies; of the states, the table shows those that some trial is in, and COMPLETE."""
    counts = [{state: 0 for state in TrialState} for _ in studies]
    for study, count in zip(studies, counts, strict=True):
        for trial in study.trials:
            count[trial.state] += 1
    shown = [state for state in TrialState if state is TrialState.COMPLETE or any(count[state] for count in counts)]
    facts: list[dict[str, object]] = []
    rows: list[dict[str, str]] = []
    for study, count in zip(studies, counts, strict=True):
        goals = [f"{objective.direction} {objective.metric}" for objective in study.objectives]
        states = {state.lower(): number for state, number in count.items()}
        best = _best(study)
        facts.append(
            {
                "study": study.name,
                "objectives": goals,
                "trials": len(study.trials),
                **states,
                "best_trials": [trial.number for trial in best],
                "best_value": best[0].value if best and not study.further else None,
                "feasible": all(map(study.is_feasible, best)) if best and study.constraints else None,
            }
        )
        rows.append(
            {
                "study": study.name,
                "objective": ", ".join(goals) or "-",
                "trials": str(len(study.trials)),
                **{state.lower(): str(count[state]) for state in shown},
                "best": _in_words(study, best),
            }
        )
    return Listing(facts, rows, ["study", "objective", "trials", *(state.lower() for state in shown), "best"])


def listing_of_trials(study: StudyRecord, trials: Sequence[TrialRecord]) -> Listing:
    """List trials of a study, in the order given."""
    front = study.best_trials if study.further else ()
    feasible = ("feasible",) if study.constraints else ()
    best = ("best",) if study.further else ()
    judged = ("value", *study.watched, *feasible, *best)
    facts = [_facts(study, trial, trial in front) for trial in trials]
    rows = [_row(study, trial, trial in front) for trial in trials]
    return Listing(facts, rows, ["trial", "state", *judged, "step", "epoch", "time", *study.space, "error"])


def cell(value: object) -> str:
    """Return a value as tables show it."""
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _facts(study: StudyRecord, trial: TrialRecord, is_best: bool) -> dict[str, object]:
    return {
        "trial": trial.number,
        "name": trial.name,
        "id": trial.id,
        "state": trial.state.value,
        "value": trial.value,
        "stderr": trial.stderr,
        "metrics": dict(trial.metrics),
        "feasible": study.is_feasible(trial) if study.constraints and trial.metrics else None,
        **({"best": is_best} if study.further else {}),
        "step": trial.step,
        "epoch": trial.epoch,
        "started_time": trial.started_time,
        "finished_time": trial.finished_time,
        "params": dict(trial.params),
        "error": trial.error,
    }


def _row(study: StudyRecord, trial: TrialRecord, is_best: bool) -> dict[str, str]:
    row = {"trial": str(trial.number), "state": str(trial.state), "value": cell(trial.value)}
    row |= {name: cell(trial.metrics.get(name)) for name in study.watched}
    if trial.metrics:
        row["feasible"] = _yes(study.is_feasible(trial))
    row |= {"best": _yes(is_best), "step": cell(trial.step), "epoch": cell(trial.epoch), "error": trial.error or ""}
    if trial.finished_time:
        row["time"] = format_seconds(trial.finished_time - trial.started_time)
    return row | {name: cell(value) for name, value in trial.params.items()}


def _best(study: StudyRecord) -> tuple[TrialRecord, ...]:
    if study.further:
        return study.best_trials
    return () if study.best is None else (study.best,)


def _in_words(study: StudyRecord, best: tuple[TrialRecord, ...]) -> str:
    if study.further:
        return f"{len(best)} trials"
    if not best:
        return "-"
    return cell(best[0].value) + ("" if study.is_feasible(best[0]) else " (infeasible)")


def _yes(whether: bool) -> str:
    return "yes" if whether else "no"
