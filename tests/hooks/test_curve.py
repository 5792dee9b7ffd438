"""How a trial's curve becomes one value, and what stands beside it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hyperhook as hh
from hyperhook.curve import Curve
from hyperhook.errors import NotFiniteError, ObjectiveError
from hyperhook.objective import Point

numbers = st.floats(allow_nan=True, allow_infinity=True)


def curve(objective: hh.Objective | None, values: list[float]) -> Curve:
    made = Curve(objective)
    for step, value in enumerate(values):
        made.add({"noise": 1.0, "m": value}, step * 10, step)
    return made


@given(st.lists(numbers, max_size=20), st.sampled_from([hh.Maximize("m"), hh.Minimize("m")]))
def test_best_is_the_earliest_of_the_best_finite_points(values: list[float], objective: hh.Objective) -> None:
    finite = [value for value in values if math.isfinite(value)]
    made = curve(objective, values)
    if finite:
        best = max(finite) if objective.direction == "maximize" else min(finite)
        step = next(i for i, value in enumerate(values) if value == best)
        assert made.reduced() == Point(values[step], step * 10, step)
    else:
        with pytest.raises(ObjectiveError):
            made.reduced()


@given(st.lists(numbers, min_size=1, max_size=20))
def test_last_is_the_last_point(values: list[float]) -> None:
    made = curve(hh.Minimize("m", reduce="last"), values)
    if math.isfinite(values[-1]):
        assert made.reduced() == Point(values[-1], (len(values) - 1) * 10, len(values) - 1)
    else:
        with pytest.raises(NotFiniteError, match="at its last point"):
            made.reduced()


def test_a_metric_that_was_never_logged_names_those_that_were() -> None:
    made = Curve(hh.Maximize("val_los"))
    made.add({"val_loss": 1.0, "loss": 2.0}, 0, None)
    with pytest.raises(ObjectiveError) as raised:
        made.reduced()
    assert str(raised.value).startswith("metric 'val_los' was never logged; logged so far: loss, val_loss; ")
    with pytest.raises(ObjectiveError, match="logged so far: nothing"):
        Curve(hh.Maximize("m")).reduced()


def test_nan_at_all_points_says_how_many_and_where() -> None:
    with pytest.raises(NotFiniteError, match="was inf at all of its 2 points \\(last at step 10\\)"):
        curve(hh.Minimize("m"), [math.nan, math.inf]).reduced()


def test_without_an_objective_only_names_are_kept() -> None:
    made = curve(None, [1.0])
    assert list(made.names) == ["noise", "m"]
    with pytest.raises(ObjectiveError, match="has no objective; give it one"):
        made.reduced()


def test_a_returned_value_stands_where_the_curve_had_it_else_at_its_end() -> None:
    made = curve(hh.Maximize("m"), [0.1, 0.9, 0.5])
    assert made.point_of(0.9) == Point(0.9, 10, 1)
    assert made.point_of(0.7) == Point(0.7, 20, 2)
    assert Curve(None).point_of(0.7) == Point(0.7)


@pytest.mark.parametrize(("reduce", "stderr"), [("best", 0.02), ("last", None)])
def test_a_point_carries_the_standard_error_it_was_logged_with(reduce: str, stderr: float | None) -> None:
    made = Curve(hh.Maximize("m", reduce=reduce))  # type: ignore[arg-type]
    made.add({"m": 0.9}, 0, None, {"m": 0.02, "noise": 7.0})
    made.add({"m": 0.5}, 1, None, {"noise": 7.0})
    assert made.reduced().stderr == stderr
    assert made.point_of(0.9) == Point(0.9, 0, None, 0.02)
    assert made.point_of(0.7).stderr is None


calls = st.lists(
    st.tuples(st.integers(0, 4), st.dictionaries(st.sampled_from(["m", "ms", "auc"]), st.floats(-3, 3), min_size=1)),
    min_size=1,
    max_size=12,
)


@given(calls, st.sampled_from(["best", "last"]))
def test_beside_a_value_stands_what_was_logged_at_its_step_else_what_was_logged_last(
    logged: list[tuple[int, dict[str, float]]], reduce: str
) -> None:
    made = Curve(hh.Maximize("m", reduce=reduce), ("ms", "auc"))  # type: ignore[arg-type]
    logged = sorted(logged, key=lambda call: call[0])
    for step, metrics in logged:
        made.add(metrics, step, None)
    if not any("m" in metrics for _, metrics in logged):
        assert made.so_far is None
        return
    point = made.reduced()
    assert made.so_far == point
    for name in ("ms", "auc"):
        here = [metrics[name] for step, metrics in logged if name in metrics and step == point.step]
        ever = [metrics[name] for _, metrics in logged if name in metrics]
        wanted = here or ever
        assert point.metrics.get(name) == (wanted[-1] if wanted else None)


@pytest.mark.parametrize(
    ("logged", "beside"),
    [
        ([(1, {"ms": 5}), (1, {"m": 0.9}), (2, {"ms": 7}), (2, {"m": 0.1})], 5),
        ([(1, {"m": 0.9}), (1, {"ms": 5}), (2, {"ms": 7})], 5),
        ([(1, {"m": 0.9}), (2, {"other": 1.0}), (1, {"ms": 5}), (2, {"ms": 7})], 5),
        ([(1, {"m": 0.9}), (2, {"ms": 7}), (3, {"ms": 8})], 8),
        ([(0, {"ms": 4}), (1, {"m": 0.9})], 4),
        ([(1, {"m": 0.9, "ms": 5}), (1, {"ms": 6})], 6),
    ],
)
def test_calls_at_one_step_belong_together_whatever_their_order(
    logged: list[tuple[int, dict[str, float]]], beside: float
) -> None:
    made = Curve(hh.Maximize("m"), ("ms",))
    for step, metrics in logged:
        made.add(metrics, step, None)
    assert made.check(made.reduced()).metrics == {"ms": beside}


def test_what_is_judged_twice_is_the_value_itself() -> None:
    made = Curve(hh.Maximize("m"), ("m",))
    made.add({"m": 0.5}, 0, None)
    made.add({"m": 0.3}, 0, None)
    assert made.reduced() == Point(0.5, 0, metrics={"m": 0.5})
    assert made.point_of(0.9).metrics == {"m": 0.9}
    assert Curve(hh.Maximize("m"), ("m",)).point_of(0.9).metrics == {"m": 0.9}


def test_a_mapping_that_was_returned_wins_and_what_it_lacks_was_logged() -> None:
    made = Curve(hh.Maximize("m"), ("ms", "auc"))
    made.add({"m": 0.5, "ms": 5.0, "auc": 0.7}, 3, 1, {"m": 0.1})
    assert made.told({"ms": 4, "more": "words"}) == Point(0.5, 3, 1, 0.1, {"ms": 4.0, "auc": 0.7})
    assert made.told({"m": 0.6}) == Point(0.6, 3, 1, None, {"ms": 5.0, "auc": 0.7})
    assert made.told(0.6) == made.told({"m": 0.6})
    with pytest.raises(ObjectiveError, match=r"returned 'fast' \(str\) for 'ms', expected a number"):
        made.told({"m": 0.6, "ms": "fast"})
    with pytest.raises(NotFiniteError, match="returned nan for 'ms', expected a finite number"):
        made.told({"m": 0.6, "ms": math.nan})


def test_what_was_neither_logged_nor_returned_is_named() -> None:
    made = Curve(hh.Maximize("m"), ("ms",))
    made.add({"loss": 1.0}, 0, None)
    with pytest.raises(ObjectiveError) as raised:
        made.told({"ms": 3, "acc": 0.5})
    assert str(raised.value).startswith("metric 'm' was never logged; logged so far: loss; returned: ms, acc; log it, ")
    made.add({"m": 1.0}, 0, None)
    with pytest.raises(ObjectiveError, match="metric 'ms' was never logged; logged so far: loss, m; log it, or name"):
        made.check(made.reduced())
    made.add({"ms": math.nan}, 0, None)
    with pytest.raises(NotFiniteError, match=r"metric 'ms' was no finite number where .* \(step 0\); expected one"):
        made.check(made.reduced())


@pytest.mark.parametrize(
    ("reduce", "values", "expected"),
    [
        ("best", [], None),
        ("best", [3.0, 1.0, 2.0], 1.0),
        ("last", [3.0, 1.0, 2.0], 2.0),
        ("best", [1.0, math.inf], math.inf),
        ("best", [1.0, math.inf, 3.0], 1.0),
        ("best", [-math.inf], -math.inf),
        ("last", [1.0, -math.inf], -math.inf),
    ],
)
def test_where_a_trial_stands(reduce: str, values: list[float], expected: float | None) -> None:
    curve = Curve(hh.Minimize("loss", reduce=reduce))  # type: ignore[arg-type]
    for step, value in enumerate(values):
        curve.add({"loss": value, "acc": 0.5}, 10 * step, step)
    curve.add({"acc": 0.5}, 100, 9)
    last = len(values) - 1
    assert curve.standing == (None if expected is None else hh.Point(expected, 10 * last, last))


def test_a_trial_that_diverged_stands_at_nan() -> None:
    curve = Curve(hh.Maximize("acc"))
    for step, value in enumerate([0.5, math.nan]):
        curve.add({"acc": value}, step, None)
    assert curve.standing is not None
    assert math.isnan(curve.standing.value)
    assert curve.standing.step == 1


def test_the_metric_is_insisted_on_where_others_were_logged() -> None:
    curve = Curve(hh.Minimize("loss"))
    curve.require()
    curve.add({"acc": 0.5}, 0, 0)
    with pytest.raises(ObjectiveError, match="metric 'loss' was never logged; logged so far: acc; log it, or name"):
        curve.require()
    curve.add({"loss": math.nan}, 1, 0)
    curve.require()
    Curve(None, names={"acc": None}).require()
