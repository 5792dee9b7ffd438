"""Where a store is: URLs, their passwords, their mistakes."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook.address import Address
from hyperhook.errors import MissingLibraryError, StoreError, StudyError
from hyperhook.home import Home
from hyperhook.store import Store
from hyperhook.workspace import Workspace

URL = "postgresql+psycopg://me:s%40cret@db.example.org:5433/tuning"


def test_one_that_is_given_goes_before_the_variable_and_that_before_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = tmp_path / "hyperhook.db"
    assert Address.chosen(None, default).file == default
    monkeypatch.setenv("HYPERHOOK_STORAGE", f"sqlite:///{tmp_path}/variable.db")
    assert Address.chosen(None, default).file == tmp_path / "variable.db"
    assert Address.chosen(f"sqlite:///{tmp_path}/given.db", default).file == tmp_path / "given.db"


def test_a_study_lives_where_its_storage_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = f"sqlite:///{tmp_path}/shared.db"
    with hh.Study("s", home=tmp_path / "a", storage=shared, objective=hh.Minimize("loss")) as study:
        study.run(lambda trial: 0.5, trials=1, progress=False)
    assert not (tmp_path / "a" / "hyperhook.db").exists()
    monkeypatch.setenv("HYPERHOOK_STORAGE", shared)
    with hh.Study("s", home=tmp_path / "b") as study:
        assert study.best.value == 0.5
    assert Workspace(Home(tmp_path / "c")).store.study_names() == ["s"]


@pytest.mark.parametrize(
    "url",
    [URL, URL.replace("+psycopg", ""), URL.replace("postgresql+psycopg", "postgres")],
)
def test_a_server_by_its_names(url: str) -> None:
    address = Address(url)
    assert (address.file, address.url.drivername) == (None, "postgresql+psycopg")
    assert str(address) == "postgresql+psycopg://me:***@db.example.org:5433/tuning"
    assert address.secret == URL


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("tuning", "expected postgresql.* got a text without '://'"),
        ("mysql://me:secret@host/db", "expected postgresql.*, got 'mysql'"),
        ("postgresql+asyncpg://me:secret@host/db", r"got 'postgresql\+asyncpg'"),
        ("postgresql://me:secret@host@x:y/db", "begins with 'postgresql' cannot be read"),
        ("postgresql://me:sec/ret@host:secret/db", "begins with 'postgresql' cannot be read.*written as %40"),
        ("sqlite://", "an SQLite store is a file"),
        ("sqlite:///:memory:", "an SQLite store is a file"),
        ("sqlite:///x.db?mode=ro", "an SQLite store is a file"),
    ],
)
def test_what_is_no_address_is_refused_without_its_password(url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message) as raised:
        Address(url)
    assert "secret" not in str(raised.value)
    assert "sec" not in str(raised.value.__cause__)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_storage_that_is_no_text_is_refused_without_it(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="storage: expected a URL, got PosixPath"):
        hh.Study("s", home=tmp_path, storage=tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize("url", [URL, "postgresql://me@host/db?password=s%40cret&sslmode=require"])
def test_the_password_is_neither_in_the_text_nor_in_the_pickle(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address = Address(url)
    pickled = pickle.dumps(address)
    for text in (str(address), repr(address), repr(vars(address)), pickled.decode("latin-1")):
        assert "cret" not in text
    assert pickle.loads(pickled).secret == address.secret  # this process knows it
    monkeypatch.setattr(Address, "_known", {})
    assert "cret" not in pickle.loads(pickled).secret
    monkeypatch.setenv("HYPERHOOK_STORAGE", url)
    assert pickle.loads(pickled).secret == address.secret


def show(address: Address, results: object) -> None:
    results.put(address.secret)  # type: ignore[attr-defined]


def test_a_process_that_is_spawned_is_handed_the_password() -> None:
    spawn = multiprocessing.get_context("spawn")
    results = spawn.SimpleQueue()
    process = spawn.Process(target=show, args=(Address(URL), results))
    process.start()
    found = results.get()
    process.join()
    assert found == URL


def test_a_missing_driver_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingLibraryError, match=r"needs 'psycopg', not installed here: pip install 'hyperhook\[pos"):
        Store(Address(URL))


@pytest.mark.parametrize("part", ["password", "database", "host"])
def test_a_server_that_refuses_is_an_error_at_once(postgres: object, part: str) -> None:
    url: str = postgres.database()  # type: ignore[attr-defined]
    password, port = postgres.password, str(postgres.port)  # type: ignore[attr-defined]
    wrong = {
        "password": url.replace(password, "wrong"),
        "database": f"{url}nothing",
        "host": url.replace(port, "1"),
    }[part]
    with pytest.raises(StoreError, match=r"store 'postgresql\+psycopg://tester:\*\*\*@127\.0\.0\.1.*cannot be used: c"):
        Store(Address(wrong))
