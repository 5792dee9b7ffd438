"""What may be logged: names, numbers, steps and params, and the limits of each."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import SupportsFloat

from hyperhook.errors import ArtifactError, MetricError
from hyperhook.events import text
from hyperhook.parameters import Scalar, plain

__all__ = [
    "HIGHEST_COUNT",
    "LONGEST_NAME",
    "LONGEST_TEXT",
    "MOST_FACTS",
    "MOST_METRICS",
    "as_count",
    "as_facts",
    "as_float",
    "as_label",
    "as_name",
    "as_stderr",
    "as_stderrs",
    "as_tags",
    "flatten",
]

MOST_METRICS = 5_000
"""How many metrics one call may log: an event is one line of the journal, and travels as one."""
HIGHEST_COUNT = 2**63 - 1
"""The highest step or epoch: what databases keep."""
LONGEST_NAME = 10_000
"""Characters of a metric's name."""
MOST_FACTS = 100
"""How many entries a dataset's profile or an artifact's metadata may have."""
LONGEST_TEXT = 100_000
"""Characters of a param's or a tag's value, and of a note; a longer param is cut. What is longer is a text to log."""


def as_name(name: object) -> str:
    """Return a metric's name.

    Raises:
        MetricError: It is no string, empty, or too long.
    """
    if not isinstance(name, str) or not name:
        raise MetricError(f"log: names must be non-empty strings, got {brief(name)}")
    if len(name) > LONGEST_NAME:
        raise MetricError(
            f"log: names may have {LONGEST_NAME} characters, got {len(name)}: {brief(name)}; shorten the name"
        )
    return str(name)


def as_float(name: str, value: object) -> float:
    """Return a metric's value.

    Raises:
        MetricError: It is not one number.
    """
    if isinstance(value, str | bytes) or not hasattr(value, "__float__"):  # the protocol's own check takes 4 µs
        hint = "; log words by log_text, log_tags or log_params" if isinstance(value, str) else ""
        raise MetricError(f"log: metric {name!r} got {brief(value)} ({type(value).__name__}), expected a number{hint}")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise MetricError(
            f"log: metric {name!r} got a {type(value).__name__} that is not one number ({error})"
        ) from None


def as_count(what: str, count: object) -> int:
    """Return a step or an epoch.

    Raises:
        MetricError: It is no int from 0 to `HIGHEST_COUNT`.
    """
    if isinstance(count, numbers.Integral) and not isinstance(count, bool) and 0 <= int(count) <= HIGHEST_COUNT:
        return int(count)
    raise MetricError(f"{what}: expected an int from 0 below 2**63, got {brief(count)} ({type(count).__name__})")


def as_stderr(what: str, error: object) -> float:
    """Return a standard error.

    Raises:
        MetricError: It is no finite number from 0.
    """
    if isinstance(error, SupportsFloat) and not isinstance(error, bool):
        with suppress(TypeError, ValueError, OverflowError, RuntimeError):
            found = float(error)
            if 0 <= found < math.inf:
                return found
    raise MetricError(
        f"{what}: expected a finite number from 0, got {brief(error)} ({type(error).__name__}); "
        "leave it out where it is not known"
    )


def as_stderrs(stderr: object, metrics: Mapping[str, object], metric: str | None) -> dict[str, float]:
    """Return the standard errors of metrics that are logged together.

    Args:
        stderr: Names and standard errors, or the one of `metric`.
        metrics: What is logged.
        metric: The objective's; None where there is no objective.

    Raises:
        MetricError: One is no finite number from 0, or belongs to no metric that is logged.
    """
    if not isinstance(stderr, Mapping):
        if metric is None or metric not in metrics:
            lacks = "the study has no objective" if metric is None else f"the objective's {metric!r} is not logged here"
            raise MetricError(
                f"log: stderr={brief(stderr)} has no metric to belong to: {lacks}; name it: stderr={{'val_acc': 0.01}}"
            )
        stderr = {metric: stderr}
    for name in stderr:
        if name not in metrics:
            logged = ", ".join(map(brief, metrics)) or "nothing"
            raise MetricError(f"log: stderr names {brief(name)}, which is not logged here; logged together: {logged}")
    return {name: as_stderr(f"log: stderr of {name!r}", error) for name, error in stderr.items()}


def as_tags(tags: object) -> dict[str, str]:
    """Return tags.

    Raises:
        ArtifactError: They are no names with texts, or a text is too long.
    """
    if not isinstance(tags, Mapping):
        raise ArtifactError(f"log_tags: expected names and texts, as in {{'team': 'vision'}}, got {brief(tags)}")
    found: dict[str, str] = {}
    for name, value in tags.items():
        if not isinstance(name, str) or not name or len(name) > LONGEST_NAME:
            raise ArtifactError(f"log_tags: names must be strings of 1 to {LONGEST_NAME} characters, got {brief(name)}")
        found[name] = as_text("log_tags", value)
    return found


def as_text(what: str, value: object) -> str:
    """Return a short text.

    Raises:
        ArtifactError: It is too long.
    """
    found = text(value)
    if len(found) > LONGEST_TEXT:
        raise ArtifactError(
            f"{what}: a text may have {LONGEST_TEXT} characters, got {len(found)}; log it by log_text, as a file"
        )
    return found


def as_label(what: str, label: object) -> str:
    """Return a short text that must not be empty.

    Raises:
        ArtifactError: It is no string, empty, or too long.
    """
    if isinstance(label, str) and 0 < len(label) <= LONGEST_NAME:
        return text(label)
    raise ArtifactError(f"{what}: expected a string of 1 to {LONGEST_NAME} characters, got {brief(label)}")


def as_facts(what: str, facts: object) -> dict[str, Scalar]:
    """Return a few facts about something, as `flatten` does it for params.

    Raises:
        ArtifactError: They are no names with values, or there are too many.
    """
    if not isinstance(facts, Mapping):
        raise ArtifactError(f"{what}: expected names and values, as in {{'rows': 60000}}, got {brief(facts)}")
    found = dict(flatten(facts))
    for name in found:
        as_label(f"{what}: a name", name)
    if len(found) > MOST_FACTS:
        raise ArtifactError(f"{what}: expected {MOST_FACTS} entries at the most, got {len(found)}; log a table instead")
    return found


def flatten(params: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, Scalar]]:
    """Yield params with flat names; what is no scalar becomes its text, and a text that is too long is cut.

    Args:
        params: Names and values, values may be mappings again.
        prefix: What the names begin with.
    """
    for key, value in params.items():
        name = f"{prefix}{text(key)}"
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{name}/")
        elif isinstance(value, float) and not math.isfinite(value):
            yield name, str(value)
        elif value is None or isinstance(value, int | float | bool):
            yield name, plain(value)
        else:
            yield name, _cut(text(plain(value) if isinstance(value, str) else value))


def brief(value: object) -> str:
    """Return a value for an error's message: its first characters are enough."""
    try:
        found = repr(value)
    except Exception as error:  # somebody's __repr__
        found = f"<{type(value).__name__}: {type(error).__name__}>"
    return found if len(found) <= 200 else f"{found[:200]}… ({len(found)} characters)"


def _cut(found: str) -> str:
    return found if len(found) <= LONGEST_TEXT else f"{found[:LONGEST_TEXT]}… ({len(found)} characters)"
