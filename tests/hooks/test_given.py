"""Params that a user gives: what is wrong with them, what they bring with them, how the rest is filled in."""

from __future__ import annotations

import random

import hypothesis
import pytest
from hypothesis import strategies as st

from hyperhook import Choice, Float, Int, Params, Space
from hyperhook.errors import SpaceError
from hyperhook.given import completed, given, holds
from hyperhook.testing.spaces import spaces

POOL = Choice({"max": {}, "avg": {"size": Int(2, 4)}})
SPACE = Space(
    {
        "lr": Float(0.0, 1.0),
        "net": Choice(
            {"cnn": {"kernel": Int(1, 7), "pool": Choice({"max": {}, "avg": {"size": Int(2, 4)}})}, "mlp": {}}
        ),
    }
)


def test_what_a_param_depends_on_comes_with_it() -> None:
    assert given(SPACE, {"size": 3}) == {"size": 3, "pool": "avg", "net": "cnn"}
    assert given(SPACE, {"lr": 1}) == {"lr": 1.0}
    assert isinstance(given(SPACE, {"lr": 1})["lr"], float)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "expected values by their names, as in {'lr': 0.01}, got {}"),
        ([("lr", 1)], "expected values by their names"),
        ({"lrr": 0.1}, "'lrr' is not in the space; it has lr, net, kernel, pool, size"),
        ({"lr": 2.0}, "'lr' got 2.0, expected a value of Float"),
        ({"lr": "0.1"}, "'lr' got '0.1', expected a value of Float"),
        ({"net": "rnn"}, "'net' got 'rnn', expected a value of Choice"),
        ({"kernel": 3, "net": "mlp"}, "'kernel' takes part only while 'net' is 'cnn', got 'mlp'; leave it out"),
        ({"size": 3, "pool": "max"}, "'size' takes part only while 'pool' is 'avg', got 'max'"),
    ],
)
def test_what_is_wrong_is_named(params: object, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        given(SPACE, params)


def test_the_rest_is_what_was_proposed_as_far_as_that_goes() -> None:
    rng = random.Random(0)
    assert completed(SPACE, {"lr": 0.5}, {"lr": 0.1, "net": "mlp"}, rng) == {"lr": 0.5, "net": "mlp"}
    params = completed(SPACE, {"net": "cnn"}, {"lr": 0.1, "net": "mlp"}, rng)
    assert (params["lr"], params["net"], set(params) >= {"kernel", "pool"}) == (0.1, "cnn", True)


@hypothesis.given(space=spaces(), seed=st.integers(), data=st.data())
@hypothesis.settings(deadline=None)
def test_any_part_of_valid_params_is_completed_to_valid_ones_that_hold_it(
    space: Space, seed: int, data: st.DataObject
) -> None:
    rng = random.Random(seed)
    whole = space.sample(rng)
    part = {name: whole[name] for name in data.draw(st.lists(st.sampled_from(sorted(whole)), min_size=1))}
    wanted = given(space, part)
    assert holds(whole, wanted)
    found = completed(space, wanted, space.sample(rng), rng)
    space.validate(found)
    assert holds(found, part)


def test_holding_looks_at_types() -> None:
    params: Params = {"a": 1, "b": "x"}
    assert holds(params, {"a": 1})
    assert not holds(params, {"a": True})
    assert not holds(params, {"c": None})


def test_a_number_on_a_step_is_the_one_that_stands_there() -> None:
    space = Space({"drop": Float(0.0, 0.9, step=0.1)})
    assert given(space, {"drop": 0.1 + 0.2}) == given(space, {"drop": 0.3})
