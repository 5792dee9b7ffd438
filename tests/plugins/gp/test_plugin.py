"""The `gp` plugin, asked as a study asks it: by its hook, over records."""

from __future__ import annotations

import logging
import math
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import torch

from hyperhook import (
    Choice,
    Float,
    Int,
    Maximize,
    Minimize,
    Params,
    Scalar,
    Space,
    StudyRecord,
    TrialRecord,
    TrialState,
)
from hyperhook.manager import Manager, load_plugin
from hyperhook_plugins.gp import GP
from hyperhook_plugins.random_search import RandomSearch

MIXED = Space(
    {
        "lr": Float(1e-5, 1e-1, log=True),
        "width": Int(8, 64, log=True),
        "drop": Float(0.0, 0.5, step=0.1),
        "net": Choice({"cnn": {"kernel": Int(1, 7, step=2)}, "mlp": {"gate": Choice([True, False])}, None: {}}),
        "fixed": Float(1.0, 1.0),
    }
)
LINE = Space({"x": Float(-1.0, 1.0)})
DONE = TrialState.COMPLETE


def gp(**options: int | None) -> GP:
    return GP(device="cpu", **options)  # type: ignore[arg-type]


def study(
    space: Space, trials: Sequence[TrialRecord] = (), *, seed: int | None = 0, maximise: bool = False
) -> StudyRecord:
    return StudyRecord("s", space, Maximize("y") if maximise else Minimize("y"), seed, tuple(trials))


def trial(number: int, params: Params, value: float | None = None, state: TrialState = DONE) -> TrialRecord:
    return TrialRecord(f"t-{number}", number, "s", params, state, value)


def sampled(space: Space, count: int, loss: Callable[[Params], float]) -> list[TrialRecord]:
    drawn = RandomSearch().suggest(study(space, seed=7), count)
    return [trial(i, params, loss(params)) for i, params in enumerate(drawn)]


def number(value: Scalar) -> float:
    assert isinstance(value, int | float)
    return float(value)


def mixed_loss(params: Params) -> float:
    return math.log10(number(params["lr"]) / 1e-3) ** 2 + 0.01 * number(params["width"]) + (params["net"] != "mlp")


def key(params: Params) -> frozenset[tuple[str, Scalar]]:
    return frozenset(params.items())


def search(plugin: GP | RandomSearch, space: Space, loss: Callable[[Params], float], trials: int, seed: int) -> float:
    done: list[TrialRecord] = []
    for i in range(trials):
        (params,) = plugin.suggest(study(space, done, seed=seed), 1) or [{}]
        done.append(trial(i, params, loss(params)))
    return min(number(one.value) for one in done)


def test_naming_the_plugin_does_not_load_torch() -> None:
    code = (
        "import sys; from hyperhook.manager import load_plugin; load_plugin('gp');"
        "print([m for m in ('torch', 'gpytorch', 'botorch', 'scipy', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_is_the_plugin_of_that_name_and_answers_through_the_manager() -> None:
    plugin = load_plugin("gp")
    assert isinstance(plugin, GP)
    (params,) = Manager([GP(device="cpu")]).decide.suggest(study=study(MIXED), count=1) or [{}]
    MIXED.validate(params)


@pytest.mark.parametrize("startup", [0, -3])
def test_refuses_an_impossible_startup(startup: int) -> None:
    with pytest.raises(ValueError, match="startup"):
        GP(startup=startup)


def test_every_suggestion_is_valid_and_new() -> None:
    done: list[TrialRecord] = []
    plugin = gp()
    for i in range(12):
        (params,) = plugin.suggest(study(MIXED, done), 1) or [{}]
        MIXED.validate(params)
        done.append(trial(i, params, mixed_loss(params)))
    assert len({key(one.params) for one in done}) == 12


def test_the_start_fills_the_space() -> None:
    xs = sorted(number(params["x"]) for params in gp(startup=8).suggest(study(LINE), 8) or [])
    assert [math.floor((x + 1) * 4) for x in xs] == list(range(8))  # one in each eighth


def test_the_start_goes_on_where_it_was_and_counts_running_trials() -> None:
    together = gp(startup=4).suggest(study(LINE), 4) or []
    one_by_one: list[TrialRecord] = []
    for i in range(4):
        (params,) = gp(startup=4).suggest(study(LINE, one_by_one), 1) or [{}]
        one_by_one.append(trial(i, params, state=TrialState.RUNNING))
    assert [one.params for one in one_by_one] == together


@pytest.mark.parametrize("done", [0, 8])
def test_the_same_seed_and_trials_give_the_same_answer(done: int) -> None:
    trials = sampled(MIXED, done, mixed_loss)
    first = gp().suggest(study(MIXED, trials), 2)
    assert gp().suggest(study(MIXED, trials), 2) == first
    assert gp().suggest(study(MIXED, trials, seed=1), 2) != first
    assert gp(seed=0).suggest(study(MIXED, trials, seed=1), 2) == first


def test_without_any_seed_two_plugins_search_differently() -> None:
    assert gp().suggest(study(LINE, seed=None), 1) != gp().suggest(study(LINE, seed=None), 1)


def test_leaves_the_global_state_of_torch_alone() -> None:
    trials = [*sampled(MIXED, 8, mixed_loss), trial(8, MIXED.from_unit([0.3] * len(MIXED)), state=TrialState.RUNNING)]
    torch.manual_seed(3)
    state, dtype = torch.get_rng_state(), torch.get_default_dtype()
    gp().suggest(study(MIXED, trials), 2)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_default_dtype() is dtype
    assert torch.is_grad_enabled()


def test_works_inside_no_grad_and_inference_mode() -> None:
    trials = sampled(LINE, 6, lambda params: number(params["x"]) ** 2)
    expected = gp().suggest(study(LINE, trials), 1)
    with torch.no_grad():
        assert gp().suggest(study(LINE, trials), 1) == expected
    with torch.inference_mode():
        assert gp().suggest(study(LINE, trials), 1) == expected


@pytest.mark.parametrize("space", [LINE, MIXED])
def test_running_trials_are_not_suggested_again_nor_crowded(space: Space) -> None:
    def loss(params: Params) -> float:
        return number(params["x"]) ** 2 if "x" in params else mixed_loss(params)

    trials = sampled(space, 8, loss)
    for i in range(8, 12):
        (params,) = gp().suggest(study(space, trials), 1) or [{}]
        trials.append(trial(i, params, state=TrialState.RUNNING))
    running = [one.params for one in trials if one.state is TrialState.RUNNING]
    assert len({key(params) for params in running}) == 4
    if space is LINE:
        xs = sorted(number(params["x"]) for params in running)
        assert min(b - a for a, b in pairwise(xs)) > 1e-3


def test_a_batch_is_distinct() -> None:
    answers = gp().suggest(study(MIXED, sampled(MIXED, 8, mixed_loss)), 5) or []
    assert len({key(params) for params in answers}) == len(answers) == 5


def test_learns_from_failures_to_stay_away() -> None:
    def attempt(params: Params) -> tuple[float | None, TrialState]:
        x = number(params["x"])
        return (None, TrialState.FAILED) if x > 0 else ((x + 0.1) ** 2, DONE)

    trials: list[TrialRecord] = []
    for i in range(16):
        (params,) = gp().suggest(study(LINE, trials), 1) or [{}]
        value, state = attempt(params)
        trials.append(trial(i, params, value, state))
    assert sum(one.state is TrialState.FAILED for one in trials[6:]) <= 5
    assert min(number(one.value) for one in trials if one.value is not None) < 1e-3


def test_killed_trials_tell_nothing() -> None:
    trials = sampled(LINE, 6, lambda params: number(params["x"]) ** 2)
    killed = [trial(6, {"x": 0.9}, -100.0, TrialState.KILLED)]
    (params,) = gp().suggest(study(LINE, [*trials, *killed]), 1) or [{}]
    assert abs(number(params["x"])) < 0.6


def test_maximises_what_is_to_be_maximised() -> None:
    trials = sampled(LINE, 8, lambda params: -((number(params["x"]) - 0.5) ** 2))
    (params,) = gp().suggest(study(LINE, trials, maximise=True), 1) or [{}]
    assert 0.2 < number(params["x"]) < 0.8


ROUGH: dict[str, Callable[[int], tuple[float | None, TrialState]]] = {
    "all failed": lambda i: (None, TrialState.FAILED),
    "all killed": lambda i: (None, TrialState.KILLED),
    "all pruned without a value": lambda i: (None, TrialState.PRUNED),
    "pruned with and without": lambda i: (float(i) if i % 2 else None, TrialState.PRUNED),
    "nan": lambda i: (math.nan, DONE),
    "infinities": lambda i: ((math.inf, -math.inf, 1.0)[i % 3], DONE),
    "constant": lambda i: (3.0, DONE),
    "huge": lambda i: ((-1) ** i * 1.7e308, DONE),
    "tiny": lambda i: (i * 5e-324, DONE),
    "one outlier": lambda i: (1e30 if i == 4 else float(i), DONE),
    "all running": lambda i: (None, TrialState.RUNNING),
    "one value": lambda i: (1.0, DONE) if i == 0 else (None, TrialState.FAILED),
}


@pytest.mark.parametrize("case", ROUGH)
def test_rough_histories_get_a_valid_answer(case: str, caplog: pytest.LogCaptureFixture) -> None:
    drawn = RandomSearch().suggest(study(MIXED, seed=3), 9)
    trials = [trial(i, params, *ROUGH[case](i)) for i, params in enumerate(drawn)]
    with caplog.at_level(logging.WARNING, "hyperhook"):
        for params in gp().suggest(study(MIXED, trials), 2) or [{}]:
            MIXED.validate(params)
    assert not caplog.records


@pytest.mark.parametrize("space", [LINE, MIXED])
def test_duplicates_and_a_single_observation_are_fine(space: Space) -> None:
    params = space.from_unit([0.4] * len(space))
    for count in (1, 30):
        repeated = [trial(i, params, 1.0 + i % 3) for i in range(count)]
        (answer,) = gp(startup=1).suggest(study(space, repeated), 1) or [{}]
        space.validate(answer)
        assert answer != params


def test_numerical_trouble_is_reported_and_answered(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: object, **options: object) -> object:
        raise torch.linalg.LinAlgError("not positive definite")

    trials = sampled(MIXED, 8, mixed_loss)
    monkeypatch.setattr(torch.linalg, "cholesky_ex", broken)
    monkeypatch.setattr(torch.linalg, "cholesky", broken)
    with caplog.at_level(logging.WARNING, "hyperhook"):
        (params,) = gp().suggest(study(MIXED, trials), 1) or [{}]
    MIXED.validate(params)
    assert "space-filling" in caplog.text
    assert "not positive definite" in caplog.text


@pytest.mark.parametrize(
    "space",
    [
        Space({"a": Int(0, 3), "b": Choice([True, False]), "c": Float(0.0, 0.2, step=0.1)}),
        Space({"net": Choice({"cnn": {"width": Int(8, 24, step=8), "norm": Choice([None, "batch"])}, "mlp": {}})}),
        Space({"only": Choice(["one"])}),
    ],
)
def test_a_finite_space_is_tried_whole_before_anything_comes_twice(space: Space) -> None:
    trials: list[TrialRecord] = []
    for i in range((space.cardinality or 0) + 2):
        (params,) = gp().suggest(study(space, trials), 1) or [{}]
        space.validate(params)
        trials.append(trial(i, params, float(i % 5)))
    assert len({key(one.params) for one in trials[:-2]}) == space.cardinality


def test_a_wide_integer_is_searched_to_its_exact_optimum() -> None:
    space = Space({"n": Int(0, 1_000_000)})
    trials = sampled(space, 25, lambda params: (number(params["n"]) / 1e6 - 0.3) ** 2)
    for i in range(25, 30):
        (params,) = gp().suggest(study(space, trials), 1) or [{}]
        trials.append(trial(i, params, (number(params["n"]) / 1e6 - 0.3) ** 2))
    assert min(abs(number(one.params["n"]) - 300_000) for one in trials[25:]) < 5_000


@pytest.mark.parametrize(
    ("space", "loss"),
    [
        (
            Space({"x": Float(-1, 1), "y": Float(-1, 1)}),
            lambda params: (params["x"] - 0.3) ** 2 + (params["y"] + 0.6) ** 2,
        ),
        (
            Space({"lr": Float(1e-5, 1e-1, log=True), "net": Choice({"a": {"n": Int(1, 50)}, "b": {}, "c": {}})}),
            lambda params: math.log10(params["lr"] / 1e-3) ** 2 + (abs(params["n"] - 20) / 50 if "n" in params else 1),
        ),
    ],
)
def test_beats_random_search_by_far(space: Space, loss: Callable[[Params], float]) -> None:
    ours = [search(gp(), space, loss, 16, seed) for seed in range(3)]
    theirs = [search(RandomSearch(), space, loss, 16, seed) for seed in range(9)]
    assert statistics.median(ours) < 0.3 * statistics.median(theirs)
