"""The suite that every suggester passes: studies of every kind go in, each answer is held to what `suggest` promises.

An author inherits it, says how to make the suggester, and pytest does the rest::

    class TestEvolution(SuggesterContract):
        def make(self):
            return Evolution(population=8)

It is asked by its hook, as a study asks it. Spaces and histories are fixed where a failure should be easy to read, and
drawn by hypothesis where something must hold in all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, TypeAlias

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hyperhook.errors import SpaceError
from hyperhook.manager import Manager
from hyperhook.objective import Maximize, Minimize
from hyperhook.parameters import Float, Params, Scalar
from hyperhook.records import StudyRecord, TrialRecord, TrialState
from hyperhook.space import Space
from hyperhook.study import Study
from hyperhook.testing.histories import ROUGH, Outcome, finished, outcomes, trials_of
from hyperhook.testing.random_states import global_states_restored, seed_globally, states
from hyperhook.testing.spaces import FINITE, LINE, MIXED, small_spaces, spaces

__all__ = ["SuggesterContract"]

_COUNTS = (1, 3, 16)
_SEEDS = st.integers(0, 2**32)
_Key: TypeAlias = frozenset[tuple[str, type, Scalar]]


class SuggesterContract(ABC):
    """What every suggester promises; the test methods are run by pytest.

    Attributes:
        examples: How many cases are drawn where something must hold in all of them; more for a fast suggester.
        exhaustive: Whether a finite space is tried whole before anything comes twice.
        stateless: Whether an answer depends on the study alone, so that a fresh suggester answers as an old one.
        seeded: Whether another seed gives another search; a grid is the same for all.
        passes: Whether it may answer None in some spaces, which passes the question on.
        ends: Whether it may answer with fewer than asked for, or none, where nothing is left to try, as a grid does.
    """

    examples: ClassVar[int] = 20
    exhaustive: ClassVar[bool] = True
    stateless: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    passes: ClassVar[bool] = False
    ends: ClassVar[bool] = False

    @abstractmethod
    def make(self) -> object:
        """Return a suggester that was never asked; a second one stands for another process."""

    # What must hold

    def test_it_answers_with_as_many_as_asked_for(self) -> None:
        """One, three, sixteen; at the start, and behind eight trials."""
        answered = 0
        for space in (LINE, MIXED, *FINITE):
            for done in (0, 8):
                for count in _COUNTS:
                    answered += len(self._ask(self.make(), _study(space, finished(space, done)), count))
        assert answered, "suggest answered None to every study, expected params for at least one of them"

    def test_every_suggestion_is_inside_any_space(self) -> None:
        """Active names only, each value of its type, within its bounds, on its step; whatever the trials came to."""

        def holds(space: Space, history: list[Outcome], seed: int, count: int) -> None:
            self._ask(self.make(), _study(space, trials_of(space, history), seed), count)

        self._for_all(holds, space=spaces(), history=outcomes(), seed=_SEEDS, count=st.integers(1, 3))

    def test_a_search_stays_inside_the_space(self) -> None:
        """Twelve trials, one after the other, each suggested in view of those before it."""
        for space in (LINE, MIXED):
            self._search(self.make(), space, (), 12, Outcome(TrialState.COMPLETE, 0.5))

    def test_rough_histories_get_a_valid_answer(self) -> None:
        """Failed, killed, pruned, NaN, infinite, constant, huge: none of it is an error, with one trial or nine."""
        for case, outcome in ROUGH.items():
            for count in (1, 9):
                try:
                    study = _study(MIXED, trials_of(MIXED, [outcome(i) for i in range(count)]))
                    self._ask(self.make(), study, 2)
                except Exception as error:
                    error.add_note(f"behind trials ({count}) whose outcomes are: {case}")
                    raise

    def test_a_study_without_an_objective(self) -> None:
        """A mere group of runs has no loss to learn from."""
        for history in ([Outcome(TrialState.COMPLETE)] * 8, [Outcome(TrialState.COMPLETE, 0.5)] * 8):
            self._ask(self.make(), replace(_study(MIXED, trials_of(MIXED, history)), objective=None), 2)

    def test_the_same_params_again_and_again(self) -> None:
        """Twenty trials at one point, with the same value and with different ones."""
        for values in ([1.0] * 20, [1.0 + i % 3 for i in range(20)]):
            history = [Outcome(TrialState.COMPLETE, value) for value in values]
            for space in (LINE, MIXED):
                self._ask(self.make(), _study(space, trials_of(space, history, repeat=True)))

    def test_the_same_seed_and_trials_give_the_same_answer(self) -> None:
        """Two suggesters, as in two processes, one study."""
        for done in (0, 8):
            study = _study(MIXED, finished(MIXED, done))
            one, other = (_keys(self._ask(self.make(), study, 3)) for _ in range(2))
            assert one == other, (
                f"with seed 0 and {done} trials, one suggester answered {_text(one)}, another {_text(other)}; "
                "draw everything from a generator that is seeded by study.seed and the trials"
            )

    def test_another_seed_gives_another_search(self) -> None:
        """Also where the study has none: then each search is another."""
        if self.seeded:
            answers = [_keys(self._ask(self.make(), _study(LINE, seed=seed), 8)) for seed in (0, 1, None, None)]
            different = {tuple(answer) for answer in answers if answer}
            expected = sum(map(bool, answers))
            assert len(different) == expected, (
                "the seeds 0, 1, None and None gave the same search twice; let study.seed choose the draws, "
                "or set seeded = False"
            )

    def test_the_global_random_states_are_left_alone(self) -> None:
        """Neither read nor written: those of `random`, and of numpy where it is loaded."""
        for done in (0, 8):
            study = _study(MIXED, finished(MIXED, done))
            self._ask(self.make(), study)  # imports what it needs
            with global_states_restored():
                answers = []
                for seed in (1, 2):
                    before = seed_globally(seed)
                    answers.append(_keys(self._ask(self.make(), study)))
                    changed = [name for name, state in states().items() if state != before[name]]
                    assert not changed, (
                        f"suggest changed the global state of {' and '.join(changed)}; "
                        "draw from a generator of its own, such as random.Random(…)"
                    )
                assert answers[0] == answers[1], "the answer depends on a global random state"

    def test_running_trials_are_not_suggested_again(self) -> None:
        """Sixteen that run at once are sixteen different ones, asked for one by one or together."""
        for space in (LINE, MIXED):
            for done in (0, 8):
                trials = finished(space, done)
                one_by_one = self._search(self.make(), space, trials, 16, Outcome(TrialState.RUNNING))[done:]
                _check_distinct("16 trials that run at once", [trial.params for trial in one_by_one])
                together = self._ask(self.make(), _study(space, trials), 16)
                _check_distinct("16 suggestions of one call", together)

    def test_a_finite_space_is_tried_whole_before_anything_comes_twice(self) -> None:
        """One by one, as trials end and while they run, and in one call; then the answer is any valid one, or None."""

        def holds(space: Space) -> None:
            size = space.cardinality or 0
            for outcome in (Outcome(TrialState.COMPLETE, 0.5), Outcome(TrialState.RUNNING)):
                tried = self._search(self.make(), space, (), size + 2, outcome)
                if self.exhaustive:
                    _check_distinct(f"{size} trials in a space of {size}", [trial.params for trial in tried[:size]])
                if self.exhaustive and not self.passes:
                    assert len(tried) >= size, f"suggest ended the search after {len(tried)} of {size} sets of params"
            together = self._ask(self.make(), _study(space), size)
            if self.exhaustive:
                _check_distinct(f"{size} suggestions of one call in a space of {size}", together)

        for space in FINITE:
            holds(space)
        self._for_all(holds, space=small_spaces())

    def test_both_directions_are_one(self) -> None:
        """To maximise the negative is to minimise: the answers are the same."""

        def holds(space: Space, history: list[Outcome], seed: int) -> None:
            trials = trials_of(space, history)
            mirrored = tuple(replace(t, value=None if t.value is None else -t.value) for t in trials)
            least = self._ask(self.make(), _study(space, trials, seed), 2)
            most = self._ask(self.make(), replace(_study(space, mirrored, seed), objective=Maximize("loss")), 2)
            assert _keys(least) == _keys(most), (
                f"minimising suggests {least}, maximising the negative {most}; take study.loss(trial), not trial.value"
            )

        holds(MIXED, [Outcome(trial.state, trial.value) for trial in finished(MIXED, 12)], 0)
        self._for_all(holds, space=spaces(), history=outcomes(), seed=_SEEDS)

    def test_a_fresh_one_answers_as_the_old_one(self) -> None:
        """What a suggester knows is what the study says."""
        if self.stateless:
            old = self.make()
            self._ask(old, _study(LINE, finished(LINE, 3), seed=5), 2)
            for done in range(0, 9, 2):
                study = _study(MIXED, finished(MIXED, done))
                aged, fresh = (_keys(self._ask(suggester, study)) for suggester in (old, self.make()))
                assert aged == fresh, (
                    f"with {done} trials, a suggester that was asked before answers {_text(aged)}, a fresh one "
                    f"{_text(fresh)}; keep nothing between calls, or set stateless = False"
                )

    def test_a_study_goes_on_by_its_name(self, tmp_path: Path) -> None:
        """Opened again, with a fresh suggester, it goes on as if it had never been closed."""
        whole = self._run(tmp_path / "whole", 8)
        self._run(tmp_path / "parts", 5)
        parts = self._run(tmp_path / "parts", 3)
        assert len(parts) == len(whole) == 8
        if self.stateless:
            assert _keys(parts) == _keys(whole), f"in one go: {whole}; reopened behind 5 trials: {parts}"

    # How it is seen

    def _for_all(self, holds: Callable[..., None], **strategies: st.SearchStrategy[object]) -> None:
        """Check cases that hypothesis draws: the same ones every time."""
        run = settings(
            max_examples=self.examples,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=[HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.too_slow],
        )
        run(given(**strategies)(holds))()

    def _ask(self, suggester: object, study: StudyRecord, count: int = 1) -> list[Params]:
        """Ask as a study asks, and check what must hold for every answer; none where the question is passed on."""
        before = repr(study)
        answer = Manager([suggester]).decide.suggest(study=study, count=count)
        assert repr(study) == before, (
            f"suggest changed the study: it was {before}, and is {study!r}; copy what you change"
        )
        if answer is None:
            left = None if study.space.cardinality is None else study.space.cardinality - len(study.trials)
            assert self.passes or (left is not None and left < count), (
                f"suggest answered None to {study!r}, expected {count} sets of params; set passes = True where it may"
            )
            return []
        assert isinstance(answer, Sequence), f"suggest answered {answer!r}, expected a list of sets of params, or None"
        assert len(answer) == count or (self.ends and len(answer) < count), (
            f"suggest was asked for {count} sets of params and answered with {len(answer)}; "
            "set ends = True where it may end a search"
        )
        for params in answer:
            _check_params(study.space, params)
        return [dict(params) for params in answer]

    def _search(
        self, suggester: object, space: Space, trials: Sequence[TrialRecord], count: int, outcome: Outcome
    ) -> list[TrialRecord]:
        """Return the trials and up to `count` more, asked for one by one; fewer where the question is passed on."""
        known = list(trials)
        for number in range(len(trials), len(trials) + count):
            for params in self._ask(suggester, _study(space, known)):
                known.append(TrialRecord(f"contract-{number}", number, "contract", params, *outcome))
        return known

    def _run(self, home: Path, count: int) -> list[Params]:
        """Return the params of all trials of a study, `count` of which are run here by ask and tell."""
        again = home.exists()
        space, objective, seed = (None, None, None) if again else (MIXED, Minimize("loss"), 0)
        with Study("contract", space, objective, plugins=[self.make()], home=home, seed=seed) as study:
            for _ in range(count):
                trial = study.ask()
                study.tell(trial, sum(MIXED.to_unit(trial.params)))
            return [trial.params for trial in study.trials]


def _study(space: Space, trials: Sequence[TrialRecord] = (), seed: int | None = 0) -> StudyRecord:
    return StudyRecord("contract", space, Minimize("loss"), seed, tuple(trials))


def _check_params(space: Space, params: object) -> None:
    assert isinstance(params, Mapping), f"suggest answered {params!r} for one set of params, expected a mapping"
    try:
        space.validate(params)
    except SpaceError as error:
        raise AssertionError(f"suggest answered outside the space: {error}") from None
    for name, value in params.items():
        is_right = isinstance(value, float) or not isinstance(space[name], Float)
        assert is_right, f"suggest answered {name!r} with {value!r} ({type(value).__name__}), expected a float"


def _check_distinct(what: str, answers: Sequence[Params]) -> None:
    seen: set[_Key] = set()
    for params, key in zip(answers, _keys(answers), strict=True):
        assert key not in seen, f"{what}: {dict(params)} came twice"
        seen.add(key)


def _keys(answers: Sequence[Params]) -> list[_Key]:
    """Return sets of params as something to compare by, in which 1, 1.0 and True differ."""
    return [frozenset((name, type(value), value) for name, value in params.items()) for params in answers]


def _text(keys: Sequence[_Key]) -> str:
    return str([{name: value for name, _, value in sorted(key, key=lambda entry: entry[0])} for key in keys])
