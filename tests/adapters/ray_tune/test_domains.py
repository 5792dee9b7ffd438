"""Ray Tune's search spaces as ours."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray import tune

import hyperhook as hh
from hyperhook.errors import SpaceError
from hyperhook_adapters.ray_tune.domains import TuneSpace


def test_each_domain_has_its_parameter() -> None:
    space = TuneSpace(
        {
            "lr": tune.loguniform(1e-4, 1e-1),
            "net": {
                "width": tune.randint(8, 65),
                "drop": tune.uniform(0.0, 0.5),
                "act": tune.choice([len, None, "relu"]),
            },
            "depth": tune.lograndint(1, 9),
            "batch": tune.qrandint(16, 64, 16),
            "rate": tune.quniform(0.1, 0.5, 0.1),
            "epochs": 10,
        }
    )
    assert dict(space.space) == {
        "lr": hh.Float(1e-4, 1e-1, log=True),
        "net/width": hh.Int(8, 64),
        "net/drop": hh.Float(0.0, 0.5),
        "net/act": hh.Choice([0, 1, 2]),
        "depth": hh.Int(1, 8, log=True),
        "batch": hh.Int(1, 4),
        "rate": hh.Int(1, 5),
    }
    config = space.config(
        {"lr": 0.01, "net/width": 9, "net/drop": 0.25, "net/act": 0, "depth": 2, "batch": 3, "rate": 2}
    )
    assert config.pop("rate") == pytest.approx(0.2)
    assert config == {"lr": 0.01, "net": {"width": 9, "drop": 0.25, "act": len}, "depth": 2, "batch": 48}


def test_parameters_of_ours_may_stand_beside_tunes() -> None:
    space = TuneSpace({"lr": hh.Float(0.1, 1.0), "n": tune.randint(0, 3)})
    assert dict(space.space) == {"lr": hh.Float(0.1, 1.0), "n": hh.Int(0, 2)}
    assert space.config({"lr": 0.5, "n": 1}) == {"lr": 0.5, "n": 1}


@given(
    low=st.integers(1, 50),
    width=st.integers(10, 100),
    quantum=st.integers(2, 10),
    log=st.booleans(),
    place=st.floats(0, 1),
)
def test_what_is_suggested_is_valid_to_tune(low: int, width: int, quantum: int, log: bool, place: float) -> None:
    make = tune.qlograndint if log else tune.qrandint
    domain = make(low, low + width, quantum)
    space = TuneSpace({"n": domain})
    value = space.config({"n": space.space["n"].from_unit(place)})["n"]
    assert value % quantum == 0
    assert low <= value <= low + width
    assert math.ceil(low / quantum) * quantum <= value


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"x": tune.grid_search([1, 2])}, "'x' is a tune.grid_search"),
        ({"a": {"x": tune.randn(0, 1)}}, "'a/x' is .* with Normal, expected"),
        ({"x": tune.sample_from(lambda spec: 1)}, "'x' is .*expected a uniform"),
        ({"x": tune.qrandint(11, 14, 10)}, "low"),
    ],
)
def test_what_cannot_be_searched_is_told(space: dict[str, object], words: str) -> None:
    with pytest.raises(SpaceError, match=words):
        TuneSpace(space)
