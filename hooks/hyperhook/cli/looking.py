"""The commands that only look: plugins, studies, show, best, status."""

from __future__ import annotations

from importlib.metadata import EntryPoint

from hyperhook.cli.console import HomeOption, JsonOption, StudiesArgument, StudyArgument, answer, chosen, opened
from hyperhook.cli.listing import Listing, cell, listing_of_studies, listing_of_trials
from hyperhook.errors import EmptyStudyError
from hyperhook.hookspecs import Decisions
from hyperhook.manager import hooks_of, install_line, installed, missing_libraries
from hyperhook.records import StudyRecord, TrialRecord, TrialState
from hyperhook.status import status as tracker_status
from hyperhook.tracker import Tracker

__all__ = ["best", "plugins", "show", "status", "studies"]


def plugins(as_json: JsonOption = False) -> None:
    """List what is installed, what is missing, and the line that installs it."""
    columns = ("name", "kind", "hooks", "from", "state")
    rows = [dict(zip(columns, (name, *_describe(entry)), strict=True)) for name, entry in installed().items()]
    answer(Listing([dict(row) for row in rows], rows, columns), as_json=as_json)


def studies(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the studies of a home, the oldest first."""
    answer(listing_of_studies(chosen(opened(home), None)), as_json=as_json)


def show(study: StudyArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show a study's trials, the best first; those that do not meet the constraints stand behind those that do."""
    record = opened(home).store.study(study)
    front = record.best_trials if record.further else ()
    ranked = sorted(record.trials, key=lambda trial: (bool(front) and trial not in front, *_rank(record, trial)))
    answer(listing_of_trials(record, ranked), as_json=as_json)


def best(study: StudyArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the trial with the best value; of several objectives, those that no other trial is better than.

    Where the objective is noisy, the ``gp`` plugin knows better: ask it in Python, by ``Study.best``.
    """
    record = opened(home).store.study(study)
    found = record.best_trials if record.further else tuple(filter(None, [record.best]))
    if not found:
        raise EmptyStudyError(
            f"study {study!r} has no trial with a value yet ({len(record.trials)} trials); run it first"
        )
    answer(listing_of_trials(record, found), as_json=as_json)


def status(
    study: StudiesArgument = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how far the trackers are: trials delivered and pending, events set aside, the last error."""
    workspace = opened(home)
    columns = ("study", "tracker", "delivered", "pending", "set aside", "last error")
    found = [
        (record.name, row.tracker, row.delivered, row.pending, row.aside, row.error or None)
        for record in chosen(workspace, study)
        for row in tracker_status(workspace.home, record)
    ]
    rows = [dict(zip(columns, map(cell, values), strict=True)) for values in found]
    facts = [dict(zip((name.replace(" ", "_") for name in columns), values, strict=True)) for values in found]
    answer(Listing(facts, rows, columns), as_json=as_json)


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


def _rank(study: StudyRecord, trial: TrialRecord) -> tuple[bool, bool, float, float, int]:
    loss = study.loss(trial) if trial.state is TrialState.COMPLETE else None
    if loss is None:
        return True, False, 0.0, 0.0, trial.number
    return False, not study.is_feasible(trial), study.excess(trial), loss, trial.number
