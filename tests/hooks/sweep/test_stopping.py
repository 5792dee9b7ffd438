"""``early_terminate``: the rungs are W&B's, and so is who goes on from them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hyperhook as hh
from hyperhook.manager import Manager, load_plugin
from hyperhook.sweep.stopping import FARTHEST, halving_options


@pytest.mark.parametrize(
    ("given", "rungs"),
    [
        ({"max_iter": 27, "s": 2}, [3, 9]),
        ({"max_iter": 100, "s": 3}, [3, 11, 33]),
        ({"max_iter": 27, "s": 9}, [1, 3, 9]),
        ({"max_iter": 100, "s": 3, "eta": 2}, [12, 25, 50]),
        ({"min_iter": 3, "max_iter": 100}, [3, 9, 27, 81]),
        ({"min_iter": 2, "max_iter": 10, "eta": 1.5}, [2, 3, 4, 6, 10]),
    ],
)
def test_rungs(given: dict[str, float], rungs: list[int]) -> None:
    assert halving_options(**given)["rungs"] == rungs  # type: ignore[arg-type]


@given(first=st.integers(1, 50), eta=st.floats(1.1, 10))
def test_without_an_end_they_go_on(first: int, eta: float) -> None:
    rungs = halving_options(min_iter=first, eta=eta)["rungs"]
    assert isinstance(rungs, list)
    assert rungs[0] == first
    assert FARTHEST / eta - 2 <= rungs[-1] <= FARTHEST
    assert all(a < b for a, b in pairwise(rungs))


@given(
    losses=st.lists(st.integers(0, 20), min_size=1, max_size=30),
    eta=st.sampled_from([1.5, 2, 3, 4]),
    strict=st.booleans(),
)
def test_who_goes_on_from_a_rung(losses: list[int], eta: float, strict: bool) -> None:
    """W&B keeps what is as good as the value at the index n / eta of those sorted; strictly, at the one before."""
    pruner = load_plugin("asha", halving_options(min_iter=4, max_iter=4, eta=eta, strict=strict))
    manager = Manager([pruner])
    trials: list[hh.TrialRecord] = []
    for number, loss in enumerate(losses):
        curve = tuple(hh.CurvePoint(float(loss), step, step, 10 * number + step) for step in range(4))
        trial = hh.TrialRecord(f"t{number}", number, "s", curve=curve)
        trials.append(trial)
        study = hh.StudyRecord("s", hh.Space({}), hh.Minimize("loss"), trials=tuple(trials))
        stops = manager.decide.should_stop(study=study, trial=trial, last=hh.Point(float(loss), 3, 3))
        place = max(int((number + 1) / eta) - (1 if strict else 0), 0)
        assert bool(stops) == (loss > sorted(losses[: number + 1])[place])
