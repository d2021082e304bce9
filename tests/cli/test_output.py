from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.cli.output import Output, safe, styled
from asg_mcp.errors import AsgError


@given(st.text())
def test_safe_text_has_no_character_that_a_terminal_obeys(text: str) -> None:
    assert all(char.isprintable() or char in "\n\t" or char.isspace() for char in safe(text) if ord(char) < 0xA0)


@given(st.text().map(lambda text: json.dumps(text, ensure_ascii=False)))
def test_safe_json_is_the_same_json(text: str) -> None:
    assert json.loads(safe(text)) == json.loads(text)


def test_characters_that_reorder_what_is_read_are_shown_as_escapes() -> None:
    assert safe("a\u202eb\u2066c") == "a\\u202eb\\u2066c"


def test_styled_pieces_are_made_safe_and_joined() -> None:
    assert styled("a", ("\x1bb", "bold")).plain == "a\\u001bb"


def test_a_field_continues_under_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    Output().field("why", "first\nsecond")
    assert capsys.readouterr().out == "  why         first\n              second\n"


def test_a_long_label_keeps_a_space_before_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    Output().field("a very long label", "text")
    assert capsys.readouterr().out == "  a very long label text\n"


def test_nothing_is_wrapped_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    Output().field("why", "word " * 100 + "end")
    assert capsys.readouterr().out.count("\n") == 1


def test_a_terminal_gets_colours_and_wrapped_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    output = Output()
    output.field("why", ("word " * 20, "bold"))
    output.value('{"a": 1}')
    shown = capsys.readouterr().out
    assert "\x1b[" in shown
    assert shown.count("\n") > 2


def test_no_color_takes_the_colours_away(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    Output().line(("text", "green"))
    assert "32m" not in capsys.readouterr().out


def test_a_document_survives_a_stream_that_knows_no_unicode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "out").open("w", encoding="ascii") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        output = Output(as_json=True)
        output.document({"name": "é→😀"})
        output.line("é")
    document, line = (tmp_path / "out").read_text().rsplit("}\n", 1)
    assert json.loads(f"{document}}}") == {"name": "é→😀"}
    assert line == "\\xe9\n"


def test_long_json_is_written_without_colours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    text = json.dumps(["x" * 10] * 10_000)
    Output().value(text)
    assert capsys.readouterr().out == f"{text}\n"


def test_an_error_without_a_hint_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Output().error(AsgError("It failed"))
    assert capsys.readouterr().err == "Error: It failed\n"


def test_output_is_written_where_the_stream_is_no_text_file(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    Output().document({"é": 1})
    assert json.loads(stream.getvalue()) == {"é": 1}
