"""Work that travels to another process, and how it ended there."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook.errors import ObjectiveError, StoreError, StudyError, TooManyFailuresError
from hyperhook.study import Study
from hyperhook.trial import Trial
from hyperhook.work import Ending, Work
from hyperhook_plugins.grid_search import GridSearch
from hyperhook_plugins.random_search import RandomSearch


def caught(error: BaseException) -> BaseException:
    """Return an error with the traceback of having been raised."""
    try:
        raise error
    except BaseException as raised:
        return raised


def test_a_study_travels_and_works_on_the_same_trials(study: Callable[..., Study]) -> None:
    made = study(max_consecutive_failures=7, seed=3, flush_timeout_seconds=1.5, constraints={"ms": ("<=", 2)})
    made.run(lambda trial: {"loss": 1.0, "ms": 1}, trials=2)
    arrived: Study = pickle.loads(pickle.dumps(made))
    with arrived:
        assert (arrived.space, arrived.objectives) == (made.space, made.objectives)
        assert (arrived.constraints, arrived.record().seed) == (made.constraints, 3)
        assert (arrived.max_consecutive_failures, arrived.flush_timeout_seconds) == (7, 1.5)
        assert arrived.trials == made.trials
        arrived.run(lambda trial: {"loss": 2.0, "ms": 1}, trials=3, progress=False)
    assert [trial.value for trial in made.trials] == [1.0, 1.0, 2.0]


def test_plugins_travel_by_name_or_as_they_are(study: Callable[..., Study]) -> None:
    made = study(plugins=["random", GridSearch(points=3), RandomSearch()])
    with pickle.loads(pickle.dumps(made)) as arrived:
        name, grid, other = arrived.__getstate__()["plugins"]
        assert (name, grid.points, type(other)) == ("random", 3, RandomSearch)


def test_a_relative_home_is_the_same_one_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = Study("s", {"x": hh.Float(0, 1)}, home="here")
    sent = pickle.dumps(made)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pickle.loads(sent) as arrived:
        assert arrived.space == made.space
    assert not (tmp_path / "elsewhere" / "here").exists()
    made.close()


def test_where_the_home_is_not_to_be_seen_nothing_is_made(study: Callable[..., Study], home: Path) -> None:
    made = study()
    sent = pickle.dumps(made)
    made.close()
    shutil.rmtree(home)
    with pytest.raises(StoreError, match=r"study 's' cannot be opened on \S+: its home .* is not to be seen"):
        pickle.loads(sent)
    assert not home.exists()
    Study("s", home=home).close()  # another home at the same place
    with pytest.raises(StoreError, match="not to be seen"):
        pickle.loads(sent)


def test_a_study_of_several_ranks_does_not_travel(study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "7")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(StudyError, match="a launcher such as torchrun"):
        pickle.dumps(study())


def test_work_goes_on_until_the_budget_is_used_up(study: Callable[..., Study]) -> None:
    made = study()
    Work(made, lambda trial: 1.0, 3).run()
    Work(made, lambda trial: 1.0, 3).run()
    assert len(made.trials) == 3


def test_only_failures_since_the_run_began_count(study: Callable[..., Study]) -> None:
    def fail(trial: Trial) -> float:
        raise ValueError("no")

    made = study(max_consecutive_failures=3)
    with pytest.raises(TooManyFailuresError, match="3 trials in a row failed, the last with: ValueError: no"):
        Work(made, fail, 20).run()
    assert len(made.trials) == 3
    with pytest.raises(TooManyFailuresError, match="3 trials in a row"):
        Work(made, fail, 20).run()
    assert len(made.trials) == 6
    flaky = Work(made, lambda trial: 1.0 if trial.number % 3 == 0 else fail(trial), 12)
    flaky.run()
    assert len(made.trials) == 12


@pytest.mark.parametrize(("is_cut_off", "state"), [(True, "KILLED"), (False, "FAILED")])
def test_a_broken_pipe_kills_the_trial_where_the_sender_is_gone(
    is_cut_off: bool, state: str, study: Callable[..., Study]
) -> None:
    def train(trial: Trial) -> float:
        raise BrokenPipeError

    made = study(max_consecutive_failures=1)
    with pytest.raises(KeyboardInterrupt if is_cut_off else TooManyFailuresError):
        Work(made, train, 2).run(lambda: is_cut_off)
    assert [trial.state for trial in made.trials] == [state]


def test_an_ending_keeps_the_errors_type_and_where_it_came_from() -> None:
    ending = pickle.loads(pickle.dumps(Ending.of(caught(ObjectiveError("never logged")), "worker 3")))
    assert isinstance(ending.error, ObjectiveError)
    assert str(ending.error) == "never logged"
    (note,) = ending.error.__notes__
    assert "in worker 3:\nTraceback" in note
    assert "raise error" in note
    assert pickle.loads(pickle.dumps(Ending())) == Ending()


def test_an_error_that_cannot_travel_is_told_in_words() -> None:
    class Own(Exception):
        """Nothing finds this class by its name."""

    class Picky(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(f"{one} and {two}")

    for error in (Own("mine"), Picky(1, 2)):
        ending = pickle.loads(pickle.dumps(Ending.of(caught(error), "there")))
        assert isinstance(ending.error, StudyError)
        assert str(ending.error) == f"{type(error).__name__}: {error}"
        assert "Traceback" in ending.error.__notes__[0]
