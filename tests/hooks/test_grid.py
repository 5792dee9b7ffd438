"""The grid: its order, its size, its values, and only what is active."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperhook import Beta, Choice, Float, Int, Space
from hyperhook.errors import SpaceError
from hyperhook.grid import Grid
from hyperhook.testing.spaces import MIXED, small_spaces, spaces
from hyperhook.untried import key_of


def test_the_order_is_that_of_the_space_and_the_last_changes_fastest() -> None:
    space = Space({"net": Choice({"mlp": {}, "cnn": {"kernel": Int(1, 5, step=2)}}), "lr": Float(0.01, 1.0, log=True)})
    grid = Grid(space, 2)
    assert [tuple(params.items()) for params in grid] == [
        (("net", "mlp"), ("lr", 0.01)),
        (("net", "mlp"), ("lr", 1.0)),
        *((("net", "cnn"), ("kernel", kernel), ("lr", lr)) for kernel in (1, 3, 5) for lr in (0.01, 1.0)),
    ]
    assert grid.size == 8


@pytest.mark.parametrize(
    ("parameter", "points", "values"),
    [
        (Float(0.0, 1.0), 5, [0.0, 0.25, 0.5, 0.75, 1.0]),
        (Float(0.01, 100.0, log=True), 3, [0.01, 1.0, 100.0]),
        (Float(0.0, 1.0), 1, [0.5]),
        (Float(0.01, 1.0, log=True), {"p": 1}, [0.1]),
        (Float(0.0, 1.0, prior=Beta(9, 1)), {"p": 2}, [0.0, 1.0]),
        (Float(2.0, 2.0), 7, [2.0]),
        (Float(0.0, 0.3, step=0.1), 2, [0.0, 0.1, 0.2, 0.3]),
        (Int(1, 4), 2, [1, 2, 3, 4]),
        (Int(1, 9), {"p": 3}, [1, 5, 9]),
        (Int(1, 3), {"p": 10}, [1, 2, 3]),
        (Int(1, 1000, log=True), {"p": 2}, [1, 1000]),
        (Choice(["b", "a", None]), 1, ["b", "a", None]),
    ],
)
def test_the_values_of_each_kind(parameter: Float | Int | Choice, points: Any, values: object) -> None:
    found = [params["p"] for params in Grid(Space({"p": parameter}), points)]
    assert found == (pytest.approx(values) if isinstance(parameter, Float) else values)


def test_points_by_name_leave_the_others_at_five() -> None:
    assert Grid(Space({"a": Float(0, 1), "b": Float(0, 1)}), {"a": 2}).size == 10


@given(space=small_spaces())
@settings(deadline=None)
def test_a_finite_space_is_there_whole_and_once(space: Space) -> None:
    found = [key_of(params) for params in Grid(space)]
    assert len(set(found)) == len(found) == space.cardinality == Grid(space).size


@given(space=spaces(), points=st.integers(1, 9), seed=st.integers())
@settings(deadline=None)
def test_whatever_the_space_each_set_is_valid_and_one_of_its_size(space: Space, points: int, seed: int) -> None:
    grid = Grid(space, points)
    space.validate(grid.sample(random.Random(seed)))
    if grid.size <= 2000:
        found = list(grid)
        for params in found:
            space.validate(params)
        assert len(found) == grid.size


def test_draws_come_from_the_grid() -> None:
    grid, rng = Grid(MIXED, 3), random.Random(0)
    every = {key_of(params) for params in grid}
    assert {key_of(grid.sample(rng)) for _ in range(200)} <= every


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (0, "'lr' needs 1 point or more, got 0"),
        ({"lr": 1.5}, "'lr' needs 1 point or more, got 1.5"),
        ({"wdth": 3}, "points are named for 'wdth', expected a Float or an Int of the space: lr, width"),
        ({"net": 3}, "points are named for 'net', expected a Float or an Int"),
    ],
)
def test_points_that_cannot_be(points: object, message: str) -> None:
    space = Space({"lr": Float(0, 1), "width": Int(1, 9), "net": Choice(["a"])})
    with pytest.raises(SpaceError, match=message):
        Grid(space, points)  # type: ignore[arg-type]
