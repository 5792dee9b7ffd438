"""Quasi-random search: even, on through the study, by the priors, one sequence for all workers."""

from __future__ import annotations

import pytest

import hyperhook as hh
from hyperhook.records import StudyRecord, TrialRecord
from hyperhook_plugins.quasi_random import QuasiRandom

SQUARE = hh.Space({"x": hh.Float(0.0, 1.0), "y": hh.Float(1.0, 100.0, log=True)})


def study_of(tried: list[hh.Params], seed: int | None = 0, space: hh.Space = SQUARE) -> StudyRecord:
    trials = tuple(TrialRecord(f"t{i}", i, "s", params) for i, params in enumerate(tried))
    return StudyRecord("s", space, seed=seed, trials=trials)


@pytest.mark.parametrize("seed", range(5))
def test_sixteen_points_have_a_cell_each(seed: int) -> None:
    points = [SQUARE.to_unit(params) for params in QuasiRandom().suggest(study_of([], seed), 16)]
    for columns, rows in ((4, 4), (16, 1), (1, 16), (2, 8)):
        assert len({(int(x * columns), int(y * rows)) for x, y in points}) == 16


@pytest.mark.parametrize("seed", [0, None])
def test_one_by_one_they_are_the_same_sequence(seed: int | None) -> None:
    first: hh.Params = QuasiRandom().suggest(study_of([], 0), 1)[0]
    tried = [first]
    for _ in range(15):  # each by another worker
        tried += QuasiRandom().suggest(study_of(tried, seed), 1)
    assert tried[1:] == QuasiRandom().suggest(study_of([first], seed), 15)


def test_priors_are_followed() -> None:
    space = hh.Space(
        {"x": hh.Float(0.0, 1.0, prior=hh.Normal(0.3, 0.05)), "net": hh.Choice(["a", "b"], weights=[3, 1])}
    )
    drawn = QuasiRandom().suggest(study_of([], space=space), 64)
    assert sum(float(params["x"] or 0) < 0.3 for params in drawn) == 32
    assert sum(params["net"] == "a" for params in drawn) == 48


def test_a_finite_space_is_gone_through() -> None:
    space = hh.Space({"n": hh.Int(1, 30)})
    assert sorted(int(params["n"] or 0) for params in QuasiRandom().suggest(study_of([], space=space), 30)) == [
        *range(1, 31)
    ]


def test_a_group_of_runs_has_nothing_to_suggest() -> None:
    assert QuasiRandom().suggest(study_of([], space=hh.Space({})), 2) == [{}, {}]
