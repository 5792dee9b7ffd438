"""Commands: what the program gets is what was chosen, whatever it looks like."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperhook.errors import StudyError
from hyperhook.program import Program
from hyperhook.sweep.command import MACROS, argv

TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20) | st.sampled_from(
    ["--help", "-c", "; rm -rf /", "$(id)", "`id`", "a\nb", '"', "'", "~/x", "*", "${args}", "${envvar:HOME}", "%PATH%"]
)
SCALARS = TEXTS | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
VALUES = st.recursive(SCALARS | st.none(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner))
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,9}", fullmatch=True)
ARGUMENTS = st.dictionaries(NAMES, VALUES, max_size=5)


@settings(max_examples=50, deadline=None)  # W&B is imported in the first
@given(arguments=ARGUMENTS)
def test_the_words_are_those_of_wandb_own_agent(arguments: dict[str, Any]) -> None:
    utils = pytest.importorskip("wandb.sdk.launch.sweeps.utils")
    theirs = utils.create_sweep_command_args({"args": {name: {"value": value} for name, value in arguments.items()}})
    for macro in MACROS:
        if macro.startswith("args") and macro != "args_json_file":
            ours = argv([f"${{{macro}}}"], arguments, program=None, json_file=Path("none"))
            assert ours == theirs[macro], macro


PRINTS = "import json, sys; print(json.dumps(sys.argv[1:]))"


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arguments=ARGUMENTS)
def test_params_reach_a_real_program_unchanged(tmp_path: Path, arguments: dict[str, Any]) -> None:
    command = [sys.executable, "-I", "-S", "-c", PRINTS, "${args}", "${args_json}"]
    words = argv(command, arguments, program=None, json_file=tmp_path / "a.json")
    program = Program(words, environment={"PYTHONUTF8": "1"}, directory=tmp_path, output=tmp_path / "out")
    lines = []
    while not program.has_ended:
        lines += program.wait(1.0)
    code, last = program.finish()
    (line,) = lines + last
    *args, whole = json.loads(line.text)
    assert code == 0
    assert args == [f"--{name}={value}" for name, value in arguments.items()]
    assert json.loads(whole) == arguments


def test_the_words_between_and_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA", "/data;x")
    file = tmp_path / "a.json"
    words = argv(
        ["${env}", "${interpreter}", "${program}", "--data=${envvar:DATA}/y", "echo ${HOME}", "${args_json_file}"],
        {"lr": 0.1, "net": {"width": 3}},
        program="train it.py",
        json_file=file,
    )
    assert words == [
        "/usr/bin/env",
        sys.executable,
        "train it.py",
        "--data=/data;x/y",
        "echo ${HOME}",
        str(file),
    ]
    assert json.loads(file.read_text()) == {"lr": 0.1, "net": {"width": 3}}


def test_a_variable_that_is_not_set_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_THERE", raising=False)
    with pytest.raises(StudyError, match=r"command: \$\{envvar:NOT_THERE\} is not set in the agent's environment"):
        argv(["${envvar:NOT_THERE}"], {}, program=None, json_file=Path("a"))
