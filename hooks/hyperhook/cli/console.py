"""What all commands share: the home that they open, and how they answer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from hyperhook.address import VARIABLE
from hyperhook.errors import StudyError
from hyperhook.home import Home
from hyperhook.records import StudyRecord
from hyperhook.workspace import Workspace

__all__ = ["HomeOption", "chosen", "opened", "say"]

HomeOption = Annotated[
    Path | None, typer.Option("--home", help="The home directory; by default HYPERHOOK_HOME, else ./.hyperhook.")
]


def opened(home: Path | None) -> Workspace:
    """Return the home of a command; one that is missing is not made."""
    found = Home(home)
    if not (found.database.exists() or found.exists() or os.environ.get(VARIABLE)):
        raise StudyError(f"there is no hyperhook home at {str(found.path)!r}; name one by --home or HYPERHOOK_HOME")
    return Workspace(found)


def chosen(workspace: Workspace, study: str | None) -> list[StudyRecord]:
    """Return the study of that name, or all of them."""
    names = workspace.store.study_names() if study is None else [study]
    return [workspace.store.study(name) for name in names]


def say(what: Table | str) -> None:
    """Print a table or a line: to a person in the terminal's width, to a program unbroken."""
    console = Console(highlight=False, markup=False, emoji=False)  # names and errors are what they are
    if not console.is_terminal:
        console.width = 1000  # never wrapped or cut where a program reads it
    console.print(what)
