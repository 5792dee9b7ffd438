"""The command of a sweep file: words and macros become the arguments of a program. No shell ever sees them."""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hyperhook.errors import StudyError

__all__ = ["DEFAULT", "MACROS", "argv", "problem_of"]

DEFAULT = ("${env}", "${interpreter}", "${program}", "${args}")

MACROS = (
    "env",
    "interpreter",
    "program",
    "args",
    "args_no_boolean_flags",
    "args_no_hyphens",
    "args_no_equals",
    "args_json",
    "args_json_file",
    "args_append_hydra",
    "args_override_hydra",
)
"""Macros that stand alone; ``${envvar:NAME}`` may be a part of a word."""

_MACRO = re.compile(r"\$\{([a-z_]+)\}")
_VARIABLE = re.compile(r"\$\{envvar:([A-Za-z0-9_]+)\}")


def problem_of(word: str) -> str | None:
    """Say what is wrong with a word of a command; None where nothing is."""
    alone = _MACRO.fullmatch(word)
    if alone and alone[1] not in MACROS:
        near = difflib.get_close_matches(alone[1], MACROS, n=1)
        hint = f"; did you mean ${{{near[0]}}}?" if near else ""
        listed = ", ".join(f"${{{name}}}" for name in MACROS)
        return f"there is no macro {word}; expected one of {listed}, ${{envvar:NAME}}{hint}"
    if not alone and any(name in MACROS for name in _MACRO.findall(word)):
        return f"a macro must stand alone, got {word!r}; make it a word of its own"
    return None


def argv(command: Sequence[str], arguments: Mapping[str, object], *, program: str | None, json_file: Path) -> list[str]:
    """Return what a program is started with.

    Args:
        command: Words and macros.
        arguments: The params, nested ones as mappings.
        program: What ``${program}`` stands for.
        json_file: The file that ``${args_json_file}`` writes the arguments to.

    Raises:
        StudyError: The command wants a variable of the environment that is not set.

    Example:
        >>> argv(["${program}", "${args}"], {"lr": 0.1}, program="train.py", json_file=Path("args.json"))
        ['train.py', '--lr=0.1']
    """
    words: list[str] = []
    for word in command:
        macro = _MACRO.fullmatch(word)
        if macro is None or macro[1] not in MACROS:
            words.append(_VARIABLE.sub(_variable, word))
        else:
            words += _expanded(macro[1], arguments, program, json_file)
    return words


def _expanded(macro: str, arguments: Mapping[str, object], program: str | None, json_file: Path) -> list[str]:
    """Return what a macro stands for; of the arguments, the same words as W&B's own agent makes of them."""
    match macro:
        case "env":
            return ["/usr/bin/env"]
        case "interpreter":
            return [sys.executable]
        case "program":
            return [program or ""]
        case "args":
            return [f"--{name}={value}" for name, value in arguments.items()]
        case "args_no_boolean_flags":
            flags = {name: value for name, value in arguments.items() if value is not False}
            return [f"--{name}" if value is True else f"--{name}={value}" for name, value in flags.items()]
        case "args_no_hyphens":
            return [f"{name}={value}" for name, value in arguments.items()]
        case "args_no_equals":
            return [word for name, value in arguments.items() for word in (f"--{name}", str(value))]
        case "args_append_hydra":
            return [f"+{name}={value}" for name, value in arguments.items()]
        case "args_override_hydra":
            return [f"++{name}={value}" for name, value in arguments.items()]
        case "args_json":
            return [json.dumps(arguments)]
        case _:
            json_file.write_text(json.dumps(arguments))
            return [str(json_file)]


def _variable(found: re.Match[str]) -> str:
    name = found[1]
    if name not in os.environ:
        raise StudyError(f"command: ${{envvar:{name}}} is not set in the agent's environment; export it")
    return os.environ[name]
