"""Optuna's samplers as suggesters: the contract, what they get to see, how a study goes on."""

from __future__ import annotations

import doctest
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

import hyperhook as hh
import hyperhook_adapters.optuna.suggester
from hyperhook.records import StudyRecord, TrialRecord, TrialState
from hyperhook.testing import SuggesterContract
from hyperhook.testing.histories import finished
from hyperhook.testing.spaces import LINE, MIXED
from hyperhook_adapters.optuna import OptunaSuggester


class TestTPE(SuggesterContract):
    exhaustive = False

    def make(self) -> OptunaSuggester:
        return OptunaSuggester("tpe", n_startup_trials=4)


class TestCmaEs(SuggesterContract):
    exhaustive = False

    def make(self) -> OptunaSuggester:
        return OptunaSuggester("cmaes", popsize=4)


class TestNSGAII(SuggesterContract):
    exhaustive = False

    def make(self) -> OptunaSuggester:
        return OptunaSuggester("nsgaii", population_size=4)


class TestRandom(SuggesterContract):
    exhaustive = False

    def make(self) -> OptunaSuggester:
        return OptunaSuggester("random")


class Watcher(BaseSampler):
    """Draws at random, and keeps what the study looked like."""

    def __init__(self) -> None:
        self.seen: list[list[FrozenTrial]] = []
        self._draws = RandomSampler(0)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        self.seen.append([t for t in study.get_trials() if t.number < trial.number])
        return {}

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: Any) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._draws.sample_independent(study, trial, param_name, param_distribution)


def study_of(
    trials: Sequence[TrialRecord] = (), space: hh.Space = LINE, seed: int | None = 0, **goals: Any
) -> StudyRecord:
    return StudyRecord("s", space, seed=seed, trials=tuple(trials), **{"objective": hh.Maximize("m"), **goals})


def trial(number: int, state: TrialState, value: float | None = None, **facts: Any) -> TrialRecord:
    return TrialRecord(f"t{number}", number, "s", {"x": number / 10}, state, value, **facts)


def test_a_sampler_sees_every_trial_once_with_what_it_came_to() -> None:
    watcher = Watcher()
    suggester = OptunaSuggester(watcher)
    trials = [
        trial(0, TrialState.COMPLETE, 2.0),
        trial(1, TrialState.PRUNED, 4.0, step=3),
        trial(2, TrialState.FAILED),
        trial(3, TrialState.RUNNING),
        trial(4, TrialState.KILLED),
        trial(5, TrialState.QUEUED),
        trial(6, TrialState.COMPLETE, float("nan")),
        trial(7, TrialState.PRUNED),
    ]
    suggester.suggest(study_of(trials), 1)
    expected = [
        ("COMPLETE", -2.0, {}),
        ("PRUNED", -4.0, {3: -4.0}),
        ("FAIL", None, {}),
        ("RUNNING", None, {}),
        ("FAIL", None, {}),
        ("RUNNING", None, {}),
        ("FAIL", None, {}),
        ("FAIL", None, {}),
    ]
    assert [(t.state.name, t.value, t.intermediate_values) for t in watcher.seen[-1]] == expected
    assert [t.params for t in watcher.seen[-1]] == [{"x": number / 10} for number in range(8)]

    trials[3] = trial(3, TrialState.COMPLETE, 7.0)
    suggester.suggest(study_of(trials), 1)
    expected[3] = ("COMPLETE", -7.0, {})
    assert [(t.state.name, t.value, t.intermediate_values) for t in watcher.seen[-1]] == expected


def test_what_was_suggested_is_known_again_when_it_was_begun() -> None:
    watcher = Watcher()
    suggester = OptunaSuggester(watcher)
    (params,) = suggester.suggest(study_of(), 1)
    begun = TrialRecord("t0", 0, "s", params)
    suggester.suggest(study_of([begun]), 1)
    assert [(t.state.name, t.params) for t in watcher.seen[-1]] == [("RUNNING", dict(params))]
    suggester.suggest(study_of([begun, trial(1, TrialState.RUNNING)]), 1)  # what was suggested last was begun by nobody
    assert [t.params for t in watcher.seen[-1]] == [dict(params), {"x": 0.1}]


def test_a_trial_that_runs_again_runs_there_too() -> None:
    watcher = Watcher()
    suggester = OptunaSuggester(watcher)
    for state in (TrialState.COMPLETE, TrialState.RUNNING):
        suggester.suggest(study_of([trial(0, state, 1.0 if state is TrialState.COMPLETE else None)]), 1)
    assert [t.state.name for t in watcher.seen[-1]] == ["RUNNING"]


def test_suggestions_of_one_call_stand_there_as_running() -> None:
    watcher = Watcher()
    OptunaSuggester(watcher).suggest(study_of(), 3)
    assert [[t.state.name for t in seen] for seen in watcher.seen] == [[], ["RUNNING"], ["RUNNING"] * 2]


def test_values_are_those_of_the_space() -> None:
    watcher = Watcher()
    OptunaSuggester(watcher).suggest(study_of(finished(MIXED, 30), MIXED), 1)
    for seen, known in zip(watcher.seen[-1], finished(MIXED, 30), strict=True):
        params = dict(known.params)
        params["drop"] = round(float(params["drop"] or 0) / 0.1)  # the number of its step
        params["fixed"] = 0
        assert seen.params == params


def test_constraints_reach_the_samplers_that_heed_them() -> None:
    constraint = hh.Constraint("ms", "<=", 20.0)
    trials = [
        TrialRecord(f"t{n}", n, "s", {"x": -1.0 + n / 10}, TrialState.COMPLETE, -n / 10, metrics={"ms": 30.0 - n})
        for n in range(21)
    ]  # the objective wants x = -1, the constraint x >= 0
    free = OptunaSuggester("tpe", n_startup_trials=5).suggest(study_of(trials), 12)
    bound = OptunaSuggester("tpe", n_startup_trials=5).suggest(study_of(trials, constraints=(constraint,)), 12)
    assert mean(free) < 0.0 < mean(bound)


def mean(many: Sequence[hh.Params]) -> float:
    return sum(float(params["x"] or 0) for params in many) / len(many)


@pytest.mark.parametrize("name", ["tpe", "nsgaii", "nsgaiii", "gp", "random", "qmc"])
def test_several_objectives(name: str) -> None:
    trials = [replace(t, metrics={"acc": t.number / 5}) for t in finished(LINE, 5)]
    study = study_of([*trials, trial(5, TrialState.PRUNED, 1.0)], further=(hh.Minimize("acc"),))
    (params,) = OptunaSuggester(name).suggest(study, 1)
    LINE.validate(params)


def test_cma_es_takes_one_objective() -> None:
    study = study_of(finished(LINE, 3), further=(hh.Minimize("acc"),))
    with pytest.raises(ValueError, match="multi-objective"):
        OptunaSuggester("cmaes").suggest(study, 1)


def test_a_sequence_goes_on_where_it_was() -> None:
    space = hh.Space({"x": hh.Float(0.0, 1.0), "y": hh.Float(0.0, 1.0)})
    done = [TrialRecord("t0", 0, "s", {"x": 0.5, "y": 0.5}, TrialState.COMPLETE, 0.0)]
    together = OptunaSuggester("qmc").suggest(study_of(done, space), 16)
    assert {(int(4 * float(p["x"] or 0)), int(4 * float(p["y"] or 0))) for p in together} == {
        (i, j) for i in range(4) for j in range(4)
    }
    later = [TrialRecord(f"t{n}", n, "s", p, TrialState.COMPLETE, 0.0) for n, p in enumerate(together, 1)]
    assert OptunaSuggester("qmc").suggest(study_of([*done, *later[:9]], space), 7) == together[9:]


@pytest.mark.parametrize("name", ["tpe", "cmaes", "gp"])
def test_it_finds_the_minimum_better_than_chance(name: str, tmp_path: Path) -> None:
    space = {"x": hh.Float(-5.0, 5.0), "y": hh.Float(-5.0, 5.0)}
    study = hh.Study("s", space, hh.Minimize("m"), plugins=[OptunaSuggester(name)], home=tmp_path, seed=0)
    with study:
        study.run(lambda t: (float(t.params["x"]) - 1) ** 2 + float(t.params["y"]) ** 2, trials=40, progress=False)
        assert study.best.value is not None
        assert study.best.value < 0.5  # random search has 1.0 in half of all cases


def test_an_instance_is_used_as_it_is() -> None:
    class Middle(RandomSampler):
        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> float:
            return 0.25

    assert OptunaSuggester(Middle()).suggest(study_of(), 2) == [{"x": 0.25}, {"x": 0.25}]


def test_optuna_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    try:
        OptunaSuggester("tpe").suggest(study_of(finished(MIXED, 20), MIXED), 2)
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
    finally:
        optuna.logging.set_verbosity(before)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: OptunaSuggester("tpee"), ValueError, "must be one of tpe, gp, cmaes, random, .*, got 'tpee'"),
        (lambda: OptunaSuggester("tpe", seed=1), ValueError, "the seed is the study's"),
        (lambda: OptunaSuggester("tpe", startup=1), TypeError, "startup"),
        (lambda: OptunaSuggester(TPESampler()), None, ""),
        (lambda: OptunaSuggester(TPESampler(), group=True), ValueError, "make the TPESampler with them"),
        (lambda: OptunaSuggester(TPESampler), TypeError, "expected a name or a sampler of Optuna's, got <class"),  # type: ignore[arg-type]
    ],
)
def test_what_it_is_made_with(make: Callable[[], object], error: type[Exception] | None, message: str) -> None:
    if error is None:
        make()
    else:
        with pytest.raises(error, match=message):
            make()


def test_it_travels() -> None:
    suggester = OptunaSuggester("cmaes")
    study = study_of(finished(LINE, 12))
    answer = suggester.suggest(study, 2)
    assert pickle.loads(pickle.dumps(suggester)).suggest(study, 2) == answer


def test_a_group_of_runs_has_nothing_to_suggest() -> None:
    empty: list[Mapping[str, object]] = [{}, {}]
    assert OptunaSuggester().suggest(study_of(space=hh.Space({})), 2) == empty


def test_the_examples_in_the_docstrings_are_right() -> None:
    assert doctest.testmod(hyperhook_adapters.optuna.suggester).failed == 0
