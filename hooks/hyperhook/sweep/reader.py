"""Reads a sweep file: each key checked by `form`, each error with its line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, cast

from hyperhook.address import Address
from hyperhook.errors import ObjectiveError, SpaceError, StoreError, SweepError
from hyperhook.objective import Objective
from hyperhook.parameters import Parameter, Scalar
from hyperhook.space import Space
from hyperhook.sweep.command import DEFAULT, problem_of
from hyperhook.sweep.distributions import as_option, choice, implied, number
from hyperhook.sweep.document import Entry, load
from hyperhook.sweep.form import DISTRIBUTIONS, EARLY_TERMINATE, IGNORED, METRIC, NAME, PARAMETER, TOP, Key
from hyperhook.sweep.record import Addon, Sweep
from hyperhook.sweep.stopping import halving_options

__all__ = ["read_sweep"]

_METHODS = {"bayes": "gp", "random": "random", "grid": "grid"}
_ELSEWHERE = ("job", "image_uri", "scheduler", "metrics")
"""Keys of W&B's format that ask for what only W&B's own servers do."""


def read_sweep(text: str, file: str) -> Sweep:
    """Read a sweep file.

    Args:
        text: What it holds.
        file: What it is called in errors.

    Raises:
        SweepError: It cannot be; the message names the file, the line and the key, and says what was expected.

    Example:
        >>> sweep = read_sweep("{program: t.py, method: grid, parameters: {lr: {values: [0.1, 1.0]}}}", "sweep.yaml")
        >>> sweep.space["lr"].options
        (0.1, 1.0)
    """
    return _Reader(file).sweep(load(text, file))


class _Reader:
    def __init__(self, file: str) -> None:
        self._file = file
        self._places: dict[str, tuple[str, ...]] = {}
        self._options: dict[str, dict[str, object]] = {}

    def sweep(self, root: Entry) -> Sweep:
        if not isinstance(root.value, dict):
            self._refuse(root, "", f"expected keys and values, such as method and parameters, got {_brief(root)}")
        for key in _ELSEWHERE:
            if key in root.value:
                self._refuse(root.value[key], key, "only W&B itself can do this; name a program, a metric and a method")
        top = self._keys(root, "", TOP)
        self._check_texts(root)
        objective, target = self._metric(top.get("metric"))
        method = cast("str", top["method"].value)
        if objective is None and (method == "bayes" or "early_terminate" in top):
            needs = top["early_terminate" if method != "bayes" else "method"]
            self._refuse(needs, "metric", "it is missing; expected the metric to search for: {name: …, goal: …}")
        if self._has_secret(top):
            self._refuse(
                top["storage"],
                "storage",
                "it holds a password, and the file is kept in the store; leave the password to ~/.pgpass, or the whole "
                "URL to the variable HYPERHOOK_STORAGE",
            )
        plugins = [Addon(_METHODS[method], {})]
        if "early_terminate" in top:
            plugins.append(Addon("asha", self._early_terminate(top["early_terminate"])))
        return Sweep(
            name=_plain(top, "name"),
            space=self._space(top["parameters"]),
            objective=objective,
            target=target,
            plugins=_merged(plugins, self._addons(top.get("plugins"), "plugins")),
            trackers=self._trackers(top),
            command=self._command(top),
            program=_plain(top, "program"),
            places=self._places,
            options=self._options,
            run_cap=_plain(top, "run_cap"),
            storage=_plain(top, "storage"),
            metrics_from=_plain(top, "metrics_from") or "auto",
            max_retries=_plain(top, "max_retries"),
            ignored=self._ignored(top),
            config=cast("dict[Scalar, object]", root.plain()),
        )

    def _keys(self, entry: Entry, place: str, known: Mapping[str, Key], what: str = "") -> dict[str, Entry]:
        """Return the entries of a mapping, each key and value checked."""
        found: dict[str, Entry] = {}
        assert isinstance(entry.value, dict)  # the kind of its own key says so
        for key, child in entry.value.items():
            where = f"{place}.{key}" if place else str(key)
            if not isinstance(key, str) or key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                has = f"{what} has" if what else "expected one of"
                self._refuse(child, where, f"unknown key; {has} {', '.join(known)}{hint}")
            kind = known[key].kind
            if not kind.fits(child.plain()):
                self._refuse(child, where, f"expected {kind.words}, got {_brief(child)}")
            found[key] = child
        for key, form in known.items():
            if form.required and key not in found:
                where = f"{place}.{key}" if place else key
                needs = f"{what} needs" if what else "expected"
                self._refuse(entry, where, f"it is missing; {needs} {form.kind.words}")
        return found

    def _metric(self, entry: Entry | None) -> tuple[Objective | None, float | None]:
        if entry is None:
            return None, None
        keys = self._keys(entry, "metric", METRIC)
        goal = cast("Any", _plain(keys, "goal") or "minimize")
        try:
            return Objective(cast("str", keys["name"].value), goal), _plain(keys, "target")
        except ObjectiveError as error:
            self._refuse(keys["name"], "metric.name", str(error))

    def _early_terminate(self, entry: Entry) -> dict[str, object]:
        keys = self._keys(entry, "early_terminate", EARLY_TERMINATE)
        try:
            return halving_options(**{key: _plain(keys, key) for key in keys if key != "type"})
        except ValueError as error:
            self._refuse(entry, "early_terminate", str(error))

    def _command(self, top: Mapping[str, Entry]) -> tuple[str, ...]:
        entry = top.get("command")
        entries = cast("list[Entry]", entry.value) if entry else []
        command = tuple(str(part.value) for part in entries) or DEFAULT
        for part, word in zip(entries, command, strict=False):
            if problem := problem_of(word):
                self._refuse(part, "command", problem)
        if "${program}" in command and "program" not in top:
            self._refuse(entry or top["method"], "program", "it is missing; expected the script that a trial runs")
        return command

    def _trackers(self, top: Mapping[str, Entry]) -> tuple[Addon, ...]:
        """Return the trackers; where wandb is one, the file's project and entity are its own."""
        given = {key: _plain(top, key) for key in ("project", "entity") if key in top}
        return tuple(
            Addon(addon.name, {**given, **addon.options} if addon.name == "wandb" else addon.options)
            for addon in self._addons(top.get("trackers"), "trackers")
        )

    def _addons(self, entry: Entry | None, place: str) -> list[Addon]:
        found: list[Addon] = []
        for each in cast("list[Entry]", entry.value) if entry else []:
            ((name, options),) = each.value.items() if isinstance(each.value, dict) else [(each.value, None)]
            made = Addon(cast("str", name), cast("dict[str, Any]", options.plain() if options else None) or {})
            if any(other.name == made.name for other in found):
                self._refuse(each, place, f"{made.name!r} stands twice; name it once")
            if not all(isinstance(option, str) for option in made.options):
                self._refuse(each, f"{place}.{made.name}", f"expected options by their names, got {made.options!r}")
            found.append(made)
        return found

    def _ignored(self, top: Mapping[str, Entry]) -> tuple[str, ...]:
        ignored = [key for key in IGNORED if key in top]
        metric = top["metric"].value if "metric" in top else {}
        ignored += [
            f"metric.{key}" for key in ("impute", "impute_while_running") if key in cast("dict[str, Any]", metric)
        ]
        if not any(addon.name == "wandb" for addon in self._trackers(top)):
            ignored += [key for key in ("project", "entity") if key in top]
        return tuple(ignored)

    def _space(self, entry: Entry) -> Space:
        return Space(self._parameters(entry, "parameters", ()))

    def _parameters(self, entry: Entry, place: str, path: tuple[str, ...]) -> dict[str, Parameter]:
        """Return the parameters of a mapping, those that are nested by their whole names."""
        made: dict[str, Parameter] = {}
        for key, child in cast("dict[Scalar, Entry]", entry.value).items():
            where = f"{place}.{key}"
            if not isinstance(key, str) or not re.match(NAME, key):
                self._refuse(child, where, "expected a name of letters, digits, '_', '.' and '-', no digit first")
            if not isinstance(child.value, dict):
                self._refuse(child, where, f"expected keys such as value, values, or min and max, got {_brief(child)}")
            if "parameters" in child.value:
                if len(child.value) > 1:
                    self._refuse(child, where, "a parameter that holds parameters holds nothing else")
                self._check(child.value["parameters"], f"{where}.parameters", TOP["parameters"])
                made |= self._parameters(child.value["parameters"], f"{where}.parameters", (*path, key))
            else:
                name = ".".join((*path, key))
                if name in self._places:
                    self._refuse(child, where, f"the name {name!r} stands twice; give each parameter a name of its own")
                self._places[name] = (*path, key)
                made[name] = self._parameter(child, where, name)
        return made

    def _check(self, entry: Entry, place: str, key: Key) -> None:
        if not key.kind.fits(entry.plain()):
            self._refuse(entry, place, f"expected {key.kind.words}, got {_brief(entry)}")

    def _parameter(self, entry: Entry, place: str, name: str) -> Parameter:
        keys = dict(cast("dict[Scalar, Entry]", entry.value))
        distribution = self._distribution(entry, place)
        keys.pop("distribution", None)
        form = DISTRIBUTIONS[distribution]
        article = "an" if distribution[0] == "i" else "a"
        found = self._keys(Entry(keys, entry.line), place, form, f"{article} {distribution} parameter")
        values = {key: child.plain() for key, child in found.items() if key != "when"}
        try:
            if distribution == "constant":
                values = {"values": [values["value"]]}
            if "values" not in values:
                return number(distribution, values)
            options = cast("list[object]", values["values"])
            self._options[name] = {str(as_option(v)): v for v in options if isinstance(v, list | dict)}
            when = self._when(found["when"], place, name, options) if "when" in found else {}
            return choice(options, cast("list[float] | None", values.get("probabilities")), when)
        except SpaceError as error:
            self._refuse(entry, place, str(error))

    def _distribution(self, entry: Entry, place: str) -> str:
        keys = cast("dict[str, Entry]", entry.value)
        named = keys.get("distribution")
        if named is None:
            found = implied({key: child.value for key, child in keys.items()})
            if found is not None:
                return found
            near = [match for key in keys for match in difflib.get_close_matches(str(key), PARAMETER, n=1)]
            hint = f"; did you mean {near[0]!r}?" if near and near[0] not in keys else ""
            self._refuse(
                entry,
                place,
                f"expected value, values, min and max, parameters, or a distribution, got {_brief(entry)}{hint}",
            )
        if not isinstance(named.value, str) or named.value not in DISTRIBUTIONS:
            near = difflib.get_close_matches(str(named.value), DISTRIBUTIONS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            words = ", ".join(DISTRIBUTIONS)
            self._refuse(named, f"{place}.distribution", f"expected one of {words}, got {_brief(named)}{hint}")
        return named.value

    def _when(
        self, entry: Entry, place: str, name: str, options: Iterable[object]
    ) -> dict[Scalar, dict[str, Parameter]]:
        """Return the parameters that each option brings; they stand beside the choice, not below it."""
        made: dict[Scalar, dict[str, Parameter]] = {}
        known = [as_option(option) for option in options]
        for option, child in cast("dict[Scalar, Entry]", entry.value).items():
            where = f"{place}.when.{option}"
            if not any(type(option) is type(other) and option == other for other in known):
                listed = ", ".join(map(repr, known))
                self._refuse(child, where, f"expected one of the options {listed}, got {option!r}")
            self._check(child, where, TOP["parameters"])
            made[option] = self._parameters(child, where, self._places[name][:-1])
        return made

    def _has_secret(self, top: Mapping[str, Entry]) -> bool:
        if "storage" not in top:
            return False
        try:
            address = Address(str(_plain(top, "storage")))
        except StoreError as error:
            self._refuse(top["storage"], "storage", str(error).removeprefix("storage: "))
        return address.secret != address.bare

    def _check_texts(self, root: Entry) -> None:
        """Refuse what no program can be given."""
        for leaf in root.leaves():
            if isinstance(leaf.value, float) and leaf.value - leaf.value != 0:
                self._refuse(leaf, "", f"expected finite numbers, got {leaf.value!r}")
            if isinstance(leaf.value, str):
                try:
                    leaf.value.encode()
                except UnicodeEncodeError:
                    self._refuse(leaf, "", "a text holds half a character")
                if "\0" in leaf.value:
                    self._refuse(leaf, "", "a text holds a NUL, which no program's argument can")

    def _refuse(self, entry: Entry, place: str, problem: str) -> NoReturn:
        where = f"{self._file}, line {entry.line}"
        raise SweepError(f"{where}: {place}: {problem}" if place else f"{where}: {problem}")


def _plain(keys: Mapping[str, Entry], key: str) -> Any:
    return keys[key].plain() if key in keys else None


def _merged(first: Iterable[Addon], further: Iterable[Addon]) -> tuple[Addon, ...]:
    """Return plugins, of which one that is named again takes the place of the first of its name."""
    return tuple({addon.name: addon for addon in [*first, *further]}.values())


def _brief(entry: Entry) -> str:
    found = repr(entry.plain())
    return found if len(found) <= 100 else f"{found[:100]}…"
