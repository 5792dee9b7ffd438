"""Converged: a study ends where nothing better is to be expected that could be told from noise."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook_plugins.gp import GP, Converged

SPACE = hh.Space({"x": hh.Float(-1.0, 1.0), "net": hh.Choice(["a", "b"])})


def grid(count: int, noise: float = 0.0, stderr: float | None = None) -> hh.StudyRecord:
    """A study that has tried many points of a parabola."""
    rng = random.Random(0)
    trials = []
    for number in range(count):
        x, net = -1.0 + 2.0 * (number + 0.5) / count, "ab"[number % 2]
        value = x * x + (net == "b") + rng.gauss(0.0, noise)
        params = {"x": x, "net": net}
        done = hh.TrialState.COMPLETE
        trials.append(hh.TrialRecord(str(number), number, "s", params, done, value, stderr=stderr))
    return hh.StudyRecord("s", SPACE, hh.Minimize("y"), 0, tuple(trials))


def test_a_known_function_has_converged_and_a_tolerance_says_when() -> None:
    reason = Converged(tolerance=0.05).should_end(grid(24))
    assert reason is not None
    assert reason.startswith("nothing better by more than ")
    assert reason.endswith("is to be expected, and the tolerance is 0.05")
    assert Converged(tolerance=1e-12).should_end(grid(24)) is None


def test_few_trials_have_not_converged() -> None:
    assert Converged(tolerance=100.0, after=24).should_end(grid(23)) is None
    assert Converged(tolerance=1e-3, after=4).should_end(grid(4)) is None
    assert Converged(after=1).should_end(hh.StudyRecord("s", SPACE, hh.Minimize("y"))) is None


def test_without_a_tolerance_the_known_error_counts_and_else_the_noise() -> None:
    known = Converged().should_end(grid(160, 0.3, 0.3))
    assert known is not None
    assert known.endswith("the best trial's standard error is 0.3")
    unknown = Converged().should_end(grid(160, 0.5))
    assert unknown is not None
    assert "and the noise is 0." in unknown


def test_the_same_records_give_the_same_answer() -> None:
    assert Converged().should_end(grid(160, 0.3, 0.3)) == Converged().should_end(grid(160, 0.3, 0.3))


def test_maximising_is_minimising_the_other_way_round() -> None:
    study = grid(24)
    turned = tuple(hh.TrialRecord(t.id, t.number, "s", t.params, t.state, -(t.value or 0.0)) for t in study.trials)
    up = hh.StudyRecord("s", SPACE, hh.Maximize("y"), 0, turned)
    assert Converged(tolerance=0.05).should_end(up) == Converged(tolerance=0.05).should_end(study)


def test_a_search_ends_by_itself(tmp_path: Path) -> None:
    plugins = [GP(device="cpu"), Converged(tolerance=0.01, after=12, device="cpu")]
    with hh.Study("s", {"x": hh.Float(-1.0, 1.0)}, hh.Minimize("y"), plugins=plugins, home=tmp_path, seed=0) as made:
        made.run(lambda trial: float(trial.params["x"] or 0) ** 2, trials=40, progress=False)
        assert 12 <= len(made.trials) < 40
        assert (made.best.value or 1.0) < 0.01
        assert made.ended is not None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Converged(tolerance=0.0), "tolerance must be a finite number above 0"),
        (lambda: Converged(tolerance="low"), "tolerance must be a finite number above 0"),  # type: ignore[arg-type]
        (lambda: Converged(after=0), "after must be an int from 1"),
    ],
)
def test_wrong_options_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_it_needs_one_objective(tmp_path: Path) -> None:
    made = hh.Study("s", {"x": hh.Float(0, 1)}, plugins=[Converged()], home=tmp_path)
    with made, pytest.raises(hh.HyperhookError, match="has 0 objectives, expected one"):
        made.ask()
