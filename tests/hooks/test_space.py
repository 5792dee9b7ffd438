"""Spaces and parameters: bounds, scales, conditions, the unit cube, JSON."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from decimal import Decimal
from enum import IntEnum, StrEnum
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import hyperhook as hh
from hyperhook.errors import SpaceError
from hyperhook.parameters import Parameter, Scalar
from hyperhook.space import Condition

units = st.floats(0.0, 1.0) | st.sampled_from([0.0, 1.0, math.nextafter(1.0, 0.0), 5e-324])
scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text(max_size=3)


@st.composite
def floats(draw: st.DrawFn) -> hh.Float:
    kind = draw(st.sampled_from(["linear", "log", "step", "one"]))
    if kind == "step":
        step = draw(st.sampled_from([0.1, 0.3, 1e-3, 0.25, 7e-5, 1 / 3, 2]))
        low = draw(st.sampled_from([0.0, 0.1, -0.7, 1e-5, 3]))
        return hh.Float(low, low + draw(st.floats(0, 20)), step=step)
    low, high = sorted(draw(st.tuples(*[st.floats(1e-300, 1e300) if kind == "log" else st.floats(-1e300, 1e300)] * 2)))
    return hh.Float(low, low if kind == "one" else high, log=kind == "log")


@st.composite
def ints(draw: st.DrawFn) -> hh.Int:
    log = draw(st.booleans())
    low = draw(st.integers(1, 10**6) if log else st.integers(-(10**9), 10**9))
    width = draw(st.integers(0, 3) | st.integers(0, 10**9))
    return hh.Int(low, low + width, log=log, step=1 if log else draw(st.integers(1, 50)))


options = st.lists(scalars, min_size=1, max_size=4).filter(
    lambda found: all(found.index(option) == position for position, option in enumerate(found))
)
leaves = floats() | ints() | options.map(hh.Choice) | options.map(lambda names: hh.Choice(names, ordered=True))


@st.composite
def spaces(draw: st.DrawFn, leaf: st.SearchStrategy[Parameter] = leaves) -> hh.Space:
    """Spaces with choices below choices, each parameter with a name of its own."""
    names = iter(range(100))

    def branch(depth: int) -> dict[str, Parameter]:
        made: dict[str, Parameter] = {}
        for _ in range(draw(st.integers(0, 2 if depth else 3))):
            if depth < 3 and draw(st.booleans()):
                made[f"p{next(names)}"] = hh.Choice({option: branch(depth + 1) for option in draw(options)})
            else:
                made[f"p{next(names)}"] = draw(leaf)
        return made

    return hh.Space(branch(0))


small = (
    st.integers(1, 3).map(lambda n: hh.Int(0, n))
    | st.integers(0, 2).map(lambda n: hh.Float(0, n / 10, step=0.1))
    | options.map(hh.Choice)
)


def same(one: Mapping[str, Scalar], other: Mapping[str, Scalar]) -> bool:
    """Whether params are equal, floats up to rounding, types included."""
    return one.keys() == other.keys() and all(
        type(value) is type(other[name])
        and (math.isclose(value, other[name], rel_tol=1e-9) if isinstance(value, float) else value == other[name])  # type: ignore[arg-type]
        for name, value in one.items()
    )


@given(leaves, units)
def test_coordinates_give_values_within_the_bounds_and_go_back_to_the_same_value(
    parameter: Parameter, unit: float
) -> None:
    value = parameter.from_unit(unit)
    assert parameter.contains(value)
    back = parameter.to_unit(value)
    assert 0.0 <= back <= 1.0
    again = parameter.from_unit(back)
    if not isinstance(value, float):
        assert again == value
        assert type(again) is type(value)
    elif not isinstance(parameter, hh.Choice):
        assert math.isclose(float(again), value, rel_tol=1e-9, abs_tol=1e-12 * (parameter.high - parameter.low))  # type: ignore[arg-type]


@given(floats() | ints())
def test_the_ends_of_the_unit_interval_are_the_bounds(parameter: hh.Float | hh.Int) -> None:
    assert parameter.from_unit(0.0) == parameter.low
    top = parameter.from_unit(1.0)
    assert parameter.high - (parameter.step or 0) <= top <= parameter.high if parameter.step else top == parameter.high


@given(floats() | ints(), units, units)
def test_order_is_kept(parameter: hh.Float | hh.Int, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert parameter.from_unit(low) <= parameter.from_unit(high)


@settings(max_examples=50)
@given(spaces(), st.integers(0, 2**32))
def test_what_is_sampled_is_valid_and_survives_the_unit_cube(space: hh.Space, seed: int) -> None:
    params = space.sample(random.Random(seed))
    space.validate(params)
    point = space.to_unit(params)
    assert len(point) == len(space)
    assert all(0.0 <= unit <= 1.0 for unit in point)
    back = space.from_unit(point)
    space.validate(back)
    wide = [n for n in back if isinstance(parameter := space[n], hh.Float) and not parameter.log]  # to their width only
    assert same({n: v for n, v in params.items() if n not in wide}, {n: v for n, v in back.items() if n not in wide})


@settings(max_examples=50)
@given(spaces(), st.data())
def test_any_corner_of_the_cube_is_valid(space: hh.Space, data: st.DataObject) -> None:
    space.validate(space.from_unit([data.draw(units) for _ in space]))


@settings(max_examples=50)
@given(spaces())
def test_json_goes_there_and_back(space: hh.Space) -> None:
    text = json.dumps(space.to_json(), allow_nan=False)
    back = hh.Space.from_json(json.loads(text))
    assert back == space
    assert [back.condition(name) for name in back] == [space.condition(name) for name in space]
    assert json.dumps(back.to_json()) == text


def enumerate_space(space: hh.Space) -> set[frozenset[tuple[str, str]]]:
    """Every set of params, found by trying all corners of a grid that hits each cell."""
    axes = [[(i + 0.5) / (space[name].cardinality or 1) for i in range(space[name].cardinality or 1)] for name in space]
    return {frozenset((n, repr(v)) for n, v in space.from_unit(point).items()) for point in product(*axes)}


@settings(max_examples=50)
@given(spaces(small))
def test_cardinality_is_the_number_of_distinct_params(space: hh.Space) -> None:
    assume(math.prod(space[name].cardinality or 1 for name in space) <= 3000)
    assert space.cardinality == len(enumerate_space(space))


def test_cardinality_is_none_only_where_something_is_continuous() -> None:
    assert hh.Space({"x": hh.Float(0, 1), "n": hh.Int(0, 3)}).cardinality is None
    assert hh.Space({"x": hh.Float(1, 1), "n": hh.Int(0, 3)}).cardinality == 4
    assert hh.Space({"c": hh.Choice({"a": {"x": hh.Float(0, 1)}, "b": {}})}).cardinality is None
    assert hh.Space({}).cardinality == 1


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        (hh.Float(0.1, 0.3, step=0.1), [0.1, 0.2, 0.3]),
        (hh.Float(0, 1, step=0.3), [0.0, 0.3, 0.6, 0.9]),
        (hh.Float(0, 0.7, step=0.1), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]),
        (hh.Float(-0.2, 0.1, step=0.1), [-0.2, -0.1, 0.0, 0.1]),
        (hh.Float(1e-5, 4e-5, step=1e-5), [1e-5, 2e-5, 3e-5, 4e-5]),
        (hh.Float(0.5, 0.5, step=0.1), [0.5]),
        (hh.Float(0.0, 0.05, step=0.1), [0.0]),
        (hh.Int(2, 11, step=4), [2, 6, 10]),
        (hh.Int(-1, 1), [-1, 0, 1]),
        (hh.Choice(["a", 1, None]), ["a", 1, None]),
    ],
)
def test_discrete_values_are_exact_and_equally_likely(parameter: Parameter, values: list[Scalar]) -> None:
    assert parameter.cardinality == len(values)
    size = 1200
    drawn = [parameter.from_unit((i + 0.5) / size) for i in range(size)]
    assert list(dict.fromkeys(drawn)) == values
    assert all(abs(drawn.count(value) - size / len(values)) <= 1 for value in values)


@given(st.integers(1, 10**5), st.integers(1, 200))
def test_steps_of_awkward_decimals_reach_what_decimals_say(thousandths: int, count: int) -> None:
    step = thousandths / 1000
    high = float(Decimal(str(step)) * count)
    parameter = hh.Float(0, high, step=step)
    assert parameter.cardinality == count + 1
    assert parameter.from_unit(1.0) == high
    assert parameter.contains(high)


@pytest.mark.parametrize("high", [1, 2, 3, 10, 1000])
def test_log_int_draws_every_value_each_by_its_share(high: int) -> None:
    parameter = hh.Int(1, high, log=True)
    size = 40_000
    drawn = [parameter.from_unit((i + 0.5) / size) for i in range(size)]
    width = math.log(high + 0.5) - math.log(0.5)
    for value in {1, min(2, high), high}:
        share = (math.log(value + 0.5) - math.log(value - 0.5)) / width
        assert drawn.count(value) / size == pytest.approx(share, abs=1e-3)
    assert (min(drawn), max(drawn)) == (1, high)


@given(st.floats(-1e6, 1e6) | st.integers(-10, 10) | st.text() | st.none() | st.booleans())
def test_contains_is_strict_about_types(value: Scalar) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    assert hh.Float(-1, 1).contains(value) == (number and -1 <= value <= 1)  # type: ignore[operator]
    assert hh.Int(-1, 1).contains(value) == (type(value) is int and -1 <= value <= 1)
    assert hh.Choice(["a", 1]).contains(value) == (value == "a" or (type(value) is int and value == 1))


@example(0.05)
@given(st.floats(0, 1))
def test_contains_knows_the_grid(value: float) -> None:
    parameter = hh.Float(0, 1, step=0.25)
    assert parameter.contains(value) == any(abs(value - quarter) < 1e-9 for quarter in (0, 0.25, 0.5, 0.75, 1))


def test_nan_and_infinity_are_in_no_range() -> None:
    assert not any(hh.Float(0, 1).contains(value) for value in (math.nan, math.inf, -math.inf))
    assert not any(hh.Float(0, 1, step=0.5).contains(value) for value in (math.nan, math.inf))


class Optimizer(StrEnum):
    SGD = "sgd"


class Depth(IntEnum):
    TWO = 2


def test_options_of_numpy_and_of_enums_become_plain_values() -> None:
    parameter = hh.Choice([np.float64(0.5), np.str_("a"), Optimizer.SGD, Depth.TWO])  # type: ignore[list-item]
    assert parameter.options == (0.5, "a", "sgd", 2)
    assert [type(option) for option in parameter.options] == [float, str, str, int]
    assert parameter.contains(0.5)


def test_options_that_python_takes_as_equal_are_other_options() -> None:
    assert hh.Choice([0, 1]) == hh.Choice([0, 1])
    assert hh.Choice([0, 1]) != hh.Choice([False, True])
    assert hh.Choice([1, 2]) != hh.Choice([1.0, 2.0])
    assert hh.Choice(["a"]) != hh.Choice({"a": {"n": hh.Int(0, 1)}})
    assert hh.Choice([1, 2]) != hh.Choice([1, 2], ordered=True)


NETS = hh.Space(
    {
        "lr": hh.Float(1e-4, 1e-1, log=True),
        "net": hh.Choice(
            {"cnn": {"width": hh.Int(8, 64), "pool": hh.Choice({True: {"size": hh.Int(2, 4)}, False: {}})}}
        ),
    }
)


def test_space_is_flat_parents_first_and_knows_what_makes_a_parameter_active() -> None:
    assert list(NETS) == ["lr", "net", "width", "pool", "size"]
    assert NETS.condition("size") == Condition("pool", True)
    assert NETS.condition("lr") is None
    assert "size" in NETS
    assert len(NETS) == 5


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"net": "cnn"}, "params: 'lr' is missing; expected a value of Float"),
        ({"lr": 0.5, "net": "cnn", "width": 8, "pool": False}, "params: 'lr' got 0.5, expected a value of Float"),
        ({"lr": 0.01, "net": "mlp"}, "params: 'net' got 'mlp'"),
        ({"lr": 0.01, "net": "cnn", "width": 8.0, "pool": False}, "params: 'width' got 8.0"),
        ({"lr": 0.01, "net": "cnn", "width": 8, "pool": True}, "params: 'size' is missing"),
        ({"lr": 0.01, "net": "cnn", "width": 8, "pool": 1, "size": 2}, "params: 'pool' got 1"),
        (
            {"lr": 0.01, "net": "cnn", "width": 8, "pool": False, "size": 2},
            "params: 'size' takes part only while 'pool' is True, got False; leave it out",
        ),
        ({"lr": 0.01, "net": "cnn", "width": 8, "pool": False, "x": 1}, "params: 'x' is not in the space; it has lr"),
    ],
)
def test_validate_names_the_parameter(params: dict[str, Scalar], message: str) -> None:
    with pytest.raises(SpaceError) as raised:
        NETS.validate(params)
    assert message in str(raised.value)


@pytest.mark.parametrize("point", [[], [0.5] * 4, [0.5, 0.5, 0.5, 0.5, 1.01], [-0.1] * 5, [math.nan] * 5])
def test_from_unit_refuses_what_is_not_in_the_cube(point: list[float]) -> None:
    with pytest.raises(SpaceError, match="from_unit"):
        NETS.from_unit(point)


def test_spaces_cannot_be_changed_from_outside() -> None:
    branch = {"width": hh.Int(8, 64)}
    space = hh.Space({"net": hh.Choice({"cnn": branch})})
    branch["depth"] = hh.Int(1, 2)
    assert list(space) == ["net", "width"]
    assert hh.Space.from_json(space.to_json()) == space


@pytest.mark.parametrize("entry", [{"type": "complex"}, {}, 3, {"type": "float", "low": 0}])
def test_an_unknown_kind_in_the_store_is_named(entry: object) -> None:
    with pytest.raises(SpaceError, match=r"space: 'x' is stored as .* no parameter of this version"):
        hh.Space.from_json({"x": entry})


def test_an_order_is_yes_or_no_and_is_shown() -> None:
    assert "ordered" not in repr(hh.Choice([1, 2]))
    assert "ordered=True" in repr(hh.Choice([1, 2], ordered=True))
    with pytest.raises(SpaceError, match="ordered must be True or False, got 'yes'"):
        hh.Choice([1, 2], ordered="yes")  # type: ignore[arg-type]
