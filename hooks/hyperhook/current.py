"""The trial that is being run here: in this process, or by an agent that started it."""

from __future__ import annotations

import os

from hyperhook.home import TRIAL_VARIABLE
from hyperhook.trial import Trial
from hyperhook.trial import current_trial as running_trial

__all__ = ["current_trial"]


def current_trial() -> Trial | None:
    """Return the trial that is being run here, if any.

    That is one inside ``Study.run`` and ``with study.trial()``; else, in a program that ``hyperhook agent`` or
    ``hyperhook run`` started, the trial that it was started for. There what is logged goes to the trial at once,
    `Trial.should_stop` asks the study's pruners, and whoever started the program ends the trial when it is done. Of
    several processes of a distributed training only the one of rank 0 logs.

    Raises:
        TrialStateError: The program was started for a trial that is not there, or has ended.

    Example:
        >>> trial = hh.current_trial()  # doctest: +SKIP
        >>> lr = trial.params["lr"] if trial else 1e-3  # doctest: +SKIP
    """
    trial = running_trial()
    if trial is None and os.environ.get(TRIAL_VARIABLE):
        from hyperhook.handover import attached_trial

        return attached_trial(os.environ[TRIAL_VARIABLE])
    return trial
