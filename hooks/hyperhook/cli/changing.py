"""The commands that change a study: enqueue."""

from __future__ import annotations

import random
import secrets
from typing import Annotated

import typer

from hyperhook.cli.console import HomeOption, StudyArgument, opened, say
from hyperhook.errors import StudyError
from hyperhook.given import completed, given
from hyperhook.parameters import Choice, Int, Scalar
from hyperhook.progress import format_params
from hyperhook.records import TrialState
from hyperhook.space import Space

__all__ = ["enqueue"]


def enqueue(
    study: StudyArgument,
    params: Annotated[list[str], typer.Argument(help="Params as NAME=VALUE; what is left out is drawn at random.")],
    repeat: Annotated[bool, typer.Option("--repeat", help="Also where a trial has these values already.")] = False,
    home: HomeOption = None,
) -> None:
    """Queue a trial with these params: the study's workers run it before what the suggester chooses."""
    store = opened(home).store
    record = store.study(study)
    wanted = given(record.space, dict(_param(record.space, each) for each in params))
    whole = completed(record.space, wanted, {}, random.Random())
    trial = store.enqueue(study, secrets.token_hex(8), whole, None if repeat else wanted)
    outcome = "is queued" if trial.state is TrialState.QUEUED else f"has these values, and is {trial.state}"
    say(f"{trial.name} {outcome}: {format_params(trial)}")


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
