"""The suite that every executor passes: studies are run by it, and what the store has then is held to what it promises.

An author inherits it, says how to make the executor, and pytest does the rest::

    class TestSlurm(ExecutorContract):
        def make(self):
            return Slurm(jobs=2)

Training functions are closures and return at once.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from hyperhook.choice import Choice
from hyperhook.errors import ObjectiveError, TooManyFailuresError
from hyperhook.hookspecs import hookimpl
from hyperhook.objective import Minimize
from hyperhook.parameters import Parameter, Params
from hyperhook.ranges import Float, Int
from hyperhook.records import StudyRecord, TrialState
from hyperhook.study import Study
from hyperhook.trial import Trial

__all__ = ["ExecutorContract"]


class ExecutorContract(ABC):
    """What every executor promises; the test methods are run by pytest."""

    @abstractmethod
    def make(self) -> object:
        """Return an executor; if it can, one that runs two trials at a time."""

    # What must hold

    def test_the_budget_is_met_exactly_and_counts_what_was_there(self, tmp_path: Path) -> None:
        """Trials of earlier runs are part of it, and a run of a study that has them all runs nothing."""
        with _study(tmp_path) as study:
            for budget, there in ((2, 2), (5, 5), (5, 5), (3, 5)):
                study.run(lambda trial: trial.params["x"], trials=budget, executor=self.make(), progress=False)
                assert [trial.number for trial in study.trials] == list(range(there))
            assert all(trial.state is TrialState.COMPLETE for trial in study.trials)
            assert all(trial.value == trial.params["x"] for trial in study.trials)

    def test_what_was_queued_runs_first_and_once(self, tmp_path: Path) -> None:
        """A trial that is queued is part of the budget."""
        with _study(tmp_path) as study:
            for x in (0.25, 0.5):
                study.enqueue({"x": x})
            study.run(lambda trial: 1.0, trials=3, executor=self.make(), progress=False)
            assert [trial.params["x"] for trial in study.trials][:2] == [0.25, 0.5]
            assert len(study.trials) == 3

    def test_it_ends_where_nothing_is_left_to_try(self, tmp_path: Path) -> None:
        """Each combination was tried once, however large the budget is."""
        space: dict[str, Parameter] = {"a": Int(1, 2), "b": Choice(["u", "v"])}
        with _study(tmp_path, space=space, plugins=[_Exhaustive()]) as study:
            study.run(lambda trial: trial.params["a"], trials=50, executor=self.make(), progress=False)
            tried = sorted((trial.params["a"], trial.params["b"]) for trial in study.trials)
            assert tried == [(1, "u"), (1, "v"), (2, "u"), (2, "v")]

    def test_pruners_are_asked_where_trials_run(self, tmp_path: Path) -> None:
        """A trial that a pruner stops ends as PRUNED."""

        def train(trial: Trial) -> None:
            for epoch in range(5):
                trial.log({"loss": 1.0}, epoch=epoch)
                if trial.should_stop:
                    return

        with _study(tmp_path, plugins=[_Strict()]) as study:
            study.run(train, trials=2, executor=self.make(), progress=False)
            assert [(trial.state, trial.epoch) for trial in study.trials] == [(TrialState.PRUNED, 0)] * 2

    def test_a_failing_trial_does_not_end_the_study(self, tmp_path: Path) -> None:
        """It counts, with its error."""

        def train(trial: Trial) -> float:
            if trial.number == 1:
                raise ValueError("this one")
            return 1.0

        with _study(tmp_path) as study:
            study.run(train, trials=4, executor=self.make(), progress=False)
            assert [trial.error for trial in study.trials] == [None, "ValueError: this one", None, None]
            assert study.trials[1].state is TrialState.FAILED

    def test_trial_after_trial_that_fails_ends_the_run(self, tmp_path: Path) -> None:
        """Behind as many as the study allows; those that run meanwhile may end, too."""

        def train(trial: Trial) -> float:
            raise RuntimeError("no data")

        with _study(tmp_path, max_consecutive_failures=3) as study:
            error = self._error_of(study, train, trials=30)
            assert isinstance(error, TooManyFailuresError), error
            assert re.search(r"trials in a row failed, the last with: RuntimeError: no data", str(error))
            assert 3 <= sum(trial.state is TrialState.FAILED for trial in study.trials) < 30
            assert all(trial.state.is_finished for trial in study.trials)

    def test_a_study_that_is_set_up_wrongly_ends_at_once_with_the_error_itself(self, tmp_path: Path) -> None:
        """The training logs another metric than the objective's."""

        def train(trial: Trial) -> None:
            trial.log({"lozz": 1.0})

        with _study(tmp_path) as study:
            error = self._error_of(study, train, trials=30)
            assert isinstance(error, ObjectiveError), error
            assert "'loss' was never logged" in str(error)
            assert len(study.trials) < 30

    def test_a_suggester_s_error_reaches_the_caller(self, tmp_path: Path) -> None:
        """With its own type, where that can be imported."""
        with _study(tmp_path, plugins=[_Broken()]) as study:
            error = self._error_of(study, lambda trial: 1.0, trials=5)
            assert isinstance(error, ZeroDivisionError), error
            assert study.trials == ()

    def _error_of(self, study: Study, train: Any, trials: int) -> Exception | None:
        try:
            study.run(train, trials=trials, executor=self.make(), progress=False)
        except Exception as error:
            return error
        return None


class _Exhaustive:
    """Suggests what was not tried, in order; these plugins are found by their names in any process."""

    @hookimpl
    def suggest(self, study: StudyRecord) -> list[Params]:
        tried = [dict(trial.params) for trial in study.trials if trial.state is not TrialState.KILLED]
        every: list[Params] = [{"a": a, "b": b} for a in (1, 2) for b in ("u", "v")]
        return [params for params in every if params not in tried][:1]


class _Strict:
    """Stops every trial at its first point."""

    @hookimpl
    def should_stop(self, study: StudyRecord) -> bool:
        return True


class _Broken:
    """A suggester with a mistake."""

    @hookimpl
    def suggest(self, study: StudyRecord) -> list[Params]:
        raise ZeroDivisionError("a suggester's mistake")


def _study(folder: Path, space: dict[str, Parameter] | None = None, **options: Any) -> Study:
    return Study("contract", space or {"x": Float(0.0, 1.0)}, Minimize("loss"), home=folder / "home", **options)
