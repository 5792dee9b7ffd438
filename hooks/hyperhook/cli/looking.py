"""The commands that only look: plugins, studies, show, status."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Annotated

import typer
from rich.table import Table

from hyperhook.cli.console import HomeOption, chosen, opened, say
from hyperhook.hookspecs import Decisions
from hyperhook.manager import hooks_of, install_line, installed, missing_libraries
from hyperhook.progress import format_seconds
from hyperhook.records import StudyRecord, TrialRecord, TrialState
from hyperhook.status import status as tracker_status
from hyperhook.tracker import Tracker

__all__ = ["plugins", "show", "status", "studies"]


def plugins() -> None:
    """List what is installed, what is missing, and the line that installs it."""
    table = Table("name", "kind", "hooks", "from", "state", box=None, pad_edge=False)
    for name, entry in installed().items():
        table.add_row(name, *_describe(entry))
    say(table)


def studies(home: HomeOption = None) -> None:
    """List the studies of a home, the oldest first."""
    store = opened(home).store
    table = Table("study", "objective", "trials", "complete", "failed", "running", "best", box=None, pad_edge=False)
    for name in store.study_names():
        study = store.study(name)
        states = [trial.state for trial in study.trials]
        table.add_row(
            name,
            ", ".join(f"{objective.direction} {objective.metric}" for objective in study.objectives) or "-",
            str(len(states)),
            str(states.count(TrialState.COMPLETE)),
            str(states.count(TrialState.FAILED) + states.count(TrialState.KILLED)),
            str(states.count(TrialState.RUNNING)),
            _best(study),
        )
    say(table)


def show(study: str, home: HomeOption = None) -> None:
    """Show a study's trials, the best first; those that do not meet the constraints stand behind those that do."""
    record = opened(home).store.study(study)
    front = record.best_trials
    feasible = ("feasible",) if record.constraints else ()
    best = ("best",) if record.further else ()
    judged = ("value", *record.watched, *feasible, *best)
    table = Table("trial", "state", *judged, "step", "epoch", "time", *record.space, "error", box=None, pad_edge=False)
    ranked = sorted(record.trials, key=lambda trial: _rank(record, trial))
    for trial in sorted(ranked, key=lambda trial: bool(best) and trial not in front):
        table.add_row(
            str(trial.number),
            str(trial.state),
            _cell(trial.value),
            *(_cell(trial.metrics.get(name)) for name in record.watched),
            *(_yes(record.is_feasible(trial)) if trial.metrics else "-" for _ in feasible),
            *(_yes(trial in front) for _ in best),
            _cell(trial.step),
            _cell(trial.epoch),
            format_seconds(trial.finished_time - trial.started_time) if trial.finished_time else "-",
            *(_cell(trial.params[name]) if name in trial.params else "-" for name in record.space),
            trial.error or "",
        )
    say(table)


def status(
    study: Annotated[str | None, typer.Argument(help="A study; all of them by default.")] = None,
    home: HomeOption = None,
) -> None:
    """Show how far the trackers are: trials delivered and pending, events set aside, the last error."""
    workspace = opened(home)
    table = Table("study", "tracker", "delivered", "pending", "set aside", "last error", box=None, pad_edge=False)
    for record in chosen(workspace, study):
        for row in tracker_status(workspace.home, record):
            numbers = map(str, (row.delivered, row.pending, row.aside))
            table.add_row(record.name, row.tracker, *numbers, row.error or "-")
    say(table)


def _describe(entry: EntryPoint) -> tuple[str, str, str, str]:
    origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "?"
    try:
        factory = entry.load()
    except ModuleNotFoundError as error:
        return "?", "", origin, f"missing: {install_line(entry, [error.name or str(error)])}"
    except (Exception, SystemExit) as error:
        return "?", "", origin, f"broken: {type(error).__name__}: {error}"
    missing = missing_libraries(factory)
    kind = "tracker" if isinstance(factory, type) and issubclass(factory, Tracker) else "plugin"
    state = f"missing: {install_line(entry, missing)}" if missing else "ready"
    hooks = [hook for hook in hooks_of(factory) if hook in vars(Decisions)] or ["events"]
    return kind, ", ".join(hooks), origin, state


def _best(study: StudyRecord) -> str:
    if study.further:
        return f"{len(study.best_trials)} trials"
    if study.best is None:
        return "-"
    return f"{study.best.value:.6g}" + ("" if study.is_feasible(study.best) else " (infeasible)")


def _rank(study: StudyRecord, trial: TrialRecord) -> tuple[bool, bool, float, float, int]:
    loss = study.loss(trial) if trial.state is TrialState.COMPLETE else None
    if loss is None:
        return True, False, 0.0, 0.0, trial.number
    return False, not study.is_feasible(trial), study.excess(trial), loss, trial.number


def _yes(whether: bool) -> str:
    return "yes" if whether else "no"


def _cell(value: object) -> str:
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
