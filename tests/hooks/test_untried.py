"""What a study has not tried: found however rare, and once."""

from __future__ import annotations

import random

from hypothesis import given, settings

from hyperhook import Choice, Int, Params, Space, StudyRecord, TrialRecord, TrialState
from hyperhook.testing.spaces import small_spaces
from hyperhook.untried import Untried, key_of

SPACE = Space({"n": Int(0, 9), "net": Choice(["a", "b"])})


def study_of(tried: list[Params], state: TrialState = TrialState.COMPLETE, space: Space = SPACE) -> StudyRecord:
    trials = tuple(TrialRecord(f"t{i}", i, "s", params, state) for i, params in enumerate(tried))
    return StudyRecord("s", space, trials=trials)


@given(space=small_spaces())
@settings(deadline=None)
def test_a_finite_space_is_gone_through_although_the_same_is_proposed_again_and_again(space: Space) -> None:
    rng = random.Random(0)
    always = space.sample(rng)
    untried = Untried(study_of([], space=space))
    taken = [untried.take(lambda: always, rng) for _ in range(space.cardinality or 0)]
    assert len({key_of(params) for params in taken}) == space.cardinality
    assert taken[0] == always
    assert untried.take(lambda: always, rng) == always  # nothing is left


def test_every_state_but_killed_counts_as_tried() -> None:
    params: Params = {"n": 3, "net": "a"}
    for state in TrialState:
        assert (params in Untried(study_of([params], state))) == (state is TrialState.KILLED)


def test_the_first_that_is_new() -> None:
    many: list[Params] = [{"n": n, "net": "a"} for n in range(3)]
    untried = Untried(study_of([many[0]]))
    assert [untried.first(many) for _ in range(3)] == [many[1], many[2], None]


def test_one_true_and_one_point_zero_are_three() -> None:
    assert len({key_of({"x": value}) for value in (1, True, 1.0)}) == 3


def test_a_corner_that_is_used_up_does_not_draw_the_search_to_another_one() -> None:
    space = Space({"a": Int(0, 99), "b": Int(0, 99)})
    corner: list[Params] = [{"a": 50, "b": 50}]
    untried, rng = Untried(study_of(corner, space=space)), random.Random(0)
    taken = [untried.take(lambda: corner[0], rng) for _ in range(40)]
    assert sum(params["a"] in range(11) for params in taken) < 20  # in the grid's order all of them would
