"""Repeats and folds: kept apart in the journal, one value with its standard error, pruned between them."""

from __future__ import annotations

import math
import pickle
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hyperhook as hh
from hyperhook.errors import MetricError, ObjectiveError, StudyError, TrialStateError
from hyperhook.events import ArtifactLogged, MetricsLogged
from hyperhook.journal import read
from hyperhook.parts import Parts
from hyperhook.records import TrialState
from hyperhook.repeats import Repeated

OpenStudy = Callable[..., hh.Study]
NOISE = (0.1, -0.1, 0.3)


def noisy(trial: hh.Trial) -> float:
    return float(trial.params["x"] or 0) + NOISE[trial.repeat]


def logged(home: Path, trial: hh.TrialRecord) -> list[tuple[dict[str, float], int]]:
    events = [event for event, _ in read(home / "trials" / trial.id / "journal.jsonl")]
    return [(event.values(), event.step) for event in events if isinstance(event, MetricsLogged)]


def test_a_trial_s_value_is_the_mean_of_its_repeats(study: OpenStudy) -> None:
    made = study()
    made.run(noisy, trials=2, repeats=3)
    for trial in made.trials:
        values = [float(trial.params["x"] or 0) + noise for noise in NOISE]
        assert trial.value == pytest.approx(statistics.fmean(values))
        assert trial.stderr == pytest.approx(statistics.stdev(values) / math.sqrt(3))
        assert trial.state is TrialState.COMPLETE


def test_curves_are_kept_apart_and_the_mean_is_logged_as_it_comes(study: OpenStudy, home: Path) -> None:
    def train(trial: hh.Trial) -> None:
        assert hh.current_trial() is trial
        for step in range(2):
            trial.log({"loss": 1.0 + trial.repeat - step / 2, "lr": 0.1}, epoch=step)
        trial.log_text("note", "text")

    made = study()
    made.run(train, trials=1, repeats=2)
    record = made.trials[0]
    assert logged(home, record) == [
        ({"repeat-0/loss": 1.0, "repeat-0/lr": 0.1}, 0),
        ({"repeat-0/loss": 0.5, "repeat-0/lr": 0.1}, 1),
        ({"loss": 0.5}, 0),
        ({"repeat-1/loss": 2.0, "repeat-1/lr": 0.1}, 0),
        ({"repeat-1/loss": 1.5, "repeat-1/lr": 0.1}, 1),
        ({"loss": 1.0}, 1),
    ]
    assert (record.value, record.stderr, record.epochs) == (1.0, pytest.approx(0.5), 4)
    events = [event for event, _ in read(home / "trials" / record.id / "journal.jsonl")]
    kept = [event for event in events if isinstance(event, ArtifactLogged)]
    assert [event.name for event in kept] == ["repeat-0/note", "repeat-1/note"]
    assert all(Path(event.path).read_text() == "text" for event in kept)
    assert len({event.place for event in kept}) == 2


def test_a_value_that_is_returned_shows_for_each_repeat(study: OpenStudy, home: Path) -> None:
    made = study()
    made.run(lambda trial: float(trial.repeat), trials=1, repeats=2)
    assert logged(home, made.trials[0]) == [
        ({"repeat-0/loss": 0.0}, 0),
        ({"loss": 0.0}, 0),
        ({"repeat-1/loss": 1.0}, 0),
        ({"loss": 0.5}, 1),
    ]


def test_the_best_is_chosen_by_the_mean_and_not_by_the_luckiest_repeat(study: OpenStudy) -> None:
    lucky = {0.0: (-9.0, 9.0, 9.0), 1.0: (1.0, 1.0, 1.0)}

    def train(trial: hh.Trial) -> float:
        return lucky[float(trial.params["x"] or 0)][trial.repeat]

    made = study(space={"x": hh.Choice([0.0, 1.0])})
    made.run(train, trials=2, repeats=3)
    assert made.best.params == {"x": 1.0}
    assert (made.best.value, made.best.stderr) == (1.0, 0.0)


def test_pruners_judge_the_mean_between_repeats_and_not_within(study: OpenStudy) -> None:
    asked: list[tuple[int, float]] = []

    class StopAtTheSecond:
        @hh.hookimpl
        def should_stop(self, last: hh.Point | None) -> bool:
            assert last is not None
            asked.append((last.step or 0, last.value))
            return last.step == 1

    def train(trial: hh.Trial) -> None:
        trial.log({"loss": float(trial.repeat)})
        assert not trial.should_stop

    made = study(plugins=[StopAtTheSecond()])
    made.run(train, trials=1, repeats=5)
    assert asked == [(0, 0.0), (1, 0.5)]
    record = made.trials[0]
    assert (record.state, record.value, record.stderr) == (TrialState.PRUNED, 0.5, 0.5)


def test_ranks_that_train_together_do_not_part_between_repeats(
    study: OpenStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop:
        @hh.hookimpl
        def should_stop(self) -> bool:
            return True

    made = study(plugins=[Stop()])
    monkeypatch.setenv("WORLD_SIZE", "2")
    made.run(lambda trial: float(trial.repeat), trials=1, repeats=3)
    assert (made.trials[0].state, made.trials[0].value) == (TrialState.COMPLETE, 1.0)


def test_a_repeat_that_fails_fails_the_trial(study: OpenStudy) -> None:
    def train(trial: hh.Trial) -> float:
        if trial.number == 1 and trial.repeat == 1:
            raise RuntimeError("the second repeat broke")
        return math.nan if trial.number == 2 else 1.0

    made = study()
    made.run(train, trials=3, repeats=2)
    assert [trial.state for trial in made.trials] == [TrialState.COMPLETE, TrialState.FAILED, TrialState.FAILED]
    assert made.trials[1].error == "RuntimeError: the second repeat broke"
    assert "NotFiniteError" in (made.trials[2].error or "")


def test_several_goals_and_constraints_are_means_too(study: OpenStudy) -> None:
    made = study(objective=[hh.Minimize("loss"), hh.Maximize("speed")], constraints={"mib": ("<=", 5.0)})
    made.run(lambda t: {"loss": t.repeat, "speed": 2.0 + t.repeat, "mib": 4.0}, trials=1, repeats=3)
    assert (made.trials[0].value, made.trials[0].metrics) == (1.0, {"speed": 3.0, "mib": 4.0})
    other = study("tuples", objective=[hh.Minimize("loss"), hh.Maximize("speed")])
    other.run(lambda t: (t.repeat, 5.0), trials=1, repeats=3)
    assert (other.trials[0].value, other.trials[0].metrics) == (1.0, {"speed": 5.0})


def test_repeats_ask_for_the_same_params(study: OpenStudy) -> None:
    seen: list[float] = []

    def train(trial: hh.Trial) -> float:
        seen.append(trial.suggest_float("x", 0.0, 1.0))
        return seen[-1]

    made = study(space=None)
    made.run(train, trials=2, repeats=2)
    assert seen[0] == seen[1] != seen[2] == seen[3]
    assert [trial.params for trial in made.trials] == [{"x": seen[0]}, {"x": seen[2]}]


@pytest.mark.parametrize("returns", [True, False])
def test_folds_are_repeats_within_the_function(study: OpenStudy, home: Path, returns: bool) -> None:
    scores = (3.0, 1.0, 2.0)

    def train(trial: hh.Trial) -> float | None:
        for number, score in enumerate(scores):
            with trial.fold(number) as fold:
                assert fold.repeat == number
                fold.log({"loss": score})
        return statistics.fmean(scores) if returns else None

    made = study()
    made.run(train, trials=1)
    record = made.trials[0]
    assert (record.value, record.stderr) == (2.0, pytest.approx(1.0 / math.sqrt(3)))
    assert ({"fold-1/loss": 1.0}, 0) in logged(home, record)
    assert [values["loss"] for values, _ in logged(home, record) if "loss" in values] == [3.0, 2.0, 2.0]


def test_another_value_that_is_returned_counts(study: OpenStudy) -> None:
    def train(trial: hh.Trial) -> float:
        for number in range(2):
            with trial.fold(number) as fold:
                fold.result = float(number)
        return 7.0

    made = study()
    made.run(train, trials=1)
    assert (made.trials[0].value, made.trials[0].stderr) == (7.0, None)


def test_a_resumed_trial_doubles_nothing(study: OpenStudy, home: Path) -> None:
    def train(trial: hh.Trial) -> None:
        for number in range(2):
            with trial.fold(number) as fold:
                fold.log({"loss": float(number)}, step=4)

    made = study()
    made.run(train, trials=1)
    before = logged(home, made.trials[0])
    with made.trial(resume=0) as trial:
        train(trial)
    assert logged(home, made.trials[0]) == before
    assert (made.trials[0].value, made.trials[0].stderr) == (0.5, 0.5)


def test_a_fold_needs_a_value_and_a_number(study: OpenStudy) -> None:
    made = study()
    trial = made.ask()
    with (
        pytest.raises(ObjectiveError, match="metric 'loss' was never logged; logged so far: los"),
        trial.fold(0) as fold,
    ):
        fold.log({"los": 1.0})
    for wrong in (-1, 0.5, "0"):
        with pytest.raises(MetricError), trial.fold(wrong):  # type: ignore[arg-type]
            pass
    made.tell(trial, 1.0)
    with pytest.raises(TrialStateError, match="fold: trial 's-0' ended"), trial.fold(0):
        pass


@pytest.mark.parametrize("repeats", [0, -1, 1.5, True])
def test_repeats_are_counted_from_one(study: OpenStudy, repeats: int) -> None:
    with pytest.raises(StudyError, match="run: repeats must be an int from 1"):
        study().run(noisy, repeats=repeats)


def test_a_group_of_runs_may_repeat_without_a_value(study: OpenStudy) -> None:
    made = study(objective=None)
    made.run(lambda trial: trial.log({"a": 1.0}), trials=1, repeats=2)
    assert (made.trials[0].state, made.trials[0].value) == (TrialState.COMPLETE, None)


def test_what_repeats_can_be_pickled_for_a_worker() -> None:
    repeated = pickle.loads(pickle.dumps(Repeated(noisy, 3, (hh.Minimize("loss"),))))
    assert (repeated.train, repeated.repeats) == (noisy, 3)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_the_estimate_is_the_mean_with_its_standard_error(values: list[float]) -> None:
    parts = Parts(hh.Minimize("loss"), ("mib",))
    for value in values:
        parts.add(hh.Point(value, metrics={"mib": 2.0}))
    assert parts.estimate is not None
    assert parts.estimate.value == statistics.fmean(values)
    assert parts.estimate.metrics == {"mib": 2.0}
    assert (parts.estimate.stderr is None) == (len(values) == 1)
    if len(values) > 1:
        assert parts.estimate.stderr == pytest.approx(statistics.stdev(values) / math.sqrt(len(values)))
