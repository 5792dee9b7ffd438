"""What a person sees: a line for each trial that ended, the best so far, what is still on its way to the trackers."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook import progress
from hyperhook.forwarder import Pending
from hyperhook.progress import Delivering, Progress, format_params, format_seconds
from hyperhook.records import StudyRecord, TrialRecord, TrialState
from hyperhook.study import Study

SPACE = hh.Space({"x": hh.Float(-1, 1)})
LOSS = hh.Minimize("loss")


class Clock:
    """A monotonic clock that a test winds on."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def trial(number: int, value: float | None, state: str = "COMPLETE", **more: object) -> TrialRecord:
    facts = {"params": {"x": 0.123456}, "step": 7, "started_time": 10.0, "finished_time": 12.5, **more}
    return TrialRecord(f"id{number}", number, "s", state=TrialState(state), value=value, **facts)  # type: ignore[arg-type]


def record(*trials: TrialRecord, objective: hh.Objective | None = LOSS) -> StudyRecord:
    return StudyRecord("s", SPACE, objective, trials=trials)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert out == ""  # standard output is the script's own
    return err.splitlines()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0s"),
        (8.14, "8.1s"),
        (59.9, "59.9s"),
        (60.0, "1m00s"),
        (125.4, "2m05s"),
        (3599.4, "59m59s"),
        (3600.0, "1h00m"),
        (3720.0, "1h02m"),
        (90_000.0, "25h00m"),
    ],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize("seconds", [59.96, 59.99, 3599.6, 119.7, 7199.9])
def test_durations_never_show_sixty_of_anything(seconds: float) -> None:
    assert not re.search(r"(^|[^\d])60(\.0)?[sm]", format_seconds(seconds))


def test_params_are_one_line() -> None:
    made = trial(0, None, params={"lr": 0.000123456, "depth": 3, "net": "cnn", "deep": True, "seed": None})
    assert format_params(made) == "lr=0.0001235 depth=3 net=cnn deep=True seed=None"
    assert format_params(trial(0, None, params={})) == ""


def test_a_line_says_what_the_trial_gave_and_how_the_study_stands(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(record(), 3) as shown:
        for number, value in enumerate([0.5, 0.25, 0.75]):
            clock.now += 10
            shown.trial_finished(trial(number, value))
    assert lines(capsys) == [
        "[1/3] s-0 complete   2.5s  loss 0.5 at step 7  x=0.1235  | best 0.5 (trial 0), 20.0s left",
        "[2/3] s-1 complete   2.5s  loss 0.25 at step 7  x=0.1235  | best 0.25 (trial 1), 10.0s left",
        "[3/3] s-2 complete   2.5s  loss 0.75 at step 7  x=0.1235  | best 0.25 (trial 1)",
    ]


def test_the_best_follows_the_direction_and_the_earliest_of_equals_stays(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(record(objective=hh.Maximize("acc")), 4) as shown:
        for number, value in enumerate([-0.5, 0.0, 0.0, -1.0]):
            shown.trial_finished(trial(number, value))
    assert [re.findall(r"best (\S+) \(trial (\d)\)", line) for line in lines(capsys)] == [
        [("-0.5", "0")],
        *[[("0", "1")]] * 3,
    ]


def test_pruned_failed_and_killed_trials_are_never_the_best_and_killed_ones_cost_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Progress(record(), 4) as shown:
        shown.trial_finished(trial(0, 0.1, "PRUNED"))
        shown.trial_finished(trial(1, None, "FAILED", error="ValueError: [bold]no[/bold]"))
        shown.trial_finished(trial(2, None, "KILLED", error="its process died", finished_time=None))
        shown.trial_finished(trial(3, 0.5, step=None))
    pruned, failed, killed, complete = lines(capsys)
    assert pruned.startswith("[1/4] s-0 pruned     2.5s  loss 0.1 at step 7  x=0.1235  | no value yet")
    assert failed.startswith("[2/4] s-1 failed     2.5s  ValueError: [bold]no[/bold]  | no value yet")
    assert killed.startswith("[2/4] s-2 killed     0.0s  its process died  | no value yet")
    assert complete.startswith("[3/4] s-3 complete   2.5s  loss 0.5  x=0.1235  | best 0.5 (trial 3)")


def test_a_resumed_study_goes_on_counting_and_its_earlier_trials_cost_this_run_no_time(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = [trial(0, 0.25), trial(1, 0.1, "PRUNED"), trial(2, None, "KILLED"), trial(3, None, "RUNNING")]
    with Progress(record(*earlier), 4) as shown:
        clock.now += 30
        shown.trial_finished(trial(4, 0.5))
    assert lines(capsys) == [
        "[3/4] s-4 complete   2.5s  loss 0.5 at step 7  x=0.1235  | best 0.25 (trial 0), 30.0s left"
    ]


def test_without_an_objective_there_is_no_best(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(record(objective=None), 1) as shown:
        shown.trial_finished(trial(0, None))
    assert lines(capsys) == ["[1/1] s-0 complete   2.5s  x=0.1235  | no value yet"]


def test_a_trial_that_meets_the_constraints_is_better_than_any_that_does_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = replace(record(), constraints=(hh.Constraint("ms", "<=", 20.0),))
    with Progress(study, 3) as shown:
        for number, (value, ms) in enumerate([(0.5, 30.0), (0.25, 25.0), (0.75, 20.0)]):
            shown.trial_finished(trial(number, value, metrics={"ms": ms}))
    found = lines(capsys)
    assert "loss 0.5 at step 7, ms 30 " in found[0]
    ends = ["best 0.5 (trial 0, infeasible)", "best 0.25 (trial 1, infeasible)", "best 0.75 (trial 2)"]
    for line, end in zip(found, ends, strict=True):
        assert line.split(" | ")[1].startswith(end)


def test_of_several_objectives_the_best_trials_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    study = replace(record(), further=(hh.Minimize("ms"),))
    with Progress(study, 3) as shown:
        for number, (value, ms) in enumerate([(0.5, 30.0), (0.75, 25.0), (0.25, 20.0)]):
            shown.trial_finished(trial(number, value, metrics={"ms": ms}))
    counts = [line.split(" | ")[1].split(",")[0] for line in lines(capsys)]
    assert counts == ["1 best trial", "2 best trials", "1 best trial"]
    bounded = replace(study, constraints=(hh.Constraint("ms", "<=", 20.0),))
    with Progress(bounded, 1) as shown:
        shown.trial_finished(trial(0, 0.5, metrics={"ms": 30.0}))
    assert lines(capsys)[0].endswith("no feasible trial yet")


def test_long_lines_are_not_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(record(), 1) as shown:
        shown.trial_finished(trial(0, 0.5, params={f"param{n}": n for n in range(60)}))
    (line,) = lines(capsys)
    assert "param59=59" in line


def test_outside_of_a_run_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Progress(record(), 2)
    shown.trial_finished(trial(0, 0.5))
    with shown:
        pass
    shown.trial_finished(trial(1, 0.5))
    assert lines(capsys) == []


def test_a_copy_in_another_process_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(record(), 2) as shown:
        copy = pickle.loads(pickle.dumps(shown))
        copy.trial_finished(trial(0, 0.5))
    assert lines(capsys) == []


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Makes a person sit before standard error; gives what was written there, without its colours."""
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm"), ("COLUMNS", "200")):
        monkeypatch.setenv(name, value)
    return lambda: re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)


def test_on_a_terminal_a_bar_stays_below_the_lines(terminal: Callable[[], str]) -> None:
    with Progress(record(trial(0, 0.25)), 3) as shown:
        shown.trial_finished(trial(1, 0.5))
        bar = shown._bar
        assert bar is not None
        assert (bar.tasks[0].completed, bar.tasks[0].total) == (2, 3)
    assert shown._bar is None
    assert "[2/3] s-1 complete" in terminal()


def test_on_a_terminal_a_study_s_name_and_its_options_are_text(terminal: Callable[[], str]) -> None:
    with Progress(StudyRecord("[red]", SPACE, hh.Minimize("[blue]")), 2) as shown:
        shown.trial_finished(TrialRecord("a", 0, "[red]", {"c": "[/]", "e": ":x:"}, TrialState.COMPLETE, 0.5))
    written = terminal()
    assert "[1/2] [red]-0 complete" in written
    assert "[blue] 0.5  c=[/] e=:x:" in written


def test_the_bar_goes_away_when_a_run_raises(terminal: Callable[[], str]) -> None:
    shown = Progress(record(), 3).__enter__()
    bar = shown._bar
    assert bar is not None
    assert bar.live.is_started
    error = ZeroDivisionError()
    shown.__exit__(type(error), error, None)
    assert not bar.live.is_started


ROW = Pending("mlflow", 2, "ConnectionError: [Errno 111] refused")


def test_delivery_that_takes_a_moment_is_not_shown(clock: Clock, terminal: Callable[[], str]) -> None:
    with Delivering() as shown:
        clock.now += 0.9
        shown([ROW])
    assert terminal() == ""


def test_delivery_that_takes_longer_says_to_whom_and_why(clock: Clock, terminal: Callable[[], str]) -> None:
    with Delivering() as shown:
        clock.now += 1.5
        shown([ROW, Pending("wandb", 1, None)])
        assert shown._status is not None
        live = shown._status._live
        assert live.is_started
    assert not live.is_started
    assert "delivering: mlflow 2 (ConnectionError: [Errno 111] refused), wandb 1" in terminal()


@pytest.mark.parametrize("error", ["[/]", "[/red] gone", "[Errno 2] [bold", "\\[x]"])
def test_what_a_tracker_s_error_says_is_text_and_cannot_break_the_wait(
    clock: Clock, terminal: Callable[[], str], error: str
) -> None:
    with Delivering() as shown:
        clock.now += 1.5
        shown([Pending("mlflow", 2, error)])
    assert f"mlflow 2 ({error})" in terminal()


def test_a_run_shows_its_progress_unless_told_not_to(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Study("s", {"x": hh.Float(-1, 1)}, hh.Minimize("loss"), home=home) as made:
        made.run(lambda trial: 0.5, trials=1)
        made.run(lambda trial: 0.5, trials=2, progress=False)
        made.run(lambda trial: 0.25, trials=3)
    shown = lines(capsys)
    assert [line.split(" complete")[0] for line in shown] == ["[1/1] s-0", "[3/3] s-2"]
    assert shown[1].endswith("best 0.25 (trial 2)")


@pytest.mark.parametrize("error", [None, ZeroDivisionError()])
def test_progress_belongs_to_one_run(study: Callable[..., Study], error: Exception | None) -> None:
    class Executor:
        @hh.hookimpl
        def run_trials(self) -> bool:
            assert [type(plugin) for plugin in made._manager.plugins] == [Executor, Progress]
            if error is not None:
                raise error
            return True

    made = study(plugins=[Executor()])
    with pytest.raises(type(error)) if error else nullcontext():
        made.run(lambda trial: 0.5, trials=1, progress=True)
    assert [type(plugin) for plugin in made._manager.plugins] == [Executor]


def test_what_other_processes_ended_is_shown_once_in_the_order_in_which_it_ended(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    there = [trial(0, 0.5)]
    with Progress(record(*there), 4, lambda: record(*there)) as shown:
        there += [trial(1, 0.4, finished_time=30.0), trial(2, 0.3, finished_time=20.0), trial(3, None, "RUNNING")]
        shown.follow(record(*there))
        shown.follow(record(*there))
        there[3] = trial(3, 0.2, finished_time=40.0)
        there.append(trial(4, None, "KILLED", finished_time=35.0))
        shown.trial_finished(there[3])
    assert [line.split()[:3] for line in lines(capsys)] == [
        ["[2/4]", "s-2", "complete"],
        ["[3/4]", "s-1", "complete"],
        ["[3/4]", "s-4", "killed"],
        ["[4/4]", "s-3", "complete"],
    ]


def test_a_trial_that_is_resumed_and_ends_again_is_shown_again_and_counts_once(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(record(trial(0, 0.5)), 3) as shown:
        shown.trial_finished(trial(0, 0.4, finished_time=50.0))
        shown.trial_finished(trial(1, None, "KILLED"))
        shown.trial_finished(trial(1, 0.6, finished_time=51.0))
    assert [line.split()[0] for line in lines(capsys)] == ["[1/3]", "[1/3]", "[2/3]"]


def test_trials_that_another_study_object_ends_meanwhile_are_shown(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"space": {"x": hh.Float(-1, 1)}, "objective": hh.Minimize("loss"), "home": home}
    with Study("s", **options) as made, Study("s", **options) as other:  # type: ignore[arg-type]

        def train(mine: hh.Trial) -> float:
            if len(made.trials) == 1:
                other.tell(other.ask(), 0.25)
            return 0.5

        made.run(train, trials=3)
    assert re.findall(r"^\[(\d/\d)\] (s-\d)", capsys.readouterr().err, re.MULTILINE) == [
        ("1/3", "s-1"),
        ("2/3", "s-0"),
        ("3/3", "s-2"),
    ]


def test_a_grid_is_as_long_as_it_is(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = {"a": hh.Int(1, 3), "b": hh.Choice(["u", "v"])}
    with Study("s", grid, hh.Minimize("loss"), home=home, plugins=["grid"]) as made:
        made.enqueue({"a": 2, "b": "v"})
        made.run(lambda trial: 0.5, trials=2)
        made.run(lambda trial: 0.5, trials=50)
    counts = re.findall(r"^\[(\S+)\]", capsys.readouterr().err, re.MULTILINE)
    assert counts == ["1/2", "2/2", "3/6", "4/6", "5/6", "6/6"]
