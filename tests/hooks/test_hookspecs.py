"""The contract: what each hook promises, in its docstring and in docs/hooks.md."""

from __future__ import annotations

import inspect
import re
import typing
from pathlib import Path

import pytest

from hyperhook.hookspecs import Decisions, TrialEvents

PAGE = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text()
HOOKS = {
    name: getattr(spec, name) for spec in (TrialEvents, Decisions) for name in vars(spec) if not name.startswith("_")
}
LINES = ("Called", "How often", "Where", "If it raises")


def arguments(hook: str) -> list[str]:
    return [name for name in inspect.signature(HOOKS[hook]).parameters if name != "self"]


@pytest.mark.parametrize("hook", HOOKS)
def test_docstring_ends_with_the_four_lines(hook: str) -> None:
    paragraph = (inspect.getdoc(HOOKS[hook]) or "").split("\n\n")[-1].splitlines()
    starts = [line for line in paragraph if not line.startswith(" ")]
    assert [line.split(":")[0] for line in starts] == list(LINES)
    assert all(line.endswith((".", ",")) and len(line.split(":", 1)[1]) > 10 for line in starts)


@pytest.mark.parametrize("hook", HOOKS)
def test_docstring_explains_every_argument(hook: str) -> None:
    described = re.findall(r"^ {4}(\w+): ", inspect.getdoc(HOOKS[hook]) or "", flags=re.MULTILINE)
    assert described == arguments(hook)


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_is_typed(hook: str) -> None:
    signature = inspect.signature(HOOKS[hook])
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(p.annotation is not inspect.Parameter.empty for n, p in signature.parameters.items() if n != "self")


@pytest.mark.parametrize("hook", [name for name in vars(TrialEvents) if name in HOOKS])
def test_events_answer_nothing_and_are_past_facts(hook: str) -> None:
    assert inspect.signature(HOOKS[hook]).return_annotation == "None"
    assert hook.endswith(("_started", "_resumed", "_opened", "_logged", "_removed", "_finished"))
    assert not HOOKS[hook].hyperhook_spec["firstresult"]


def test_every_plugin_prepares_and_none_answers() -> None:
    assert inspect.signature(HOOKS["prepare"]).return_annotation == "None"
    assert not HOOKS["prepare"].hyperhook_spec["firstresult"]


@pytest.mark.parametrize("hook", [name for name in vars(Decisions) if name in HOOKS and name != "prepare"])
def test_decisions_are_firstresult_and_may_pass(hook: str) -> None:
    assert HOOKS[hook].hyperhook_spec["firstresult"]
    assert str(inspect.signature(HOOKS[hook]).return_annotation).endswith("| None")
    assert "The first answer" in (inspect.getdoc(HOOKS[hook]) or "")


def test_page_documents_every_hook_with_its_arguments_in_the_order_of_the_contract() -> None:
    headings = re.findall(r"^### `(\w+)\(([^)]*)\)`$", PAGE, flags=re.MULTILINE)
    assert headings == [(hook, ", ".join(arguments(hook))) for hook in HOOKS]


def test_page_lists_every_hook_with_its_kind() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", PAGE, flags=re.MULTILINE)
    assert rows == [(hook, "event" if hook in vars(TrialEvents) else "decision") for hook in HOOKS]


def test_both_specs_resolve_their_annotations() -> None:
    from hyperhook.study import Study
    from hyperhook.trial import Trial

    for hook in HOOKS.values():
        assert typing.get_type_hints(hook, localns={"Study": Study, "Trial": Trial})["return"] is not None
