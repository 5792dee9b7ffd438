"""The contract for suggesters: a right one passes, and each way to be wrong is found."""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook.testing import SuggesterContract


class Right:
    """Draws at random, by the study's seed, and avoids what was tried as long as it can."""

    @hh.hookimpl
    def suggest(self, study: hh.StudyRecord, count: int) -> Sequence[hh.Params]:
        rng = self.rng(study)
        tried = [trial.params for trial in study.trials]
        chosen: list[hh.Params] = []
        for _ in range(count):
            drawn = (study.space.sample(rng) for _ in range(500))
            params: hh.Params = next((p for p in drawn if p not in [*tried, *chosen]), study.space.sample(rng))
            chosen.append(params)
        return [self.change(params, study) for params in chosen]

    def rng(self, study: hh.StudyRecord) -> random.Random:
        return random.Random(f"{study.seed}:{len(study.trials)}")

    def change(self, params: hh.Params, study: hh.StudyRecord) -> hh.Params:
        return params


class OutOfBounds(Right):
    def change(self, params: hh.Params, study: hh.StudyRecord) -> hh.Params:
        return {name: 1e9 if isinstance(value, float) else value for name, value in params.items()}


class WholeNumbers(Right):
    def change(self, params: hh.Params, study: hh.StudyRecord) -> hh.Params:
        return {
            name: round(value) if name == "x" and isinstance(value, float) else value for name, value in params.items()
        }


class Inactive(Right):
    def change(self, params: hh.Params, study: hh.StudyRecord) -> hh.Params:
        return {name: params.get(name, 1) for name in study.space}


class TooFew(Right):
    @hh.hookimpl
    def suggest(self, study: hh.StudyRecord, count: int) -> Sequence[hh.Params]:
        return super().suggest(study, count)[:2]


class Passing(Right):
    @hh.hookimpl
    def suggest(self, study: hh.StudyRecord, count: int) -> None:  # type: ignore[override]
        return None


class Unseeded(Right):
    def rng(self, study: hh.StudyRecord) -> random.Random:
        return random.Random()


class Constant(Right):
    def rng(self, study: hh.StudyRecord) -> random.Random:
        return random.Random(0)


class Global(Right):
    def rng(self, study: hh.StudyRecord) -> random.Random:
        random.seed(f"{study.seed}:{len(study.trials)}")
        return random  # type: ignore[return-value]


class Remembering(Right):
    def __init__(self) -> None:
        self.asked = 0

    def rng(self, study: hh.StudyRecord) -> random.Random:
        self.asked += 1
        return random.Random(f"{study.seed}:{self.asked}")


class Repeating(Right):
    """Looks at nothing that was tried."""

    def rng(self, study: hh.StudyRecord) -> random.Random:
        return random.Random(f"{study.seed}:{len(study.trials) // 2}")

    @hh.hookimpl
    def suggest(self, study: hh.StudyRecord, count: int) -> Sequence[hh.Params]:
        rng = self.rng(study)
        return [study.space.sample(rng) for _ in range(count)]


class Fragile(Right):
    def change(self, params: hh.Params, study: hh.StudyRecord) -> hh.Params:
        if any(trial.value is not None and not math.isfinite(trial.value) for trial in study.trials):
            raise ValueError("cannot convert float NaN to integer")
        return params


class Meddling(Right):
    def change(self, params: hh.Params, study: hh.StudyRecord) -> hh.Params:
        for trial in study.trials:
            trial.params["x"] = 0.0  # type: ignore[index]
        return params


class OneSided(Right):
    """Takes the value for the loss."""

    def rng(self, study: hh.StudyRecord) -> random.Random:
        best = min((trial.value for trial in study.trials if trial.value is not None), default=0.0)
        return random.Random(f"{study.seed}:{len(study.trials)}:{best}")


def failures(suggester: type[Right], folder: Path) -> set[str]:
    """Run the suite as pytest does; return the cases that fail."""

    class Contract(SuggesterContract):
        def make(self) -> object:
            return suggester()

    found = set()
    for name, case in inspect.getmembers(Contract(), inspect.ismethod):
        if name.startswith("test_"):
            try:
                case(folder / name) if "tmp_path" in inspect.signature(case).parameters else case()
            except Exception:
                found.add(name.removeprefix("test_"))
    return found


def test_a_right_one_passes(tmp_path: Path) -> None:
    assert failures(Right, tmp_path) == set()


@pytest.mark.parametrize(
    ("suggester", "case"),
    [
        (OutOfBounds, "any_history_gives_valid_params"),
        (WholeNumbers, "another_seed_gives_other_params"),
        (Inactive, "a_finite_space_is_used_up_before_anything_comes_again"),
        (TooFew, "sixteen_that_run_at_once_are_sixteen_different_ones"),
        (Passing, "any_history_gives_valid_params"),
        (Unseeded, "the_same_seed_and_history_give_the_same_params"),
        (Constant, "another_seed_gives_other_params"),
        (Global, "nobody_elses_randomness_is_touched"),
        (Remembering, "a_study_that_is_opened_again_goes_on_as_if_it_had_not_been_closed"),
        (Repeating, "sixteen_that_run_at_once_are_sixteen_different_ones"),
        (Fragile, "any_history_gives_valid_params"),
        (Meddling, "maximising_is_minimising_the_negative"),
        (OneSided, "maximising_is_minimising_the_negative"),
    ],
)
def test_each_way_to_be_wrong_is_found(suggester: type[Right], case: str, tmp_path: Path) -> None:
    assert case in failures(suggester, tmp_path)
