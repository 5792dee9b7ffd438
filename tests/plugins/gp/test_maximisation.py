"""The maximiser finds the highest point of functions whose highest point is known, among valid points only."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from hyperhook import Choice, Float, Int, Params, Space
from hyperhook.grid import Grid
from hyperhook.untried import Key, key_of
from hyperhook_plugins.gp.encoding import Encoding
from hyperhook_plugins.gp.maximisation import Score, climb, maximise, space_filling, spread, vary, walk

MIXED = Space(
    {
        "lr": Float(1e-4, 1e-1, log=True),
        "width": Int(1, 1000),
        "net": Choice({"cnn": {"kernel": Int(1, 7, step=2)}, "mlp": {"gain": Float(-1.0, 1.0)}}),
    }
)


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def closeness(encoding: Encoding, target: Params) -> Score:
    """A score with one peak, at a set of params."""
    goal = encoding.encode(encoding.units([target]))
    return lambda x: -(x - goal).square().sum(-1)


@pytest.mark.parametrize(
    "target",
    [
        {"lr": 3e-3, "width": 617, "net": "cnn", "kernel": 5},
        {"lr": 1e-1, "width": 1, "net": "mlp", "gain": 0.25},
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_it_finds_the_peak_of_a_mixed_conditional_space(target: Params, seed: int) -> None:
    encoding = Encoding.of(MIXED)
    best = spread(encoding, 3, seeded(seed))
    found = maximise(closeness(encoding, target), encoding, best, set(), seeded(seed))
    MIXED.validate(found)
    assert set(found) == set(target)
    for name, value in target.items():
        assert found[name] == (pytest.approx(value, rel=1e-2, abs=1e-2) if isinstance(value, float) else value)


def test_it_returns_the_best_unseen_point_of_a_finite_space() -> None:
    space = Space({"n": Int(0, 9), "flag": Choice([True, False])})
    encoding = Encoding.of(space)
    score = closeness(encoding, {"n": 4, "flag": True})
    seen: set[Key] = set()
    order = []
    for _ in range(20):
        params = maximise(score, encoding, encoding.units([{"n": 0, "flag": True}]), seen, seeded())
        seen.add(key_of(params))
        order.append(params)
    assert order[0] == {"n": 4, "flag": True}
    assert {p["n"] for p in order[1:3]} == {3, 5}
    assert len(seen) == 20
    space.validate(maximise(score, encoding, encoding.units([{"n": 0, "flag": True}]), seen, seeded()))


def test_it_passes_over_seen_points_of_a_large_space() -> None:
    encoding = Encoding.of(Space({"n": Int(1, 10**6)}))
    score = closeness(encoding, {"n": 777_777})
    first = maximise(score, encoding, encoding.units([{"n": 1}]), set(), seeded())
    second = maximise(score, encoding, encoding.units([{"n": 1}]), {key_of(first)}, seeded())
    assert first == {"n": 777_777}
    assert second != first
    assert abs(int(second["n"] or 0) - 777_777) < 20_000


def test_only_valid_points_are_scored() -> None:
    encoding = Encoding.of(MIXED)
    inner = closeness(encoding, {"lr": 3e-3, "width": 617, "net": "cnn", "kernel": 5})
    scored: list[Tensor] = []

    def score(x: Tensor) -> Tensor:
        scored.append(x.detach())
        return inner(x)

    maximise(score, encoding, spread(encoding, 3, seeded()), set(), seeded())
    x = torch.cat(scored)
    _, width, net, kernel, gain = (x[:, columns] for columns in encoding.columns)
    places = width * 1000 - 0.5
    assert torch.allclose(places, places.round(), atol=1e-6)
    assert torch.allclose(net.sum(1), torch.tensor(0.5).double().sqrt())
    assert ((net == 0).sum(1) == 1).all()
    is_cnn = net[:, 0] > 0
    assert torch.allclose(kernel[is_cnn] * 4 - 0.5, (kernel[is_cnn] * 4 - 0.5).round(), atol=1e-6)
    assert (kernel[~is_cnn] == 0.5).all()
    assert (gain[is_cnn] == 0.5).all()


def test_climbing_moves_active_continuous_coordinates_only_and_never_down() -> None:
    encoding = Encoding.of(MIXED)
    units = spread(encoding, 12, seeded())
    score = closeness(encoding, {"lr": 3e-3, "width": 617, "net": "mlp", "gain": 0.0})
    climbed = climb(score, encoding, units)
    free = encoding.active(units).clone()
    free[:, [1, 2, 3]] = False
    assert torch.equal(climbed[~free], units[~free])
    assert (score(encoding.encode(climbed)) >= score(encoding.encode(units))).all()
    assert climbed[:, 0].tolist() == pytest.approx([MIXED["lr"].to_unit(3e-3)] * 12, abs=1e-3)


def test_walking_moves_discrete_coordinates_only_and_never_down() -> None:
    encoding = Encoding.of(MIXED)
    units = spread(encoding, 12, seeded())
    score = closeness(encoding, {"lr": 3e-3, "width": 617, "net": "cnn", "kernel": 5})
    walked, moved = walk(score, encoding, units)
    assert moved
    assert torch.equal(walked[:, [0, 4]], units[:, [0, 4]])
    assert (score(encoding.encode(walked)) >= score(encoding.encode(units))).all()
    assert {(p["width"], p["net"], p["kernel"]) for p in encoding.params(walked)} == {(617, "cnn", 5)}
    assert not walk(score, encoding, walked)[1]


def test_nothing_finite_is_an_error_and_something_finite_is_enough() -> None:
    encoding = Encoding.of(Space({"n": Int(0, 9)}))
    best = encoding.units([{"n": 0}])
    with pytest.raises(RuntimeError, match="finite nowhere"):
        maximise(lambda x: x.sum(-1) * torch.nan, encoding, best, set(), seeded())
    half = maximise(lambda x: torch.where(x[:, 0] > 0.5, torch.nan, x[:, 0]), encoding, best, set(), seeded())
    assert half == {"n": 4}


def test_space_filling_points_go_on_where_they_were_and_fill_the_space() -> None:
    encoding = Encoding.of(Space({"a": Float(0.0, 1.0), "b": Float(0.0, 1.0)}))
    points = [space_filling(encoding, index, 7, set()) for index in range(16)]
    cells = {(int(float(p["a"] or 0) * 4), int(float(p["b"] or 0) * 4)) for p in points}
    assert len(cells) == 16  # one point in each sixteenth of the square: what a Sobol sequence promises
    assert space_filling(encoding, 3, 8, set()) != points[3]


def test_space_filling_gets_to_the_last_unseen_point() -> None:
    space = Space({"n": Int(1, 500)})
    encoding = Encoding.of(space)
    seen = {key_of(params) for params in Grid(space) if params["n"] != 311}
    assert space_filling(encoding, 0, 0, seen) == {"n": 311}


def test_varied_points_are_valid_and_near() -> None:
    encoding = Encoding.of(MIXED)
    base = spread(encoding, 1, seeded())
    units = vary(encoding, base, 200, seeded())
    assert torch.equal(encoding.snap(units), units)
    assert (units[:, 0] - base[0, 0]).abs().median() < 0.1
    assert units[:, 2].unique().numel() == 2
