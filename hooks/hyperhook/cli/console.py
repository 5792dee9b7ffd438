"""What all commands share: the home that they open, and how they answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from hyperhook.cli.listing import Listing
from hyperhook.errors import HyperhookError, StudyError
from hyperhook.home import Home
from hyperhook.records import StudyRecord
from hyperhook.workspace import Workspace

__all__ = ["HomeOption", "JsonOption", "StudiesArgument", "StudyArgument", "answer", "chosen", "opened", "say"]

HomeOption = Annotated[
    Path | None, typer.Option("--home", help="The home directory; by default HYPERHOOK_HOME, else ./.hyperhook.")
]

JsonOption = Annotated[bool, typer.Option("--json", help="Answer as JSON, for programs.")]


def _names(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a study, for the shell."""
    try:
        names = opened(context.params.get("home")).store.study_names()
    except HyperhookError:
        return []
    return [name for name in names if name.startswith(incomplete)]


StudyArgument = Annotated[str, typer.Argument(help="Name of a study.", autocompletion=_names)]
StudiesArgument = Annotated[
    str | None, typer.Argument(help="Name of a study; all of them by default.", autocompletion=_names)
]


def opened(home: Path | None) -> Workspace:
    """Return the home of a command; one that is missing is not made."""
    found = Home(home)
    if not found.database.exists():
        raise StudyError(f"there is no hyperhook home at {str(found.path)!r}; name one by --home or HYPERHOOK_HOME")
    return Workspace(found)


def chosen(workspace: Workspace, study: str | None) -> list[StudyRecord]:
    """Return the study of that name, or all of them."""
    names = workspace.store.study_names() if study is None else [study]
    return [workspace.store.study(name) for name in names]


def answer(listing: Listing, *, as_json: bool) -> None:
    """Print a listing: as JSON for a program, or as a table for people."""
    if as_json:
        typer.echo(json.dumps(listing.facts))
        return
    table = Table(*listing.columns, box=None, pad_edge=False)
    for row in listing.rows:
        table.add_row(*(row.get(column, "-") for column in listing.columns))
    say(table)


def say(what: Table | str) -> None:
    """Print a table or a line: to a person in the terminal's width, to a program unbroken."""
    console = Console(highlight=False, markup=False, emoji=False)  # names and errors are what they are
    if not console.is_terminal:
        console.width = 1000  # never wrapped or cut where a program reads it
    console.print(what)
