"""Learning from earlier studies: where to begin, what to expect, and when to forget about them."""

from __future__ import annotations

import logging
import math
import pickle
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hyperhook as hh
from hyperhook.errors import StudyError
from hyperhook.testing import SuggesterContract
from hyperhook.testing.histories import ROUGH, finished, outcomes, trials_of
from hyperhook.testing.spaces import LINE, MIXED, spaces
from hyperhook_plugins.gp import GP
from hyperhook_plugins.gp.earlier import Earlier
from hyperhook_plugins.gp.encoding import Encoding
from hyperhook_plugins.gp.transfer import Source, blend

PLANE = hh.Space({"a": hh.Float(0.0, 1.0), "b": hh.Float(0.0, 1.0)})
DONE = hh.TrialState.COMPLETE


def gp(*earlier: str | hh.StudyRecord, **options: object) -> GP:
    return GP(device="cpu", warm_start=earlier, **options)  # type: ignore[arg-type]


def bowl(params: hh.Params) -> float:
    """Lowest at (0.2, 0.7)."""
    return 10 * ((float(params["a"] or 0) - 0.2) ** 2 + (float(params["b"] or 0) - 0.7) ** 2)


def record(
    space: hh.Space, loss: Callable[[hh.Params], float], count: int = 25, seed: int = 7, name: str = "old"
) -> hh.StudyRecord:
    rng = random.Random(seed)
    many = [space.sample(rng) for _ in range(count)]
    trials = tuple(hh.TrialRecord(f"{name}{i}", i, name, p, DONE, loss(p)) for i, p in enumerate(many))
    return hh.StudyRecord(name, space, hh.Minimize("loss"), 0, trials)


def search(suggester: GP, loss: Callable[[hh.Params], float], count: int, seed: int = 0) -> list[float]:
    """Return the losses of a search of the plane, in order."""
    study = hh.StudyRecord("new", PLANE, hh.Minimize("loss"), seed)
    for i in range(count):
        (params,) = suggester.suggest(study, 1)
        trial = hh.TrialRecord(f"n{i}", i, "new", params, DONE, loss(params))
        study = replace(study, trials=(*study.trials, trial))
    return [float(trial.value or 0.0) for trial in study.trials]


# Two studies in one home


def test_a_study_learns_from_another_one_of_its_home_by_name(tmp_path: Path) -> None:
    def train(trial: hh.Trial) -> float:
        return bowl(trial.params)

    hh.Study("last-year", PLANE, hh.Minimize("loss"), home=tmp_path, seed=1).run(train, trials=25, progress=False)
    best = {}
    for name, plugin in {"cold": gp(), "warm": gp("last-year")}.items():
        study = hh.Study(name, PLANE, hh.Minimize("loss"), plugins=[plugin], home=tmp_path, seed=0)
        best[name] = study.run(train, trials=6, progress=False).best.value
    assert (best["warm"] or 0.0) < (best["cold"] or 0.0) / 5


def test_the_first_trial_is_the_best_one_of_the_earlier_study(tmp_path: Path) -> None:
    old = record(PLANE, bowl)
    study = hh.Study("new", PLANE, hh.Maximize("acc"), plugins=[gp(old)], home=tmp_path, seed=0)
    assert old.best is not None
    assert study.ask().params == pytest.approx(old.best.params)


def test_an_unknown_name_stops_the_search_before_it_begins(tmp_path: Path) -> None:
    hh.Study("last-year", PLANE, hh.Minimize("loss"), home=tmp_path)
    study = hh.Study("new", PLANE, hh.Minimize("loss"), plugins=[gp("last-yaer")], home=tmp_path)
    for begin in (lambda: study.run(lambda trial: 1.0, trials=2, progress=False), study.ask):
        with pytest.raises(
            StudyError, match=r"GP: warm_start: there is no study 'last-yaer' here; there are: last-year, new"
        ):
            begin()
    assert not study.trials


def test_a_study_cannot_be_its_own_teacher(tmp_path: Path) -> None:
    study = hh.Study("new", PLANE, hh.Minimize("loss"), plugins=[gp("new")], home=tmp_path)
    with pytest.raises(hh.HyperhookError, match="warm_start names 'new', the study itself"):
        study.ask()


def test_names_without_a_home_are_refused_with_what_to_write() -> None:
    with pytest.raises(hh.HyperhookError, match=r"'?last-year'?.*warm_start=\[hh.Study\(name\).record\(\)\]"):
        gp("last-year").suggest(hh.StudyRecord("new", PLANE, hh.Minimize("loss")), 1)


@pytest.mark.parametrize("wrong", ["last-year", None, [3], [object()]])
def test_what_is_no_list_of_studies_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="GP: warm_start"):
        GP(warm_start=wrong)  # type: ignore[arg-type]


def test_a_worker_gets_the_earlier_studies_along(tmp_path: Path) -> None:
    hh.Study("old", PLANE, hh.Minimize("loss"), home=tmp_path, seed=1).run(
        lambda trial: bowl(trial.params), trials=12, progress=False
    )
    plugin = gp("old")
    study = hh.Study("new", PLANE, hh.Minimize("loss"), plugins=[plugin], home=tmp_path, seed=0)
    study.ask()
    other = pickle.loads(pickle.dumps(plugin))
    assert other.suggest(study.record(), 2) == plugin.suggest(study.record(), 2)


# What it does to a search


def test_a_shifted_and_scaled_study_helps_from_the_first_trials_on() -> None:
    def shifted(params: hh.Params) -> float:
        return 1000 - 5 * bowl({"a": float(params["a"] or 0) + 0.05, "b": float(params["b"] or 0) - 0.05})

    old = replace(record(PLANE, shifted), objective=hh.Maximize("score"))
    warm = [min(search(gp(old), bowl, 6, seed)) for seed in range(3)]
    cold = [min(search(gp(), bowl, 6, seed)) for seed in range(3)]
    assert statistics.median(warm) < 0.3 * statistics.median(cold)


def test_a_study_turned_upside_down_is_soon_forgotten() -> None:
    old = record(PLANE, lambda params: -bowl(params))
    for seed in range(3):
        losses = search(gp(old), bowl, 16, seed)
        assert losses[0] > 3  # it did begin where the earlier study was best
        assert min(losses) < 0.01


def test_an_unrelated_study_does_not_keep_the_optimum_from_being_found() -> None:
    old = record(PLANE, lambda params: math.sin(9 * float(params["a"] or 0)) * math.cos(7 * float(params["b"] or 0)))
    for seed in range(3):
        assert min(search(gp(old), bowl, 18, seed)) < 0.01


def test_of_two_studies_the_one_that_ranks_right_counts() -> None:
    encoding = Encoding.of(PLANE)
    right, wrong = (
        Source.of(record(PLANE, loss), encoding, torch.device("cpu"))
        for loss in (bowl, lambda params: -bowl(params) + 20)
    )
    tried = record(PLANE, bowl, count=10, seed=3)
    x = encoding.encode(encoding.units([trial.params for trial in tried.trials]))
    found = blend([wrong, right], x, [float(trial.value or 0.0) for trial in tried.trials])
    assert found is not None
    assert found.sources == (right,)
    assert found.weights == (1.0,)
    assert blend([wrong], x, [float(trial.value or 0.0) for trial in tried.trials]) is None


def test_params_that_only_one_side_has_are_no_hindrance() -> None:
    """The earlier study knows a, over a wider range, and another parameter; the present one has b as well."""
    earlier = hh.Space({"a": hh.Float(-1.0, 3.0), "momentum": hh.Float(0.0, 1.0)})
    old = record(earlier, lambda params: (float(params["a"] or 0) - 0.2) ** 2, count=40)
    (first,) = gp(old).suggest(hh.StudyRecord("new", PLANE, hh.Minimize("loss"), 0), 1)
    assert float(first["a"] or 0) == pytest.approx(0.2, abs=0.15)
    assert min(search(gp(old), bowl, 12)) < 0.05


def test_expectations_do_not_depend_on_what_the_earlier_study_lacks() -> None:
    encoding = Encoding.of(PLANE)
    old = record(hh.Space({"a": hh.Float(0.0, 1.0)}), lambda params: float(params["a"] or 0))
    source = Source.of(old, encoding, torch.device("cpu"))
    points = [{"a": 0.3, "b": b} for b in (0.0, 0.5, 1.0)]
    expected = source.expected(encoding.encode(encoding.units(points))).tolist()
    assert expected == pytest.approx([expected[0]] * 3)


def test_trials_outside_are_carried_over_as_far_as_they_tell() -> None:
    earlier = hh.Space(
        {"lr": hh.Float(1e-6, 1.0, log=True), "net": hh.Choice(["cnn", "mlp", "rnn"]), "n": hh.Int(1, 100)}
    )
    present = hh.Space({"lr": hh.Float(1e-4, 1e-2, log=True), "net": hh.Choice(["mlp", "cnn"]), "n": hh.Choice([1, 2])})
    told: Sequence[hh.Params] = [
        {"lr": 1e-3, "net": "mlp", "n": 5},
        {"lr": 1e-5, "net": "cnn", "n": 5},  # below the bounds by half of the range
        {"lr": 1e-3, "net": "rnn", "n": 5},  # no option any more
        {"lr": 1.0, "net": "mlp", "n": 5},  # as far above the bounds as the range is wide
        {"lr": 1e-6 / 2, "net": "mlp", "n": 5},  # farther out
    ]
    trials = tuple(hh.TrialRecord(f"t{i}", i, "old", p, DONE, float(i)) for i, p in enumerate(told))
    found = Earlier.of(hh.StudyRecord("old", earlier, hh.Minimize("loss"), 0, trials), Encoding.of(present))
    assert found.losses == (0.0, 1.0, 3.0)
    assert found.units[:, 0].tolist() == pytest.approx([0.5, -0.5, 2.0])
    assert found.units[:, 1].tolist() == [0.25, 0.75, 0.25]
    assert found.units[:, 2].isnan().all()  # options and numbers are not the same
    assert found.dimension == 2


def test_constraints_are_heeded_where_an_earlier_study_broke_them() -> None:
    old = record(PLANE, bowl)
    limit = hh.Constraint("size", "<=", 0.5)
    study = hh.StudyRecord("new", PLANE, hh.Minimize("loss"), 0, constraints=(limit,))
    for i in range(14):
        (params,) = gp(old).suggest(study, 1)
        size = {"size": float(params["b"] or 0)}
        trial = hh.TrialRecord(f"n{i}", i, "new", params, DONE, bowl(params), metrics=size)
        study = replace(study, trials=(*study.trials, trial))
    assert study.best is not None
    assert study.is_feasible(study.best)
    assert study.best.value == pytest.approx(10 * 0.2**2, abs=0.1)


def test_several_objectives_are_warned_about_and_searched(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    objectives = [hh.Minimize("loss"), hh.Minimize("size")]
    study = hh.Study("new", PLANE, objectives, plugins=[gp(record(PLANE, bowl))], home=tmp_path, seed=0)
    with caplog.at_level(logging.WARNING, "hyperhook"):
        study.run(lambda t: {"loss": bowl(t.params), "size": float(t.params["a"] or 0)}, trials=6, progress=False)
    assert ["only tell where to begin" in one.getMessage() for one in caplog.records] == [True]


# Whatever the earlier study is


@pytest.mark.parametrize("case", ROUGH)
def test_an_earlier_study_of_any_outcome_is_fine(case: str) -> None:
    old = hh.StudyRecord("old", MIXED, hh.Minimize("loss"), 0, trials_of(MIXED, [ROUGH[case](i) for i in range(9)]))
    for done in (0, 1, 8):
        study = hh.StudyRecord("new", MIXED, hh.Minimize("loss"), 0, finished(MIXED, done))
        for params in gp(old).suggest(study, 2):
            MIXED.validate(params)


@pytest.mark.parametrize(
    ("old", "reason"),
    [
        (hh.StudyRecord("old", PLANE, hh.Minimize("loss")), "no trial with a value"),
        (replace(record(PLANE, bowl), objective=None), "no trial with a value"),
        (record(hh.Space({"c": hh.Float(0.0, 1.0)}), lambda params: 1.0), "no parameter in common"),
    ],
)
def test_one_that_teaches_nothing_is_named_once_and_changes_nothing(
    old: hh.StudyRecord, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    plugin = gp(old)
    with caplog.at_level(logging.WARNING, "hyperhook"):
        assert search(plugin, bowl, 7) == search(gp(), bowl, 7)
    (told,) = caplog.records
    assert reason in told.getMessage()


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(
    earlier=spaces(), present=spaces(), told=outcomes(), done=outcomes(), seed=st.integers(0, 2**32),
    count=st.integers(1, 3),
)  # fmt: skip
def test_every_suggestion_is_inside_the_space_whatever_the_earlier_one_was(
    earlier: hh.Space, present: hh.Space, told: list[object], done: list[object], seed: int, count: int
) -> None:
    """Drawn spaces call their parameters alike, so many overlap: by name, not by kind, range or scale."""
    old = hh.StudyRecord("old", earlier, hh.Minimize("loss"), 0, trials_of(earlier, told))  # type: ignore[arg-type]
    trials = trials_of(present, done)  # type: ignore[arg-type]
    study = hh.StudyRecord("new", present, hh.Minimize("loss"), seed, trials)
    answers = gp(old).suggest(study, count)
    assert len(answers) == count
    for params in answers:
        present.validate(params)
    assert gp(old).suggest(study, count) == answers


class TestWarmGP(SuggesterContract):
    """The contract of suggesters, with two earlier studies of some of the spaces that it asks about."""

    examples = 8

    def make(self) -> GP:
        return gp(
            hh.StudyRecord("old", MIXED, hh.Minimize("loss"), 0, finished(MIXED, 12)),
            hh.StudyRecord("older", LINE, hh.Maximize("acc"), 0, finished(LINE, 5)),
        )
