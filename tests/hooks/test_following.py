"""Which follower is asked: the one that is named, or whichever first gives a reading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook.errors import MissingLibraryError, UnknownPluginError
from hyperhook.follower import Reading
from hyperhook.following import Following

THEIRS = """
from hyperhook.follower import Follower, Reading

class Theirs(Follower):
    closed = 0
    ready = False

    def environment(self, folder, params, study, trial):
        return {"FOLDER": str(folder), "LR": str(params["lr"]), "WHO": f"{study}/{trial.name}"}

    def read(self):
        if Theirs.ready:
            yield Reading({"loss": 1.0}, 0)

    def close(self):
        Theirs.closed += 1

class Lacking(Theirs):
    requires = ("no_such_library",)

class Broken(Theirs):
    def environment(self, folder, params, study, trial):
        raise RuntimeError("no")
"""

TRIAL = hh.TrialRecord("t0", 0, "s", {"lr": 0.1})
LINE = '{"hyperhook": {"loss": 2.0}}'


@pytest.fixture
def theirs(publish: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    (tmp_path / "their_followers.py").write_text(THEIRS)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("Theirs", "Lacking", "Broken"):
        publish(name.lower(), f"their_followers:{name}", group="hyperhook.followers")
    import their_followers

    monkeypatch.setattr(their_followers.Theirs, "closed", 0)
    monkeypatch.setattr(their_followers.Theirs, "ready", False)
    return their_followers.Theirs


def environment(following: Following) -> dict[str, str]:
    return following.environment(Path("/f"), TRIAL.params, "s", TRIAL)


def test_one_that_is_named_is_the_only_one(theirs: type) -> None:
    following = Following("theirs")
    assert environment(following) == {"FOLDER": "/f", "LR": "0.1", "WHO": "s/s-0"}
    assert list(following.read_line(LINE)) == []
    theirs.ready = True  # type: ignore[attr-defined]
    assert list(following.read()) == [Reading({"loss": 1.0}, 0)]
    following.close()
    assert (theirs.closed, list(following.read())) == (1, [])  # type: ignore[attr-defined]


def test_by_itself_the_first_that_has_something_to_say_stays(theirs: type, caplog: pytest.LogCaptureFixture) -> None:
    following = Following("auto")
    assert environment(following)["WHO"] == "s/s-0"
    assert "follower broken failed" in caplog.text
    assert list(following.read()) == []
    assert list(following.read_line(LINE)) == [Reading({"loss": 2.0}, 0)]
    assert theirs.closed == 1  # type: ignore[attr-defined]
    theirs.ready = True  # type: ignore[attr-defined]
    assert list(following.read()) == []


def test_one_that_cannot_be_is_an_error(theirs: type) -> None:
    with pytest.raises(UnknownPluginError, match=r"there is no follower 'their'; .*; did you mean 'theirs'"):
        Following("their")
    with pytest.raises(MissingLibraryError, match="follower 'lacking' needs no_such_library, not installed here: pip"):
        Following("lacking")
