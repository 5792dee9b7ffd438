"""The sampler for Optuna: the tests that Optuna publishes for third parties, and our own."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase

import hyperhook as hh
from hyperhook.errors import ObjectiveError, UnknownPluginError
from hyperhook_adapters.optuna import HyperhookSampler

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # GPyTorch's


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


class TestPublished(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):  # type: ignore[misc]
    """Optuna's own, with the Gaussian process."""

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: HyperhookSampler(seed=0)


class TestPublishedRandom(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):  # type: ignore[misc]
    """Optuna's own, with random search: any suggester will do."""

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: HyperhookSampler("random", seed=0)


def bowl(trial: optuna.Trial) -> float:
    x, y = trial.suggest_float("x", -5, 5), trial.suggest_float("y", 1e-3, 10, log=True)
    off = trial.suggest_categorical("c", ["a", None, 2.5]) != "a"
    return (x - 1) ** 2 + (math.log10(y) + 0.5) ** 2 + off


def best(sampler: BaseSampler, sign: int) -> float:
    study = optuna.create_study(sampler=sampler, direction="minimize" if sign > 0 else "maximize")
    study.optimize(lambda trial: sign * bowl(trial), n_trials=20)
    return sign * study.best_value


@pytest.mark.parametrize(("sign", "seeds"), [(1, 3), (-1, 1)])
def test_it_finds_what_random_search_does_not(sign: int, seeds: int) -> None:
    ours = [best(HyperhookSampler(seed=seed), sign) for seed in range(seeds)]
    theirs = [best(optuna.samplers.RandomSampler(seed=seed), sign) for seed in range(seeds)]
    assert statistics.median(ours) < 0.2 * statistics.median(theirs)


def history(study: optuna.Study, trials: int = 8) -> optuna.Study:
    rng = random.Random(7)
    for _ in range(trials):
        x, y = rng.uniform(-5, 5), rng.uniform(0.1, 10)
        distributions: dict[str, BaseDistribution] = {
            "x": FloatDistribution(-5, 5),
            "y": FloatDistribution(1e-3, 10, log=True),
            "c": CategoricalDistribution(["a", None, 2.5]),
        }
        params = {"x": x, "y": y, "c": rng.choice(["a", None, 2.5])}
        study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=x * x + y))
    return study


def asked(seed: int | None, change: Callable[[optuna.Study], Any] = lambda study: None) -> dict[str, Any]:
    study = history(optuna.create_study(sampler=HyperhookSampler(seed=seed)))
    change(study)
    trial = study.ask()
    bowl(trial)
    return trial.params


def test_the_same_seed_and_trials_give_the_same_params() -> None:
    assert asked(3) == asked(3)
    assert asked(3) != asked(4)


def test_running_trials_are_not_repeated() -> None:
    study = history(optuna.create_study(sampler=HyperhookSampler(seed=0)))
    trials = [study.ask() for _ in range(4)]
    for trial in trials:
        bowl(trial)
    points = [(trial.params["x"], trial.params["y"]) for trial in trials]
    assert len({(round(x, 3), round(y, 3)) for x, y in points}) == 4


def test_failed_and_pruned_trials_and_those_of_another_range_do_no_harm() -> None:
    def change(study: optuna.Study) -> None:
        fail = study.ask()
        bowl(fail)
        study.tell(fail, state=optuna.trial.TrialState.FAIL)
        pruned = study.ask()
        bowl(pruned)
        pruned.report(0.5, step=3)
        study.tell(pruned, state=optuna.trial.TrialState.PRUNED)

    params = asked(0, change)
    assert params.keys() == {"x", "y", "c"}

    study = history(optuna.create_study(sampler=HyperhookSampler(seed=0)))
    for _ in range(6):
        trial = study.ask()
        value = trial.suggest_float("x", 20, 30)  # nothing known lies there
        assert 20 <= value <= 30
        study.tell(trial, value)


def test_what_only_some_trials_have_is_drawn_at_random() -> None:
    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        return x + (trial.suggest_int("n", 1, 9, step=2) if x > 0.5 else 0)

    study = optuna.create_study(sampler=HyperhookSampler(seed=0))
    study.optimize(objective, n_trials=12)
    assert {trial.params.get("n") for trial in study.trials} <= {None, 1, 3, 5, 7, 9}
    assert study.best_value < 0.1


def test_a_study_in_a_database_goes_on(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/optuna.db"
    for _ in range(2):
        study = optuna.create_study(
            study_name="s", storage=storage, sampler=HyperhookSampler(seed=1), load_if_exists=True
        )
        study.optimize(bowl, n_trials=6)
    assert len(study.trials) == 12
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 12


def test_categories_may_be_any_object_of_optunas() -> None:
    space: dict[str, BaseDistribution] = {
        "c": CategoricalDistribution([True, 1, "1", None]),
        "n": IntDistribution(1, 4),
    }
    study = optuna.create_study(sampler=HyperhookSampler("random", seed=0))
    for _ in range(12):
        trial = study.ask(space)
        assert any(trial.params["c"] is choice for choice in [True, 1, "1", None])
        study.tell(trial, float(trial.params["n"]))


def test_several_objectives_are_refused_with_a_way_out() -> None:
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=HyperhookSampler("random"))
    with pytest.raises(ObjectiveError, match="expected a study with one objective, got 2; use another sampler"):
        study.ask({"x": FloatDistribution(0, 1)})


def test_a_suggester_that_is_none() -> None:
    with pytest.raises(UnknownPluginError, match="no plugin 'gpp' is installed"):
        HyperhookSampler("gpp")
    with pytest.raises(hh.HyperhookError, match="'provenance' does not suggest; expected a plugin such as 'gp'"):
        HyperhookSampler("provenance")
