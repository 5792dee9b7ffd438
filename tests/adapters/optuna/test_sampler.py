"""The sampler: legal values, what a suggester gets to see of Optuna's trials, reproducible, better than random."""

from __future__ import annotations

import doctest
import logging
import math
import pickle
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial

import hyperhook as hh
import hyperhook_adapters.optuna.sampler
from hyperhook import Params, StudyRecord, TrialState
from hyperhook.errors import PluginError, SpaceError, UnknownPluginError
from hyperhook_adapters.optuna import HyperhookSampler
from hyperhook_plugins.gp import GP
from hyperhook_plugins.random_search import RandomSearch


class Recorder:
    """Answers with the middle of the space, or what it is given, and keeps what it was asked."""

    def __init__(self, answer: Callable[[StudyRecord], object] | None = None) -> None:
        self.asked: list[StudyRecord] = []
        self.answer = answer or (lambda study: [study.space.from_unit([0.5] * len(study.space))])

    @hh.hookimpl
    def suggest(self, study: StudyRecord, count: int) -> Any:
        assert count == 1
        self.asked.append(study)
        return self.answer(study)


X = {"x": FloatDistribution(0.0, 1.0)}


def study_of(suggester: str | object = "gp", *, direction: str = "minimize", seed: int | None = 0) -> optuna.Study:
    return optuna.create_study(direction=direction, sampler=HyperhookSampler(suggester, seed=seed))


def add(study: optuna.Study, params: dict[str, Any], space: dict[str, BaseDistribution] = X, **facts: Any) -> None:
    study.add_trial(optuna.create_trial(params=params, distributions=space, **facts))


def ask(study: optuna.Study) -> FrozenTrial:
    """Start a trial that has no parameters yet."""
    number = study.ask().number
    return study.trials[number]


def quadratic(trial: optuna.Trial) -> float:
    x, y = trial.suggest_float("x", -5.0, 5.0), trial.suggest_float("y", -5.0, 5.0)
    return (x - 1.3) ** 2 + (y + 2.1) ** 2


DISTRIBUTIONS: st.SearchStrategy[BaseDistribution] = st.one_of(
    st.builds(
        lambda low, width: FloatDistribution(low, low + width),
        st.floats(-1e6, 1e6),
        st.floats(0.001, 1e6),
    ),
    st.builds(lambda low, ratio: FloatDistribution(low, low * ratio, log=True), st.floats(1e-9, 1), st.floats(2, 1e6)),
    st.builds(
        lambda low, step, count: FloatDistribution(low / 10, (10 * low + step * count) / 100, step=step / 100),
        st.integers(-200, 200),
        st.integers(1, 500),
        st.integers(1, 40),
    ),
    st.builds(
        lambda low, count, step: IntDistribution(low, low + count * step, step=step),
        st.integers(-1000, 1000),
        st.integers(2, 200),
        st.integers(1, 5),
    ),
    st.builds(lambda low, width: IntDistribution(low, low + width, log=True), st.integers(1, 99), st.integers(1, 9999)),
    st.builds(CategoricalDistribution, st.lists(st.one_of(st.none(), st.text(max_size=3), st.integers()), min_size=2)),
)


@settings(max_examples=25)
@given(space=st.dictionaries(st.sampled_from("abcd"), DISTRIBUTIONS, min_size=1, max_size=3), seed=st.integers(0, 999))
def test_every_value_is_legal_and_every_trial_is_understood(space: dict[str, BaseDistribution], seed: int) -> None:
    recorder = Recorder(lambda study: RandomSearch().suggest(study, 1))
    study = study_of(recorder, seed=seed)
    for number in range(4):
        trial = study.ask(space)
        for name, distribution in space.items():
            assert distribution._contains(distribution.to_internal_repr(trial.params[name]))
        study.tell(trial, float(number))
    for record in recorder.asked:
        assert all(trial.state is TrialState.COMPLETE for trial in record.trials)
        assert all(trial.params for trial in record.trials)


@pytest.mark.parametrize("seed", range(2))
def test_the_gp_gives_legal_values_of_every_kind(seed: int) -> None:
    marker = object()

    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("rate", 1e-5, 1e-1, log=True)
        momentum = trial.suggest_float("momentum", 0.0, 0.95, step=0.05)
        width = trial.suggest_int("width", 8, 512, log=True)
        depth = trial.suggest_int("depth", 1, 9, step=2)
        option: Any = trial.suggest_categorical("option", [None, True, 2, 2.5, "two", marker])
        fixed = trial.suggest_categorical("fixed", ["only"])
        assert (type(rate), type(momentum), type(width), type(depth)) == (float, float, int, int)
        assert depth % 2 == 1
        assert fixed == "only"
        return math.log10(rate) ** 2 + momentum + width / 512 + depth + (option is not marker)

    study = study_of(GP(startup=3, device="cpu"), seed=seed)
    with pytest.warns(UserWarning, match="Choices for a categorical distribution should be"):
        study.optimize(objective, n_trials=8)
    assert len(study.trials) == 8


@pytest.mark.parametrize("seed", range(4))
def test_it_is_much_better_than_random(seed: int) -> None:
    ours = study_of(GP(device="cpu"), seed=seed)
    ours.optimize(quadratic, n_trials=20)
    theirs = optuna.create_study(sampler=RandomSampler(seed=seed))
    theirs.optimize(quadratic, n_trials=20)
    assert ours.best_value < 0.1 * theirs.best_value
    assert ours.best_value < 0.02


def test_it_maximises_where_the_study_does() -> None:
    study = study_of(GP(device="cpu"), direction="maximize")
    study.optimize(lambda trial: -quadratic(trial), n_trials=18)
    assert study.best_value > -0.05


def test_the_same_seed_and_trials_give_the_same_suggestion() -> None:
    def params(seed: int) -> list[dict[str, Any]]:
        study = study_of(GP(device="cpu"), seed=seed)
        study.optimize(quadratic, n_trials=7)
        return [trial.params for trial in study.trials]

    assert params(0) == params(0)
    assert params(0) != params(1)


def test_a_stored_study_goes_on_as_if_it_had_not_been_interrupted(tmp_path: Path) -> None:
    def objective(trial: optuna.Trial) -> float:
        if trial.suggest_categorical("bent", [True, False]):
            return trial.suggest_float("below", 0.0, 1.0)
        return trial.suggest_float("x", 0.0, 1.0)

    whole = study_of(GP(device="cpu"))
    whole.optimize(objective, n_trials=9)
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/optuna.db")
    try:
        for count in (2, 3, 4):
            part = optuna.create_study(
                study_name="s",
                storage=storage,
                load_if_exists=True,
                sampler=HyperhookSampler(GP(device="cpu"), seed=0),
            )
            part.optimize(objective, n_trials=count)
        assert [trial.params for trial in part.trials] == [trial.params for trial in whole.trials]
    finally:
        storage.engine.dispose()


def test_a_suggester_sees_every_trial_with_what_it_came_to() -> None:
    recorder = Recorder()
    study = study_of(recorder, direction="maximize", seed=7)
    add(study, {"x": 0.25}, value=2.0)
    add(study, {"x": 0.5}, state=optuna.trial.TrialState.PRUNED, intermediate_values={0: 9.0, 3: 4.0})
    add(study, {"x": 0.75}, state=optuna.trial.TrialState.FAIL)
    study.enqueue_trial({"x": 0.125})
    running = study.ask(X)
    assert running.params == {"x": 0.125}
    study.enqueue_trial({"x": 0.0625})  # waits, behind the next
    trial = study.ask()
    assert trial.suggest_float("x", 0.0, 1.0) == 0.0625  # but is taken first
    study.ask(X)

    record = recorder.asked[-1]
    assert (record.name, record.seed) == (study.study_name, 7)
    assert record.space == hh.Space({"x": hh.Float(0.0, 1.0)})
    assert record.objective == hh.Maximize("value", reduce="last")
    assert [(t.number, t.state, dict(t.params), t.value, t.step) for t in record.trials] == [
        (0, TrialState.COMPLETE, {"x": 0.25}, 2.0, None),
        (1, TrialState.PRUNED, {"x": 0.5}, 4.0, 3),
        (2, TrialState.FAILED, {"x": 0.75}, None, None),
        (3, TrialState.RUNNING, {"x": 0.125}, None, None),
        (4, TrialState.RUNNING, {"x": 0.0625}, None, None),
    ]
    assert len({t.id for t in record.trials}) == 5
    assert record.loss(record.trials[0]) == -2.0


def test_running_trials_stand_with_what_was_suggested_before_they_ask_for_it() -> None:
    recorder = Recorder()
    study = study_of(recorder)
    space = {"x": FloatDistribution(0.0, 1.0), "y": FloatDistribution(0.0, 1.0)}
    add(study, {"x": 0.0, "y": 0.0}, space, value=0.0)
    first, second = study.ask(), study.ask()
    first.suggest_float("x", 0.0, 1.0)  # y was chosen along with it
    second.suggest_float("x", 0.0, 1.0)
    assert [(t.state, dict(t.params)) for t in recorder.asked[-1].trials[1:]] == [
        (TrialState.RUNNING, {"x": 0.5, "y": 0.5})
    ]
    study.tell(first, state=optuna.trial.TrialState.FAIL)
    study.ask(space)
    assert [t.state for t in recorder.asked[-1].trials[1:]] == [TrialState.FAILED, TrialState.RUNNING]


@pytest.mark.parametrize("startup", [1, 9])
def test_trials_that_run_together_differ(startup: int) -> None:
    study = study_of(GP(startup=startup, device="cpu"))
    study.tell(study.ask(X), 0.0)
    trials = [study.ask() for _ in range(4)]
    values = [trial.suggest_float("x", 0.0, 1.0) for trial in reversed(trials)]
    assert min(abs(a - b) for i, a in enumerate(values) for b in values[:i]) > 0.01


def test_processes_with_one_seed_that_ask_at_once_start_differently() -> None:
    study = study_of("gp")
    study.tell(study.ask(X), 0.0)
    both = [ask(study), ask(study)]
    values = [HyperhookSampler("gp", seed=0).sample_relative(study, trial, dict(X))["x"] for trial in both]
    assert values[0] != values[1]


def test_threads_ask_one_after_the_other() -> None:
    inside = threading.Semaphore(1)

    def answer(study: StudyRecord) -> Sequence[Params]:
        assert inside.acquire(blocking=False)
        threading.Event().wait(0.005)
        inside.release()
        return [{"x": len(study.trials) / 100}]

    study = study_of(Recorder(answer))
    study.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=24, n_jobs=4)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 24


def test_what_lies_outside_of_the_present_range_tells_nothing() -> None:
    recorder = Recorder()
    study = study_of(recorder)
    add(study, {"x": 5.0}, {"x": FloatDistribution(0.0, 10.0)}, value=0.0)
    add(study, {"x": 0.5}, {"x": FloatDistribution(0.0, 10.0)}, value=1.0)
    add(study, {"x": "b"}, {"x": CategoricalDistribution(["a", "b"])}, value=2.0)
    add(study, {}, {}, value=3.0)
    frozen = ask(study)
    assert study.sampler.infer_relative_search_space(study, frozen) == {}
    study.sampler.sample_relative(study, frozen, dict(X))
    assert [(t.number, t.state, dict(t.params)) for t in recorder.asked[-1].trials] == [
        (0, TrialState.KILLED, {}),
        (1, TrialState.COMPLETE, {"x": 0.5}),
        (2, TrialState.KILLED, {}),
        (3, TrialState.KILLED, {}),
    ]


def test_a_removed_option_tells_nothing_and_the_others_keep_their_places() -> None:
    recorder = Recorder()
    study = study_of(recorder)
    for option in ("a", "b", "c"):
        add(study, {"x": option}, {"x": CategoricalDistribution(["a", "b", "c"])}, value=0.0)
    frozen = ask(study)
    chosen = study.sampler.sample_relative(study, frozen, {"x": CategoricalDistribution(["c", "a"])})
    assert chosen == {"x": "a"}
    assert [dict(t.params) for t in recorder.asked[-1].trials] == [{"x": 1}, {}, {"x": 0}]


def test_conditional_parameters_are_drawn_at_random_and_said_so_once(caplog: pytest.LogCaptureFixture) -> None:
    def objective(trial: optuna.Trial) -> float:
        if trial.suggest_categorical("kind", ["a", "b"]) == "a":
            return trial.suggest_float("a", 0.0, 1.0)
        return 1.0 + trial.suggest_int("b", 1, 9)

    study = study_of(GP(startup=3, device="cpu"))
    with caplog.at_level(logging.WARNING, "hyperhook"):
        study.optimize(objective, n_trials=14)
    assert {frozenset(trial.params) for trial in study.trials} == {frozenset({"kind", "a"}), frozenset({"kind", "b"})}
    drawn = [trial.params["a"] for trial in study.trials if "a" in trial.params]
    assert len(set(drawn)) == len(drawn) > 7
    assert len(caplog.messages) == len(set(caplog.messages))
    assert sum("optuna: parameter 'a' is drawn at random" in message for message in caplog.messages) == 1


def test_it_works_beside_a_pruner_that_splits_the_study() -> None:
    study = optuna.create_study(
        study_name="split",  # its name and a trial's number choose the bracket
        sampler=HyperhookSampler(GP(startup=2, device="cpu"), seed=0),
        pruner=optuna.pruners.HyperbandPruner(min_resource=1, max_resource=4, reduction_factor=2),
    )

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0.0, 1.0)
        for step in range(4):
            trial.report(x / (step + 1), step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return x

    study.optimize(objective, n_trials=16)
    states = {trial.state.name for trial in study.trials}
    assert states == {"COMPLETE", "PRUNED"}


def test_where_the_suggester_passes_parameters_are_drawn_at_random() -> None:
    study = study_of(Recorder(lambda study: None))
    study.optimize(quadratic, n_trials=4)
    assert len({trial.params["x"] for trial in study.trials}) == 4


@pytest.mark.parametrize(
    ("answer", "error"), [([], PluginError), ("x", PluginError), ([{"x": 2.0}], SpaceError), ([{}], SpaceError)]
)
def test_a_wrong_answer_is_an_error_that_says_so(answer: object, error: type[Exception]) -> None:
    study = study_of(Recorder(lambda study: answer))
    study.tell(study.ask(X), 0.0)
    with pytest.raises(error, match="suggest"):
        study.ask(X)


def test_what_is_no_suggester_is_refused() -> None:
    with pytest.raises(UnknownPluginError, match="did you mean 'random'"):
        HyperhookSampler("randm")
    with pytest.raises(PluginError, match="is a tracker"):
        HyperhookSampler("csv")
    with pytest.raises(PluginError, match="has no hook `suggest`"):
        HyperhookSampler("provenance")


def test_a_suggester_sees_several_objectives_each_in_its_direction() -> None:
    recorder = Recorder()
    study = optuna.create_study(
        directions=["minimize", "maximize", "minimize"], sampler=HyperhookSampler(recorder, seed=0)
    )
    add(study, {"x": 0.25}, values=[1.0, 2.0, 3.0])
    add(study, {"x": 0.5}, state=optuna.trial.TrialState.FAIL)
    add(study, {"x": 0.75}, state=optuna.trial.TrialState.PRUNED, intermediate_values={2: 9.0})
    study.ask(X)
    record = recorder.asked[-1]
    assert record.objectives == (
        hh.Minimize("value", reduce="last"),
        hh.Maximize("value1", reduce="last"),
        hh.Minimize("value2", reduce="last"),
    )
    assert [record.losses(trial) for trial in record.trials] == [(1.0, -2.0, 3.0), None, None]
    assert [trial.state for trial in record.trials] == [TrialState.COMPLETE, TrialState.FAILED, TrialState.PRUNED]
    assert record.trials[2].value == 9.0


def test_the_front_of_several_objectives_is_wider_than_that_of_random_search() -> None:
    def volume(sampler: optuna.samplers.BaseSampler) -> float:
        study = optuna.create_study(directions=["minimize", "maximize"], sampler=sampler)
        study.optimize(lambda trial: (quadratic(trial), -abs(trial.params["x"] + trial.params["y"])), n_trials=18)
        left, covered = 8.0, 0.0
        for trial in sorted(study.best_trials, key=lambda trial: -trial.values[0]):
            loss, gain = trial.values[0], 8.0 + trial.values[1]
            if loss < left and gain > 0:
                covered, left = covered + (left - loss) * gain, loss
        return covered

    assert volume(HyperhookSampler(GP(device="cpu"), seed=0)) > volume(RandomSampler(seed=0))


def test_a_sampler_travels_with_what_it_suggested_and_can_be_used_for_another_study() -> None:
    sampler = HyperhookSampler("gp", seed=3)
    first = optuna.create_study(sampler=sampler)
    first.optimize(quadratic, n_trials=3)
    again = pickle.loads(pickle.dumps(sampler))
    frozen = ask(first)
    space = sampler.infer_relative_search_space(first, frozen)
    assert again.sample_relative(first, frozen, space) == sampler.sample_relative(first, frozen, space)

    second = optuna.create_study(sampler=sampler)
    second.optimize(lambda trial: trial.suggest_int("n", 1, 5), n_trials=3)
    assert all(set(trial.params) == {"n"} for trial in second.trials)


def test_a_fresh_seed_gives_other_suggestions() -> None:
    study = study_of("gp")
    study.tell(study.ask(X), 0.0)
    frozen = ask(study)
    before = study.sampler.sample_relative(study, frozen, dict(X))
    study.sampler.reseed_rng()
    assert study.sampler.sample_relative(study, frozen, dict(X)) != before
    unseeded = [HyperhookSampler("gp").sample_relative(study, frozen, dict(X))["x"] for _ in range(2)]
    assert unseeded[0] != unseeded[1]


def test_an_unknown_kind_of_distribution_is_refused() -> None:
    class Odd(FloatDistribution):
        pass

    class Strange(BaseDistribution):
        def to_internal_repr(self, param_value_in_external_repr: Any) -> float:
            return float(param_value_in_external_repr)

        def single(self) -> bool:
            return False

        def _contains(self, param_value_in_internal_repr: float) -> bool:
            return True

    study = study_of("random")
    frozen = ask(study)
    assert 0.0 <= study.sampler.sample_relative(study, frozen, {"x": Odd(0.0, 1.0)})["x"] <= 1.0
    with pytest.raises(SpaceError, match="'x' has a Strange"):
        study.sampler.sample_relative(study, frozen, {"x": Strange()})


def test_the_example_in_the_docstring_is_right() -> None:
    failed, tried = doctest.testmod(hyperhook_adapters.optuna.sampler)
    assert (failed, tried > 0) == (0, True)
