"""What a process keeps of a study: curves survive, nothing comes twice, and each reading brings only what is new."""

from __future__ import annotations

import math
import multiprocessing
import pickle
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hyperhook as hh
from hyperhook import known
from hyperhook.address import Address
from hyperhook.errors import StoreError
from hyperhook.objective import Point
from hyperhook.records import TrialState
from hyperhook.store import Store


@pytest.fixture
def path(storage: str) -> Address:
    return Address(storage)


@pytest.fixture
def store(path: Address) -> Store:
    made = Store(path)
    for name in ("s", "other"):
        made.open_study(name, hh.Space({}), hh.Minimize("loss"))
    return made


def curves(store: Store, study: str = "s") -> list[list[tuple[str, int, int]]]:
    return [[(repr(p.value), p.step, p.epoch) for p in trial.curve] for trial in store.study(study).trials]


@contextmanager
def rows_read() -> Iterator[list[str]]:
    """Collects which rows of trials and points become records."""
    read: list[str] = []
    trial_of, point_of = known.trial_of, known.CurvePoint

    def reading_trial(row: object) -> hh.TrialRecord:
        trial = trial_of(row)  # type: ignore[arg-type]
        read.append(trial.id)
        return trial

    def reading_point(*values: object) -> hh.CurvePoint:
        read.append(f"point {values[3]}")
        return point_of(*values)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(known, "trial_of", reading_trial)
        patched.setattr(known, "CurvePoint", reading_point)
        yield read


def test_any_value_survives_in_order(store: Store, path: Address) -> None:
    store.claim("s", "a", {})
    values = [0.1, math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308]
    for step, value in enumerate(values):
        study = store.report("a", Point(value, 10 * step, step))
    expected = [[(repr(value), 10 * step, step) for step, value in enumerate(values)]]
    assert [[(repr(p.value), p.step, p.epoch) for p in trial.curve] for trial in study.trials] == expected
    assert curves(store) == curves(Store(path)) == expected
    orders = [point.order for point in study.trials[0].curve]
    assert orders == sorted(set(orders))


def test_a_point_at_the_same_step_is_not_doubled_and_not_changed(store: Store) -> None:
    store.claim("s", "a", {})
    for value in (1.0, 2.0):
        store.report("a", Point(value, 5, 0))
    store.report("a", None)
    assert curves(store) == [[("1.0", 5, 0)]]


def test_without_epochs_points_are_counted(store: Store) -> None:
    store.claim("s", "a", {})
    for step in (10, 20):
        store.report("a", Point(1.0, step))
    store.study("s")
    store.report("a", Point(1.0, 30))
    assert curves(store) == [[("1.0", 10, 0), ("1.0", 20, 1), ("1.0", 30, 2)]]
    assert [point.done() for point in store.study("s").trials[0].curve] == [1, 2, 3]
    assert [point.done("step") for point in store.study("s").trials[0].curve] == [11, 21, 31]


@pytest.mark.parametrize("state", [state for state in TrialState if state.is_finished])
def test_an_ended_trial_s_curve_does_not_grow_until_it_goes_on(store: Store, state: TrialState) -> None:
    store.claim("s", "a", {})
    store.report("a", Point(1.0, 0, 0))
    store.finish("a", state, None, None)
    store.report("a", Point(2.0, 1, 1))
    assert curves(store) == [[("1.0", 0, 0)]]
    store.reopen("a")
    assert store.study("s").trials[0].state is TrialState.RUNNING
    store.report("a", Point(1.0, 0, 0))
    store.report("a", Point(3.0, 2, 2))
    assert curves(store) == [[("1.0", 0, 0), ("3.0", 2, 2)]]


def test_a_trial_that_is_not_there_is_an_error(store: Store) -> None:
    with pytest.raises(StoreError, match="has no trial 'x'; was its home replaced"):
        store.report("x", Point(1.0, 0, 0))


def test_a_reading_brings_what_is_new_only(store: Store, path: Address) -> None:
    reader = Store(path)
    for name in "abc":
        store.claim("s", name, {})
        store.report(name, Point(1.0, 0, 0))
    store.claim("other", "d", {})
    with rows_read() as read:
        reader.study("s")
        assert sorted(read) == ["a", "b", "c", "point 1", "point 2", "point 3"]
        read.clear()
        reader.study("s")
        assert read == []
    store.report("b", Point(2.0, 1, 1))
    store.finish("c", TrialState.COMPLETE, Point(1.0), None)
    store.report("d", Point(1.0, 0, 0))
    with rows_read() as read:
        reader.study("s")
        assert sorted(read) == ["c", "point 4"]
    store.reopen("c")
    with rows_read() as read:
        assert reader.study("s").trials[2].state is TrialState.RUNNING
        assert read == ["c"]
    assert curves(reader) == curves(Store(path))
    assert curves(reader, "other") == [[("1.0", 0, 0)]]


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["claim", "point", "end", "reopen", "read"]), st.integers(0, 5), st.integers(0, 3)),
    max_size=30,
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(actions=ACTIONS)
def test_a_reader_that_reads_on_knows_what_a_fresh_one_reads(
    path: Address, actions: list[tuple[str, int, int]]
) -> None:
    store, reader, study = Store(path), Store(path), secrets.token_hex(4)  # a study of its own for each example
    store.open_study(study, hh.Space({}), hh.Minimize("loss"))
    made = 0
    for action, number, step in actions:
        name = f"{study}-{number % max(made, 1)}"
        if action == "claim":
            store.claim(study, f"{study}-{made}", {})
            made += 1
        elif action == "point" and made:
            store.report(name, Point(step / 2, step, step))
        elif action == "end" and made:
            store.finish(name, TrialState.COMPLETE, Point(step / 2, step), None)
        elif action == "reopen" and made:
            store.reopen(name)
        else:
            reader.study(study)
    assert reader.study(study) == store.study(study) == Store(path).study(study)


def _report(store: Store, name: str) -> None:
    store.claim("s", name, {})
    for step in range(5):
        store.report(name, Point(1.0, step, step))


def test_processes_and_copies_see_one_another_s_points(store: Store) -> None:
    store.study("s")
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=_report, args=(store, name)) for name in "abcd"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    copy: Store = pickle.loads(pickle.dumps(store))
    assert store.study("s") == copy.study("s")
    trials = store.study("s").trials
    assert sorted(point.order for trial in trials for point in trial.curve) == list(range(1, 21))
    assert all([point.step for point in trial.curve] == list(range(5)) for trial in trials)
