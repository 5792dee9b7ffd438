"""Which follower reads a program."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from hyperhook import TrialRecord
from hyperhook.errors import MissingLibraryError, PluginError, UnknownPluginError
from hyperhook.follower import Follower, Reading
from hyperhook.following import Following, load_follower
from hyperhook.stdout import Stdout

RECORD = TrialRecord("trial-7", 7, "s", {})


class Scripted(Follower):
    """Reads what it is given."""

    fails_at: str | None = None

    def __init__(self, *readings: Reading) -> None:
        self.readings = list(readings)
        self.closed = 0

    def environment(self, *_: object) -> dict[str, str]:
        self._fail("environment")
        return {type(self).__name__: "1"}

    def read(self) -> Iterator[Reading]:
        while self.readings:
            self._fail("read")
            yield self.readings.pop(0)

    def close(self) -> None:
        self._fail("close")
        self.closed += 1

    def _fail(self, where: str) -> None:
        if self.fails_at == where:
            raise OSError(where)


class Needy(Follower):
    requires = ("no_such_library",)


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Publishes followers, whatever is installed here, from a module that is made of them."""
    module = ModuleType("their_followers")
    monkeypatch.setitem(sys.modules, "their_followers", module)

    def add(name: str, made: object, *requires: str) -> None:
        setattr(module, name, made)
        folder = tmp_path / "site" / f"{name}_dist-1.0.dist-info"
        folder.mkdir(parents=True)
        needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-dist\nVersion: 1.0\n{needs}")
        (folder / "entry_points.txt").write_text(f"[hyperhook.followers]\n{name} = their_followers:{name}\n")
        monkeypatch.syspath_prepend(str(folder.parent))

    return add


@pytest.fixture
def only(publish: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Scripted]]:
    """Publishes followers that read what they are given, and nothing else."""

    def add(**readings: list[Reading]) -> dict[str, Scripted]:
        made = {name: Scripted(*found) for name, found in readings.items()}
        for name, follower in made.items():
            publish(name, lambda follower=follower: follower)
        monkeypatch.setattr("hyperhook.following.installed", lambda group: dict.fromkeys(made))
        return made

    return add


def values(following: Following) -> list[dict[str, float]]:
    return [reading.metrics for reading in following.read()]


def test_a_follower_is_found_by_name_and_made_with_its_options(publish: Callable[..., None]) -> None:
    publish("stdout", Stdout)
    follower = load_follower("stdout", {"any_object": False})
    assert list(follower.read_line('{"a": 1}')) == []
    following = Following({"stdout": {"any_object": False}})
    assert list(following.read_line('{"hyperhook": {"a": 1}}')) == [Reading({"a": 1.0}, 0)]
    assert following.chosen == "stdout"


def test_an_unknown_name_lists_those_that_there_are(publish: Callable[..., None]) -> None:
    publish("stdout", Stdout)
    with pytest.raises(UnknownPluginError, match=r"no follower 'stdot' is installed; .*did you mean 'stdout'"):
        Following("stdot")


def test_a_missing_library_says_how_to_install_it(publish: Callable[..., None]) -> None:
    publish("needy", Needy, 'no-such-library; extra == "them"')
    expected = r"follower 'needy' needs 'no_such_library', not installed here: pip install 'needy-dist\[them\]'"
    with pytest.raises(MissingLibraryError, match=expected):
        Following("needy")


@pytest.mark.parametrize("source", [3, None, [], {}, {"stdout": {}, "wandb": {}}, {"stdout": 3}])
def test_a_source_that_is_none(source: object) -> None:
    with pytest.raises(PluginError, match="metrics_from: "):
        Following(source)  # type: ignore[arg-type]


def test_options_that_it_does_not_take(publish: Callable[..., None]) -> None:
    publish("stdout", Stdout)
    with pytest.raises(PluginError, match=r"follower 'stdout' .* cannot start: TypeError"):
        Following({"stdout": {"colour": "red"}})


def test_what_is_no_follower(publish: Callable[..., None]) -> None:
    publish("wrong", dict)
    with pytest.raises(PluginError, match=r"expected a hyperhook\.follower\.Follower"):
        load_follower("wrong")


def test_who_reads_the_objective_stays_and_the_others_are_closed(only: Callable[..., dict[str, Scripted]]) -> None:
    made = only(a=[Reading({"x": 1.0}, 0)], b=[Reading({"y": 1.0}, 0), Reading({"loss": 2.0}, 1)])
    following = Following("auto", "loss")
    assert values(following) == [{"x": 1.0}, {"y": 1.0}, {"loss": 2.0}]
    assert following.chosen == "b"
    assert made["a"].closed == 1
    made["a"].readings.append(Reading({"loss": 9.0}, 0))
    made["b"].readings.append(Reading({"loss": 1.0}, 2))
    assert values(following) == [{"loss": 1.0}]
    following.close()
    following.close()
    assert made["b"].closed == 1
    assert values(following) == []


def test_without_an_objective_the_first_to_read_stays(only: Callable[..., dict[str, Scripted]]) -> None:
    made = only(a=[], b=[Reading({"y": 1.0}, 0)], c=[Reading({"z": 1.0}, 0)])
    following = Following("auto")
    assert values(following) == [{"y": 1.0}]
    assert [follower.closed for follower in made.values()] == [1, 0, 1]


def test_where_the_objective_never_comes_the_first_to_read_is_passed_on(
    only: Callable[..., dict[str, Scripted]],
) -> None:
    only(a=[Reading({"x": 1.0}, 0), Reading({"x": 2.0}, 1)], b=[Reading({"y": 1.0}, 0)])
    assert values(Following("auto", "loss")) == [{"x": 1.0}, {"x": 2.0}]


@pytest.mark.parametrize("where", ["environment", "read", "close"])
def test_one_that_fails_is_left_out(
    only: Callable[..., dict[str, Scripted]], where: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = only(a=[Reading({"x": 1.0}, 0)], b=[Reading({"loss": 1.0}, 0)])
    made["a"].fails_at = where
    following = Following("auto", "loss")
    following.environment(tmp_path, {}, "s", RECORD)
    following.started(1)
    assert {"loss": 1.0} in values(following)
    following.close()
    assert "follower a" in caplog.text


def test_lines_of_output_are_read_only_where_they_are_meant_for_us(only: Callable[..., dict[str, Scripted]]) -> None:
    only(a=[])
    following = Following("auto", "loss")
    assert list(following.read_line('{"loss": 1.0}')) == []
    assert list(following.read_line('{"hyperhook": {"loss": 1.0}}')) == [Reading({"loss": 1.0}, 0)]


def test_a_library_that_is_missing_is_passed_over(publish: Callable[..., None]) -> None:
    publish("needy", Needy)
    following = Following("auto", "loss")
    assert list(following.read()) == []
    following.close()
