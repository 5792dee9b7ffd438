"""The store: what workers agree on, whoever comes first."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook.errors import ObjectiveError, StoreError, StudyError, StudyMismatchError
from hyperhook.objective import Point
from hyperhook.records import StudyRecord, TrialState
from hyperhook.store import Store
from hyperhook.tables import SCHEMA

SPACE = hh.Space({"x": hh.Float(0, 1), "net": hh.Choice({"cnn": {"width": hh.Int(1, 4)}, "mlp": {}})})
STUDY = StudyRecord("s", SPACE, hh.Maximize("acc", reduce="last"), seed=3)


def opened(store: Store, study: StudyRecord) -> StudyRecord:
    """Open a study as that record has it."""
    return store.open_study(study.name, study.space, study.objective, study.seed)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hyperhook.db"


@pytest.fixture
def store(path: Path) -> Store:
    made = Store(path)
    opened(made, STUDY)
    return made


def test_a_study_is_there_as_it_was_opened(store: Store, path: Path) -> None:
    assert store.study("s") == STUDY
    assert Store(path).study("s") == STUDY
    assert opened(Store(path), STUDY) == STUDY


def test_studies_are_listed_the_oldest_first(store: Store) -> None:
    for name in ("b", "a", "ünïversal/.. 🎛", "'; DROP TABLE trials; --"):
        opened(store, replace(STUDY, name=name))
    assert store.study_names() == ["s", "b", "a", "ünïversal/.. 🎛", "'; DROP TABLE trials; --"]


def test_a_study_that_is_not_there_names_those_that_are(store: Store) -> None:
    with pytest.raises(StudyError, match="there is no study 'S' here; there are: s"):
        store.study("S")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            {**SPACE.to_json(), "y": {"type": "int", "low": 0, "high": 1, "log": False, "step": 1}},
            "'y' is not in it there",
        ),
        ({"x": SPACE.to_json()["x"]}, "'net' is Choice"),
        ({**SPACE.to_json(), "x": {"type": "float", "low": 0, "high": 2, "log": False, "step": None}}, "high=2"),
    ],
)
def test_another_space_is_refused_and_the_difference_named(
    store: Store, space: dict[str, object], message: str
) -> None:
    with pytest.raises(StudyMismatchError, match="study 's' exists with another space") as raised:
        opened(store, replace(STUDY, space=hh.Space.from_json(space)))
    assert message in str(raised.value)
    assert store.study("s") == STUDY


def test_the_order_of_parameters_is_no_difference(store: Store) -> None:
    reversed_space = hh.Space(dict(reversed([(name, SPACE[name]) for name in ("x", "net")])))
    assert opened(store, replace(STUDY, space=reversed_space)).space == SPACE


def test_a_name_alone_goes_on_with_what_is_stored(store: Store) -> None:
    assert store.open_study("s") == STUDY
    assert store.open_study("new") == StudyRecord("new", hh.Space({}), None, None, grows=True)


def test_another_objective_is_taken_over_until_there_is_a_value(store: Store) -> None:
    mended = replace(STUDY, objective=hh.Minimize("loss"))
    assert opened(store, mended).objective == hh.Minimize("loss")
    store.claim("s", "a", {})
    store.finish("a", TrialState.FAILED, None, "ValueError")
    assert opened(store, STUDY).objective == STUDY.objective
    store.claim("s", "b", {})
    store.finish("b", TrialState.COMPLETE, Point(0.5), None)
    with pytest.raises(StudyMismatchError, match=r"exists with the objective .*acc.*, got .*loss.*another name"):
        opened(store, mended)
    assert store.study("s").objective == STUDY.objective


def test_other_constraints_are_taken_over_until_there_is_a_value(store: Store, path: Path) -> None:
    fast, right = hh.Constraint("ms", "<=", 20.0), hh.Constraint("auc", ">=", 0.8)
    assert store.open_study("s", constraints=(fast,)).constraints == (fast,)
    assert store.open_study("s", constraints=(fast, right)).constraints == (fast, right)
    assert store.open_study("s").constraints == Store(path).study("s").constraints == (fast, right)
    store.claim("s", "a", {})
    store.finish("a", TrialState.COMPLETE, Point(0.5, metrics={"ms": 12.5}), None)
    assert store.open_study("s", constraints=(right, fast)).constraints == (right, fast)
    message = r"exists with the constraints auc >= 0.8, ms <= 20, got {}; give this search another name"
    for others, listed in [((fast,), "ms <= 20"), ((), "none"), ((replace(fast, bound=30.0),), "ms <= 30")]:
        with pytest.raises(StudyMismatchError, match=message.format(listed)):
            store.open_study("s", constraints=others)
    assert store.study("s").constraints == (right, fast)


def test_several_objectives_are_one_whole(store: Store, path: Path) -> None:
    acc, ms = hh.Maximize("acc"), hh.Minimize("ms", reduce="last")
    assert store.open_study("s", objective=acc, further=(ms,)).objectives == (acc, ms)
    assert store.open_study("s").objectives == Store(path).study("s").objectives == (acc, ms)
    assert store.open_study("s", objective=ms, further=(acc,)).objectives == (ms, acc)
    assert store.open_study("s", objective=acc).objectives == (acc,)
    assert store.open_study("s", objective=acc, further=(ms,)).objectives == (acc, ms)
    store.claim("s", "a", {})
    store.finish("a", TrialState.COMPLETE, Point(0.5, metrics={"ms": 12.5}), None)
    for first, further in [(acc, ()), (ms, (acc,)), (acc, (hh.Minimize("ms"),))]:
        with pytest.raises(
            StudyMismatchError, match=r"exists with the objective .*acc.*ms.*, got .*; give this search"
        ):
            store.open_study("s", objective=first, further=further)
    assert store.open_study("s").objectives == (acc, ms)


def test_constraints_need_an_objective(store: Store) -> None:
    with pytest.raises(ObjectiveError, match="study 'n' has the constraints ms <= 20 and no objective; give it one"):
        store.open_study("n", constraints=(hh.Constraint("ms", "<=", 20.0),))
    assert store.study_names() == ["s"]


def test_no_seed_takes_over_the_stored_one_and_a_new_one_replaces_it(store: Store) -> None:
    assert opened(store, replace(STUDY, seed=None)).seed == 3
    assert opened(store, replace(STUDY, seed=9)).seed == 9
    assert store.study("s").seed == 9


def test_a_trial_begins_and_ends(store: Store) -> None:
    params = {"x": 0.1 + 0.2, "net": "cnn", "width": 3}
    trial = store.claim("s", "a", params)
    assert trial is not None
    assert (trial.number, trial.state, trial.params) == (0, TrialState.RUNNING, params)
    assert store.trial("a") == trial
    ended = store.finish("a", TrialState.COMPLETE, Point(0.5, 7, 2, 0.125, {"ms": 12.5}), None)
    assert ended is not None
    assert ended == store.trial("a") == store.study("s").trials[0]
    assert (ended.point, ended.state) == (Point(0.5, 7, 2, 0.125, {"ms": 12.5}), TrialState.COMPLETE)
    assert ended.finished_time is not None
    assert ended.finished_time >= trial.started_time
    assert store.trial("nobody") is None
    assert store.reopen("a") == trial


def test_a_trial_ends_once(store: Store) -> None:
    store.claim("s", "a", {})
    first = store.finish("a", TrialState.KILLED, None, "its process died")
    assert store.finish("a", TrialState.COMPLETE, Point(1.0), None) is None
    assert store.trial("a") == first
    assert store.finish("nobody", TrialState.COMPLETE, None, None) is None


@pytest.mark.parametrize(
    ("state", "counts"), [("RUNNING", 1), ("COMPLETE", 1), ("PRUNED", 1), ("FAILED", 1), ("KILLED", 0)]
)
def test_what_counts_against_the_budget(store: Store, state: str, counts: int) -> None:
    store.claim("s", "a", {})
    if state != "RUNNING":
        store.finish("a", TrialState(state), None, None)
    assert (store.claim("s", "b", {}, budget=1) is None) == bool(counts)
    opened(store, replace(STUDY, name="other"))
    assert store.claim("other", "c", {}, budget=1) is not None


def test_what_another_worker_was_given_meanwhile_is_not_claimed(store: Store) -> None:
    x, y = {"x": 0.5}, {"x": 0.25}
    assert store.claim("s", "a", x, known=0) is not None
    assert store.claim("s", "b", x, known=0) is None
    assert store.claim("s", "b", y, known=0) is not None
    assert store.claim("s", "c", x, known=1) is not None  # it was seen, and is suggested all the same
    assert store.claim("s", "d", x) is not None
    assert [trial.id for trial in store.study("s").trials] == ["a", "b", "c", "d"]


def test_a_queued_trial_starts_once_and_within_the_budget(store: Store) -> None:
    first, second = (store.enqueue("s", name, {"x": 0.5}) for name in ("a", "b"))
    assert (first.number, second.number, first.state) == (0, 1, TrialState.QUEUED)
    started = store.start(first, budget=1, launch="mark")
    assert started is not None
    assert (started.id, started.number, started.params, started.state) == ("a", 0, {"x": 0.5}, TrialState.RUNNING)
    assert store.launched("mark") == started
    assert store.start(first) is None
    assert store.start(second, budget=1) is None
    assert [trial.state for trial in store.study("s").trials] == [TrialState.RUNNING, TrialState.QUEUED]


@pytest.mark.parametrize("state", list(TrialState))
def test_values_that_a_trial_has_are_queued_again_only_where_it_was_lost(store: Store, state: TrialState) -> None:
    there = store.enqueue("s", "a", {"x": 0.5, "net": "mlp"})
    if state is not TrialState.QUEUED:
        store.start(there)
    if state.is_finished:
        store.finish("a", state, None, None)
    found = store.enqueue("s", "b", {"x": 0.5, "net": "cnn"}, {"x": 0.5})
    assert found.id == ("b" if state in (TrialState.FAILED, TrialState.KILLED) else "a")
    assert store.enqueue("s", "c", {"x": 0.5}, None).id == "c"


def test_a_launch_finds_its_trial(store: Store) -> None:
    assert store.launched("mark") is None
    trial = store.claim("s", "a", {}, launch="mark")
    store.claim("s", "b", {}, launch="other")
    assert store.launched("mark") == trial


def claim_all(path: Path, name: str, results: Callable[[object], None], budget: int) -> None:
    store = Store(path)
    opened(store, STUDY)
    claimed: list[int] = []
    while (trial := store.claim("s", f"{name}-{len(claimed)}", {}, budget=budget)) is not None:
        claimed.append(trial.number)
        if trial.number % 3:
            store.finish(trial.id, TrialState.COMPLETE, Point(1.0), None)
    results(claimed)


def test_processes_that_open_a_new_store_at_once_share_its_budget(path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    results = fork.SimpleQueue()
    workers = [fork.Process(target=claim_all, args=(path, str(n), results.put, 30)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    claimed = [number for _ in workers for number in results.get()]  # type: ignore[attr-defined]
    assert sorted(claimed) == list(range(30))
    assert [trial.number for trial in Store(path).study("s").trials] == list(range(30))


def test_threads_share_the_budget(store: Store, path: Path) -> None:
    claimed: list[list[int]] = []
    threads = [threading.Thread(target=claim_all, args=(path, str(n), claimed.append, 20)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(number for part in claimed for number in part) == list(range(20))


def test_threads_that_end_one_trial_end_it_once(store: Store) -> None:
    store.claim("s", "a", {})
    barrier, ended = threading.Barrier(6), []

    def end(value: float) -> None:
        barrier.wait()
        ended.append(store.finish("a", TrialState.COMPLETE, Point(value), None))

    threads = [threading.Thread(target=end, args=(float(n),)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (won,) = [trial for trial in ended if trial is not None]
    assert store.trial("a") == won
    assert ended.count(None) == 5


def test_a_pickled_store_is_the_same_store(store: Store) -> None:
    copy = pickle.loads(pickle.dumps(store))
    copy.claim("s", "a", {})
    assert [trial.id for trial in store.study("s").trials] == ["a"]


def test_an_open_store_does_not_wait_for_the_disk_at_each_transaction(store: Store, path: Path) -> None:
    log = path.with_name(path.name + "-wal")
    store.claim("s", "a", {})
    assert log.stat().st_size > 0  # the last to close the database empties the log
    store.close()
    assert not log.exists()
    store.claim("s", "b", {})
    assert [trial.id for trial in Store(path).study("s").trials] == ["a", "b"]


def test_a_forked_child_leaves_its_parent_s_store_alone(path: Path) -> None:
    made = Store(path)
    opened(made, STUDY)
    made.claim("s", "a", {})
    child = os.fork()
    if child == 0:
        made.claim("s", "b", {})
        made.close()
        del made
        gc.collect()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert path.with_name(path.name + "-wal").exists()
    made.claim("s", "c", {})
    made.close()
    assert [trial.id for trial in Store(path).study("s").trials] == ["a", "b", "c"]


V1 = """
CREATE TABLE meta (schema_version INTEGER NOT NULL, PRIMARY KEY (schema_version));
CREATE TABLE studies (name VARCHAR(255) NOT NULL, space TEXT NOT NULL, metric TEXT, direction VARCHAR(16),
    reduce VARCHAR(16), seed INTEGER, created_time FLOAT NOT NULL, PRIMARY KEY (name));
CREATE TABLE trials (id VARCHAR(64) NOT NULL, study VARCHAR(255) NOT NULL, number INTEGER NOT NULL,
    params TEXT NOT NULL, state VARCHAR(16) NOT NULL, value FLOAT, step INTEGER, epoch INTEGER, error TEXT,
    started_time FLOAT NOT NULL, finished_time FLOAT, launch VARCHAR(64), PRIMARY KEY (id), UNIQUE (study, number));
CREATE INDEX trials_by_state ON trials (study, state);
CREATE INDEX trials_by_launch ON trials (launch);
INSERT INTO meta VALUES (1);
INSERT INTO studies VALUES ('old', '{"x":{"type":"float","low":0,"high":1,"log":false,"step":null}}', 'acc', 'maximize',
    'best', 7, 1.0);
INSERT INTO trials VALUES ('a', 'old', 0, '{"x":0.5}', 'COMPLETE', 0.25, 3, 1, NULL, 2.0, 4.0, NULL);
"""


def test_a_store_of_the_first_schema_is_brought_up_to_date_with_all_it_holds(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.executescript(V1)
    database.close()
    for _ in range(2):
        store = Store(path)
        study = store.study("old")
        assert (study.objective, study.seed, study.space) == (hh.Maximize("acc"), 7, hh.Space({"x": hh.Float(0, 1)}))
        assert study.trials == (
            hh.TrialRecord(
                "a", 0, "old", {"x": 0.5}, TrialState.COMPLETE, 0.25, 3, 1, started_time=2.0, finished_time=4.0
            ),
        )
    claimed = store.claim("old", "b", {"x": 0.1})
    assert claimed is not None
    assert claimed.number == 1
    ended = store.finish("b", TrialState.COMPLETE, Point(0.5, stderr=0.1), None)
    assert ended is not None
    assert ended.stderr == 0.1
    assert store.open_study("old", constraints=None).constraints == ()


def test_processes_that_bring_a_store_up_to_date_at_once_agree(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.executescript(V1)
    database.close()
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=Store, args=(path,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert len(Store(path).study("old").trials) == 1


def test_a_newer_schema_is_refused_and_left_alone(store: Store, path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE meta SET schema_version = ?", (SCHEMA + 1,))
    database.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=f"has schema {SCHEMA + 1}, this hyperhook expects {SCHEMA} at the most; use"):
        Store(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"these are my notes, not a database\n" * 100, b"short notes\n", b"\0" * 5000])
def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"is not a database that hyperhook wrote: .*; move the file away, or choose"):
        Store(path)
    assert path.read_bytes() == content


def test_a_store_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be used: unable to open database file"):
        Store(tmp_path / "missing" / "hyperhook.db")
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StoreError, match="cannot be used"):
        Store(tmp_path / "folder.db")
