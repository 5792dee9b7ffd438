"""The suite that every suggester passes: whatever a study's history, what it suggests can be tried.

An author inherits it, says how to make the suggester, and pytest does the rest::

    class TestGP(SuggesterContract):
        def make(self):
            return GP()

It needs hypothesis, which looks for the history that breaks a suggester, and pytest.
"""

from __future__ import annotations

import copy
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperhook.manager import Manager
from hyperhook.objective import Maximize, Minimize
from hyperhook.parameters import Choice, Float, Int, Parameter, Params, Scalar
from hyperhook.records import StudyRecord, TrialRecord, TrialState
from hyperhook.space import Space
from hyperhook.study import Study

__all__ = ["SuggesterContract"]

_EXAMPLES = 25
_each_history = settings(
    max_examples=_EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],  # the suite is inherited
)
_FLAT = Space({"x": Float(-5.0, 5.0), "y": Float(1e-4, 1.0, log=True)})
_FINITE = Space({"n": Int(1, 3), "c": Choice({"a": {"k": Int(0, 1)}, "b": {}})})
_ENDS = (TrialState.COMPLETE,) * 6 + (TrialState.FAILED, TrialState.KILLED, TrialState.PRUNED, TrialState.RUNNING)

_PARAMETERS: tuple[Callable[[str], Parameter], ...] = (
    lambda name: Float(-5.0, 5.0),
    lambda name: Float(1e-6, 10.0, log=True),
    lambda name: Float(0.0, 1.0, step=0.25),
    lambda name: Float(2.0, 2.0),
    lambda name: Int(1, 9, step=2),
    lambda name: Int(1, 1000, log=True),
    lambda name: Choice(["a", None, 3, 2.5, True]),
    lambda name: Choice({"sgd": {f"{name}.momentum": Float(0.0, 1.0)}, "adam": {f"{name}.k": Int(1, 3)}, "none": {}}),
)
_VALUES: tuple[Callable[[random.Random], float], ...] = (
    lambda rng: rng.gauss(0.0, 1.0),
    lambda rng: 1.0,  # constant
    lambda rng: rng.choice([math.nan, math.inf, -math.inf, 1.0, 2.0]),
    lambda rng: rng.choice([1e300, -1e300, 1e-300, 0.0]),
    lambda rng: 10.0 ** rng.uniform(-200, 200),
)


class SuggesterContract(ABC):
    """What must hold for every suggester. See the module for an example."""

    repeats_in_a_finite_space: ClassVar[bool] = False
    """Whether it may suggest the same again although something is left: True says that it does not promise that."""

    @abstractmethod
    def make(self) -> object:
        """Return the suggester, made anew, without a seed of its own."""

    def suggest(self, study: StudyRecord, count: int = 1) -> Sequence[Params]:
        """Ask a new suggester; check that the answer is one, and that the question is still what it was."""
        before = copy.deepcopy(study)
        answer = Manager([self.make()]).decide.suggest(study=study, count=count)
        assert answer is not None, "the suggester passed the question on"
        assert len(answer) == count, f"{count} sets of params were asked for, {len(answer)} came"
        for params in answer:
            study.space.validate(params)
            for name, value in params.items():
                kind = {Float: float, Int: int}.get(type(study.space[name]))
                assert kind in (None, type(value)), f"{name!r} is {value!r}, a {type(value).__name__}"
        assert study == before, "the study's record was changed"
        return answer

    @staticmethod
    def history(number: int) -> StudyRecord:
        """Return a study with a space and a history, drawn by a number: ask for more of them where 25 are too few."""
        rng = random.Random(number)
        space = Space({f"p{i}": rng.choice(_PARAMETERS)(f"p{i}") for i in range(rng.randint(1, 5))})
        value = rng.choice(_VALUES)
        ends = (TrialState.FAILED,) if rng.random() < 0.1 else _ENDS
        study = StudyRecord("s", space, rng.choice([Minimize, Maximize])("m"), number)
        params: dict[str, Scalar] = {}
        for _ in range(rng.choice([0, 1, 2, 3, 8, 20])):
            if not params or rng.random() < 0.7:  # else the same again
                params = space.sample(rng)
            state = rng.choice(ends)
            told = state in (TrialState.COMPLETE, TrialState.PRUNED)
            study = _with(study, params, state, value(rng) if told else None)
        return study

    @_each_history
    @given(st.integers(0, 10**6), st.sampled_from([1, 1, 3]))
    def test_any_history_gives_valid_params(self, number: int, count: int) -> None:
        """Duplicates, constants, NaN, infinities, huge values, one trial, none that ended well: all have a next."""
        self.suggest(self.history(number), count)

    @_each_history
    @given(st.integers(0, 10**6))
    def test_the_same_seed_and_history_give_the_same_params(self, number: int) -> None:
        """With another suggester of the same kind, too: what it knows is in the history."""
        study = self.history(number)
        assert self.suggest(study) == self.suggest(study)

    def test_another_seed_gives_other_params(self) -> None:
        """Two seeds, the same empty history."""
        assert self.suggest(StudyRecord("s", _FLAT, seed=1)) != self.suggest(StudyRecord("s", _FLAT, seed=2))

    def test_nobody_elses_randomness_is_touched(self) -> None:
        """The global generator stands where it stood."""
        random.seed(0)
        before = random.getstate()
        self.suggest(_searched(6))
        assert random.getstate() == before, "the global random state moved"
        random.seed(1)
        assert self.suggest(_searched(6)) == self.suggest(_searched(6)), "the global random state is used"

    def test_maximising_is_minimising_the_negative(self) -> None:
        """The same trials with their signs turned are the same search."""
        study = _searched(8)
        turned = tuple(
            TrialRecord(trial.id, trial.number, trial.study, trial.params, trial.state, -(trial.value or 0.0))
            for trial in study.trials
        )
        maximising = StudyRecord(study.name, study.space, Maximize("m"), study.seed, turned)
        assert self.suggest(study) == self.suggest(maximising)

    def test_sixteen_that_run_at_once_are_sixteen_different_ones(self) -> None:
        """Asked for one by one while all the others run, and together."""
        study = _searched(6)
        for _ in range(16):
            (params,) = self.suggest(study)
            study = _with(study, params, TrialState.RUNNING, None)
        one_by_one = [trial.params for trial in study.trials[6:]]
        for answer in (one_by_one, self.suggest(_searched(6), 16)):
            assert len({tuple(sorted(params.items())) for params in answer}) == 16

    def test_a_finite_space_is_used_up_before_anything_comes_again(self) -> None:
        """After that, something comes all the same."""
        study = StudyRecord("s", _FINITE, Minimize("m"), 0)
        for index in range((_FINITE.cardinality or 0) + 2):
            (params,) = self.suggest(study)
            study = _with(study, params, TrialState.COMPLETE, float(index % 4))
        tried = [tuple(sorted(trial.params.items())) for trial in study.trials[: _FINITE.cardinality]]
        assert self.repeats_in_a_finite_space or len(set(tried)) == len(tried)

    def test_a_study_that_is_opened_again_goes_on_as_if_it_had_not_been_closed(self, tmp_path: Path) -> None:
        """The same params come, whether the process ended in between or not."""

        def run(home: str, parts: Sequence[int]) -> list[Params]:
            tried: list[Params] = []
            for trials in parts:
                with Study("s", _FLAT, Minimize("m"), plugins=[self.make()], seed=3, home=tmp_path / home) as study:
                    for _ in range(trials):
                        trial = study.ask()
                        tried.append(trial.params)
                        study.tell(trial, _bowl(trial.params))
            return tried

        assert run("whole", [9]) == run("parts", [4, 5])


def _bowl(params: Params) -> float:
    return float(params["x"] or 0.0) ** 2 + float(params["y"] or 0.0)


def _searched(trials: int) -> StudyRecord:
    """Return a study of some trials that ended well."""
    study, rng = StudyRecord("s", _FLAT, Minimize("m"), 5), random.Random(11)
    for _ in range(trials):
        params = _FLAT.sample(rng)
        study = _with(study, params, TrialState.COMPLETE, _bowl(params))
    return study


def _with(study: StudyRecord, params: Params, state: TrialState, value: float | None) -> StudyRecord:
    number = len(study.trials)
    trial = TrialRecord(str(number), number, study.name, params, state, value)
    return StudyRecord(study.name, study.space, study.objective, study.seed, (*study.trials, trial))
