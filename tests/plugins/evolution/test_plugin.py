"""Evolution: which method answers, that it improves, and that a study's trials are all it needs."""

from __future__ import annotations

import math
import pickle
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

import hyperhook as hh
from hyperhook.records import StudyRecord, TrialRecord, TrialState
from hyperhook.testing.spaces import MIXED
from hyperhook_plugins.evolution import Evolution

BOX = hh.Space({f"x{i}": hh.Float(-5.0, 5.0) for i in range(4)})
INTS = hh.Space({"n": hh.Int(-20, 20), "x": hh.Float(-5.0, 5.0), "step": hh.Float(-2.0, 2.0, step=0.5)})
CHOICES = hh.Space(
    {
        "net": hh.Choice({"cnn": {"kernel": hh.Int(1, 9)}, "mlp": {"width": hh.Int(8, 512, log=True)}, "rnn": {}}),
        "lr": hh.Float(1e-5, 1.0, log=True),
        "act": hh.Choice(["relu", "tanh", "gelu"]),
    }
)

Loss = Callable[[hh.Params], float]


def number(params: hh.Params, name: str) -> float:
    return float(params[name] or 0)


def ellipsoid(params: hh.Params) -> float:
    return sum(10**i * (number(params, f"x{i}") - 1) ** 2 for i in range(4))


def steps(params: hh.Params) -> float:
    return (number(params, "n") - 7) ** 2 + (number(params, "x") - 1) ** 2 + abs(number(params, "step") + 1)


def choices(params: hh.Params) -> float:
    worse = {"cnn": 0.0, "mlp": 1.0, "rnn": 2.0}[str(params["net"])] + {"relu": 0.0, "tanh": 0.5, "gelu": 1.0}[
        str(params["act"])
    ]
    rate = (math.log10(number(params, "lr")) + 3) ** 2
    return worse + rate + (0.1 * abs(number(params, "kernel") - 5) if "kernel" in params else 0.0)


def search(
    suggester: Evolution, space: hh.Space, loss: Loss, count: int, seed: int = 0, workers: int = 1
) -> StudyRecord:
    """Run trials, so many at once, which end in an order of their own."""
    study = StudyRecord("s", space, hh.Minimize("m"), seed)
    rng, clock = random.Random(seed), 0.0
    while len(study.trials) < count or any(not t.state.is_finished for t in study.trials):
        running = [t for t in study.trials if t.state is TrialState.RUNNING]
        if len(running) < workers and len(study.trials) < count:
            (params,) = suggester.suggest(study, 1)
            begun = TrialRecord(f"t{len(study.trials)}", len(study.trials), "s", params)
            study = replace(study, trials=(*study.trials, begun))
            continue
        ended, clock = rng.choice(running), clock + 1
        done = replace(ended, state=TrialState.COMPLETE, value=loss(ended.params), finished_time=clock)
        study = replace(study, trials=tuple(done if t.id == ended.id else t for t in study.trials))
    return study


def best(study: StudyRecord) -> float:
    assert study.best is not None
    assert study.best.value is not None
    return study.best.value


@pytest.mark.parametrize("workers", [1, 7])
@pytest.mark.parametrize(
    ("space", "loss", "count", "bound"),
    [(BOX, ellipsoid, 240, 3.0), (INTS, steps, 120, 0.5), (CHOICES, choices, 120, 0.05)],
)
def test_it_comes_near_the_minimum(space: hh.Space, loss: Loss, count: int, bound: float, workers: int) -> None:
    """Random search of the same length leaves 86, 2.2 and 0.17 in the mean."""
    found = [best(search(Evolution(), space, loss, count, seed, workers)) for seed in range(3)]
    assert sum(found) / 3 < bound


@pytest.mark.parametrize(("space", "loss"), [(BOX, ellipsoid), (CHOICES, choices)])
def test_a_fresh_one_goes_on_as_the_old_one_with_many_workers(space: hh.Space, loss: Loss) -> None:
    class Fresh(Evolution):
        """Forgets everything between calls, as another process does."""

        @hh.hookimpl
        def suggest(self, study: StudyRecord, count: int) -> list[hh.Params]:
            return Evolution().suggest(study, count)

    old = search(Evolution(), space, loss, 60, seed=3, workers=5)
    assert [t.params for t in search(Fresh(), space, loss, 60, seed=3, workers=5).trials] == [
        t.params for t in old.trials
    ]


def test_a_trial_that_is_told_otherwise_is_learned_anew() -> None:
    suggester = Evolution(population=4)
    study = search(suggester, BOX, ellipsoid, 12)
    other = replace(study, trials=(replace(study.trials[0], value=1e9), *study.trials[1:]))
    for each in (study, other, study):
        assert suggester.suggest(each, 2) == Evolution(population=4).suggest(each, 2)


def test_a_search_that_has_converged_starts_again_somewhere_else() -> None:
    space = hh.Space({"x": hh.Float(0.0, 1.0), "y": hh.Float(0.0, 1.0)})
    point: hh.Params = {"x": 0.25, "y": 0.25}
    trials = tuple(
        TrialRecord(f"t{i}", i, "s", point, TrialState.COMPLETE, 0.0, finished_time=float(i)) for i in range(2000)
    )
    drawn = Evolution().suggest(StudyRecord("s", space, hh.Minimize("m"), 0, trials), 30)
    assert max(abs(number(params, "x") - 0.25) for params in drawn) > 0.1


def test_failures_are_the_worst() -> None:
    """A region that fails is left: the children of a population come from the part that worked."""
    rng = random.Random(0)

    def trials(space: hh.Space) -> tuple[TrialRecord, ...]:
        drawn = [space.sample(rng) for _ in range(96)]
        return tuple(
            TrialRecord(f"t{i}", i, "s", params, *((TrialState.FAILED,) if x < 0.5 else (TrialState.COMPLETE, x)))
            for i, params in enumerate(drawn)
            for x in [space.to_unit(params)[0]]
        )

    for space in (BOX, hh.Space({**BOX, "net": hh.Choice(["a", "b"])})):
        study = StudyRecord("s", space, hh.Minimize("m"), 0, trials(space))
        drawn = Evolution(population=48 if len(space) > 4 else 16).suggest(study, 100)
        assert sum(space.to_unit(params)[0] >= 0.45 for params in drawn) > 80


def test_the_method_is_that_of_the_space_unless_named() -> None:
    """CMA-ES starts at the middle with a bell, regularised evolution evenly."""

    def spread(suggester: Evolution) -> float:
        drawn = suggester.suggest(StudyRecord("s", BOX, hh.Minimize("m"), 0), 200)
        return sum(abs(number(params, "x0")) for params in drawn) / 200

    assert spread(Evolution(sigma=0.05)) < 0.5
    assert spread(Evolution(method="cmaes", sigma=0.05)) < 0.5
    assert spread(Evolution(method="regularised", sigma=0.05)) > 2.2
    with pytest.raises(ValueError, match=r"'cmaes' takes numbers alone, .*\(net, act, kernel"):
        Evolution(method="cmaes").suggest(StudyRecord("s", CHOICES, hh.Minimize("m"), 0), 1)


def test_the_first_generation_lies_where_the_priors_are() -> None:
    space = hh.Space({"x": hh.Float(0.0, 1.0, prior=hh.Normal(0.8, 0.05)), "y": hh.Float(0.0, 1.0)})
    drawn = Evolution(sigma=0.05).suggest(StudyRecord("s", space, hh.Minimize("m"), 0), 200)
    assert sum(number(params, "x") for params in drawn) / 200 == pytest.approx(0.8, abs=0.02)
    assert sum(number(params, "y") for params in drawn) / 200 == pytest.approx(0.5, abs=0.02)


def test_what_cannot_vary_stays() -> None:
    space = hh.Space({"fixed": hh.Int(3, 3), "only": hh.Choice(["one"])})
    assert Evolution().suggest(StudyRecord("s", space, hh.Minimize("m"), 0), 2) == [{"fixed": 3, "only": "one"}] * 2
    study = StudyRecord("s", hh.Space({**space, "x": hh.Float(0.0, 1.0)}), hh.Minimize("m"), 0)
    assert {(params["fixed"], params["only"]) for params in Evolution().suggest(study, 9)} == {(3, "one")}


def test_several_objectives_widen_the_front() -> None:
    space = hh.Space({"x": hh.Float(-5.0, 5.0), "y": hh.Float(-5.0, 5.0)})
    study = StudyRecord("s", space, hh.Minimize("a"), 0, further=(hh.Minimize("b"),))
    suggester = Evolution(method="regularised")
    for n in range(120):
        (params,) = suggester.suggest(study, 1)
        x, y = number(params, "x"), number(params, "y")
        done = TrialRecord(
            f"t{n}", n, "s", params, TrialState.COMPLETE, x**2 + y**2, metrics={"b": (x - 2) ** 2 + y**2}
        )
        study = replace(study, trials=(*study.trials, done))
    late = [t.params for t in study.trials[60:]]
    assert sum(-1 < number(p, "x") < 3 and abs(number(p, "y")) < 1 for p in late) > 30  # 8 of 100 by chance


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "cma"}, "method must be one of auto, cmaes, regularised, got 'cma'"),
        ({"population": 3}, "population must be None or an int from 4, got 3"),
        ({"sample": 0}, "sample must be an int from 1, got 0"),
        ({"crossover": 1.5}, "crossover must be from 0 to 1, got 1.5"),
        ({"sigma": 0}, "sigma must be above 0 and at most 1, got 0"),
    ],
)
def test_options_that_cannot_be(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Evolution(**options)  # type: ignore[arg-type]


def test_it_travels() -> None:
    suggester, study = Evolution(), search(Evolution(), BOX, ellipsoid, 20)
    answer = suggester.suggest(study, 2)
    assert pickle.loads(pickle.dumps(suggester)).suggest(study, 2) == answer


def test_mixed_spaces_are_evolved_validly_for_long() -> None:
    study = search(Evolution(population=6), MIXED, lambda params: sum(MIXED.to_unit(params)), 80)
    for trial in study.trials:
        MIXED.validate(trial.params)
