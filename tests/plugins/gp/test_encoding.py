"""From params to points to columns and back, over whatever spaces there are."""

from __future__ import annotations

import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperhook import Choice, Float, Int, Space
from hyperhook_plugins.gp.encoding import Encoding, neighbours

CONDITIONAL = Space(
    {
        "lr": Float(1e-4, 1e-1, log=True),
        "net": Choice(
            {
                "cnn": {"kernel": Int(1, 7, step=2), "pool": Choice({"max": {"size": Int(2, 4)}, "none": {}})},
                "mlp": {"width": Int(8, 512, log=True)},
            }
        ),
        "fixed": Float(2.0, 2.0),
        "only": Choice(["one"]),
    }
)


def floats() -> st.SearchStrategy[Float]:
    plain = st.tuples(st.floats(-1e3, 1e3), st.floats(0.0, 1e3)).map(lambda p: Float(p[0], p[0] + p[1]))
    log = st.tuples(st.floats(1e-6, 1.0), st.floats(1.5, 1e6)).map(lambda p: Float(p[0], p[0] * p[1], log=True))
    stepped = st.tuples(st.integers(-20, 20), st.integers(0, 30)).map(
        lambda p: Float(p[0] / 10, (p[0] + p[1]) / 10, step=0.1)
    )
    return plain | log | stepped


def ints() -> st.SearchStrategy[Int]:
    plain = st.tuples(st.integers(-50, 50), st.integers(0, 10**6), st.integers(1, 7)).map(
        lambda p: Int(p[0], p[0] + p[1], step=p[2])
    )
    return plain | st.tuples(st.integers(1, 50), st.integers(0, 10**6)).map(lambda p: Int(p[0], p[0] + p[1], log=True))


def choices() -> st.SearchStrategy[Choice]:
    sizes = st.integers(1, 5).map(lambda n: [f"o{i}" for i in range(n)])
    return st.tuples(sizes, st.booleans()).map(lambda p: Choice(p[0], ordered=p[1]))


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    leaves = st.one_of(floats(), ints(), choices())
    parameters = {f"p{i}": draw(leaves) for i in range(draw(st.integers(1, 4)))}
    below = {f"c{i}": draw(leaves) for i in range(draw(st.integers(0, 2)))}
    return Space({**parameters, "top": Choice({"with": below, 1: {}, None: {}})})


@settings(max_examples=60, deadline=None)
@given(space=spaces(), seed=st.integers(0, 2**31))
def test_params_survive_the_round_trip_and_every_point_is_valid(space: Space, seed: int) -> None:
    encoding = Encoding.of(space)
    rng = random.Random(seed)
    tried = [space.sample(rng) for _ in range(5)]
    for before, after in zip(tried, encoding.params(encoding.units(tried)), strict=True):
        space.validate(after)
        assert list(after) == list(before)
        for name, value in before.items():
            if isinstance(value, float):
                assert after[name] == pytest.approx(value, rel=1e-9, abs=1e-9)
            else:
                assert after[name] == value
    generator = torch.Generator().manual_seed(seed)
    units = encoding.snap(torch.rand(20, len(space), generator=generator, dtype=torch.float64))
    assert torch.equal(encoding.snap(units), units)
    x = encoding.encode(units)
    assert x.shape == (20, encoding.width)
    assert ((x >= 0) & (x <= 1)).all()
    for params, row in zip(encoding.params(units), x, strict=True):
        space.validate(params)
        # what is scored is what is trained: the params' own columns are those of the candidate
        assert torch.allclose(encoding.encode(encoding.units([params]))[0], row, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(space=spaces(), seed=st.integers(0, 2**31))
def test_neighbours_are_other_values_of_the_parameter(space: Space, seed: int) -> None:
    rng = random.Random(seed)
    for parameter in space.values():
        if parameter.cardinality is None:
            continue
        unit = parameter.to_unit(parameter.from_unit(rng.random()))
        around = neighbours(parameter, unit)
        values = [parameter.from_unit(u) for u in around]
        assert all(parameter.contains(value) for value in values)
        assert parameter.from_unit(unit) not in values
        assert len(set(values)) == len(values) >= min(parameter.cardinality - 1, 1)
        assert around == [parameter.to_unit(value) for value in values]


def test_neighbours_of_a_number_reach_far_and_those_of_a_choice_are_the_other_options() -> None:
    wide = Int(1, 1000)
    assert sorted(wide.from_unit(u) for u in neighbours(wide, wide.to_unit(500))) == [
        *(500 - 2**i for i in range(8, -1, -1)),
        *(500 + 2**i for i in range(9)),
    ]
    options = Choice(["a", "b", "c"])
    assert [options.from_unit(u) for u in neighbours(options, options.to_unit("b"))] == ["a", "c"]


def test_columns_are_laid_out_as_said() -> None:
    encoding = Encoding.of(CONDITIONAL)
    # lr, net (2), kernel, pool (2), size, width; `fixed` and `only` have one value and no column
    assert encoding.width == 1 + 2 + 1 + 2 + 1 + 1
    assert encoding.dimension == 6
    half = math.sqrt(0.5)
    params = {"lr": 1e-4, "net": "mlp", "width": 8, "fixed": 2.0, "only": "one"}
    (row,) = encoding.encode(encoding.units([params])).tolist()
    width = CONDITIONAL["width"].to_unit(8)
    assert row == pytest.approx([0.0, 0.0, half, 0.5, 0.0, 0.0, 0.5, width])


def test_inactive_coordinates_make_no_difference() -> None:
    encoding = Encoding.of(CONDITIONAL)
    points = encoding.snap(torch.rand(50, len(CONDITIONAL), dtype=torch.float64, generator=torch.Generator()))
    other = encoding.snap(torch.rand(50, len(CONDITIONAL), dtype=torch.float64, generator=torch.Generator()))
    moved = torch.where(encoding.active(points), points, other)
    assert torch.equal(encoding.encode(points), encoding.encode(moved))
    assert encoding.params(points) == encoding.params(moved)


def test_two_options_are_as_far_apart_as_the_ends_of_a_number() -> None:
    encoding = Encoding.of(Space({"c": Choice(["a", "b", "c"])}))
    x = encoding.encode(encoding.units([{"c": "a"}, {"c": "b"}, {"c": "c"}]))
    assert torch.pdist(x).tolist() == pytest.approx([1.0, 1.0, 1.0])


SIZES = Choice(["tiny", "small", "large", "huge"], ordered=True)


def test_ordered_options_lie_on_one_line_in_their_order() -> None:
    encoding = Encoding.of(Space({"size": SIZES}))
    x = encoding.encode(encoding.units([{"size": size} for size in SIZES.options]))
    assert x.shape == (4, 1)
    assert x.diff(dim=0).flatten().tolist() == pytest.approx([0.25] * 3)
    assert [SIZES.from_unit(unit) for unit in neighbours(SIZES, SIZES.to_unit("small"))] == ["tiny", "large", "huge"]


def test_ordered_options_with_parameters_below_have_columns_of_their_own() -> None:
    space = Space({"layers": Choice({1: {}, 2: {"width": Int(1, 9)}, 3: {"width3": Int(1, 9)}}, ordered=True)})
    assert Encoding.of(space).width == 5
