"""The commands that bring what was recorded elsewhere: sync, export."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from hyperhook.cli.console import HomeOption, StudiesArgument, StudyArgument, chosen, opened, say
from hyperhook.destination import recall
from hyperhook.errors import StudyError
from hyperhook.export import Format, format_of, point_table, trial_table, write
from hyperhook.forwarder import Pending, deliver
from hyperhook.home import STUDY_ITEM
from hyperhook.records import StudyRecord, TrialState
from hyperhook.workspace import JOURNAL, Workspace

__all__ = ["export", "sync"]


def sync(
    study: StudiesArgument = None,
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
    workspace = opened(home)
    left = [row for record in chosen(workspace, study) for row in _sync(workspace, record, to or [], since)]
    if left:
        raise typer.Exit(1)


def export(
    study: StudyArgument,
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
    workspace = opened(home)
    record = workspace.store.study(study)
    write((point_table if points else trial_table)(workspace.home, record), format or format_of(output), output)


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
        say(f"{row.tracker}: {row.items} not delivered" + (f" ({row.error})" if row.error else ""))
    outcome = "try again later" if left else "nothing left to deliver"
    say(f"{study.name}: {outcome} ({', '.join(names) or 'no trackers'})")
    return left
