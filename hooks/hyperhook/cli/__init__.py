"""The ``hyperhook`` command."""

from __future__ import annotations

import typer
from rich.console import Console

from hyperhook.cli.changing import delete, enqueue, stop
from hyperhook.cli.delivering import export, sync
from hyperhook.cli.looking import best, plugins, show, status, studies
from hyperhook.cli.working import agent, run, suggest_ahead, sweep
from hyperhook.errors import HyperhookError

__all__ = ["app", "main"]

app = typer.Typer(no_args_is_help=True, help="One callback, every tracker, any search: look at what was recorded.")

for command in (plugins, studies, show, best, status, sync, export, enqueue, stop, delete):
    app.command()(command)
app.command()(sweep)
app.command()(agent)
app.command()(suggest_ahead)
app.command(context_settings={"allow_interspersed_args": False})(run)


def main() -> None:
    """Run the command; what goes wrong is one line."""
    try:
        app(prog_name="hyperhook")
    except HyperhookError as error:
        Console(stderr=True, highlight=False).print(f"hyperhook: {error}", markup=False, soft_wrap=True)
        raise SystemExit(2) from None
