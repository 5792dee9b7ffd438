"""Plugins: found by name, registered, called. The only owner of what happens when one fails."""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

import pluggy

from hyperhook.errors import HookError, MissingLibraryError, PluginError, UnknownPluginError
from hyperhook.hookspecs import PROJECT, Decisions, TrialEvents
from hyperhook.tracker import Tracker

__all__ = [
    "Manager",
    "hooks_of",
    "install_line",
    "installed",
    "load_plugin",
    "load_tracker",
    "load_trackers",
    "make",
    "missing_libraries",
]

log = logging.getLogger("hyperhook")


def installed(group: str = PROJECT) -> dict[str, EntryPoint]:
    """Return what is installed of a group, the plugins and trackers, by name; nothing of it is imported."""
    return {entry.name: entry for entry in sorted(entry_points(group=group), key=lambda entry: entry.name)}


def load_plugin(plugin: str | object, options: Mapping[str, object] | None = None) -> object:
    """Return the plugin of that name; an instance is returned as it is.

    Args:
        plugin: Its name, or the plugin itself.
        options: What to make a named one with.

    Raises:
        UnknownPluginError: No plugin of that name is installed.
        MissingLibraryError: The library that it needs is not installed.
        PluginError: It is a tracker, or a class rather than an instance.
    """
    found = make(plugin, options or {}) if isinstance(plugin, str) else plugin
    if isinstance(found, type):
        raise PluginError(f"plugins: got the class {found.__name__}, expected an instance; write {found.__name__}()")
    if isinstance(found, Tracker):
        raise PluginError(f"plugins: {plugin!r} is a tracker; name it under trackers=[…]")
    _require_libraries(found)
    return found


def load_tracker(tracker: str | object, options: Mapping[str, object] | None = None) -> tuple[str, Tracker]:
    """Return a tracker and the name of its cursors: its entry point's, else its class's in lower case.

    Args:
        tracker: Its name, or the tracker itself.
        options: What to make a named one with.

    Raises:
        UnknownPluginError: No tracker of that name is installed.
        MissingLibraryError: The library that it needs is not installed.
        PluginError: It is not a tracker.
    """
    found = make(tracker, options or {}) if isinstance(tracker, str) else tracker
    if isinstance(found, type):
        raise PluginError(f"trackers: got the class {found.__name__}, expected an instance; write {found.__name__}()")
    if not isinstance(found, Tracker):
        raise PluginError(f"trackers: {tracker!r} is not a hyperhook.Tracker; name it under plugins=[…]")
    _require_libraries(found)
    entry = _entry_of(found)
    return entry.name if entry else type(found).__name__.lower(), found


def load_trackers(trackers: Sequence[str | Tracker]) -> dict[str, Tracker]:
    """Return trackers by the names of their cursors, their hooks checked against the contract.

    Raises:
        PluginError: One cannot be used, or is named twice.
    """
    loaded: dict[str, Tracker] = {}
    for tracker in _listed("trackers", trackers):
        name, instance = load_tracker(tracker)
        if name in loaded:
            raise PluginError(f"trackers: {name!r} is named twice; name each once")
        Manager([]).register(instance)  # seen here, where the mistake was made, rather than in the forwarder
        loaded[name] = instance
    return loaded


def missing_libraries(plugin: object) -> list[str]:
    """Return the modules that a plugin (or its class) names in `requires` and that are not installed."""
    return [module for module in getattr(plugin, "requires", ()) if importlib.util.find_spec(module) is None]


def _listed(what: str, names: Sequence[str | object]) -> Sequence[str | object]:
    if isinstance(names, str) or not isinstance(names, Sequence):
        mend = "leave it out" if names is None else f"write {what}=[{names!r}]"
        raise PluginError(f"{what}: expected a list, got {names!r}; {mend}")
    return names


def make(name: str, options: Mapping[str, object], group: str = PROJECT, kind: str = "plugin") -> object:
    """Return what is published under a name, made with options.

    Args:
        name: Its name.
        options: What its constructor takes.
        group: The group of entry points.
        kind: What such a thing is called.

    Raises:
        UnknownPluginError: Nothing of that name is installed.
        MissingLibraryError: The library that it needs is not installed.
        PluginError: It cannot be made.
    """
    entries = installed(group)
    if name not in entries:
        near = difflib.get_close_matches(name, entries, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UnknownPluginError(f"no {kind} {name!r} is installed; there are: {', '.join(entries) or 'none'}{hint}")
    entry = entries[name]
    try:
        found: object = entry.load()(**options)
    except ModuleNotFoundError as error:
        raise _missing(entry, [error.name or str(error)], kind) from error
    except (Exception, SystemExit) as error:
        raise PluginError(f"{kind} {name!r} ({entry.value}) cannot start: {type(error).__name__}: {error}") from error
    missing = missing_libraries(found)
    if missing:
        raise _missing(entry, missing, kind)
    return found


def _require_libraries(plugin: object) -> None:
    missing = missing_libraries(plugin)
    if missing:
        raise _missing(_entry_of(plugin), missing)


def _entry_of(plugin: object) -> EntryPoint | None:
    """Return the entry point that a plugin's class was published under."""
    kind = type(plugin)
    for entry in installed().values():
        if entry.attr == kind.__qualname__ and f"{kind.__module__}.".startswith(f"{entry.module}."):
            return entry
    return None


def _missing(entry: EntryPoint | None, modules: list[str], kind: str = "plugin") -> MissingLibraryError:
    who = f"{kind} {entry.name!r}" if entry else f"the {kind}"
    names = ", ".join(repr(module) for module in modules)
    return MissingLibraryError(f"{who} needs {names}, not installed here: {install_line(entry, modules)}")


def install_line(entry: EntryPoint | None, modules: list[str]) -> str:
    """Return the command that installs what a plugin lacks: the extra that brings it, best the one of its name."""
    if entry is not None and entry.dist is not None:
        extras: list[str] = []
        for requirement in entry.dist.requires or ():
            library = re.match(r"[\w.-]+", requirement)
            extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", requirement)
            if library and extra and extra[1] not in ("all", "dev"):
                if library[0].replace("-", "_").lower() in modules:
                    extras.append(extra[1])
        if extras:
            return f"pip install '{entry.dist.name}[{entry.name if entry.name in extras else extras[0]}]'"
    return f"pip install {' '.join(modules)}"


class Manager:
    """Plugins behind typed faces: `events` is isolated, in `decide` and `unguarded` failures reach the caller.

    Args:
        plugins: Names or instances; the last is asked first.
        builtins: Plugins that are asked when all others passed.

    Raises:
        PluginError: One cannot be used; `HookError` where a method is no hook.

    Example:
        >>> Manager([], []).decide.suggest(study=None, count=1) is None
        True
    """

    def __init__(self, plugins: Sequence[str | object], builtins: Iterable[object] = ()) -> None:
        self._pm = pluggy.PluginManager(PROJECT)
        self._pm.add_hookspecs(TrialEvents)
        self._pm.add_hookspecs(Decisions)
        self._builtins = list(builtins)
        self.plugins: list[object] = []
        self.events = cast(TrialEvents, _Events(self))
        self.unguarded = cast(TrialEvents, self._pm.hook)
        self.decide = cast(Decisions, self._pm.hook)
        for plugin in self._builtins:
            self._pm.register(plugin)
        for plugin in _listed("plugins", plugins):
            self.register(load_plugin(plugin))

    def register(self, plugin: object) -> None:
        """Add a plugin behind those that are there.

        Raises:
            HookError: One of its hook methods has an unknown name or argument, or it has none at all.
        """
        name = type(plugin).__name__
        try:
            self._pm.register(plugin)
            self._pm.check_pending()
        except pluggy.PluginValidationError as error:
            if self._pm.is_registered(plugin):
                self._pm.unregister(plugin)
            raise HookError(_explain(name, plugin, error)) from None
        except ValueError as error:
            raise PluginError(f"plugin {name}: named twice ({error})") from None
        for hook in _names_of(TrialEvents):
            for impl in self.implementations(hook):
                if impl.plugin is plugin and (impl.wrapper or impl.hookwrapper):
                    self._pm.unregister(plugin)
                    raise HookError(f"plugin {name}: {hook} is an event, which nobody can wrap; drop wrapper=True")
        if not self._pm.get_hookcallers(plugin):
            self._pm.unregister(plugin)
            raise HookError(
                f"plugin {name} has no hook method: mark at least one with @hyperhook.hookimpl; "
                f"the hooks are: {', '.join(_hook_names())}"
            )
        self.plugins.append(plugin)

    def unregister(self, plugin: object) -> None:
        """Take a plugin out again."""
        self._pm.unregister(plugin)
        self.plugins.remove(plugin)

    @contextmanager
    def lent(self, plugin: object) -> Iterator[None]:
        """Have a plugin for a while, behind those that are there; one that is there already stays.

        Raises:
            HookError: See `register`.
        """
        if plugin in self.plugins:
            yield
            return
        self.register(plugin)
        try:
            yield
        finally:
            self.unregister(plugin)

    def implementations(self, hook: str) -> list[pluggy.HookImpl]:
        """Return who implements a hook, first asked first."""
        caller = cast(pluggy.HookCaller, getattr(self._pm.hook, hook))
        return caller.get_hookimpls()[::-1]

    def decides(self, hook: str) -> bool:
        """Tell whether a plugin beside the built-ins may answer a question."""
        return any(impl.plugin not in self._builtins for impl in self.implementations(hook))

    def __getstate__(self) -> dict[str, Any]:
        return {"plugins": self.plugins, "builtins": self._builtins}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["plugins"], state["builtins"])  # type: ignore[misc]


class _Events:
    """Calls every implementation of an event hook although another raises: pluggy's own loop stops at the first."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._reported: set[tuple[str, str]] = set()
        for hook in _names_of(TrialEvents):
            setattr(self, hook, self._caller(hook))

    def _caller(self, hook: str) -> Any:
        def call(**arguments: object) -> None:
            for impl in self._manager.implementations(hook):
                try:
                    impl.function(*[arguments[name] for name in impl.argnames])
                except (Exception, SystemExit):
                    self._report(hook, impl)

        return call

    def _report(self, hook: str, impl: pluggy.HookImpl) -> None:
        name = type(impl.plugin).__name__
        if (name, hook) not in self._reported:
            self._reported.add((name, hook))
            log.exception("plugin %s raised in %s; training goes on, later failures there stay silent", name, hook)


def _names_of(spec: type) -> Iterator[str]:
    return (name for name in vars(spec) if not name.startswith("_"))


def _hook_names() -> list[str]:
    return [*_names_of(TrialEvents), *_names_of(Decisions)]


def hooks_of(plugin: object) -> list[str]:
    """Return the hooks that a plugin, or its class, implements."""
    return [hook for hook in _hook_names() if hasattr(getattr(plugin, hook, None), f"{PROJECT}_impl")]


def _explain(name: str, plugin: object, error: pluggy.PluginValidationError) -> str:
    """Say which method does not fit the contract, and which hook or argument was probably meant."""
    for method in dir(plugin):
        function = getattr(plugin, method, None)
        if getattr(function, f"{PROJECT}_impl", None) is None:
            continue
        known = {**vars(TrialEvents), **vars(Decisions)}.get(method)
        if known is None:
            near = difflib.get_close_matches(method, _hook_names(), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the hooks are: {', '.join(_hook_names())}"
            return f"plugin {name}: there is no hook {method!r}; {hint}"
        given, expected = _arguments(function), _arguments(known)
        unknown = [argument for argument in given if argument not in expected]
        if unknown:
            near = difflib.get_close_matches(unknown[0], expected, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            return f"plugin {name}: {method} takes {unknown[0]!r}, its hook has {', '.join(expected)}{hint}"
    return f"plugin {name}: {error}"


def _arguments(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]
