"""Where a trial comes from, without its secrets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hyperhook as hh
from hyperhook.testing import RecordingPlugin
from hyperhook_plugins.provenance import Provenance, struck_out


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "train.py").write_text("lr = 0.1\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [str(folder / "train.py"), "--lr", "0.1", "--api-key", "abcdef123"])
    return folder


def recorded(home: Path, **options: Any) -> tuple[dict[str, str], dict[str, str]]:
    """The tags, and the content of the files."""
    recorder = RecordingPlugin()
    with hh.Study("s", home=home, plugins=[recorder, Provenance(**options)]) as study, study.trial():
        pass
    tags: dict[str, str] = {}
    files: dict[str, str] = {}
    for call in recorder.calls:
        if call.hook == "tags_logged":
            tags |= call.arguments["tags"]  # type: ignore[operator]
        elif call.hook == "artifact_logged":
            artifact: Any = call.arguments["artifact"]
            files[artifact.name] = artifact.path.read_text()
    return tags, files


def test_commit_changes_script_command_and_packages(repository: Path, tmp_path: Path) -> None:
    (repository / "train.py").write_text("lr = 0.2\nWANDB_API_KEY = 'abc123'\n")
    git(repository, "remote", "add", "origin", "https://me:hunter2@example.org/x.git")
    tags, files = recorded(tmp_path / "home")
    assert tags["git.commit"] == git(repository, "rev-parse", "HEAD")
    assert (tags["git.branch"], tags["git.dirty"]) == ("main", "true")
    assert tags["git.remote"] == "https://me:***@example.org/x.git"
    assert tags["command"].endswith("train.py --lr 0.1 --api-key ***")
    assert tags["python"] == sys.version.split()[0]
    assert "+lr = 0.2" in files["git.diff"]
    assert "WANDB_API_KEY = '***'" in files["git.diff"]
    assert "abc123" not in files["git.diff"]
    assert files["train.py"].startswith("lr = 0.2")
    assert "hyperhook==" in files["packages"]


def test_outside_a_repository_there_is_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(sys, "argv", ["-c"])
    tags, files = recorded(tmp_path / "home", packages=False)
    assert tags.keys() == {"python", "host", "command"}
    assert files == {}


def test_without_git_nothing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    tags, _ = recorded(tmp_path / "home")
    assert "git.commit" not in tags


def test_what_is_switched_off_is_not_recorded(repository: Path, tmp_path: Path) -> None:
    (repository / "train.py").write_text("lr = 0.2\n")
    _, files = recorded(tmp_path / "home", diff=False, packages=False, script=False)
    assert files == {}


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("train.py --lr 0.1", "train.py --lr 0.1"),
        ("--token abc --epochs 3", "--token *** --epochs 3"),
        ("--hf-token=abc", "--hf-token=***"),
        ("--password --lr 1", "--password --lr 1"),
        ("AWS_SECRET_ACCESS_KEY=wJalr/x", "AWS_SECRET_ACCESS_KEY=***"),
        ('{"apiKey": "abc", "lr": 1}', '{"apiKey": "***", "lr": 1}'),
        ("postgresql+psycopg://u:p%40ss@host/db", "postgresql+psycopg://u:***@host/db"),
        ("http://host:8080/x", "http://host:8080/x"),
        ("x ghp_abcdefghijklmnopqrst y", "x *** y"),
        ("sk-abcdefghijklmnopqrstuvwx", "***"),
        ("Authorization: Bearer abcdefghijklmnop", "Authorization: Bearer ***"),
        ("tokenizer=bert max_tokens=512", "tokenizer=bert max_tokens=512"),
    ],
)
def test_what_looks_like_a_secret_is_struck_out(text: str, clean: str) -> None:
    assert struck_out(text) == clean
