"""ASHA and Hyperband: integer rungs, and the same trials stopped as by a reference written from the papers."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

import hyperhook as hh
from hyperhook.manager import Manager
from hyperhook_plugins.halving import ASHA, Hyperband

EPOCHS, CURVES = 81, 81
ORDERS = ["one by one", "rung by rung", "all at once", "nine workers", "at random"]

# The trace: learning curves of trials, and the order in which workers report them


def traced(seed: int) -> list[list[float]]:
    """Losses by trial and epoch; curves cross, some values are equal, some diverge."""
    rng = random.Random(f"trace:{seed}")
    curves = []
    for number in range(CURVES):
        end, rate = rng.random(), rng.uniform(0.2, 2.0)
        curve = [round(end + (1 - end) * epoch**-rate + rng.gauss(0, 0.02), 2) for epoch in range(1, EPOCHS + 1)]
        if number % 20 == 7:
            curve[rng.randrange(EPOCHS) :] = [math.nan] * EPOCHS
        curves.append(curve[:EPOCHS])
    return curves


def reports(order: str, seed: int) -> Iterator[int]:
    """The numbers of the trials, each as often as it has epochs, in the order in which these come."""
    if order == "one by one":
        yield from (number for number in range(CURVES) for _ in range(EPOCHS))
    elif order == "all at once":
        yield from (number for _ in range(EPOCHS) for number in range(CURVES))
    elif order == "rung by rung":
        for since, until in ((0, 1), (1, 3), (3, 9), (9, 27), (27, 81)):
            yield from (number for number in reversed(range(CURVES)) for _ in range(since, until))
    elif order == "nine workers":
        for first in range(0, CURVES, 9):
            yield from (number for _ in range(EPOCHS) for number in range(first, first + 9))
    else:
        numbers = [number for number in range(CURVES) for _ in range(EPOCHS)]
        random.Random(seed).shuffle(numbers)
        yield from numbers


def run(pruner: object, curves: Sequence[Sequence[float]], order: str, objective: hh.Objective) -> dict[int, int]:
    """Let a pruner judge the trace; return the trials that it stopped, and behind how many epochs."""
    manager = Manager([pruner])
    trials = [hh.TrialRecord(f"t{number}", number, "s") for number in range(len(curves))]
    stopped: dict[int, int] = {}
    for reported, number in enumerate(reports(order, 1), 1):
        epoch = len(trials[number].curve)
        if number in stopped:
            continue
        sign = -1.0 if objective.direction == "maximize" else 1.0
        point = hh.CurvePoint(sign * curves[number][epoch], epoch, epoch, reported)
        trials[number] = hh.TrialRecord(f"t{number}", number, "s", curve=(*trials[number].curve, point))
        study = hh.StudyRecord("s", hh.Space({}), objective, trials=tuple(trials))
        last = hh.Point(point.value, epoch, epoch)
        if manager.decide.should_stop(study=study, trial=trials[number], last=last):
            stopped[number] = epoch + 1
    return stopped


# The reference: algorithm 2 of Li et al. (MLSys 2020), where a trial that cannot be promoted is stopped


class Reference:
    """Rungs k of bracket s hold the losses of those that came; r η^(s+k) epochs lead there."""

    def __init__(self, r: int, eta: int, R: int, s: int) -> None:
        self.eta, self.rungs = eta, dict[int, list[float]]()
        k = 0
        while r * eta ** (s + k) < R:
            self.rungs[r * eta ** (s + k)] = []
            k += 1

    def goes_on(self, epochs: int, loss: float) -> bool:
        if epochs not in self.rungs:
            return True
        if math.isnan(loss):
            self.rungs[epochs].append(math.inf)
            return False
        self.rungs[epochs].append(loss)
        rung = sorted(self.rungs[epochs])
        top = rung[: max(len(rung) // self.eta, 1)]
        return loss <= top[-1]


def expected(brackets: dict[int, Reference], curves: Sequence[Sequence[float]], order: str) -> dict[int, int]:
    """What the reference stops; `brackets` are by the trials' numbers."""
    epochs, stopped = Counter[int](), {}
    for number in reports(order, 1):
        if number not in stopped:
            epochs[number] += 1
            if not brackets[number].goes_on(epochs[number], curves[number][epochs[number] - 1]):
                stopped[number] = epochs[number]
    return stopped


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("eta", [2, 3])
def test_asha_stops_what_the_paper_stops(order: str, eta: int) -> None:
    curves = traced(eta)
    reference = Reference(1, eta, EPOCHS, 0)
    wanted = expected(dict.fromkeys(range(CURVES), reference), curves, order)
    assert run(ASHA(max_steps=EPOCHS, reduction=eta), curves, order, hh.Minimize("loss")) == wanted
    assert len(set(wanted.values())) >= 4  # at several rungs
    assert len(wanted) < CURVES


@pytest.mark.parametrize("order", ORDERS)
def test_hyperband_stops_what_the_papers_stop(order: str) -> None:
    curves, pruner = traced(5), Hyperband(max_steps=EPOCHS)
    brackets = [Reference(1, 3, EPOCHS, s) for s in range(5)]
    chosen = {number: pruner.bracket(hh.TrialRecord("t", number, "s")) for number in range(CURVES)}
    wanted = expected({number: brackets[s] for number, s in chosen.items()}, curves, order)
    assert run(pruner, curves, order, hh.Maximize("acc")) == wanted
    assert all(chosen[number] < 4 for number in wanted)  # of the last bracket all go on
    assert len({chosen[number] for number in wanted}) >= 3


def test_a_round_of_hyperband_has_the_shares_of_the_paper() -> None:
    """Algorithm 1 of Li et al. (JMLR 2018) with R = 81 and η = 3: bracket s starts ⌈B/R · η^s / (s+1)⌉ trials."""
    pruner = Hyperband(max_steps=81)
    wanted = {3 ** (4 - s): math.ceil(5 * 3**s / (s + 1)) for s in range(5)}
    assert pruner.shares == wanted == {1: 81, 3: 34, 9: 15, 27: 8, 81: 5}
    for first in (0, 1000):
        numbers = [pruner.bracket(hh.TrialRecord("t", number, "s")) for number in range(first, first + 143)]
        assert Counter(numbers) == {0: 81, 1: 34, 2: 15, 3: 8, 4: 5}
    few = Counter(pruner.bracket(hh.TrialRecord("t", number, "s")) for number in range(20))
    assert abs(few[0] - 20 * 81 / 143) <= 2
    assert few[1] >= 3


@pytest.mark.parametrize(
    ("options", "rungs"),
    [
        ({"max_steps": 243}, (1, 3, 9, 27, 81, 243)),
        ({"max_steps": 242}, (1, 3, 9, 27, 81)),
        ({"min_steps": 5, "max_steps": 100, "reduction": 4}, (5, 20, 80)),
        ({"max_steps": 10**18, "reduction": 10}, tuple(10**k for k in range(19))),
        ({}, None),
    ],
)
def test_rungs_are_integers(options: dict[str, int], rungs: tuple[int, ...] | None) -> None:
    assert ASHA(**options).rungs == rungs  # type: ignore[arg-type]


# One trial and its rivals


def study_of(*curves: Sequence[tuple[int, float]], direction: str = "minimize") -> hh.StudyRecord:
    """A study whose trials came one after the other, each with its (epoch from 0, value) points."""
    orders = iter(range(1, 1000))
    trials = tuple(
        hh.TrialRecord(f"t{n}", n, "s", curve=tuple(hh.CurvePoint(v, 10 * e, e, next(orders)) for e, v in curve))
        for n, curve in enumerate(curves)
    )
    return hh.StudyRecord("s", hh.Space({}), hh.Objective("y", direction), trials=trials)  # type: ignore[arg-type]


def test_a_trial_that_leaps_over_rungs_arrives_at_the_last_of_them() -> None:
    good, bad = [(1, 1.0), (3, 1.0), (11, 1.0)], [(1, 2.0), (3, 2.0), (11, 2.0)]
    for points in (1, 2, 3):  # 2, 4, 12 epochs: the rungs 1, 3, 9
        study = study_of(good[:points], bad[:points])
        assert ASHA().should_stop(study, study.trials[1]) is True
    study = study_of([(0, 1.0), (2, 1.0), (8, 1.0)], [(11, 2.0)])
    assert ASHA().should_stop(study, study.trials[1]) is True
    study = study_of([(0, 1.0), (2, 1.0)], [(11, 2.0)])
    assert ASHA().should_stop(study, study.trials[1]) is None  # the first one at rung 9
    study = study_of([(11, 1.0)], [(0, 2.0)])
    assert ASHA().should_stop(study, study.trials[1]) is None  # who leapt over rung 1 is no rival there


def test_between_rungs_nobody_is_judged() -> None:
    for epoch in (1, 3, 4, 7):
        study = study_of([(0, 1.0), (2, 1.0), (epoch, 1.0)], [(0, 0.0), (2, 0.0), (epoch, 9.0)])
        assert ASHA().should_stop(study, study.trials[1]) is None
    study = study_of([(0, 1.0)], [(0, 0.0), (0, 9.0)])  # validated twice in an epoch
    assert ASHA().should_stop(study, study.trials[1]) is None


def test_from_the_end_of_training_on_nobody_is_judged() -> None:
    study = study_of([(8, 1.0)], [(8, 2.0)])
    assert ASHA(max_steps=9).should_stop(study, study.trials[1]) is None
    assert ASHA(max_steps=10).should_stop(study, study.trials[1]) is True
    assert ASHA(max_steps=10, min_steps=9).should_stop(study, study.trials[1]) is True


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_worse_than_any_other(bad: float) -> None:
    for direction in ("minimize", "maximize"):
        study = study_of([(0, bad)], [(0, 1e300)], [(0, -1e300)], direction=direction)
        assert ASHA().should_stop(study, study.trials[0]) is True
        best = 1 if direction == "maximize" else 2
        assert ASHA().should_stop(study, study.trials[best]) is None


def test_equal_trials_go_on_together() -> None:
    study = study_of(*[[(0, 1.0)]] * 7, [(0, 2.0)], [(0, 1.0)])
    assert [ASHA().should_stop(study, trial) for trial in study.trials] == [None] * 7 + [True, None]


def test_steps_are_counted_where_the_user_says_so() -> None:
    study = study_of([(2, 1.0)], [(2, 2.0)])  # 3 epochs, 21 steps
    assert ASHA(min_steps=21, unit="step").should_stop(study, study.trials[1]) is True
    assert ASHA(min_steps=22, unit="step").should_stop(study, study.trials[1]) is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ASHA(min_steps=0), "ASHA: min_steps must be an int from 1, got 0"),
        (lambda: ASHA(min_steps=1.0), "ASHA: min_steps must be an int from 1, got 1.0"),
        (lambda: ASHA(reduction=1), "ASHA: reduction must be an int from 2, got 1"),
        (lambda: ASHA(reduction=True), "ASHA: reduction must be an int from 2, got True"),
        (
            lambda: ASHA(min_steps=9, max_steps=9),
            "ASHA: max_steps must be an int from 10, behind the first rung, got 9",
        ),
        (lambda: ASHA(unit="epochs"), "ASHA: unit must be 'epoch' or 'step', got 'epochs'"),
        (
            lambda: Hyperband(max_steps=2),
            "Hyperband: max_steps must be an int from 3, so that there are two rungs, got 2",
        ),
        (lambda: Hyperband(max_steps=None), "Hyperband: max_steps must be an int from 3, .*, got None"),
        (lambda: Hyperband(unit="s"), "Hyperband: unit must be 'epoch' or 'step', got 's'"),
    ],
)
def test_options_that_cannot_be_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
