"""Search spaces to try a suggester on: four to count on, and a strategy that draws any other by hypothesis."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from hypothesis import strategies as st

from hyperhook.parameters import Choice, Float, Int, Parameter, Prior
from hyperhook.priors import Beta, LogNormal, Normal
from hyperhook.space import Space

__all__ = ["FINITE", "LINE", "MIXED", "small_spaces", "spaces"]

LINE = Space({"x": Float(-1.0, 1.0)})
"""One continuous parameter."""

MIXED = Space(
    {
        "lr": Float(1e-5, 1e-1, log=True),
        "width": Int(8, 64, log=True),
        "drop": Float(0.0, 0.5, step=0.1),
        "net": Choice({"cnn": {"kernel": Int(1, 7, step=2)}, "mlp": {"gate": Choice([True, False])}, None: {}}),
        "fixed": Float(1.0, 1.0),
    }
)
"""A parameter of each kind, two of them below a choice."""

FINITE = (
    Space({"flag": Choice([True, False]), "net": Choice({"cnn": {"kernel": Int(1, 7, step=2)}, "mlp": {}})}),
    Space({"n": Int(1, 3, log=True), "drop": Float(0.0, 0.2, step=0.1), "only": Choice(["one"])}),
)
"""Spaces of ten and of nine sets of params."""

_SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text(max_size=3)
_OPTIONS = st.lists(_SCALARS, min_size=1, max_size=4).filter(
    lambda found: all(found.index(option) == position for position, option in enumerate(found))
)


@st.composite
def _priors(draw: st.DrawFn, low: float, high: float) -> Prior | None:
    """Draw a prior for these bounds, sharp or flat; now and then only, since most parameters have none."""
    kind = draw(st.sampled_from(["none", "none", "none", "beta", "normal", "log-normal"]))
    where, width = draw(st.floats(0, 1)), 10 ** draw(st.floats(-2, 1))
    if kind == "normal" and (std := width * (high - low)) > 0:
        return Normal(low + where * (high - low), std)
    if kind == "log-normal" and low > 0 and (sigma := width * (math.log(high) - math.log(low))) > 0:
        return LogNormal(math.exp(math.log(low) + where * (math.log(high) - math.log(low))), sigma)
    return Beta(1 + 10 * where, 1 + width) if kind == "beta" else None


@st.composite
def _floats(draw: st.DrawFn) -> Float:
    kind = draw(st.sampled_from(["linear", "log", "step", "one"]))
    if kind == "step":
        low, step = draw(st.sampled_from([0.0, 0.1, -0.7, 3.0])), draw(st.sampled_from([0.1, 0.25, 1e-3, 1 / 3, 2.0]))
        high = low + draw(st.floats(0, 20))
        return Float(low, high, step=step, prior=draw(_priors(low, high)))
    bounds = st.floats(1e-300, 1e300) if kind == "log" else st.floats(-1e300, 1e300)
    low, high = sorted(draw(st.tuples(bounds, bounds)))
    high = low if kind == "one" else high
    return Float(low, high, log=kind == "log", prior=draw(_priors(low, high)))


@st.composite
def _ints(draw: st.DrawFn) -> Int:
    log = draw(st.booleans())
    low = draw(st.integers(1, 10**6) if log else st.integers(-(10**6), 10**6))
    width = draw(st.integers(0, 3) | st.integers(0, 10**9))
    step = 1 if log else draw(st.integers(1, 50))
    return Int(low, low + width, log=log, step=step, prior=draw(_priors(low, low + width)))


@st.composite
def _choices(draw: st.DrawFn, heaviest: float, branch: Callable[[], Mapping[str, Parameter]] = dict) -> Choice:
    """Draw a choice with a branch below each option, one in three with weights, one in three ordered."""
    options = draw(_OPTIONS)
    weights = [draw(st.floats(1, heaviest)) for _ in options] if draw(st.integers(0, 2)) == 2 else None
    ordered = draw(st.integers(0, 2)) == 2
    return Choice({option: branch() for option in options}, weights=weights, ordered=ordered)


_SMALL = (
    st.integers(1, 3).map(lambda high: Int(1, high, log=high > 1))
    | st.integers(0, 6).map(lambda high: Int(-2, high - 2, step=2))
    | st.integers(0, 2).map(lambda steps: Float(0.1, 0.1 + steps / 10, step=0.1))
    | _choices(2)  # as in all small spaces: draws at random come upon every set of params
)


@st.composite
def _spaces(draw: st.DrawFn, parameters: st.SearchStrategy[Parameter], heaviest: float) -> Space:
    names = iter(range(1000))

    def branch(depth: int) -> dict[str, Parameter]:
        made: dict[str, Parameter] = {}
        for _ in range(draw(st.integers(0, 2) if depth else st.integers(1, 3))):
            name = f"p{next(names)}"
            if depth < 3 and draw(st.booleans()):
                made[name] = draw(_choices(heaviest, lambda: branch(depth + 1)))
            else:
                made[name] = draw(parameters)
        return made

    return Space(branch(0))


def spaces() -> st.SearchStrategy[Space]:
    """Draw spaces of one parameter and more, of every kind and scale, with choices below choices, some with priors.

    Example:
        >>> from hypothesis import find
        >>> find(spaces(), lambda space: any(space.condition(name) for name in space))  # doctest: +SKIP
        Space({'p0': Choice(...), 'p1': ...})
    """
    return _spaces(_floats() | _ints() | _choices(1000), 1000)


def small_spaces() -> st.SearchStrategy[Space]:
    """Draw finite spaces of two to twelve sets of params."""
    return _spaces(_SMALL, 2).filter(lambda space: 2 <= (space.cardinality or 0) <= 12)
