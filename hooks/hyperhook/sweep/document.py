"""A YAML file in which every value knows its line: `Entry`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

import yaml

from hyperhook.errors import SweepError
from hyperhook.scalars import Scalar

__all__ = ["Entry", "load"]

LARGEST = 100_000
"""So many values a file may have, those that stand for others by ``*name`` counted each time."""

Value: TypeAlias = "Scalar | list[Entry] | dict[Scalar, Entry]"


class _Loader(yaml.SafeLoader):
    """The safe loader, which takes ``1e-4`` for the number that YAML 1.2 sees there, and a date for a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+\Z"), list("-+.0123456789")
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of the file, and the line that it stands on, from 1."""

    value: Value
    line: int

    def plain(self) -> object:
        """Return the value as plain lists and dictionaries."""
        if isinstance(self.value, list):
            return [entry.plain() for entry in self.value]
        if isinstance(self.value, dict):
            return {key: entry.plain() for key, entry in self.value.items()}
        return self.value

    def leaves(self) -> Iterator[Entry]:
        """Yield the scalars in it."""
        if isinstance(self.value, list | dict):
            for entry in self.value.values() if isinstance(self.value, dict) else self.value:
                yield from entry.leaves()
        else:
            yield self


def load(text: str, file: str) -> Entry:
    """Read one YAML document; nothing in it is ever executed.

    Args:
        text: The document.
        file: What it is called in errors.

    Raises:
        SweepError: It is no YAML, has a key twice, a tag that is none of plain data, or is too large.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                raise SweepError(f"{file}: it is empty; expected a sweep configuration")
            return _Reading(loader, file).entry(node)
        finally:
            loader.dispose()
    except SweepError:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}, line {mark.line + 1}" if mark else file
        raise SweepError(f"{where}: this is no YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SweepError(f"{file}: this is no YAML: {str(error).splitlines()[0]}") from None


class _Reading:
    """Makes entries of nodes, each node once, however often it is named."""

    def __init__(self, loader: _Loader, file: str) -> None:
        self._loader = loader
        self._file = file
        self._made: dict[int, tuple[Entry, int]] = {}
        self._open: set[int] = set()

    def entry(self, node: yaml.Node) -> Entry:
        return self._entry(node)[0]

    def _entry(self, node: yaml.Node) -> tuple[Entry, int]:
        """Return the entry of a node, and how many values it holds."""
        if id(node) not in self._made:
            if id(node) in self._open:
                self._refuse(node, "a value holds itself")
            self._open.add(id(node))
            value, size = self._value(node)
            if size > LARGEST:
                self._refuse(node, f"more than {LARGEST:,} values")
            self._open.remove(id(node))
            self._made[id(node)] = Entry(value, node.start_mark.line + 1), size
        return self._made[id(node)]

    def _value(self, node: yaml.Node) -> tuple[Value, int]:
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            entries = [self._entry(child) for child in node.value]
            return [entry for entry, _ in entries], 1 + sum(size for _, size in entries)
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._mapping(node)
        value = self._loader.construct_object(node, deep=True)
        if not isinstance(value, Scalar):
            self._refuse(node, f"expected plain data, got {node.tag.removeprefix('tag:yaml.org,2002:')}")
        return value, 1

    def _mapping(self, node: yaml.MappingNode) -> tuple[dict[Scalar, Entry], int]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self._key(key_node)
            if key in seen:
                self._refuse(key_node, f"the key {key!r} stands twice; leave one of them out")
            seen.add(key)
        self._loader.flatten_mapping(node)  # ``<<: *name``: what is written here takes the place of what is merged
        found: dict[Scalar, Entry] = {}
        total = 1
        for key_node, child in node.value:
            entry, size = self._entry(child)
            found[self._key(key_node)] = Entry(entry.value, key_node.start_mark.line + 1)
            total += size
        return found, total

    def _key(self, node: yaml.Node) -> Scalar:
        if not isinstance(node, yaml.ScalarNode):
            self._refuse(node, "expected a name as a key")
        if node.tag == "tag:yaml.org,2002:merge":
            return "<<"
        key = self._loader.construct_object(node, deep=True)
        if not isinstance(key, Scalar):
            self._refuse(node, f"expected a name as a key, got {node.value!r}")
        return key

    def _refuse(self, node: yaml.Node, problem: str) -> NoReturn:
        raise SweepError(f"{self._file}, line {node.start_mark.line + 1}: {problem}")
