"""Ray Tune's trials as trials of a study, in its store and in all its trackers."""

from __future__ import annotations

import logging
import numbers
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, SupportsFloat

from ray.tune import Callback
from ray.tune.result import AUTO_RESULT_KEYS
from ray.tune.utils import flatten_dict

import hyperhook as hh
from hyperhook import Study, Trial, TrialState
from hyperhook.errors import ObjectiveError
from hyperhook.manager import load_trackers

__all__ = ["HyperhookTuneCallback"]

log = logging.getLogger("hyperhook")

_NOT_METRICS = {*AUTO_RESULT_KEYS, "done", "trial_id", "experiment_tag", "should_checkpoint", "checkpoint_dir_name"}


class HyperhookTuneCallback(Callback):  # type: ignore[misc]
    """Makes every trial of a Tuner a trial of a study: its configuration, its metrics, how it ended.

    The step of a metric is Tune's ``training_iteration``, counted from 0. A trial has the tag ``tune_trial``: Tune's
    own id of it. One that Tune starts again after a failure goes on, and what it repeats is passed over.

    Args:
        trackers: Names or instances of trackers, such as ``["mlflow", "tensorboard"]``.
        study: Name of the study.
        objective: What the Tuner searches for, so that the study has a best trial; see `Study`.
        plugins: Plugins that hear the events, in the process of the Tuner.
        home: Directory of the store and the journals; see `Study`.
        delivery: See `Study`.

    Raises:
        PluginError: A tracker cannot be used.

    Example:
        >>> run = tune.RunConfig(callbacks=[HyperhookTuneCallback(trackers=["mlflow"])])  # doctest: +SKIP
        >>> tune.Tuner(train, param_space=space, run_config=run).fit()  # doctest: +SKIP
    """

    def __init__(
        self,
        trackers: Sequence[str | hh.Tracker] = (),
        *,
        study: str = "tune",
        objective: hh.Objective | None = None,
        plugins: Sequence[str | object] = (),
        home: str | None = None,
        delivery: str = "forwarder",
    ) -> None:
        load_trackers(trackers)  # a mistake is told here, before anything begins
        where = {"home": home, "delivery": delivery}
        self._options: dict[str, Any] = {"objective": objective, "plugins": plugins, "trackers": trackers, **where}
        self._name = study
        self._study: Study | None = None
        self._running: dict[str, Trial] = {}

    def setup(self, *args: object, **info: object) -> None:
        """Open the study."""
        self._study = Study(self._name, **self._options)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: object) -> None:
        """Begin a trial, unless it is one that goes on."""
        if self._study is None or trial.trial_id in self._running:
            return
        begun = self._running[trial.trial_id] = self._study.ask()
        begun.log_params(trial.config)
        begun.log_tags({"tune_trial": str(trial.trial_id)})

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: Mapping[str, Any], **info: object
    ) -> None:
        """Log what a trial reported, numbers only."""
        running = self._running.get(trial.trial_id)
        step = max(int(result.get("training_iteration", 1)) - 1, 0)
        if running is None or (running.last_step is not None and step <= running.last_step):
            return
        running.log(_metrics(result), step=step)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: object) -> None:
        """End a trial that completed, or that a scheduler stopped."""
        self._end(trial, TrialState.COMPLETE, None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: object) -> None:
        """End a trial that failed for good."""
        lines: list[str] = []
        with suppress(OSError, TypeError):  # there may be no such file
            lines = Path(trial.error_file).read_text(errors="replace").strip().splitlines()
        self._end(trial, TrialState.FAILED, lines[-1] if lines else "it failed in Ray Tune")

    def on_experiment_end(self, trials: list[Any], **info: object) -> None:
        """End what was interrupted, and see to it that the trackers have everything."""
        if self._study is None:
            return
        for running in self._running.values():
            self._study.tell(running, state=TrialState.KILLED, error="the experiment ended")
        self._running.clear()
        self._study.close()
        self._study = None

    def _end(self, trial: Any, state: TrialState, error: str | None) -> None:
        running = self._running.pop(trial.trial_id, None)
        if running is None or self._study is None:
            return
        try:
            self._study.tell(running, state=state, error=error)
        except ObjectiveError as mistake:  # it reported nothing to search by
            self._study.tell(running, state=TrialState.FAILED, error=str(mistake))

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_study": None, "_running": {}}


def _metrics(result: Mapping[str, Any]) -> dict[str, SupportsFloat]:
    """Return the numbers of a result, those that Tune adds by itself left out."""
    flat = flatten_dict({name: value for name, value in result.items() if name not in _NOT_METRICS})
    return {
        str(name): float(value)
        for name, value in flat.items()
        if isinstance(value, numbers.Real) and not isinstance(value, bool)
    }
