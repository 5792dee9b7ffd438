"""What the `gp` plugin learned: in the objective's own unit, of every space and history, and no lucky seed wins."""

from __future__ import annotations

import logging
import math
import pickle
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperhook import (
    Choice,
    Float,
    HyperhookError,
    Int,
    Maximize,
    Minimize,
    Objective,
    Params,
    Scalar,
    Space,
    StudyRecord,
    TrialRecord,
    TrialState,
    insight,
)
from hyperhook.errors import EmptyStudyError, PluginError
from hyperhook.manager import Manager
from hyperhook.testing.histories import Outcome, outcomes, trials_of
from hyperhook.testing.random_states import states
from hyperhook.testing.spaces import LINE, MIXED, spaces
from hyperhook_plugins.gp import GP
from hyperhook_plugins.gp.insight import Insight

SQUARE = Space({"a": Float(0.0, 1.0), "b": Float(0.0, 1.0)})
CUBE = Space({"a": Float(0.0, 1.0), "b": Float(0.0, 1.0), "idle": Float(0.0, 1.0), "fixed": Int(3, 3)})
NETS = Space({"net": Choice({"cnn": {"width": Float(0.0, 1.0)}, "mlp": {}})})
DONE = TrialState.COMPLETE


def number(value: Scalar) -> float:
    assert isinstance(value, int | float)
    return float(value)


def study(
    space: Space, values: Iterable[float | None], *, objective: Objective | None = None, drawn: Sequence[Params] = ()
) -> StudyRecord:
    """A study of COMPLETE trials, their params drawn at random unless given."""
    rng = random.Random(3)
    trials = [
        TrialRecord(f"t{i}", i, "s", drawn[i] if drawn else space.sample(rng), DONE, value)
        for i, value in enumerate(values)
    ]
    return StudyRecord("s", space, objective or Minimize("loss"), 0, tuple(trials))


def sampled(
    space: Space, count: int, loss: Callable[[Params], float], noise: float = 0.0, seed: int = 3
) -> StudyRecord:
    rng = random.Random(seed)
    drawn = [space.sample(rng) for _ in range(count)]
    return study(space, [loss(params) + noise * rng.gauss(0.0, 1.0) for params in drawn], drawn=drawn)


def bowl(params: Params) -> float:
    return (number(params["a"]) - 0.3) ** 2 + (number(params["b"]) - 0.7) ** 2


def gp() -> GP:
    return GP(device="cpu")


def importance(record: StudyRecord) -> dict[str, float]:
    return insight.importance(record, Manager([gp()]))


# Predictions


def test_predictions_are_in_the_objective_s_own_unit() -> None:
    record = sampled(SQUARE, 40, lambda params: 500 + 1000 * bowl(params))
    new = {"a": 0.45, "b": 0.45}
    there, tried = insight.predict(record, Manager([gp()]), [new, record.trials[0].params])
    assert there.mean == pytest.approx(500 + 1000 * bowl(new), abs=10)
    assert tried.mean == pytest.approx(record.trials[0].value, abs=5)
    assert 0 <= tried.std < 5
    assert abs(there.mean - 500 - 1000 * bowl(new)) < 4 * there.std < 40


def test_what_is_to_be_maximised_is_predicted_in_its_own_direction() -> None:
    losses = [number(trial.value) for trial in sampled(SQUARE, 15, bowl).trials]
    less = study(SQUARE, losses)
    more = study(SQUARE, [-loss for loss in losses], objective=Maximize("acc"))
    many = [SQUARE.from_unit([0.2, 0.9]), SQUARE.from_unit([1.0, 0.0])]
    for one, other in zip(gp().predict(less, many) or [], gp().predict(more, many) or [], strict=True):
        assert (one.mean, one.std) == (pytest.approx(-other.mean), pytest.approx(other.std))


def test_predictions_follow_the_unit() -> None:
    losses = [number(trial.value) for trial in sampled(SQUARE, 15, bowl).trials]
    (metres,) = gp().predict(study(SQUARE, losses), [{"a": 0.2, "b": 0.9}]) or []
    (miles,) = gp().predict(study(SQUARE, [9 + loss / 1609.344 for loss in losses]), [{"a": 0.2, "b": 0.9}]) or []
    assert miles.mean == pytest.approx(9 + metres.mean / 1609.344, rel=1e-6)
    assert miles.std == pytest.approx(metres.std / 1609.344, rel=1e-2)


def test_the_noise_is_no_part_of_a_prediction() -> None:
    record = sampled(SQUARE, 60, bowl, noise=0.1)
    (centre,) = gp().predict(record, [{"a": 0.3, "b": 0.7}]) or []
    assert centre.mean == pytest.approx(0.0, abs=0.06)
    assert centre.std < 0.06


# Importance


def test_importance_is_the_share_in_the_variance() -> None:
    shares = importance(sampled(CUBE, 40, lambda params: 3 * number(params["a"]) + number(params["b"])))
    assert list(shares)[:2] == ["a", "b"]
    assert shares["a"] == pytest.approx(0.9, abs=0.05)
    assert shares["b"] == pytest.approx(0.1, abs=0.05)
    assert shares["idle"] < 0.01
    assert shares["fixed"] == 0.0


def test_a_parameter_below_a_choice_counts_where_it_is_active() -> None:
    # f = width if the net is a cnn, else 0: Var f = 5/48, of which the width has 1/24 in total, and the net 1/12
    shares = importance(sampled(NETS, 40, lambda params: number(params.get("width", 0.0))))
    assert shares == pytest.approx({"net": 2 / 3, "width": 1 / 3}, abs=0.05)


def test_where_nothing_makes_a_difference_all_that_vary_share_alike() -> None:
    assert importance(study(CUBE, [2.0] * 12)) == pytest.approx({"a": 1 / 3, "b": 1 / 3, "idle": 1 / 3, "fixed": 0.0})


def test_how_badly_a_training_diverged_makes_nothing_important() -> None:
    def loss(params: Params) -> float:
        return 1e9 if number(params["b"]) > 0.95 else 3 * number(params["a"]) + 0.1 * number(params["b"])

    assert importance(sampled(SQUARE, 40, loss))["a"] > 0.5


# The best trial


def test_without_noise_it_is_exactly_the_best_value() -> None:
    problems: list[tuple[Space, Callable[[Params], float]]] = [
        (SQUARE, bowl),
        (SQUARE, lambda params: abs(number(params["a"]) - 0.3) + (number(params["b"]) > 0.4)),
        (SQUARE, lambda params: math.exp(-9 * bowl(params)) + 0.1 * math.sin(9 * number(params["a"]))),
        (MIXED, lambda params: math.log10(number(params["lr"]) / 1e-3) ** 2 + (params["net"] != "mlp")),
    ]
    for space, loss in problems:
        for count in (12, 40):
            record = sampled(space, count, loss)
            assert gp().which_is_best(record) is None
            assert insight.best(record, Manager([gp()])) == record.best


def test_where_values_are_noisy_the_truth_is_better_at_what_is_chosen() -> None:
    gains: list[float] = []
    for seed in range(24):
        record = sampled(SQUARE, 50, bowl, noise=0.15, seed=seed)
        lucky, chosen = record.best, insight.best(record, Manager([gp()]))
        assert lucky is not None
        assert chosen is not None
        gains.append(bowl(lucky.params) - bowl(chosen.params))
    error = statistics.stdev(gains) / math.sqrt(len(gains))
    assert statistics.fmean(gains) > 3 * error > 0
    assert sum(gain > 0 for gain in gains) > 4 * sum(gain < 0 for gain in gains)


def test_only_complete_trials_are_compared() -> None:
    record = sampled(SQUARE, 30, bowl)
    others = [
        TrialRecord(f"o{i}", 30 + i, "s", record.trials[i].params, state, value)
        for i, (state, value) in enumerate([(TrialState.PRUNED, 3.0), (TrialState.FAILED, None)] * 6)
    ]
    mixed = StudyRecord("s", SQUARE, Minimize("loss"), 0, (*record.trials, *others))
    assert gp().which_is_best(mixed) is None
    noisy = sampled(SQUARE, 50, bowl, noise=0.2)
    assert gp().which_is_best(noisy) == gp().which_is_best(
        StudyRecord("s", SQUARE, Minimize("loss"), 0, (*noisy.trials, *others))
    )


def test_a_few_trials_load_nothing() -> None:
    code = (
        "import sys; from hyperhook import *; from hyperhook_plugins.gp import GP;"
        "trials = tuple(TrialRecord(f't{i}', i, 's', {'x': 0.1 * i}, TrialState.COMPLETE, float(i)) for i in range(9));"
        "print(GP().which_is_best(StudyRecord('s', Space({'x': Float(0, 1)}), Minimize('y'), 0, trials)),"
        "[m for m in ('torch', 'gpytorch', 'botorch', 'scipy', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "None []"


# All together


@settings(max_examples=15)
@given(space=spaces(), history=outcomes(), maximise=st.booleans())
def test_whatever_was_tried_the_answers_are_answers(space: Space, history: list[Outcome], maximise: bool) -> None:
    objective = Maximize("acc") if maximise else Minimize("loss")
    record = StudyRecord("s", space, objective, 0, trials_of(space, history))
    manager = Manager([gp()])
    many = [space.from_unit([unit] * len(space)) for unit in (0.0, 0.5, 1.0)]
    assert insight.best(record, manager) in (None, *record.trials)
    try:
        predictions = insight.predict(record, manager, many)
    except (EmptyStudyError, PluginError):
        varies = any(parameter.cardinality != 1 for parameter in space.values())
        finite = [
            trial
            for trial in record.trials
            if trial.state in (DONE, TrialState.PRUNED) and trial.value is not None and math.isfinite(trial.value)
        ]
        assert not (varies and finite)
        return
    assert len(predictions) == 3
    shares = insight.importance(record, manager)
    assert [*shares.values()] == sorted(shares.values(), reverse=True)
    assert all(share == 0.0 for name, share in shares.items() if space[name].cardinality == 1)


def test_the_same_trials_give_the_same_answers_and_the_global_generators_are_left_alone() -> None:
    record = sampled(MIXED, 12, lambda params: number(params["lr"]))
    before, torchs = states(), torch.random.get_rng_state()
    assert gp().importance(record) == gp().importance(record)
    assert gp().predict(record, [MIXED.from_unit([0.4] * 7)]) == gp().predict(record, [MIXED.from_unit([0.4] * 7)])
    assert states() == before
    assert torch.equal(torch.random.get_rng_state(), torchs)


def test_the_trainer_s_torch_settings_make_no_difference() -> None:
    record = sampled(SQUARE, 12, bowl)
    expected = gp().importance(record)
    with torch.inference_mode(), torch.device("meta"):
        assert gp().importance(record) == expected


def test_nothing_is_learned_twice_until_a_trial_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[int] = []
    learn = Insight.of

    def counting(record: StudyRecord, device: str) -> Insight | None:
        learned.append(len(record.trials))
        return learn(record, device)

    monkeypatch.setattr(Insight, "of", counting)
    plugin, record = gp(), sampled(SQUARE, 14, bowl)
    for _ in range(3):
        plugin.predict(record, [record.trials[0].params])
        plugin.importance(record)
        plugin.which_is_best(record)
    assert learned == [14]
    plugin.importance(sampled(SQUARE, 15, bowl))
    assert learned == [14, 15]
    assert pickle.loads(pickle.dumps(plugin))._known == ()


def test_numerical_trouble_is_an_error_to_who_asks_and_no_end_of_best(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: object, **options: object) -> object:
        raise torch.linalg.LinAlgError("not positive definite")

    record = sampled(LINE, 12, lambda params: number(params["x"]))
    monkeypatch.setattr(torch.linalg, "cholesky_ex", broken)
    monkeypatch.setattr(torch.linalg, "cholesky", broken)
    with pytest.raises(HyperhookError, match=r"GP: study 's' cannot be modelled .*not positive definite"):
        gp().importance(record)
    with caplog.at_level(logging.WARNING, "hyperhook"):
        assert gp().which_is_best(record) is None
    assert "the best value counts" in caplog.text
