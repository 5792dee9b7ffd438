"""The database beneath a store: files and servers, older ones and newer ones, connections that break."""

from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest

import hyperhook as hh
from hyperhook.address import Address
from hyperhook.errors import StoreError
from hyperhook.leases import Holder
from hyperhook.objective import Point
from hyperhook.records import TrialState
from hyperhook.store import Store
from hyperhook.tables import SCHEMA


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hyperhook.db"


@pytest.fixture
def store(path: Path) -> Store:
    made = Store(path)
    made.open_study("s", hh.Space({}), hh.Minimize("loss"))
    return made


def test_an_open_store_does_not_wait_for_the_disk_at_each_transaction(store: Store, path: Path) -> None:
    log = path.with_name(path.name + "-wal")
    store.claim("s", "a", {})
    assert log.stat().st_size > 0  # the last to close the database empties the log
    store.close()
    assert not log.exists()
    store.claim("s", "b", {})
    assert [trial.id for trial in Store(path).study("s").trials] == ["a", "b"]


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


V4 = """
CREATE TABLE meta (schema_version INTEGER NOT NULL, PRIMARY KEY (schema_version));
CREATE TABLE studies (name VARCHAR(255) NOT NULL, space TEXT NOT NULL, metric TEXT, direction VARCHAR(16),
    reduce VARCHAR(16), seed INTEGER, created_time FLOAT NOT NULL, constraints TEXT, further TEXT, PRIMARY KEY (name));
CREATE TABLE trials (id VARCHAR(64) NOT NULL, study VARCHAR(255) NOT NULL, number INTEGER NOT NULL,
    params TEXT NOT NULL, state VARCHAR(16) NOT NULL, value FLOAT, step INTEGER, epoch INTEGER, error TEXT,
    started_time FLOAT NOT NULL, finished_time FLOAT, launch VARCHAR(64), stderr FLOAT, metrics TEXT,
    PRIMARY KEY (id), UNIQUE (study, number));
CREATE INDEX trials_by_state ON trials (study, state);
CREATE INDEX trials_by_launch ON trials (launch);
INSERT INTO meta VALUES (4);
INSERT INTO studies VALUES ('old', '{}', 'loss', 'minimize', 'best', NULL, 1.0, NULL, NULL);
INSERT INTO trials VALUES ('a', 'old', 0, '{}', 'COMPLETE', 0.25, 3, 1, NULL, 2.0, 4.0, NULL, NULL, NULL);
INSERT INTO trials VALUES ('b', 'old', 1, '{}', 'RUNNING', NULL, NULL, NULL, NULL, 3.0, NULL, NULL, NULL, NULL);
"""


def test_a_store_from_before_there_were_curves_is_brought_up_to_date(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.executescript(V4)
    database.close()
    store, reader = Store(path), Store(path)
    assert [(trial.value, trial.curve) for trial in reader.study("old").trials] == [(0.25, ()), (None, ())]
    store.report("b", Point(0.5, 7, 2))
    store.finish("b", TrialState.COMPLETE, Point(0.5), None)
    store.claim("old", "c", {})
    assert reader.study("old") == Store(path).study("old")
    assert [trial.state for trial in reader.study("old").trials] == ["COMPLETE", "COMPLETE", "RUNNING"]
    assert [[(p.value, p.step, p.epoch) for p in trial.curve] for trial in reader.study("old").trials] == [
        [],
        [(0.5, 7, 2)],
        [],
    ]
    with sqlite3.connect(path) as database:
        names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    database.close()
    assert {"trials_by_study_and_change", "points_by_study"} <= names


def test_a_trial_that_an_older_version_began_is_read(store: Store, path: Path) -> None:
    store.claim("s", "a", {})
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO trials (id, study, number, params, state, started_time, changed) "
            "VALUES ('b', 's', 1, '{}', 'RUNNING', 0.0, NULL)"
        )
    assert [trial.id for trial in Store(path).study("s").trials] == ["a", "b"]


V5 = V4.replace("PRIMARY KEY (id)", "changed INTEGER, PRIMARY KEY (id)").replace("VALUES (4)", "VALUES (5)")
V5 = V5.replace("4.0, NULL, NULL, NULL", "4.0, NULL, NULL, NULL, 1").replace(
    "3.0, NULL, NULL", "3.0, NULL, NULL, NULL, 2"
)
V5 = V5.replace("NULL, 2, NULL, NULL)", "NULL, NULL, 2)")
V5 += """
CREATE INDEX trials_by_change ON trials (changed);
CREATE TABLE points (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, study VARCHAR(255) NOT NULL,
    trial VARCHAR(64) NOT NULL, value FLOAT, step INTEGER NOT NULL, epoch INTEGER, UNIQUE (trial, step));
CREATE INDEX points_by_study ON points (study, id);
INSERT INTO points VALUES (7, 'old', 'b', 0.5, 3, 1);
"""


def test_a_store_from_before_there_were_leases_is_brought_up_to_date(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.executescript(V5)
    database.close()
    for _ in range(2):
        store = Store(path)
        study = store.study("old")
        assert [(trial.id, trial.state, len(trial.curve)) for trial in study.trials] == [
            ("a", "COMPLETE", 0),
            ("b", "RUNNING", 1),
        ]
        assert study.max_retries == 0
        (holding,) = store.holdings("old")
        assert (holding.worker, holding.place, holding.has_lapsed) == (None, None, False)
    store.open_study("old", max_retries=1)
    queued = store.lose(holding, "it died")
    assert queued is not None
    assert (queued.state, queued.started_time) == (TrialState.QUEUED, 3.0)
    assert Store(path).study("old").trials[1] == store.study("old").trials[1]
    with sqlite3.connect(path) as database:
        names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    database.close()
    assert "trials_by_change" not in names


def test_a_server_s_store_of_a_newer_schema_is_refused(postgres: Any) -> None:
    url = postgres.database()
    Store(Address(url)).close()
    postgres.execute(url, f"UPDATE meta SET schema_version = {SCHEMA + 1}")
    with pytest.raises(StoreError, match=rf"'postgresql\+psycopg://tester:\*\*\*@.*has schema {SCHEMA + 1}"):
        Store(Address(url))


def test_a_session_that_the_server_ended_is_opened_again(postgres: Any) -> None:
    url = postgres.database()
    store = Store(Address(url))
    store.open_study("s", hh.Space({}), hh.Minimize("loss"))
    ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hyperhook'"
    for number in range(3):
        postgres.execute(url, f"{ends} AND datname = current_database()")
        assert store.claim("s", f"t{number}", {}) is not None
    postgres.execute(url, f"{ends} AND datname = current_database()")
    assert len(store.report("t0", Point(1.0, 0, 0)).trials) == 3


def test_a_commit_whose_answer_was_lost_is_not_done_twice(postgres: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server commits, and the connection breaks before it can say so."""
    url = postgres.database()
    store = Store(Address(url))
    store.open_study("s", hh.Space({}), hh.Minimize("loss"))
    commit, broken = psycopg.Connection.commit, []

    def lose_the_answer(self: Any) -> None:
        commit(self)
        if len(broken) < 2:
            broken.append(self)
            self.close()
            raise psycopg.OperationalError("the connection is lost")

    holder = Holder("w", "here", 60.0)
    for call in (
        lambda: store.claim("s", "a", {}, budget=1, holder=holder),
        lambda: store.finish("a", TrialState.COMPLETE, Point(0.5), None, "w"),
        lambda: store.enqueue("s", "b", {}),
    ):
        broken.clear()
        with monkeypatch.context() as patched:
            patched.setattr(psycopg.Connection, "commit", lose_the_answer)
            assert call() is not None
        assert len(broken) == 2
    assert [(t.id, t.state) for t in store.study("s").trials] == [("a", "COMPLETE"), ("b", "QUEUED")]
