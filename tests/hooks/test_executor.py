"""Which executor runs the trials."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import hyperhook as hh
from hyperhook.errors import PluginError, StudyError, UnknownPluginError
from hyperhook.study import Study
from hyperhook.trial import Trial


class Backwards:
    """An executor that keeps what it was asked for."""

    def __init__(self, workers: int = 1, gpus_per_trial: float = 0) -> None:
        self.workers, self.gpus_per_trial = workers, gpus_per_trial
        Backwards.last = self

    last: Backwards

    @hh.hookimpl
    def run_trials(self, study: Study, objective: Callable[[Trial], object], count: int) -> bool:
        self.count = count
        while (trial := study.next_trial(budget=count)) is not None:
            study.attempt(trial, objective)
        return True


def test_an_executor_that_is_given_to_a_run_is_asked_first_and_only_for_that_run(study: Callable[..., Study]) -> None:
    asked_second, asked_first = Backwards(), Backwards()
    made = study(plugins=[asked_second])
    made.run(lambda trial: 1.0, trials=2, executor=asked_first)
    assert asked_first.count == 2
    assert not hasattr(asked_second, "count")
    made.run(lambda trial: 1.0, trials=3)
    assert asked_second.count == 3
    made.run(lambda trial: 1.0, trials=4, executor=asked_second)
    made.run(lambda trial: 1.0, trials=5)
    assert asked_second.count == 5


def test_options_of_a_run_make_the_executor_that_is_named(
    study: Callable[..., Study], publish: Callable[..., None]
) -> None:
    publish("back", f"{__name__}:Backwards")
    study().run(lambda trial: 1.0, trials=1, executor="back", workers=3, gpus_per_trial=0.5)
    assert (Backwards.last.workers, Backwards.last.gpus_per_trial, Backwards.last.count) == (3, 0.5, 1)


@pytest.mark.parametrize("workers", [0, -1, True, 2.5, "4"])
def test_a_number_of_workers_that_cannot_be(workers: object, study: Callable[..., Study]) -> None:
    with pytest.raises(StudyError, match=r"run: workers must be an int from 1, got"):
        study().run(lambda trial: 1.0, workers=workers)


def test_options_go_into_an_executor_that_is_made(study: Callable[..., Study]) -> None:
    with pytest.raises(StudyError, match=r"workers and gpus_per_trial with a Backwards .* write Backwards\(…\)"):
        study().run(lambda trial: 1.0, workers=2, gpus_per_trial=1, executor=Backwards())


def test_what_runs_no_trials_is_no_executor(study: Callable[..., Study]) -> None:
    with pytest.raises(PluginError, match="'random' does not answer run_trials"):
        study().run(lambda trial: 1.0, executor="random")
    with pytest.raises(UnknownPluginError, match="no plugin 'rey' is installed"):
        study().run(lambda trial: 1.0, executor="rey")
    with pytest.raises(PluginError, match="got the class Backwards"):
        study().run(lambda trial: 1.0, executor=Backwards)
