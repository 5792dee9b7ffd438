"""The contract for suggesters: right ones pass, and each way to be wrong is found."""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import Phase, find, settings

import hyperhook as hh
from hyperhook.errors import HookError
from hyperhook.testing import SuggesterContract
from hyperhook.testing.spaces import spaces


def key(params: hh.Params) -> frozenset[tuple[str, hh.Scalar]]:
    return frozenset(params.items())


class Wanders:
    """Draws params near the best or anywhere, none of them twice while there are others."""

    def rng(self, study: hh.StudyRecord) -> random.Random:
        return random.Random() if study.seed is None else random.Random(f"{study.seed}:{len(study.trials)}")

    def losses(self, study: hh.StudyRecord) -> Iterator[tuple[float, hh.Params]]:
        for trial in study.trials:
            loss = study.loss(trial)
            if loss is not None and math.isfinite(loss):
                yield loss, trial.params

    def draw(self, study: hh.StudyRecord, rng: random.Random) -> dict[str, hh.Scalar]:
        best = min(self.losses(study), key=lambda found: found[0], default=None)
        if best is None or rng.random() < 0.5:
            return study.space.sample(rng)
        near = (unit + rng.gauss(0.0, 0.1) for unit in study.space.to_unit(best[1]))
        return study.space.from_unit([min(max(unit, 0.0), 1.0) for unit in near])

    @hh.hookimpl
    def suggest(self, study: hh.StudyRecord, count: int) -> Sequence[hh.Params] | None:
        rng = self.rng(study)
        seen = {key(trial.params) for trial in study.trials}
        answer: list[hh.Params] = []
        for _ in range(count):
            drawn = [self.draw(study, rng) for _ in range(500 if study.space.cardinality else 1)]
            answer.append(next((params for params in drawn if key(params) not in seen), drawn[0]))
            seen.add(key(answer[-1]))
        return answer


class Grid:
    """Goes through a small finite space in order, and passes where there is no end to it, or no more of it."""

    @hh.hookimpl
    def suggest(self, study: hh.StudyRecord, count: int) -> Sequence[hh.Params] | None:
        if (study.space.cardinality or 1000) > 100:
            return None
        tried, rng = {key(trial.params) for trial in study.trials}, random.Random(0)
        every = sorted({key(study.space.sample(rng)) for _ in range(2000)}, key=str)
        left = [dict(params) for params in every if params not in tried]
        return left[:count] if len(left) >= count else None


class Ends(Wanders):
    """Draws params until there are no more of them, and then none."""

    most = 12

    @hh.hookimpl
    def suggest(self, study: hh.StudyRecord, count: int) -> Sequence[hh.Params] | None:
        left = (study.space.cardinality or 10**9) - len({key(trial.params) for trial in study.trials})
        return (super().suggest(study, count) or [])[: max(left, 0)][: self.most]


class Remembers(Wanders):
    """Counts its own answers, and lets them repeat."""

    def __init__(self) -> None:
        self.asked = 0

    @hh.hookimpl
    def suggest(self, study: hh.StudyRecord, count: int) -> Sequence[hh.Params] | None:
        self.asked += 1
        rng = random.Random() if study.seed is None else random.Random(f"{study.seed}:{self.asked}")
        return [self.draw(study, rng) for _ in range(count)]


class Contract(SuggesterContract):
    suggester: ClassVar[Callable[[], object]] = Wanders

    def make(self) -> object:
        return type(self).suggester()


class TestARightOne(Contract):
    pass


class TestAGrid(Contract):
    suggester = Grid
    passes = True
    seeded = False


class TestOneThatEnds(Contract):
    suggester = Ends
    ends = True


class TestOneWithAMemory(Contract):
    suggester = Remembers
    stateless = False
    exhaustive = False


class Changes(Wanders):
    """Changes one value of each answer."""

    def change(self, space: hh.Space, params: dict[str, hh.Scalar], name: str) -> None: ...

    def draw(self, study: hh.StudyRecord, rng: random.Random) -> dict[str, hh.Scalar]:
        params = super().draw(study, rng)
        for name in list(params):
            self.change(study.space, params, name)
        return params


class OutOfBounds(Changes):
    def change(self, space: hh.Space, params: dict[str, hh.Scalar], name: str) -> None:
        parameter = space[name]
        if isinstance(parameter, hh.Float) and params[name] == parameter.high:
            params[name] = math.nextafter(parameter.high, math.inf)


class OffTheStep(Changes):
    def change(self, space: hh.Space, params: dict[str, hh.Scalar], name: str) -> None:
        parameter, value = space[name], params[name]
        if isinstance(parameter, hh.Int) and isinstance(value, int) and parameter.low < value:
            params[name] = value - 1


class FloatForInt(Changes):
    def change(self, space: hh.Space, params: dict[str, hh.Scalar], name: str) -> None:
        if isinstance(space[name], hh.Int):
            params[name] = float(params[name] or 0)


class IntForFloat(Changes):
    def change(self, space: hh.Space, params: dict[str, hh.Scalar], name: str) -> None:
        if isinstance(space[name], hh.Float) and params[name] == 1.0:
            params[name] = 1


class IntForBool(Changes):
    def change(self, space: hh.Space, params: dict[str, hh.Scalar], name: str) -> None:
        if isinstance(params[name], bool):
            params[name] = int(params[name] or 0)


class KeepsInactive(Wanders):
    def draw(self, study: hh.StudyRecord, rng: random.Random) -> dict[str, hh.Scalar]:
        return {name: parameter.from_unit(rng.random()) for name, parameter in study.space.items()}


class ForgetsOne(Wanders):
    def draw(self, study: hh.StudyRecord, rng: random.Random) -> dict[str, hh.Scalar]:
        params = super().draw(study, rng)
        return {name: value for name, value in params.items() if study.space.condition(name) is None}


class IgnoresRunning(Wanders):
    def rng(self, study: hh.StudyRecord) -> random.Random:
        return random.Random(f"{study.seed}:{sum(trial.state.is_finished for trial in study.trials)}")


class RepeatsInACall(Wanders):
    @hh.hookimpl
    def suggest(self, study: hh.StudyRecord, count: int) -> Sequence[hh.Params] | None:
        return [self.draw(study, self.rng(study))] * count


class Unseeded(Wanders):
    def rng(self, study: hh.StudyRecord) -> random.Random:
        return random.Random()


class OneSeed(Wanders):
    def rng(self, study: hh.StudyRecord) -> random.Random:
        return random.Random(len(study.trials))


class SeedsTheGlobalOne(Wanders):
    def rng(self, study: hh.StudyRecord) -> random.Random:
        random.seed(f"{study.seed}:{len(study.trials)}")
        return random.Random(random.random())


class ReadsTheGlobalOne(Wanders):
    def rng(self, study: hh.StudyRecord) -> random.Random:
        return random.Random(str(random.getstate()))


class UsesTheGlobalOneOfNumpy(Wanders):
    def rng(self, study: hh.StudyRecord) -> random.Random:
        import numpy as np

        np.random.seed(abs(hash((study.seed, len(study.trials)))) % 2**32)
        return random.Random(float(np.random.random()))


class RaisesOnNan(Wanders):
    def losses(self, study: hh.StudyRecord) -> Iterator[tuple[float, hh.Params]]:
        for trial in study.trials:
            loss = study.loss(trial)
            if loss is not None and abs(loss) != math.inf:
                yield round(loss), trial.params


class RaisesOnFailures(Wanders):
    def losses(self, study: hh.StudyRecord) -> Iterator[tuple[float, hh.Params]]:
        return ((float(trial.value), trial.params) for trial in study.trials)  # type: ignore[arg-type]


class RaisesOnConstants(Wanders):
    def losses(self, study: hh.StudyRecord) -> Iterator[tuple[float, hh.Params]]:
        found = list(super().losses(study))
        worst, best = (pick((loss for loss, _ in found), default=0.0) for pick in (max, min))
        return (((loss - best) / (worst - best), params) for loss, params in found)


class OneAtATime(Wanders):
    @hh.hookimpl
    def suggest(self, study: hh.StudyRecord) -> Sequence[hh.Params] | None:
        return [self.draw(study, self.rng(study))]


class NotAList(Wanders):
    @hh.hookimpl
    def suggest(self, study: hh.StudyRecord, count: int) -> Sequence[hh.Params] | None:
        answer = super().suggest(study, count) or []
        return iter(answer)  # type: ignore[return-value]


class ChangesTheTrials(Wanders):
    def losses(self, study: hh.StudyRecord) -> Iterator[tuple[float, hh.Params]]:
        for trial in study.trials:
            trial.params["note"] = "seen"  # type: ignore[index]
        return super().losses(study)


class RepeatsInAFiniteSpace(Wanders):
    @hh.hookimpl
    def suggest(self, study: hh.StudyRecord, count: int) -> Sequence[hh.Params] | None:
        rng = self.rng(study)
        return [self.draw(study, rng) for _ in range(count)]


class TakesTheValue(Wanders):
    def losses(self, study: hh.StudyRecord) -> Iterator[tuple[float, hh.Params]]:
        return ((trial.value, trial.params) for trial in study.trials if math.isfinite(trial.value or math.inf))  # type: ignore[misc]


class NeverAnswers(Wanders):
    @hh.hookimpl
    def suggest(self, study: hh.StudyRecord, count: int) -> Sequence[hh.Params] | None:
        return None


class EndsEarly(Ends):
    @hh.hookimpl
    def suggest(self, study: hh.StudyRecord, count: int) -> Sequence[hh.Params] | None:
        return [] if len(study.trials) > 4 else super().suggest(study, count)


class NoHook:
    def suggest(self, study: hh.StudyRecord, count: int) -> Sequence[hh.Params] | None:
        return None


COUNT = "test_it_answers_with_as_many_as_asked_for"
INSIDE = "test_every_suggestion_is_inside_any_space"
SEARCH = "test_a_search_stays_inside_the_space"
ROUGH = "test_rough_histories_get_a_valid_answer"
RUNNING = "test_running_trials_are_not_suggested_again"
SAME = "test_the_same_seed_and_trials_give_the_same_answer"
GLOBAL = "test_the_global_random_states_are_left_alone"
FINITE = "test_a_finite_space_is_tried_whole_before_anything_comes_twice"
FRESH = "test_a_fresh_one_answers_as_the_old_one"
RESUME = "test_a_study_goes_on_by_its_name"


@pytest.mark.parametrize(
    ("broken", "method", "message"),
    [
        (OutOfBounds, INSIDE, "outside the space: params: 'p0' got"),
        (OffTheStep, SEARCH, "outside the space: params: 'kernel' got"),
        (FloatForInt, INSIDE, r"outside the space: params: 'p0' got -?\d+\.0, expected a value of Int"),
        (IntForFloat, SEARCH, r"'fixed' with 1 \(int\), expected a float"),
        (IntForBool, SEARCH, "outside the space: params: 'gate' got"),
        (KeepsInactive, INSIDE, "takes part only while"),
        (ForgetsOne, INSIDE, "outside the space: params: 'p1' is missing"),
        (IgnoresRunning, RUNNING, "16 trials that run at once: .* came twice"),
        (RepeatsInACall, RUNNING, "16 suggestions of one call: .* came twice"),
        (Unseeded, SAME, "with seed 0 and 0 trials, one suggester answered"),
        (OneSeed, "test_another_seed_gives_another_search", "the same search twice"),
        (SeedsTheGlobalOne, GLOBAL, "changed the global state of random;"),
        (ReadsTheGlobalOne, GLOBAL, "depends on a global random state"),
        (UsesTheGlobalOneOfNumpy, GLOBAL, "changed the global state of numpy;"),
        (RaisesOnNan, ROUGH, r"cannot convert float NaN to integer\n.*whose outcomes are: NaN"),
        (RaisesOnFailures, ROUGH, r"NoneType'\n.*whose outcomes are: all failed"),
        (RaisesOnConstants, ROUGH, r"division by zero\n.*behind trials \(1\) whose outcomes are: "),
        (OneAtATime, COUNT, "asked for 3 sets of params and answered with 1"),
        (Ends, COUNT, "asked for 16 sets of params and answered with 12; set ends = True"),
        (NotAList, COUNT, "expected a list of sets of params, or None"),
        (ChangesTheTrials, COUNT, "suggest changed the study"),
        (RepeatsInAFiniteSpace, FINITE, "10 trials in a space of 10: .* came twice"),
        (TakesTheValue, "test_both_directions_are_one", "take study.loss"),
        (Remembers, FRESH, "a suggester that was asked before answers"),
        (Remembers, RESUME, "reopened behind 5 trials"),
        (NeverAnswers, COUNT, "suggest answered None to .* expected 1 sets of params; set passes = True"),
        (NoHook, COUNT, "has no hook method"),
    ],
)
def test_a_wrong_one_is_found(tmp_path: Path, broken: Callable[[], object], method: str, message: str) -> None:
    check = getattr(type("Broken", (Contract,), {"suggester": broken})(), method)
    with pytest.raises((AssertionError, ArithmeticError, TypeError, ValueError, HookError), match=message):
        check(**({"tmp_path": tmp_path} if inspect.signature(check).parameters else {}))


def test_one_that_may_end_must_try_a_finite_space_first() -> None:
    contract = type("Broken", (Contract,), {"suggester": EndsEarly, "ends": True})()
    with pytest.raises(AssertionError, match="suggest ended the search after 5 of 10 sets of params"):
        contract.test_a_finite_space_is_tried_whole_before_anything_comes_twice()


def test_one_that_may_pass_must_answer_something() -> None:
    contract = type("Broken", (Contract,), {"suggester": NeverAnswers, "passes": True})()
    with pytest.raises(AssertionError, match="answered None to every study"):
        contract.test_it_answers_with_as_many_as_asked_for()


def test_every_method_says_what_must_hold() -> None:
    methods = [value for name, value in vars(SuggesterContract).items() if name.startswith("test_")]
    assert len(methods) >= 14
    assert all(inspect.getdoc(method) for method in methods)


KINDS: dict[str, Callable[[hh.Space], bool]] = {
    "log floats": lambda s: any(isinstance(p, hh.Float) and p.log for p in s.values()),
    "steps of floats": lambda s: any(isinstance(p, hh.Float) and p.step is not None for p in s.values()),
    "log ints": lambda s: any(isinstance(p, hh.Int) and p.log for p in s.values()),
    "steps of ints": lambda s: any(isinstance(p, hh.Int) and p.step > 1 for p in s.values()),
    "one value": lambda s: any(p.cardinality == 1 for p in s.values()),
    "mixed types": lambda s: any(isinstance(p, hh.Choice) and len({*map(type, p.options)}) > 2 for p in s.values()),
    "priors": lambda s: any(not isinstance(p, hh.Choice) and p.prior is not None for p in s.values()),
    "weights": lambda s: any(isinstance(p, hh.Choice) and p.weights is not None for p in s.values()),
    "choices below choices": lambda s: any((c := s.condition(n)) and s.condition(c.parent) for n in s),
}


@pytest.mark.parametrize("kind", KINDS)
def test_spaces_of_every_kind_are_drawn(kind: str) -> None:
    assert find(spaces(), KINDS[kind], settings=settings(max_examples=1000, phases=[Phase.generate]))
