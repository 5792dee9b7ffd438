"""Chooses what reads a program's metrics: one follower by its name, or whichever has them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TypeAlias, TypeVar

from hyperhook.errors import MissingLibraryError, PluginError
from hyperhook.follower import Follower, Reading
from hyperhook.manager import installed, make
from hyperhook.parameters import Params
from hyperhook.records import TrialRecord
from hyperhook.stdout import Stdout

__all__ = ["AUTO", "GROUP", "Following", "Source", "load_follower"]

log = logging.getLogger("hyperhook")

_T = TypeVar("_T")

GROUP = "hyperhook.followers"
"""The entry points of followers."""
AUTO = "auto"
"""The source that chooses by itself."""
_ORDER = ("stdout", "wandb", "mlflow", "tensorboard")
"""Who is asked first: what was written for us, then what a program seldom writes by accident."""
_KEPT = 10_000
"""How many readings are kept of each follower that is not chosen yet."""

Source: TypeAlias = str | Mapping[str, Mapping[str, object] | None]
"""Where a program's metrics are: ``"auto"``, a follower's name, or its name with options."""


def load_follower(name: str, options: Mapping[str, object] | None = None) -> Follower:
    """Return a follower by its name in the entry-point group ``hyperhook.followers``.

    Args:
        name: Its name.
        options: What to make it with.

    Raises:
        UnknownPluginError: No follower of that name is installed.
        MissingLibraryError: The library that it reads for is not installed.
        PluginError: It cannot be made with these options, or is no follower.
    """
    found = make(name, options or {}, GROUP, "follower")
    if not isinstance(found, Follower):
        raise PluginError(f"follower {name!r} is a {type(found).__name__}, expected a hyperhook.follower.Follower")
    return found


class Following:
    """The followers of one program.

    With ``"auto"`` all watch whose library is installed. The first that reads anything is passed on at once, until
    another one reads the objective's metric, which it never did: then that one takes its place, with what it read
    before. Whoever has read that metric stays, so that the trial's curve comes from one source; the others are closed.

    Args:
        source: ``"auto"``, the name of a follower, or its name with options: ``{"tensorboard": {"logdir": "runs"}}``.
        metric: The objective's metric; None takes whoever reads first.

    Raises:
        UnknownPluginError: There is no such follower.
        MissingLibraryError: Its library is not installed.
        PluginError: It cannot be made with these options, or several are named.
    """

    def __init__(self, source: Source = AUTO, metric: str | None = None) -> None:
        self._metric = metric
        self._followers = dict(_all()) if source == AUTO else dict([_named(source)])
        self._kept: dict[str, deque[Reading]] = {name: deque(maxlen=_KEPT) for name in self._followers}
        self._chosen: str | None = None

    @property
    def chosen(self) -> str | None:
        """The name of the follower whose readings are passed on; None before there are any."""
        return self._chosen

    def environment(self, folder: Path, params: Params, study: str, trial: TrialRecord) -> dict[str, str]:
        """Return variables for the program; see `Follower.environment`."""
        found: dict[str, str] = {}
        for name in list(self._followers):
            found |= self._guarded(name, lambda follower: follower.environment(folder, params, study, trial)) or {}
        return found

    def started(self, process: int) -> None:
        """Hear that the program runs; see `Follower.started`."""
        for name in list(self._followers):
            self._guarded(name, lambda follower: follower.started(process))

    def read(self) -> Iterator[Reading]:
        """Yield everything that is new since the last call."""
        yield from self._readings(lambda follower: follower.read())

    def read_line(self, line: str) -> Iterator[Reading]:
        """Yield what a line of standard output reports."""
        yield from self._readings(lambda follower: follower.read_line(line))

    def close(self) -> None:
        """Let go of what is open; nothing is read from then on."""
        for name in list(self._followers):
            self._drop(name)

    def _readings(self, ask: Callable[[Follower], Iterator[Reading]]) -> Iterator[Reading]:
        for name in list(self._followers):
            if name in self._followers:
                for reading in self._asked(name, ask):
                    yield from self._pass_on(name, reading)

    def _pass_on(self, name: str, reading: Reading) -> Iterator[Reading]:
        is_it = self._metric is None or self._metric in reading.metrics
        if name != self._chosen and (self._chosen is None or is_it):
            self._chosen = name
            yield from self._kept[name]
            self._kept[name].clear()
        if name == self._chosen:
            if is_it:
                for other in self._followers.keys() - {name}:
                    self._drop(other)
            yield reading
        elif name in self._followers:
            self._kept[name].append(reading)

    def _asked(self, name: str, ask: Callable[[Follower], Iterator[Reading]]) -> Iterator[Reading]:
        """Ask a follower, one reading after the other; stop where it fails, or was dropped meanwhile."""
        readings = self._guarded(name, ask)
        while readings is not None and name in self._followers:
            reading = self._guarded(name, partial(_next, readings))
            if reading is None:
                return
            yield reading

    def _guarded(self, name: str, ask: Callable[[Follower], _T]) -> _T | None:
        """Ask a follower; one that fails is asked no more, and costs the training nothing."""
        try:
            return ask(self._followers[name])
        except Exception:
            log.exception("follower %s failed; it is asked no more in this trial", name)
            self._drop(name)
            return None

    def _drop(self, name: str) -> None:
        follower = self._followers.pop(name)
        try:
            follower.close()
        except Exception:
            log.exception("follower %s cannot be closed", name)


def _next(readings: Iterator[Reading], _: Follower) -> Reading | None:
    return next(readings, None)


def _all() -> Iterator[tuple[str, Follower]]:
    """Make every follower that can be used here; of standard output only what is meant for us is read."""
    yield "stdout", Stdout(any_object=False)
    names = [name for name in installed(GROUP) if name != "stdout"]
    for name in sorted(names, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)):
        try:
            yield name, load_follower(name)
        except MissingLibraryError:
            continue
        except PluginError as error:
            log.warning("%s; it is left out", error)


def _named(source: Source) -> tuple[str, Follower]:
    if isinstance(source, str):
        return source, load_follower(source)
    if not isinstance(source, Mapping) or len(source) != 1:
        raise PluginError(
            f"metrics_from: expected 'auto', the name of a follower, or one name with its options as in "
            f"{{'tensorboard': {{'logdir': 'runs'}}}}, got {source!r}"
        )
    ((name, options),) = source.items()
    if options is not None and not isinstance(options, Mapping):
        raise PluginError(f"metrics_from: {name}: expected options and their values, got {options!r}")
    return name, load_follower(name, options)
