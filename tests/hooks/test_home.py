"""Paths that no name can escape, and locks that end with their process."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperhook.errors import StoreError
from hyperhook.home import STUDY_ITEM, Home, Lock, file_name

NASTY = [
    "a/b",
    "..",
    ".",
    "...",
    "../../etc",
    "a\\b",
    "ünïversal 🎛",
    "x" * 500,
    "CON",
    "a\0b",
    "%2E",
    " ",
    "~",
    "-rf",
    "a\nb",
]
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=300) | st.sampled_from(NASTY)


@given(names, names)
def test_any_name_is_one_harmless_path_part_and_distinct(one: str, other: str) -> None:
    part = file_name(one)
    assert part not in ("", ".", "..")
    assert "/" not in part
    assert "\0" not in part
    assert len(part.encode()) <= 200  # a suffix still fits into the 255 bytes of a file's name
    assert (part == file_name(other)) == (one == other)


@pytest.mark.parametrize("name", NASTY)
def test_folders_of_any_study_and_tracker_lie_in_the_home(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path)
    home.create()
    assert home.study(name).parent == tmp_path / "studies"
    assert home.outbox(name, name).parent.parent == tmp_path / "outbox"
    home.post(name, "t", "item")
    assert home.posted(name, "t") == ["item"]
    assert home.trackers(name) == ["t"]


def test_the_home_is_the_argument_else_the_environment_else_a_hidden_folder_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Home().path == tmp_path / ".hyperhook"
    monkeypatch.setenv("HYPERHOOK_HOME", str(tmp_path / "env"))
    assert Home().path == tmp_path / "env"
    assert Home("here").path == tmp_path / "here"


def test_one_directory_is_one_home_however_it_is_spelled(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "home")
    Home(tmp_path / "home").create()
    assert Home(tmp_path / "link").path == Home(tmp_path / "home" / ".." / "home").path == tmp_path / "home"


@pytest.mark.parametrize("where", ["file", "file/below", "/proc/hyperhook"])
def test_a_home_that_cannot_be_made_says_so_and_what_to_do(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match=r"cannot be written: .*; choose another by home=… or HYPERHOOK_HOME"):
        Home(tmp_path / where).create()
    assert (tmp_path / "file").read_text() == "mine"


def test_an_outbox_holds_each_item_once_the_study_first(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.posted("s", "t") == []
    assert home.trackers("s") == []
    for item in ("b", STUDY_ITEM, "a", "b"):
        home.post("s", "t", item)
    assert home.posted("s", "t") == [STUDY_ITEM, "a", "b"]
    home.delivered("s", "t", "a")
    home.delivered("s", "t", "a")
    assert home.posted("s", "t") == [STUDY_ITEM, "b"]
    assert home.posted("other", "t") == []
    assert home.item("s", STUDY_ITEM) == home.study("s")
    assert home.item("s", "a") == home.trial("a")


def in_another_process(code: str, path: Path) -> str:
    script = f"from pathlib import Path\nfrom hyperhook.home import Lock\nlock = Lock(Path({str(path)!r}))\n{code}"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def test_a_lock_is_taken_once_and_seen_by_others_until_it_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lock"
    lock, same = Lock(path), Lock(path)
    assert not lock.is_held()
    assert lock.acquire()
    assert not lock.acquire()
    assert not same.acquire()
    assert lock.is_held()
    assert same.is_held()
    assert in_another_process("print(lock.is_held(), lock.acquire())", path) == "True False"
    lock.release()
    lock.release()
    assert path.exists()
    assert not lock.is_held()
    assert in_another_process("print(lock.is_held(), lock.acquire())", path) == "False True"
    assert lock.acquire()  # the other process has ended
    lock.release(remove=True)
    assert not path.exists()


def test_looking_at_a_lock_or_trying_it_again_does_not_drop_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    Lock(path).acquire()
    Lock(path).acquire()
    Lock(path).is_held()
    assert in_another_process("lock.release(remove=True); print(lock.is_held())", path) == "True"
    Lock(path).release()


def test_a_forked_child_has_not_its_parents_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = Lock(path)
    assert lock.acquire()
    child = os.fork()
    if child == 0:
        wrong = lock.acquire() or not lock.is_held()
        lock.release(remove=True)
        os._exit(wrong)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert in_another_process("print(lock.is_held())", path) == "True"
    lock.release()


def test_threads_do_not_take_a_lock_twice_nor_drop_it(tmp_path: Path) -> None:
    for round_ in range(30):
        path = tmp_path / str(round_)
        barrier, taken = threading.Barrier(4), []

        def attempt(lock: Lock, barrier: threading.Barrier, taken: list[bool]) -> None:
            barrier.wait()
            lock.is_held()
            taken.append(lock.acquire())

        threads = [threading.Thread(target=attempt, args=(Lock(path), barrier, taken)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(taken) == [False, False, False, True]
    assert in_another_process("print(lock.is_held())", path) == "True"
    for round_ in range(30):
        Lock(tmp_path / str(round_)).release()


def test_a_lock_whose_file_was_removed_meanwhile_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"
    locked: Callable[..., None] = fcntl.lockf

    def removed_first(descriptor: int, operation: int) -> None:
        path.unlink()
        locked(descriptor, operation)

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "lockf", removed_first)
        assert not Lock(path).acquire()
    assert Lock(path).acquire()
    Lock(path).release()


def test_a_file_system_without_locks_is_an_error_not_a_lock_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="No locks available"):
        Lock(tmp_path / "lock").acquire()
    assert len(os.listdir("/proc/self/fd")) == before
