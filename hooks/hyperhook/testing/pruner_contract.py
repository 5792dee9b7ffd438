"""The suite that every pruner passes: learning curves of every kind go in, each answer is held to what it promises.

An author inherits it, says how to make the pruner, and pytest does the rest::

    class TestTopHalf(PrunerContract):
        def make(self):
            return TopHalf(grace=3)

It is asked by its hook, as a trial asks it. Curves are drawn by hypothesis.
"""

from __future__ import annotations

import math
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import ClassVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hyperhook.manager import Manager
from hyperhook.objective import Maximize, Minimize, Point
from hyperhook.records import StudyRecord, TrialRecord, TrialState
from hyperhook.space import Space
from hyperhook.study import Study
from hyperhook.testing.curves import Course, courses, trials_with

__all__ = ["PrunerContract"]

_ROUGH = (0.5, math.nan, math.inf, -math.inf)
_SEEDS = st.integers(0, 2**32)
_RIVALS = st.lists(courses(), max_size=9)


class PrunerContract(ABC):
    """What every pruner promises; the test methods are run by pytest.

    Attributes:
        examples: How many cases are drawn where something must hold in all of them.
        judges_alone: Whether a trial may be stopped for its own curve, where there is no other to compare with.
        by_number: Whether an answer may depend on the trials' numbers.
    """

    examples: ClassVar[int] = 50
    judges_alone: ClassVar[bool] = False
    by_number: ClassVar[bool] = False

    @abstractmethod
    def make(self) -> object:
        """Return a pruner that was never asked; a second one stands for another process.

        Give it options by which it judges among few trials, such as a single one to start up.
        """

    # What must hold

    def test_any_curves_get_an_answer(self) -> None:
        """Empty, NaN, infinite, extreme, with epochs leapt over, of trials in any state: True, False or None."""
        pruner = self._made()

        def holds(rivals: list[Course], own: Course, seed: int) -> None:
            self._ask(pruner, *_case(rivals, own, seed))

        for rival, value in product(_ROUGH, _ROUGH):
            holds([_course(rival)] * 3, _course(value), 3)
        self._for_all(holds, rivals=_RIVALS, own=courses(), seed=_SEEDS)

    def test_a_trial_without_a_point_goes_on(self) -> None:
        """There is nothing to judge it by."""
        pruner = self._made()

        def holds(rivals: list[Course], seed: int) -> None:
            answer = self._ask(pruner, *_case(rivals, Course(TrialState.RUNNING, ()), seed))
            assert not answer, "a trial that never logged the objective's metric was stopped; answer None"

        self._for_all(holds, rivals=_RIVALS, seed=_SEEDS)

    def test_the_only_trial_goes_on(self) -> None:
        """However its curve goes on, nothing is better."""
        pruner = self._made()

        def holds(own: Course) -> None:
            answer = self._ask(pruner, *_case([], own, 0))
            assert not answer, f"the only trial was stopped: {own.points}; set judges_alone = True where it may be"

        if not self.judges_alone:
            self._for_all(holds, own=courses(finite=True, points=30))

    def test_the_same_study_gets_the_same_answer(self) -> None:
        """From a pruner that was asked before, from a fresh one, and from a copy that was sent to another process."""
        old = self._made()

        def holds(rivals: list[Course], own: Course, seed: int) -> None:
            study, trial = _case(rivals, own, seed)
            first = self._ask(old, study, trial)
            askers = {"the same one": old, "a fresh one": self._made(), "a copy": pickle.loads(pickle.dumps(old))}
            for who, pruner in askers.items():
                answer = self._ask(pruner, study, trial)
                assert answer is first, f"the answer was {first}, of {who} {answer}; keep nothing between calls"

        self._for_all(holds, rivals=_RIVALS, own=courses(), seed=_SEEDS)

    def test_both_directions_are_one(self) -> None:
        """To maximise the negative is to minimise: the answers are the same."""
        pruner = self._made()

        def holds(rivals: list[Course], own: Course, seed: int) -> None:
            study, trial = _case(rivals, own, seed)
            mirrored = replace(study, objective=Maximize("loss"), trials=tuple(map(_mirrored, study.trials)))
            least, most = self._ask(pruner, study, trial), self._ask(pruner, mirrored, _mirrored(trial))
            assert least is most, (
                f"minimising answers {least}, maximising the negative {most}; take study.loss_at(point) or "
                "study.loss(trial)"
            )

        self._for_all(holds, rivals=_RIVALS, own=courses(), seed=_SEEDS)

    def test_which_trial_is_which_does_not_matter(self) -> None:
        """The same curves under other numbers and ids: the same answer."""
        pruner = self._made()

        def holds(rivals: list[Course], own: Course, seed: int, order: list[int]) -> None:
            study, trial = _case(rivals, own, seed)
            places = sorted(range(len(study.trials)), key=lambda place: order[place])
            renamed = {
                study.trials[place].id: replace(study.trials[place], id=f"other-{number}", number=number)
                for number, place in enumerate(places)
            }
            there = replace(study, trials=tuple(renamed.values()))
            first, other = self._ask(pruner, study, trial), self._ask(pruner, there, renamed[trial.id])
            assert first is other, (
                f"the answer was {first}, and with the trials in another order {other}; set by_number = True where "
                "it may depend on their numbers"
            )

        if not self.by_number:
            order = st.permutations(range(10))
            self._for_all(holds, rivals=_RIVALS, own=courses(), seed=_SEEDS, order=order)

    def test_another_process_with_the_same_store_agrees(self, tmp_path: Path) -> None:
        """One trial is complete, three run side by side; at each of their epochs another process is asked as well."""
        objective = Minimize("loss", reduce="last")
        with (
            Study("contract", {}, objective, plugins=[self.make()], home=tmp_path) as study,
            Study("contract", home=tmp_path) as other,
        ):
            first = study.ask()
            trials = [first]
            for epoch in (0, 1, 2, 0, 1, 2):
                for trial in trials:
                    if not trial.stop_requested:
                        trial.log({"loss": float(trial.number * 3 % 4)}, step=10 * epoch, epoch=epoch)
                        stopped, there = trial.should_stop, other.record()
                        answer = self._ask(self._made(), there, there.trials[trial.number])
                        assert bool(answer) is stopped, f"one process answers {stopped}, another {answer}"
                if trials == [first] and epoch == 2:
                    study.tell(first)
                    trials = [study.ask() for _ in range(3)]
            for trial in trials:
                study.tell(trial)

    # How it is seen

    def _made(self) -> Manager:
        return Manager([self.make()])

    def _for_all(self, holds: Callable[..., None], **strategies: st.SearchStrategy[object]) -> None:
        """Check cases that hypothesis draws: the same ones every time."""
        run = settings(
            max_examples=self.examples,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow],
        )
        run(given(**strategies)(holds))()

    def _ask(self, pruner: Manager, study: StudyRecord, trial: TrialRecord) -> bool | None:
        """Ask as a trial asks."""
        last = Point(*trial.curve[-1][:3]) if trial.curve else None
        answer: object = pruner.decide.should_stop(study=study, trial=trial.at(last), last=last)
        assert answer is None or isinstance(answer, bool), f"should_stop answered {answer!r}, expected a bool or None"
        return answer


def _course(value: float) -> Course:
    return Course(TrialState.COMPLETE, ((1, value), (1, value)))


def _case(rivals: Sequence[Course], own: Course, seed: int) -> tuple[StudyRecord, TrialRecord]:
    """Return a study and the trial of it that is asked about, RUNNING, in the midst of the others."""
    place = seed % (len(rivals) + 1)
    ways = [*rivals[:place], own._replace(state=TrialState.RUNNING), *rivals[place:]]
    trials = trials_with(ways, seed)
    return StudyRecord("contract", Space({}), Minimize("loss", reduce="last"), trials=trials), trials[place]


def _mirrored(trial: TrialRecord) -> TrialRecord:
    curve = tuple(point._replace(value=-point.value) for point in trial.curve)
    return replace(trial, value=None if trial.value is None else -trial.value, curve=curve)
