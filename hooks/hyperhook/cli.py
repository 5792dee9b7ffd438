"""The ``hyperhook`` command."""

from __future__ import annotations

import random
import secrets
from datetime import datetime
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from hyperhook.destination import recall
from hyperhook.errors import HyperhookError, StudyError
from hyperhook.export import Format, format_of, point_table, trial_table, write
from hyperhook.forwarder import Pending, deliver
from hyperhook.given import completed, given
from hyperhook.home import STUDY_ITEM, Home
from hyperhook.hookspecs import Decisions
from hyperhook.manager import hooks_of, install_line, installed, missing_libraries
from hyperhook.parameters import Choice, Int, Scalar
from hyperhook.progress import format_params, format_seconds
from hyperhook.records import StudyRecord, TrialRecord, TrialState
from hyperhook.space import Space
from hyperhook.status import status as tracker_status
from hyperhook.tracker import Tracker
from hyperhook.workspace import JOURNAL, Workspace

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="One callback, every tracker, any search: look at what was recorded.")

HomeOption = Annotated[
    Path | None, typer.Option("--home", help="The home directory; by default HYPERHOOK_HOME, else ./.hyperhook.")
]


@app.command()
def plugins() -> None:
    """List what is installed, what is missing, and the line that installs it."""
    table = Table("name", "kind", "hooks", "from", "state", box=None, pad_edge=False)
    for name, entry in installed().items():
        table.add_row(name, *_describe(entry))
    _print(table)


@app.command()
def studies(home: HomeOption = None) -> None:
    """List the studies of a home, the oldest first."""
    store = _open(home).store
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
    _print(table)


@app.command()
def show(study: str, home: HomeOption = None) -> None:
    """Show a study's trials, the best first; those that do not meet the constraints stand behind those that do."""
    record = _open(home).store.study(study)
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
    _print(table)


@app.command()
def status(
    study: Annotated[str | None, typer.Argument(help="A study; all of them by default.")] = None,
    home: HomeOption = None,
) -> None:
    """Show how far the trackers are: trials delivered and pending, events set aside, the last error."""
    workspace = _open(home)
    table = Table("study", "tracker", "delivered", "pending", "set aside", "last error", box=None, pad_edge=False)
    for record in _chosen(workspace, study):
        for row in tracker_status(workspace.home, record):
            numbers = map(str, (row.delivered, row.pending, row.aside))
            table.add_row(record.name, row.tracker, *numbers, row.error or "-")
    _print(table)


@app.command()
def sync(
    study: Annotated[str | None, typer.Argument(help="A study; all of them by default.")] = None,
    to: Annotated[
        list[str] | None, typer.Option("--to", help="Send everything to this tracker, from the beginning.")
    ] = None,
    since: Annotated[datetime | None, typer.Option("--since", help="With --to: trials that started then or later.")] = (
        None
    ),
    home: HomeOption = None,
) -> None:
    """Deliver what did not reach the trackers yet; with --to, also to trackers that were never named."""
    if since and not to:
        raise StudyError("sync: --since goes with --to; without it, what is undelivered is sent, whenever it started")
    workspace = _open(home)
    left = [row for record in _chosen(workspace, study) for row in _sync(workspace, record, to or [], since)]
    if left:
        raise typer.Exit(1)


@app.command()
def enqueue(
    study: str,
    params: Annotated[list[str], typer.Argument(help="Params as NAME=VALUE; what is left out is drawn at random.")],
    repeat: Annotated[bool, typer.Option("--repeat", help="Also where a trial has these values already.")] = False,
    home: HomeOption = None,
) -> None:
    """Queue a trial with these params: the study's workers run it before what the suggester chooses."""
    store = _open(home).store
    record = store.study(study)
    wanted = given(record.space, dict(_param(record.space, each) for each in params))
    whole = completed(record.space, wanted, {}, random.Random())
    trial = store.enqueue(study, secrets.token_hex(8), whole, None if repeat else wanted)
    outcome = "is queued" if trial.state is TrialState.QUEUED else f"has these values, and is {trial.state}"
    _print(f"{trial.name} {outcome}: {format_params(trial)}")


@app.command()
def export(
    study: str,
    format: Annotated[  # noqa: A002
        Format | None, typer.Option("--format", help="By default what the name of --output ends in, else csv.")
    ] = None,
    points: Annotated[
        bool, typer.Option("--points", help="One row for each logged point rather than for each trial.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", help="The file, which is written over; by default standard output.")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Write a study as a table, one row for each trial, or with --points one for each logged point."""
    workspace = _open(home)
    record = workspace.store.study(study)
    write((point_table if points else trial_table)(workspace.home, record), format or format_of(output), output)


def _param(space: Space, text: str) -> tuple[str, Scalar]:
    """Return the name and the value of ``NAME=VALUE``, the value as its parameter has it."""
    name, equals, value = text.partition("=")
    if not equals:
        raise StudyError(f"enqueue: expected NAME=VALUE, got {text!r}")
    parameter = space.get(name)
    if isinstance(parameter, Choice):
        return name, next((option for option in parameter.options if str(option) == value), value)
    try:
        return name, int(value) if isinstance(parameter, Int) else float(value)
    except ValueError:
        return name, value  # the check says what was expected


def _sync(workspace: Workspace, study: StudyRecord, to: list[str], since: datetime | None) -> list[Pending]:
    """Send what is left of a study, each tracker in turn; return what could not be sent."""
    home = workspace.home
    names = to or [name for name in home.trackers(study.name) if home.posted(study.name, name)]
    own = [STUDY_ITEM] if (home.study(study.name) / JOURNAL).exists() else []
    begun = [trial for trial in study.trials if trial.state is not TrialState.QUEUED]
    chosen = [trial.id for trial in begun if since is None or trial.started_time >= since.timestamp()]
    left: list[Pending] = []
    for name in names:
        tracker = recall(home, study.name, name)
        for item in (*own, *chosen) if to else ():
            home.post(study.name, name, item)
        left += deliver(workspace, study.name, {name: tracker})
    for row in left:
        _print(f"{row.tracker}: {row.items} not delivered" + (f" ({row.error})" if row.error else ""))
    outcome = "try again later" if left else "nothing left to deliver"
    _print(f"{study.name}: {outcome} ({', '.join(names) or 'no trackers'})")
    return left


def _chosen(workspace: Workspace, study: str | None) -> list[StudyRecord]:
    names = workspace.store.study_names() if study is None else [study]
    return [workspace.store.study(name) for name in names]


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


def _open(home: Path | None) -> Workspace:
    found = Home(home)
    if not found.database.exists():
        raise StudyError(f"there is no hyperhook home at {str(found.path)!r}; name one by --home or HYPERHOOK_HOME")
    return Workspace(found)


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


def _print(what: Table | str) -> None:
    console = Console(highlight=False, markup=False, emoji=False)  # names and errors are what they are
    if not console.is_terminal:
        console.width = 1000  # never wrapped or cut where a program reads it
    console.print(what)


def main() -> None:
    """Run the command; what goes wrong is one line."""
    try:
        app()
    except HyperhookError as error:
        Console(stderr=True, highlight=False).print(f"hyperhook: {error}", markup=False, soft_wrap=True)
        raise SystemExit(2) from None
