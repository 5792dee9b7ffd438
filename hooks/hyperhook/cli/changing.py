"""The commands that change a study: enqueue, stop, delete."""

from __future__ import annotations

import random
import secrets
from typing import Annotated

import typer

from hyperhook.cli.console import HomeOption, StudyArgument, opened, say
from hyperhook.errors import StudyError
from hyperhook.given import completed, given
from hyperhook.growth import proposals
from hyperhook.parameters import Choice, Int, Scalar
from hyperhook.progress import format_params
from hyperhook.records import TrialState
from hyperhook.space import Space
from hyperhook.status import status as tracker_status

__all__ = ["delete", "enqueue", "stop"]


def enqueue(
    study: StudyArgument,
    params: Annotated[list[str], typer.Argument(help="Params as NAME=VALUE; what is left out is drawn at random.")],
    repeat: Annotated[bool, typer.Option("--repeat", help="Also where a trial has these values already.")] = False,
    home: HomeOption = None,
) -> None:
    """Queue a trial with these params: the study's workers run it before what the suggester chooses."""
    store = opened(home).store
    record = store.study(study)
    values = dict(_param(record.space, each) for each in params)
    if record.grows:
        wanted = whole = proposals(values)
    else:
        wanted = given(record.space, values)
        whole = completed(record.space, wanted, {}, random.Random())
    trial = store.enqueue(study, secrets.token_hex(8), whole, None if repeat else wanted)
    outcome = "is queued" if trial.state is TrialState.QUEUED else f"has these values, and is {trial.state}"
    say(f"{trial.name} {outcome}: {format_params(trial)}")


def stop(
    study: StudyArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why, in a few words.")] = "by hand",
    undo: Annotated[bool, typer.Option("--undo", help="Let the study go on.")] = False,
    home: HomeOption = None,
) -> None:
    """Let no worker, wherever it is, begin a further trial of a study; those that run go on to their end."""
    store = opened(home).store
    running = sum(trial.state is TrialState.RUNNING for trial in store.study(study).trials)
    store.stop(study, None if undo else reason)
    say(f"{study}: goes on" if undo else f"{study}: no further trial begins; {running} run to their end")


def delete(
    study: StudyArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: HomeOption = None,
) -> None:
    """Delete a study for good: its trials, journals and artifacts. What trackers were sent stays there."""
    workspace = opened(home)
    record = workspace.store.study(study)
    pending = {row.tracker: row.pending for row in tracker_status(workspace.home, record) if row.pending}
    undelivered = "".join(f", {count} of them not delivered to {tracker}" for tracker, count in pending.items())
    if not yes:
        typer.confirm(f"delete {study} with its {len(record.trials)} trials{undelivered}?", abort=True, err=True)
    say(f"{study}: {len(workspace.delete(study))} trials deleted")


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
