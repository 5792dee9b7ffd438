"""A trial that another process runs: the process that began it hands it over by the environment.

The program attaches to the trial by its journal, to which both may append. Whoever began the trial ends it.
"""

from __future__ import annotations

import atexit
import os
from functools import cache, partial
from pathlib import Path

from hyperhook.channel import Channel
from hyperhook.errors import TrialStateError
from hyperhook.events import TrialResumed
from hyperhook.home import TRIAL_VARIABLE, Home
from hyperhook.journal import Journal, read
from hyperhook.manager import Manager, load_plugin
from hyperhook.ranks import Silence, rank
from hyperhook.records import TrialRecord
from hyperhook.sweep.order import Order
from hyperhook.trial import Trial
from hyperhook.workspace import Workspace

__all__ = ["attached_trial", "environment", "mark"]

_OWN = ("HYPERHOOK_LAUNCH",)
"""Variables that tell of the process that starts a program, and that the program must not take for its own."""


def environment(home: Home, trial: TrialRecord) -> dict[str, str]:
    """Return the environment of a program that runs a trial: this process's own, and what names the trial.

    Args:
        home: Where the trial lives.
        trial: The trial.
    """
    mine = {name: value for name, value in os.environ.items() if name not in _OWN}
    return {
        **mine,
        TRIAL_VARIABLE: trial.id,
        "HYPERHOOK_STUDY": trial.study,
        "HYPERHOOK_HOME": str(home.path),
        "PYTHONUNBUFFERED": "1",  # what a script prints is read at once
    }


def mark(home: Home, trial_id: str) -> Path:
    """The file that is there once a program has attached itself to its trial."""
    return home.trial(trial_id) / "attached"


@cache
def attached_trial(trial_id: str) -> Trial:
    """Return the trial that this program was started for: always the same handle.

    Raises:
        TrialStateError: It is not there, or has ended.
    """
    workspace = Workspace(Home())
    record = workspace.store.trial(trial_id)
    if record is None:
        raise TrialStateError(
            f"{TRIAL_VARIABLE} names the trial {trial_id!r}, which home {str(workspace.home.path)!r} lacks; "
            "unset it, or set HYPERHOOK_HOME to where the trial is"
        )
    if record.state.is_finished:
        raise TrialStateError(f"{TRIAL_VARIABLE} names trial {record.name!r}, which ended as {record.state}; unset it")
    study = workspace.store.open_study(record.study)
    if rank() > 0:
        return Trial(record, Silence(), objective=study.objective, emits=False)
    order = Order.find(workspace.store, record.study)
    plugins = order.sweep().plugins if order else ()
    manager = Manager([load_plugin(plugin.name, plugin.options) for plugin in plugins])
    mark(workspace.home, trial_id).touch()
    journal = Journal(workspace.journal_path(trial_id))
    report = None if study.further else partial(workspace.store.report, trial_id)
    trial = Trial(record, Channel(journal, manager, report), objective=study.objective, watched=study.watched)
    events = [event for event, _ in read(journal.path)]
    goes_on = any(isinstance(event, TrialResumed) for event in events)
    (trial.go_on if goes_on else trial.catch_up)(iter(events))
    atexit.register(trial.flush)
    return trial
