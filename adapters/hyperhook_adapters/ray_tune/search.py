"""Our suggesters as a search algorithm of Ray Tune.

::

    tuner = tune.Tuner(
        train,
        param_space={"lr": tune.loguniform(1e-4, 1e-1), "layers": tune.randint(1, 5)},
        tune_config=tune.TuneConfig(HyperhookSearch(), metric="loss", mode="min", num_samples=50),
    )
"""

from __future__ import annotations

import json
import logging
import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from hyperhook import Maximize, Minimize, Params, StudyRecord, TrialRecord, TrialState
from hyperhook.asking import suggested
from hyperhook.errors import PluginError, StudyError
from hyperhook.manager import Manager
from hyperhook_adapters.ray_tune.domains import TuneSpace

__all__ = ["HyperhookSearch"]

log = logging.getLogger("hyperhook")

_MODES = {"max": Maximize, "min": Minimize}


class HyperhookSearch(Searcher):  # type: ignore[misc]
    """A search algorithm for Ray Tune that asks one of hyperhook's suggesters.

    A trial counts with the last result that it reported, also where one of Tune's schedulers stopped it; one that
    ended by an error, or whose metric is not finite, has failed. Trials that run are passed on as running, so that
    suggesters which heed them spread out. How Tune's domains are read is said in `hyperhook_adapters.ray_tune.domains`.

    Args:
        space: Tune's domains or hyperhook's parameters; by default the ``param_space`` of the Tuner.
        metric: What to search for; by default that of the TuneConfig.
        mode: ``"max"`` or ``"min"``; by default that of the TuneConfig.
        plugins: Suggesters, names or instances; the last is asked first.
        seed: Seed of the search; without it every search differs.

    Raises:
        PluginError: None of the plugins suggests, or one cannot be used.
        SpaceError: The space holds what cannot be read.
        StudyError: The mode is neither ``"max"`` nor ``"min"``.

    Example:
        >>> search = HyperhookSearch({"x": tune.uniform(-1, 1)}, "y", "min", plugins=["random"])  # doctest: +SKIP
        >>> search.suggest("first")  # doctest: +SKIP
        {'x': 0.27...}
    """

    _metric: str | None
    _mode: str | None

    def __init__(
        self,
        space: Mapping[str, Any] | None = None,
        metric: str | None = None,
        mode: str | None = None,
        *,
        plugins: Sequence[str | object] = ("gp",),
        seed: int | None = None,
    ) -> None:
        if mode is not None and mode not in _MODES:
            raise StudyError(f"HyperhookSearch: mode must be 'max' or 'min', got {mode!r}")
        super().__init__(metric=metric, mode=mode)
        self._manager = Manager(plugins)
        if not self._manager.decides("suggest"):
            raise PluginError(
                f"HyperhookSearch: none of {plugins!r} has a hook `suggest`; name a suggester, such as 'gp'"
            )
        self._seed = random.SystemRandom().getrandbits(31) if seed is None else seed
        self._space = None if space is None else TuneSpace(space)
        self._trials: dict[str, TrialRecord] = {}

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Take over what the Tuner was given, where it was not given here; Tune calls it.

        Returns:
            Whether it was used: False where a space was given here and there.
        """
        asked = TuneSpace(config)
        if self._space is not None and asked.space:
            return False
        self._space = self._space or asked
        self._metric = metric or self._metric
        self._mode = mode or self._mode
        return True

    def suggest(self, trial_id: str) -> Any:
        """Return the configuration of a trial; ``Searcher.FINISHED`` where nothing is left to try.

        Raises:
            StudyError: There is no space, no metric or no mode.
        """
        if self._space is None or not self._space.space or self._mode is None or self._metric is None:
            raise StudyError(
                "HyperhookSearch: it lacks a space, a metric or a mode; write tune.Tuner(…, param_space=…, "
                "tune_config=tune.TuneConfig(metric=…, mode=…))"
            )
        params = suggested(self._record(), self._manager)
        if params is None:
            return self.FINISHED
        self._begin(trial_id, params)
        return self._space.config(params)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Take a result of a trial that goes on."""
        if trial_id in self._trials:
            self._trials[trial_id] = self._at(self._trials[trial_id], result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Take the end of a trial."""
        trial = self._trials.get(trial_id)
        if trial is None:
            return
        ended = self._at(trial, result or {})
        state = TrialState.COMPLETE
        if error or ended.value is None:
            state, ended = TrialState.FAILED, replace(ended, value=None, step=None)
        self._trials[trial_id] = replace(ended, state=state, finished_time=time.time())

    def save(self, checkpoint_path: str) -> None:
        """Write what is known to a file; Tune calls it."""
        rows = [
            {"id": key, "params": trial.params, "state": trial.state, "value": trial.value, "step": trial.step}
            for key, trial in self._trials.items()
        ]
        Path(checkpoint_path).write_text(json.dumps({"seed": self._seed, "trials": rows}))

    def restore(self, checkpoint_path: str) -> None:
        """Read what `save` wrote; Tune calls it."""
        known = json.loads(Path(checkpoint_path).read_text())
        self._seed = known["seed"]
        self._trials = {}
        for row in known["trials"]:
            self._begin(row["id"], row["params"])
            state = TrialState(row["state"])
            self._trials[row["id"]] = replace(
                self._trials[row["id"]], state=state, value=row["value"], step=row["step"]
            )

    def _begin(self, trial_id: str, params: Params) -> None:
        number = len(self._trials)
        self._trials[trial_id] = TrialRecord(
            trial_id, number, "tune", params, TrialState.RUNNING, started_time=time.time()
        )

    def _at(self, trial: TrialRecord, result: Mapping[str, Any]) -> TrialRecord:
        """Return a trial where a result puts it; one without the metric leaves it where it was."""
        value = result.get(self._metric or "")
        if value is None:
            return trial
        number, iteration = float(value), int(result.get("training_iteration", 1))
        return replace(trial, value=number if math.isfinite(number) else None, step=max(iteration - 1, 0))

    def _record(self) -> StudyRecord:
        """Return the study as suggesters see it: what runs has no value."""
        assert self._space is not None
        goal = _MODES[self._mode or "min"](self._metric or "", reduce="last")
        trials = tuple(
            trial if trial.state.is_finished else replace(trial, value=None, step=None)
            for trial in self._trials.values()
        )
        return StudyRecord("tune", self._space.space, goal, self._seed, trials)
