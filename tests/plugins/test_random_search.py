"""Random search: valid, reproducible, even, and without repeats where params can repeat."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperhook import Choice, Float, Int, Params, Space, StudyRecord, TrialRecord, TrialState
from hyperhook.manager import Manager, load_plugin
from hyperhook_plugins.random_search import RandomSearch

SPACE = Space(
    {
        "lr": Float(1e-5, 1e-1, log=True),
        "layers": Int(1, 8),
        "optimizer": Choice({"sgd": {"momentum": Float(0.0, 0.9)}, "adam": {}}),
    }
)
FINITE = Space({"flag": Choice([True, False]), "net": Choice({"cnn": {"kernel": Int(1, 7, step=2)}, "mlp": {}})})


def study_of(
    space: Space, tried: list[Params], seed: int | None = 0, state: TrialState = TrialState.COMPLETE
) -> StudyRecord:
    trials = tuple(TrialRecord(f"t{i}", i, "s", params, state, value=0.0) for i, params in enumerate(tried))
    return StudyRecord("s", space, seed=seed, trials=trials)


def key(params: Params) -> frozenset[tuple[str, object]]:
    return frozenset(params.items())


def test_it_is_found_by_name_and_answers_the_hook() -> None:
    plugin = load_plugin("random")
    assert isinstance(plugin, RandomSearch)
    answers = Manager([plugin]).decide.suggest(study=study_of(SPACE, []), count=2)
    assert len(answers or ()) == 2


@given(seed=st.integers(), tried=st.integers(0, 40), count=st.integers(1, 9))
def test_every_answer_is_valid(seed: int, tried: int, count: int) -> None:
    rng = random.Random(seed)
    answers = RandomSearch().suggest(study_of(SPACE, [SPACE.sample(rng) for _ in range(tried)], seed), count)
    assert len(answers) == count
    for params in answers:
        SPACE.validate(params)


def test_the_same_study_gets_the_same_answer_and_a_longer_one_another() -> None:
    first = RandomSearch().suggest(study_of(SPACE, []), 3)
    assert first == RandomSearch().suggest(study_of(SPACE, []), 3)
    assert first != RandomSearch().suggest(study_of(SPACE, [first[0]]), 3)
    assert first != RandomSearch().suggest(study_of(SPACE, [], seed=1), 3)


def test_without_a_seed_each_answer_is_another() -> None:
    plugin = RandomSearch()
    assert plugin.suggest(study_of(SPACE, [], seed=None), 1) != plugin.suggest(study_of(SPACE, [], seed=None), 1)


@pytest.mark.parametrize("seed", range(5))
def test_a_finite_space_is_gone_through_without_repeats(seed: int) -> None:
    tried: list[Params] = []
    while len(tried) < (FINITE.cardinality or 0):
        tried += RandomSearch().suggest(study_of(FINITE, tried, seed), 1)
    assert len({key(params) for params in tried}) == FINITE.cardinality == 10
    (again,) = RandomSearch().suggest(study_of(FINITE, tried, seed), 1)
    FINITE.validate(again)


def test_one_call_does_not_repeat_itself() -> None:
    answers = RandomSearch().suggest(study_of(FINITE, []), 10)
    assert len({key(params) for params in answers}) == 10


def test_killed_trials_may_be_tried_again() -> None:
    space = Space({"n": Int(1, 2)})
    assert RandomSearch().suggest(study_of(space, [{"n": 1}]), 1) == [{"n": 2}]
    killed = [
        RandomSearch().suggest(study_of(space, [{"n": 1}], seed, TrialState.KILLED), 1)[0]["n"] for seed in range(20)
    ]
    assert set(killed) == {1, 2}


def test_draws_are_even_on_the_scale_of_the_parameter() -> None:
    answers = RandomSearch().suggest(study_of(SPACE, []), 2000)
    below = sum(float(params["lr"] or 0) < 1e-3 for params in answers)
    assert 900 < below < 1100


def test_the_last_unseen_params_are_found_however_rare() -> None:
    space = Space({"n": Int(1, 5000, log=True), "net": Choice(["a", "b"])})
    tried: list[Params] = [{"n": n, "net": net} for n in range(1, 5001) for net in "ab" if (n, net) != (4999, "b")]
    for seed in range(5):
        assert RandomSearch().suggest(study_of(space, tried, seed), 1) == [{"n": 4999, "net": "b"}]
