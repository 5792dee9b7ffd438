"""Names and texts as MLflow takes them: the rule is in the docstring of the tracker."""

from __future__ import annotations

import hashlib
import re

__all__ = ["NAME_LENGTH", "cut", "safe_name", "shorten"]

NAME_LENGTH = 250
"""Characters of the name of a metric, a param or a tag."""

_REFUSED = re.compile(
    r"[^\w/. :-]"  # a character
    r"|^/|/$|/(?=/)"  # a slash that a path would lose
    r"|^\.(?=\.)|(?<![^/])\.(?=\.?(?:/|$))"  # dots that a path would resolve
    r"|_(?=0x)"  # what looks like one of ours
)


def safe_name(name: str) -> str:
    """Return a name that MLflow takes; different ones for different names."""
    return shorten(_REFUSED.sub(lambda match: f"_0x{ord(match[0]):x}_", name), NAME_LENGTH)


def shorten(name: str, length: int) -> str:
    """Return a name that is short enough; one that was cut ends in its hash."""
    if len(name) <= length:
        return name
    return f"{name[: length - 17]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def cut(text: str, length: int) -> str:
    """Return a text that is short enough; one that was cut says how long it was."""
    note = f"… ({len(text)} characters)"
    return text if len(text) <= length else text[: length - len(note)] + note
