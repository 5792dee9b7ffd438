"""What workers print is passed on in whole lines."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperhook_plugins.workers.lines import Lines


def passed_on(pieces: list[bytes], capsys: pytest.CaptureFixture[str]) -> str:
    reader, writer = os.pipe()
    lines = Lines(os.fdopen(reader, "rb", buffering=0), "> ", "stdout")
    for piece in pieces:
        os.write(writer, piece)
        lines.read()
    os.close(writer)
    lines.finish()
    return capsys.readouterr().out


def test_lines_are_whole_however_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    assert passed_on([b"one\ntw", b"o\n", b"three"], capsys) == "> one\n> two\n> three\n"


def test_of_a_progress_bar_the_last_state_is_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert passed_on([b"10%\r50%", b"\r100%\n", b"next\r\n"], capsys) == "> 100%\n> next\n"


def test_what_is_no_text_is_shown_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert passed_on([b"\xff\xfe\n"], capsys) == "> \ufffd\ufffd\n"


def test_an_end_that_another_process_holds_open_is_not_waited_for() -> None:
    reader, writer = os.pipe()
    lines = Lines(os.fdopen(reader, "rb", buffering=0), "> ", "stdout")
    lines.finish()
    os.close(writer)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=30), cut=st.integers(0, 60))
def test_no_character_is_cut(text: str, cut: int, capsys: pytest.CaptureFixture[str]) -> None:
    data = text.encode() + b"\n"
    pieces = [piece for piece in (data[:cut], data[cut:]) if piece]
    assert passed_on(pieces, capsys) == f"> {text}\n"
