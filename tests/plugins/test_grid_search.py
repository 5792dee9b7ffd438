"""Grid search: the product, each combination once, and then the end of the run."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Sequence
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook.errors import NothingLeftError, SpaceError
from hyperhook.records import StudyRecord, TrialRecord, TrialState
from hyperhook.untried import key_of
from hyperhook_plugins.grid_search import GridSearch

SPACE = hh.Space({"lr": hh.Float(0.01, 1.0, log=True), "net": hh.Choice({"cnn": {"kernel": hh.Int(1, 3)}, "mlp": {}})})
SIZE = 12  # 3 learning rates, a cnn with 3 kernels or an mlp


def study_of(tried: Sequence[hh.Params], state: TrialState = TrialState.COMPLETE, **facts: object) -> StudyRecord:
    trials = tuple(TrialRecord(f"t{i}", i, "s", params, state) for i, params in enumerate(tried))
    return StudyRecord("s", SPACE, trials=trials, **facts)  # type: ignore[arg-type]


def train(trial: hh.Trial) -> float:
    return float(trial.params["lr"] or 0)


def test_a_run_ends_with_the_grid_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with hh.Study("s", SPACE, hh.Minimize("m"), plugins=[GridSearch(points=3)], home=tmp_path) as study:
        with caplog.at_level(logging.WARNING, "hyperhook"):
            study.run(train, trials=1000, progress=False)
        assert [t.state for t in study.trials] == [TrialState.COMPLETE] * SIZE
        assert caplog.messages == ["study s: the suggester has nothing left to try after 12 trials; the run ends"]
        with pytest.raises(NothingLeftError, match="study s: the suggester has nothing left to try after 12 trials"):
            study.ask()
        study.run(train, trials=1000, progress=False)
        assert len(study.trials) == SIZE


def test_a_budget_below_its_size_is_kept_and_the_next_run_goes_on(tmp_path: Path) -> None:
    for budget, done in ((5, 5), (8, 8), (100, SIZE)):
        with hh.Study("s", SPACE, hh.Minimize("m"), plugins=[GridSearch(points=3)], home=tmp_path) as study:
            study.run(train, trials=budget, progress=False)
            assert len(study.trials) == done
    assert len({key_of(t.params) for t in study.trials}) == SIZE


@pytest.mark.parametrize("state", list(TrialState))
def test_only_what_was_killed_comes_again(state: TrialState) -> None:
    first, second = GridSearch(points=3).suggest(study_of([]), 2)
    assert GridSearch(points=3).suggest(study_of([first], state), 1) == [
        first if state is TrialState.KILLED else second
    ]


def test_what_is_not_on_the_grid_changes_nothing() -> None:
    elsewhere: hh.Params = {"lr": 0.5, "net": "mlp"}
    assert GridSearch(points=3).suggest(study_of([elsewhere]), 20) == GridSearch(points=3).suggest(study_of([]), 20)


def test_fewer_are_left_than_were_asked_for() -> None:
    grid = GridSearch(points=3)
    every = grid.suggest(study_of([]), 100)
    assert len(every) == SIZE
    assert grid.suggest(study_of(every[:-2]), 5) == every[-2:]
    assert grid.suggest(study_of(every), 5) == []


def test_a_grid_that_is_too_large_is_drawn_from_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    space = hh.Space({f"x{i}": hh.Float(0.0, 1.0) for i in range(40)})
    grid = GridSearch(points=10)
    with caplog.at_level(logging.WARNING, "hyperhook"):
        _, many = (grid.suggest(StudyRecord("s", space, seed=0), 50) for _ in range(2))
    assert caplog.messages == [
        "grid: study s has about 10^40 combinations, more than 10,000: they are drawn at random, none of them twice"
    ]
    assert len({key_of(params) for params in many}) == 50
    assert {round(float(value or 0) * 9, 9) % 1 for params in many for value in params.values()} == {0.0}


def test_what_is_drawn_is_whole_in_the_end() -> None:
    grid = GridSearch(points=3, largest=5)
    tried: list[hh.Params] = []
    while found := grid.suggest(study_of(tried, seed=3), 1):
        tried += found
    assert {key_of(p) for p in tried} == {key_of(p) for p in GridSearch(points=3).suggest(study_of([]), SIZE)}
    assert len(tried) == SIZE
    assert tried != GridSearch(points=3).suggest(study_of([]), SIZE)


def test_points_by_name() -> None:
    grid = GridSearch(points={"lr": 2, "kernel": 2})
    assert len(grid.suggest(study_of([]), 100)) == 6
    with pytest.raises(SpaceError, match="points are named for 'rate'"):
        GridSearch(points={"rate": 2}).suggest(study_of([]), 1)


@pytest.mark.parametrize("options", [{"points": 0}, {"points": {"lr": 0}}, {"points": True}, {"points": 1.5}])
def test_points_that_cannot_be(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="points must be an int from 1, or ints by names"):
        GridSearch(**options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="largest must be an int from 1, got 0"):
        GridSearch(largest=0)


def test_it_travels() -> None:
    grid = GridSearch(points=3)
    assert pickle.loads(pickle.dumps(grid)).suggest(study_of([]), 9) == grid.suggest(study_of([]), 9)
