"""The commands that run programs: sweep, agent, run, and suggest-ahead beside them."""

from __future__ import annotations

import io
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from hyperhook.address import Address
from hyperhook.agent import Agent
from hyperhook.ahead import LEASE_SECONDS, Ahead
from hyperhook.attempt import how_it_ended
from hyperhook.cli.console import HomeOption, StudyArgument, opened, say
from hyperhook.errors import ObjectiveError, PluginError, StudyError, SweepError
from hyperhook.following import Following
from hyperhook.foreground import run_here, words_of
from hyperhook.handover import environment
from hyperhook.home import Home
from hyperhook.interrupt import Interrupt
from hyperhook.manager import Manager, load_plugin, load_tracker
from hyperhook.program import Guard, Line
from hyperhook.records import StudyRecord, TrialState
from hyperhook.study import Study
from hyperhook.sweep.order import Order
from hyperhook.sweep.record import Addon, Sweep
from hyperhook.trial import Trial
from hyperhook.workspace import Workspace

__all__ = ["agent", "run", "suggest_ahead", "sweep"]

_STORAGE = "HYPERHOOK_STORAGE"

StorageOption = Annotated[
    str | None, typer.Option("--storage", help=f"URL of the database that agents share; by default {_STORAGE}.")
]
GraceOption = Annotated[
    float, typer.Option("--grace-seconds", min=0.0, help="How long a program may take for each step of its end.")
]


def sweep(
    file: Annotated[Path, typer.Argument(help="The sweep file, as Weights & Biases has them; see docs/sweeps.md.")],
    name: Annotated[str | None, typer.Option("--name", help="The study's name; by default the file's.")] = None,
    storage: StorageOption = None,
    home: HomeOption = None,
) -> None:
    """Make the study of a sweep file, or go on with it; the program runs in the current directory."""
    order = Order(str(file), _text(file), os.getcwd())
    found = order.sweep()
    study = name or found.name or file.stem
    _share(storage or found.storage)
    workspace = Workspace(Home(home))
    order.check(workspace.store, study)
    Following(found.metrics_from).close()
    with _study(study, found, workspace.home.path) as made:
        order.keep(workspace.store, study)
        goal = f"{made.objective.direction} {made.objective.metric}" if made.objective else "no metric"
        plugins = ", ".join(addon.name for addon in found.plugins)
        say(f"study {study}: {len(made.space)} parameters, {goal}, by {plugins}; {len(made.trials)} trials so far")
    for key in found.ignored:
        say(f"{key} is ignored")
    if found.program is not None and not Path(found.program).exists():
        say(f"there is no {found.program!r} in {order.directory!r}, where agents start it")
    say("start agents, as many as you like:")
    say("  " + shlex.join(["hyperhook", "agent", study, *_where(storage or found.storage, home, workspace)]))


def agent(
    study: StudyArgument,
    count: Annotated[int | None, typer.Option("--count", min=1, help="Run so many trials at the most.")] = None,
    directory: Annotated[
        Path | None, typer.Option("--directory", help="Where the program runs; by default where sweep was called.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not show what the program writes.")] = False,
    max_failures: Annotated[
        int, typer.Option("--max-failures", min=1, help="Give up behind so many failures in a row.")
    ] = 5,
    grace_seconds: GraceOption = 60.0,
    storage: StorageOption = None,
    home: HomeOption = None,
) -> None:
    """Take trials of a sweep's study, and run its program for each, until the study is done."""
    _share(storage)
    workspace = opened(home)
    order = Order.of(workspace.store, study)
    found = order.sweep()
    folder = (directory or Path(order.directory)).absolute()
    try:
        os.chdir(folder)  # what trackers and the program name is relative to one place
    except OSError as error:
        raise StudyError(
            f"agent: the program runs in {str(folder)!r}, which cannot be entered ({error.strerror}); "
            "name the folder by --directory"
        ) from None
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a program may write what the terminal cannot show
    with Interrupt() as interrupt:
        made = _study(study, found, workspace.home.path, max_consecutive_failures=max_failures)
        try:
            worker = Agent(
                made,
                found,
                workspace,
                folder,
                grace_seconds=grace_seconds,
                say=say,
                show=_hide if quiet else _show,
            )
            worker.run(interrupt, count)
        finally:
            interrupt.release()  # what waits for trackers can be cut short
            made.close()
    if interrupt.signal is not None:
        raise typer.Exit(128 + interrupt.signal)


def run(
    script: Annotated[str, typer.Argument(help="A Python file, or a program.")],
    arguments: Annotated[list[str] | None, typer.Argument(help="Its arguments.")] = None,
    study: Annotated[str, typer.Option("--study", help="The study that it becomes a trial of.")] = "runs",
    tracker: Annotated[list[str] | None, typer.Option("--tracker", help="Mirror it there; may be repeated.")] = None,
    grace_seconds: GraceOption = 60.0,
    storage: StorageOption = None,
    home: HomeOption = None,
) -> None:
    """Run a script as one trial, tracked: a Lightning script without a changed line, others by hh.current_trial()."""
    _share(storage)
    with Study(study, trackers=tracker or [], home=home) as made:
        if made.space:
            raise StudyError(
                f"run: study {study!r} searches; its trials are run by: hyperhook agent {shlex.quote(study)}"
            )
        trial = made.ask()
        guard = Guard(grace_seconds)
        with Interrupt() as interrupt:
            try:
                words = words_of(script, arguments or [])
                code = run_here(words, environment(Home(home), trial.record), interrupt, guard)
            except BaseException as error:
                made.tell(trial, state=TrialState.KILLED, error=str(error) or type(error).__name__)
                raise
            finally:
                guard.close()
        _end(made, trial, code, interrupt)
    if code:
        raise typer.Exit(code if code > 0 else 128 - code)


def suggest_ahead(
    study: StudyArgument,
    depth: Annotated[int, typer.Option("--depth", min=1, help="How many suggestions wait for workers.")] = 32,
    plugin: Annotated[
        list[str] | None,
        typer.Option("--plugin", help="What suggests; by default what the sweep file says, else gp. May be repeated."),
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="Where gp computes: cpu, cuda, cuda:1, auto.")] = None,
    trials: Annotated[
        int | None,
        typer.Option("--trials", min=1, help="The study's budget; by default the sweep file's, else there is no end."),
    ] = None,
    lease_seconds: Annotated[
        float, typer.Option("--lease-seconds", help="Workers ask for themselves when this is silent for so long.")
    ] = LEASE_SECONDS,
    storage: StorageOption = None,
    home: HomeOption = None,
) -> None:
    """Keep suggestions waiting for the study's workers, so that one process, on a GPU, thinks for all."""
    _share(storage)
    store = opened(home).store
    order = Order.find(store, study)
    found = None if order is None else order.sweep()
    addons = found.plugins if found is not None and not plugin else [Addon(name, {}) for name in plugin or ["gp"]]
    names = ", ".join(addon.name for addon in addons)
    if device is not None and all(addon.name != "gp" for addon in addons):
        raise PluginError(f"--device is for gp, and the plugins are: {names}; leave it out")
    where = {} if device is None else {"gp": {"device": device}}
    manager = Manager([load_plugin(each.name, {**each.options, **where.get(each.name, {})}) for each in addons])
    if not manager.decides("suggest"):
        raise PluginError(f"none of the plugins suggests anything: {names}; name one that does by --plugin, such as gp")
    budget = trials if trials is not None or found is None else found.run_cap
    server = Ahead(
        store, study, manager, depth=depth, budget=budget, is_enough=_is_enough(found), lease_seconds=lease_seconds
    )
    with Interrupt() as interrupt:
        say(f"study {study}: up to {depth} suggestions wait for its workers, by {names}; Ctrl-C ends this")
        try:
            reason = server.run(lambda: interrupt.signal is not None)
        finally:
            say(f"study {study}: {server.made} suggested in {server.thinking_seconds:.1f} s, {server.replaced} of them "
                f"replaced by newer ones, {server.withdrawn} withdrawn")  # fmt: skip
    if reason is not None:
        say(f"study {study}: {reason}")
    if interrupt.signal is not None:
        raise typer.Exit(128 + interrupt.signal)


def _is_enough(sweep: Sweep | None) -> Callable[[StudyRecord], str | None]:
    """Return what says that a trial has reached the target of a sweep."""

    def reached(study: StudyRecord) -> str | None:
        trial = None if sweep is None or sweep.target is None else sweep.reached(study)
        return None if trial is None else f"{trial.name} reached the target: {trial.value:g}"

    return reached


def _end(study: Study, trial: Trial, code: int, interrupt: Interrupt) -> None:
    """Tell how the one trial of `run` ended."""
    if interrupt.signal is not None:
        record = study.tell(trial, state=TrialState.KILLED, error=f"stopped by {interrupt.signal.name}")
    else:
        ending = how_it_ended(code)
        try:
            record = study.tell(trial, state=ending.state, error=ending.error)
        except ObjectiveError as error:
            record = study.tell(trial, state=TrialState.FAILED, error=str(error))
    say(f"{record.name} {record.state.lower()}" + (f": {record.error}" if record.error else ""))


def _study(name: str, sweep: Sweep, home: Path, **options: Any) -> Study:
    """Open a study with what its sweep file names."""
    return Study(
        name,
        sweep.space,
        sweep.objective,
        plugins=[load_plugin(addon.name, addon.options) for addon in sweep.plugins],
        trackers=[load_tracker(addon.name, addon.options)[1] for addon in sweep.trackers],
        home=home,
        max_retries=sweep.max_retries,
        **options,
    )


def _share(storage: str | None) -> None:
    """Let this process, and every program that it starts, find the database, whichever directory they are in."""
    chosen = storage or os.environ.get(_STORAGE)
    if chosen:
        os.environ[_STORAGE] = Address(chosen).secret


def _where(storage: str | None, home: Path | None, workspace: Workspace) -> list[str]:
    """Return the options by which another process finds a study; a password is not among them."""
    place = [] if home is None and "HYPERHOOK_HOME" in os.environ else ["--home", str(workspace.home.path)]
    return place if storage is None else ["--storage", Address(storage).bare, *place]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise SweepError(f"{file}: it cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SweepError(f"{file}: it is no text in UTF-8") from None


def _show(trial: str, line: Line) -> None:
    print(f"{trial} | {line.text}", file=sys.stderr if line.is_error else sys.stdout, flush=True)


def _hide(trial: str, line: Line) -> None:
    """Show nothing: the line is in the trial's folder."""
