"""Define-by-run: what a trial asks for is what it gets, keeps and shows, and the space grows with it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hyperhook as hh
from hyperhook import cli
from hyperhook.errors import (
    NothingLeftError,
    ObjectiveError,
    PluginError,
    SpaceError,
    StoreError,
    StudyError,
    StudyMismatchError,
)
from hyperhook.events import MetricsLogged, ParamsLogged, TrialStarted
from hyperhook.growth import answer
from hyperhook.journal import read
from hyperhook.parameters import Parameter, Scalar
from hyperhook.ranks import Silence
from hyperhook.records import StudyRecord, TrialState
from hyperhook.space import Condition
from hyperhook.store import Store
from hyperhook.testing import RecordingPlugin
from hyperhook.trial import Trial

OpenStudy = Callable[..., hh.Study]


class Answers:
    """A sink that answers as a study does, and keeps nothing."""

    def emit(self, trial: hh.TrialRecord, event: object) -> None:
        pass

    def meet(self, trial: hh.TrialRecord, name: str, asked: Parameter) -> Scalar:
        return answer(trial, name, asked, 0)


class Fixed:
    """Suggests the same params for whatever the space has grown to, and keeps what the study looked like."""

    def __init__(self, **params: Scalar) -> None:
        self.params = params
        self.asked: list[StudyRecord] = []

    @hh.hookimpl
    def suggest(self, study: StudyRecord, count: int) -> list[hh.Params]:
        self.asked.append(study)
        middle = study.space.from_unit([0.5] * len(study.space))
        fit = {
            name: value for name, value in self.params.items() if name in middle and study.space[name].contains(value)
        }
        return [{**middle, **fit}] * count


def asking(proposed: hh.Params | None = None) -> Trial:
    return Trial(hh.TrialRecord("a", 3, "s", proposed=proposed or {}), Answers(), objective=hh.Minimize("value"))  # type: ignore[arg-type]


@pytest.fixture
def grows(study: OpenStudy) -> OpenStudy:
    """Opens studies without a space."""
    return lambda name="s", **options: study(
        name, **{"space": None, "objective": hh.Minimize("value"), "seed": 1, **options}
    )


def branches(trial: hh.Trial) -> float:
    if trial.suggest_categorical("model", ["svm", "forest"]) == "svm":
        return abs(math.log10(trial.suggest_float("C", 1e-3, 1e3, log=True)))
    return trial.suggest_int("depth", 1, 16) / 8


finite = st.floats(-1e6, 1e6)


@given(finite, finite, st.none() | st.floats(1e-3, 1e3), st.none() | finite)
def test_a_float_lies_within_its_bounds_and_on_its_step(
    one: float, other: float, step: float | None, proposed: float | None
) -> None:
    low, high = sorted((one, other))
    value = asking({} if proposed is None else {"x": proposed}).suggest_float("x", low, high, step=step)
    assert type(value) is float
    assert low <= value <= high
    assert hh.Float(low, high, step=step).contains(value)
    if proposed is not None and hh.Float(low, high, step=step).contains(proposed):
        assert value == proposed


@given(st.integers(-1000, 1000), st.integers(0, 1000), st.integers(1, 50), st.none() | st.integers(-2000, 2000))
def test_an_int_lies_within_its_bounds_and_on_its_step(low: int, width: int, step: int, proposed: int | None) -> None:
    value = asking({} if proposed is None else {"n": proposed}).suggest_int("n", low, low + width, step=step)
    assert type(value) is int
    assert low <= value <= low + width
    assert (value - low) % step == 0
    if proposed is not None and low <= proposed <= low + width and (proposed - low) % step == 0:
        assert value == proposed


@given(st.lists(st.none() | st.booleans() | st.text() | st.integers(3, 9), min_size=1, max_size=6, unique=True))
def test_an_option_is_one_of_those_asked_for(choices: list[Scalar]) -> None:
    value = asking().suggest_categorical("c", choices)
    assert any(value is option or (type(value) is type(option) and value == option) for option in choices)


def test_optuna_s_objective_and_arguments_pass_by_their_names() -> None:
    trial = asking()
    assert 1e-5 <= trial.suggest_float(name="lr", low=1e-5, high=1e-1, log=True) <= 1e-1
    assert trial.suggest_float("lr", 1e-5, 1e-1, log=True) == trial.params["lr"]
    assert trial.suggest_int(name="n", low=2, high=8, step=2) in (2, 4, 6, 8)
    assert trial.suggest_int("log", 1, 8, log=True) in range(1, 9)
    assert trial.suggest_categorical(name="c", choices=(None, True, "a", 0.5)) in (None, True, "a", 0.5)
    assert list(trial.params) == ["lr", "n", "log", "c"]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda t: t.suggest_float("x", 1.0, 0.0), r"low must not exceed high, got low=1\.0, high=0\.0; swap"),
        (lambda t: t.suggest_float("x", 0.0, 1.0, log=True), "needs low > 0"),
        (lambda t: t.suggest_float("x", 1.0, 2.0, log=True, step=0.1), "exclude each other"),
        (lambda t: t.suggest_float("x", "a", 2.0), "bound 'a', expected a number"),
        (lambda t: t.suggest_int("x", 0.5, 2), r"'x' has the bound or step 0\.5, expected an int"),
        (lambda t: t.suggest_int("x", 1, 8, log=True, step=2), "exclude each other"),
        (lambda t: t.suggest_categorical("x", []), "at least one"),
        (lambda t: t.suggest_categorical("x", "ab"), "'x' expected a list of options, got 'ab'"),
        (lambda t: t.suggest_categorical("x", 5), "'x' expected a list of options, got 5"),
        (lambda t: t.suggest_categorical("x", [(1, 2)]), r"options must be strings, numbers.*got \(1, 2\)"),
        (lambda t: t.suggest_float("", 0.0, 1.0), "expected a name, got ''"),
        (lambda t: (t.suggest_float("x", 0.0, 0.4), t.suggest_int("x", 0, 4)), "use another name"),
        (lambda t: (t.suggest_categorical("x", ["a"]), t.suggest_float("x", 0, 4)), "use another name"),
    ],
)
def test_what_cannot_be_asked_for_is_one_clear_error(ask: Callable[[hh.Trial], object], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        ask(asking())


def test_the_same_name_has_one_value_in_a_trial(caplog: pytest.LogCaptureFixture) -> None:
    trial = asking({"x": 0.25})
    assert trial.suggest_float("x", 0.0, 1.0) == trial.suggest_float("x", 0.0, 1.0) == 0.25
    assert trial.suggest_float("x", 5.0, 6.0) == 0.25
    assert "'x' was asked for before in this trial, and stays 0.25; asked for Float(low=5.0" in caplog.text


def test_the_store_has_the_params_asked_for_and_the_space_that_grew(grows: OpenStudy, home: Path) -> None:
    made = grows()
    assert dict(made.space) == {}
    made.run(branches, trials=12)
    assert {name: made.space.condition(name) for name in made.space} == {
        "model": None,
        "C": Condition("model", "svm"),
        "depth": Condition("model", "forest"),
    }
    for trial in made.trials:
        made.space.validate(trial.params)
        assert trial.value == branches(asking(trial.params))
    made.close()
    again = grows()
    assert again.space == made.record().space
    again.run(branches, trials=14)
    assert len(again.trials) == 14
    assert again.best.params == min(again.trials, key=lambda trial: trial.value or 0).params


def test_listeners_and_the_journal_hear_of_each_param_once(grows: OpenStudy, home: Path) -> None:
    recorder = RecordingPlugin()
    made = grows(plugins=[recorder])

    def train(trial: hh.Trial) -> float:
        x = trial.suggest_float("x", 0.0, 1.0)
        trial.log({"loss": x})
        trial.log_params({"x": x, "seed": 7})
        return x + trial.suggest_int("n", 1, 3)

    made.run(train, trials=1)
    record = made.trials[0]
    events = [event for event, _ in read(home / "trials" / record.id / "journal.jsonl")]
    assert [event.params for event in events if isinstance(event, TrialStarted)] == [{}]
    logged = [event.params for event in events if isinstance(event, ParamsLogged)]
    assert logged == [{"x": record.params["x"]}, {"seed": 7}, {"n": record.params["n"]}]
    assert recorder.hooks().count("params_logged") == 3


def test_suggesters_see_whole_trials_and_what_they_propose_is_taken(grows: OpenStudy) -> None:
    suggester = Fixed(model="forest", depth=5)
    made = grows(plugins=[suggester])
    made.enqueue({"model": "svm", "C": 2.0})
    made.enqueue({"model": "forest", "depth": 3})
    made.run(branches, trials=4)
    assert [trial.params for trial in made.trials] == [
        {"model": "svm", "C": 2.0},
        {"model": "forest", "depth": 3},
        {"model": "forest", "depth": 5},
        {"model": "forest", "depth": 5},
    ]
    for seen in suggester.asked:
        for trial in seen.trials:
            seen.space.validate(trial.params)


def test_bounds_may_change_and_the_space_holds_all_of_them(grows: OpenStudy) -> None:
    made = grows(plugins=[Fixed(x=4.0)])

    def train(trial: hh.Trial) -> float:
        return trial.suggest_float("x", trial.number, trial.number + 2) + trial.suggest_int(
            "n", 0, 4 + 2 * trial.number
        )

    made.run(train, trials=5)
    assert made.space["x"] == hh.Float(0.0, 6.0)
    assert made.space["n"] == hh.Int(0, 12)
    assert [trial.number <= float(trial.params["x"] or 0) <= trial.number + 2 for trial in made.trials] == [True] * 5
    assert [made.trials[number].params["x"] for number in (3, 4)] == [4.0, 4.0]  # proposed, and within the bounds


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda t: t.suggest_int("x", 0, 1), "the kind of a parameter cannot change"),
        (lambda t: t.suggest_float("x", 0.5, 1.0, log=True), "log=False in another trial, now log=True"),
        (lambda t: t.suggest_categorical("c", ["a", "b", "c"]), "the options of a choice"),
    ],
)
def test_what_cannot_change_from_trial_to_trial(
    grows: OpenStudy, other: Callable[[hh.Trial], object], message: str
) -> None:
    made = grows()
    made.run(lambda t: t.suggest_float("x", 0.0, 1.0) + len(t.suggest_categorical("c", ["a", "b"])), trials=1)
    with made.trial() as trial:
        with pytest.raises(SpaceError, match=message):
            other(trial)
        assert trial.params == {}
        trial.log({"value": 1.0})
    assert made.trials[1].state is TrialState.COMPLETE
    assert set(made.space) == {"x", "c"}


def test_a_fixed_space_answers_what_it_has_and_refuses_the_rest(study: OpenStudy) -> None:
    space = {"lr": hh.Float(0.1, 0.2), "net": hh.Choice({"cnn": {"kernel": hh.Int(1, 3)}, "mlp": {}})}
    made = study(space=space, objective=hh.Minimize("value"), plugins=[Fixed(net="mlp")])
    trial = made.ask()
    assert trial.suggest_float("lr", 0.0, 1.0) == trial.params["lr"]
    assert trial.suggest_categorical("net", ["cnn", "mlp"]) == "mlp"
    with pytest.raises(
        SpaceError, match=r"'lr' is 0\.1.* in this trial, whose study has a fixed space; asked for Float"
    ):
        trial.suggest_float("lr", 0.5, 1.0)
    for ask in (lambda: trial.suggest_int("kernel", 1, 3), lambda: trial.suggest_float("other", 0.0, 1.0)):
        with pytest.raises(SpaceError, match=r"is not among the params of this trial.*it has lr, net; open a study"):
            ask()
    made.tell(trial, 1.0)
    assert set(made.space) == {"lr", "net", "kernel"}


def test_a_space_cannot_be_given_to_a_study_that_grew(grows: OpenStudy, study: OpenStudy) -> None:
    grows().run(branches, trials=2)
    with pytest.raises(StudyMismatchError, match=r"'model' is .* there, not in it here"):
        study(space={"lr": hh.Float(0.0, 1.0)}, objective=hh.Minimize("value"))


def test_a_trial_that_is_put_back_keeps_what_it_asked_for(grows: OpenStudy, caplog: pytest.LogCaptureFixture) -> None:
    made = grows(max_retries=1)
    made.enqueue({"x": 0.25, "y": 0.5})
    trial = made.ask()
    assert trial.suggest_float("x", 0.0, 1.0) == 0.25
    assert made.requeue(trial).params == trial.params == {"x": 0.25}
    assert "did not ask for" not in caplog.text


def test_queued_names_that_are_never_asked_for_are_said(grows: OpenStudy, caplog: pytest.LogCaptureFixture) -> None:
    made = grows()
    first = made.enqueue({"model": "svm", "C": 10.0, "typo": 3})
    assert first is not None
    assert first.params == {"model": "svm", "C": 10.0, "typo": 3}
    assert made.enqueue({"model": "svm", "C": 10.0}) == made.trials[0]  # it is queued
    made.run(branches, trials=2)
    assert made.trials[0].params == {"model": "svm", "C": 10.0}
    assert "trial s-0 was queued with params that it did not ask for: {'typo': 3}" in caplog.text
    assert caplog.text.count("did not ask for") == 1
    assert made.enqueue({"model": "svm", "C": 10.0, "typo": 3}) == made.trials[0]  # it ran
    for wrong in ({}, {"x": (1, 2)}, {"": 1}, 5):
        with pytest.raises(SpaceError):
            made.enqueue(wrong)  # type: ignore[arg-type]


def test_reports_and_pruning_as_optuna_has_them(grows: OpenStudy, caplog: pytest.LogCaptureFixture) -> None:
    class StopAtTwo:
        @hh.hookimpl
        def should_stop(self, last: hh.Point | None) -> bool:
            return last is not None and last.step == 2

    def objective(trial: hh.Trial) -> float:
        x = trial.suggest_float("x", 0.0, 1.0)
        trial.set_user_attr("who", "me")
        trial.set_user_attr("many", [1, 2])
        assert trial.user_attrs == {"who": "me", "many": [1, 2]}
        for step, value in enumerate((3.0, 1.0, 2.0, 0.5)):
            trial.report(value + x, step)
            trial.report(99.0, step)
            if trial.should_prune():
                raise hh.TrialPruned
        return x

    made = grows(plugins=[StopAtTwo()])
    made.run(objective, trials=2)
    assert [trial.state for trial in made.trials] == [TrialState.PRUNED] * 2
    assert [trial.value for trial in made.trials] == [2.0 + float(trial.params["x"] or 0) for trial in made.trials]
    assert "step 2 was reported before" in caplog.text
    assert "failed" not in caplog.text


def test_a_trial_that_is_pruned_before_a_report_has_no_value(grows: OpenStudy) -> None:
    class TrialPruned(Exception):
        """Optuna's has this name, too."""

    made = grows()
    with made.trial():
        raise TrialPruned
    with made.trial() as trial:
        trial.report(math.nan, 0)
        raise hh.TrialPruned("diverged")
    assert [(trial.state, trial.value) for trial in made.trials] == [(TrialState.PRUNED, None)] * 2


def test_reports_need_an_objective(grows: OpenStudy) -> None:
    with grows(objective=None).trial() as trial, pytest.raises(ObjectiveError, match=r"has no objective.*Minimize"):
        trial.report(1.0, 0)


def test_several_objectives_are_returned_in_their_order(grows: OpenStudy) -> None:
    made = grows(objective=[hh.Minimize("loss"), hh.Maximize("speed")])
    made.run(lambda trial: (trial.suggest_float("x", 0.0, 1.0), 3), trials=2)
    assert [trial.metrics for trial in made.trials] == [{"speed": 3.0}] * 2
    with pytest.raises(ObjectiveError, match="returned 1 values, expected 2: loss, speed"):
        grows("other", objective=[hh.Minimize("loss"), hh.Maximize("speed")]).run(lambda trial: [1.0], trials=1)


def test_a_trial_that_is_resumed_or_forked_has_its_params_again(grows: OpenStudy) -> None:
    made = grows()
    made.run(branches, trials=1)
    params = dict(made.trials[0].params)
    for fork in (False, True):
        with made.trial(resume=0, fork=fork) as trial:
            value = branches(trial)
            trial.log({"value": value})
        assert trial.params == params
    assert [trial.params for trial in made.trials] == [params, params]


def test_workers_that_meet_a_param_at_once_agree(grows: OpenStudy, home: Path) -> None:
    together = threading.Barrier(4)
    studies = [grows() for _ in range(4)]

    def work(worker: int) -> None:
        trial = studies[worker].ask()
        together.wait(20)
        for name in ("a", "b", "c"):
            trial.suggest_float(name, -worker, 10 + worker)
        studies[worker].tell(trial, 1.0)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    record = studies[0].record()
    assert dict(record.space) == {name: hh.Float(-3.0, 13.0) for name in ("a", "b", "c")}
    assert [set(trial.params) for trial in record.trials] == [{"a", "b", "c"}] * 4


def test_the_seed_gives_the_same_search_again(grows: OpenStudy, tmp_path: Path) -> None:
    found = []
    for place in ("one", "two"):
        made = grows(home=tmp_path / place, seed=5)
        made.run(branches, trials=6)
        found.append([trial.params for trial in made.trials])
    assert found[0] == found[1]
    assert len({str(params) for params in found[0]}) > 1


def test_a_rank_that_follows_takes_what_its_leader_asked_for() -> None:
    record = hh.TrialRecord("a", 0, "s", proposed={})
    answers = iter([record, record, replace(record, params={"x": 0.5})])
    follower = Trial(record, Silence(lambda _: next(answers)), emits=False)
    assert follower.suggest_float("x", 0.0, 1.0) == 0.5
    assert follower.params == {"x": 0.5}
    ended = replace(record, state=TrialState.COMPLETE)
    late = Trial(record, Silence(lambda _: ended), emits=False)
    with pytest.raises(StudyError, match="the leading rank never asked for 'x' in trial 's-0'"):
        late.suggest_float("x", 0.0, 1.0)


def test_a_full_store_costs_the_param_and_not_the_trial(
    grows: OpenStudy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise StoreError("disk full")

    made = grows()
    trial = made.ask()
    monkeypatch.setattr(Store, "meet", full)
    assert 0.0 <= trial.suggest_float("x", 0.0, 1.0) <= 1.0
    assert set(trial.params) == {"x"}
    assert "param 'x' of trial s-0 is not kept in the store: disk full" in caplog.text
    monkeypatch.undo()
    assert made.tell(trial, 1.0).state is TrialState.COMPLETE


def test_a_group_of_runs_that_asks_for_nothing_stays_one(grows: OpenStudy) -> None:
    made = grows()
    made.run(lambda trial: 1.0, trials=3)
    assert dict(made.space) == {}
    assert [trial.params for trial in made.trials] == [{}] * 3


def test_a_study_that_should_end_says_why(grows: OpenStudy, caplog: pytest.LogCaptureFixture) -> None:
    class AfterTwo:
        answer: object = "two are enough"

        @hh.hookimpl
        def should_end(self, study: StudyRecord) -> object:
            return self.answer if len(study.trials) >= 2 else None

    ends = AfterTwo()
    made = grows(plugins=[ends])
    assert made.ended is None
    made.run(branches, trials=10)
    assert len(made.trials) == 2
    assert made.ended == "two are enough"
    assert caplog.text.count("study s ends: two are enough") == 1
    with pytest.raises(NothingLeftError, match="ask: two are enough; there is no further trial"):
        made.ask()
    made.enqueue({"model": "svm"})
    made.run(branches, trials=10)
    assert [trial.state for trial in made.trials][2:] == [TrialState.QUEUED]
    ends.answer = 5
    with pytest.raises(PluginError, match="should_end: expected a reason in words, or None"):
        made.run(branches, trials=10)


def test_points_and_metrics_are_logged_as_they_are_reported(grows: OpenStudy, home: Path) -> None:
    made = grows()
    with made.trial() as trial:
        trial.report(0.5, 3)
    events = [event for event, _ in read(home / "trials" / trial.id / "journal.jsonl")]
    assert [(e.metrics, e.step) for e in events if isinstance(e, MetricsLogged)] == [({"value": 0.5}, 3)]
    assert trial.record.value == 0.5


@pytest.mark.parametrize(
    ("proposed", "ask", "value"),
    [
        (16.0, lambda t: t.suggest_int("p", 1, 64), 16),
        (16.5, lambda t: t.suggest_int("p", 17, 17), 17),
        (16, lambda t: t.suggest_float("p", 1, 64), 16.0),
        (16.0, lambda t: t.suggest_categorical("p", ["16", 16]), 16),
        ("16", lambda t: t.suggest_categorical("p", ["16", 16]), "16"),
        (True, lambda t: t.suggest_int("p", 2, 2), 2),
        (1, lambda t: t.suggest_categorical("p", [True]), True),
    ],
)
def test_a_number_is_taken_as_what_is_asked_for(
    proposed: Scalar, ask: Callable[[hh.Trial], Scalar], value: Scalar
) -> None:
    found = ask(asking({"p": proposed}))
    assert (found, type(found)) == (value, type(value))


def test_the_command_line_queues_what_no_trial_has_asked_for(
    grows: OpenStudy, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = grows()
    monkeypatch.setattr(sys, "argv", ["hyperhook", "enqueue", "s", "model=forest", "depth=3", "--home", str(home)])
    with pytest.raises(SystemExit) as done:
        cli.main()
    assert done.value.code == 0
    assert "s-0 is queued: model=forest" in capsys.readouterr().out
    made.run(branches, trials=1)
    assert made.trials[0].params == {"model": "forest", "depth": 3}


FOLLOWER = """
import hyperhook as hh
study = hh.Study("s", objective=hh.Minimize("value"), home={home!r})
trial = study.ask()
print(trial.suggest_float("x", 0.0, 1.0), trial.suggest_categorical("c", ["a", "b"]), trial.params)
with trial.fold(0) as fold:
    fold.log({{"value": 1.0}})
study.tell(trial)
"""


def test_a_process_that_follows_waits_for_what_its_leader_asks_for(grows: OpenStudy, home: Path) -> None:
    made = grows()
    trial = made.ask()
    counts = made._launch._counts["s"]
    skip = f"from hyperhook.ranks import Launch\nLaunch._counts['s'] = {counts - 1}\n"
    environment = {**os.environ, "LOCAL_RANK": "1"}
    follower = subprocess.Popen(
        [sys.executable, "-c", skip + FOLLOWER.format(home=str(home))],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    x = trial.suggest_float("x", 0.0, 1.0)
    c = trial.suggest_categorical("c", ["a", "b"])
    said, _ = follower.communicate(timeout=60)
    assert said.strip() == f"{x} {c} {{'x': {x}, 'c': '{c}'}}"
    assert follower.returncode == 0
    assert made.trials[0].params == {"x": x, "c": c}
    assert made.tell(trial, 1.0).state is TrialState.COMPLETE
