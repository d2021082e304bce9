"""The one place that writes to the terminal.

Text of agents is data: control characters, which a terminal would obey, are shown
as escapes. Colours are left out for pipes and with NO_COLOR.
"""

from __future__ import annotations

import io
import json
import re
import sys
from typing import Any, NoReturn

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.text import Text

from asg_mcp.errors import AsgError

Piece = str | tuple[str, str]
"""Plain text, or text with a style of rich's."""

LABEL = "cyan"
STRONG = "bold"
DIM = "dim"
GOOD = "green"
WARN = "yellow"
BAD = "bold red"

LABEL_WIDTH = 12
_COLOURED_CHARS_MAX = 100_000
"""Longer JSON is written as it is: colouring costs more than it helps."""
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
r"""All that moves a cursor, changes the order of what is read, or is no text. \n and \t stay."""


def safe(text: str) -> str:
    r"""The text with control characters as \u escapes, which are JSON's own."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def styled(*pieces: Piece) -> Text:
    """Pieces as one text, made safe."""
    parts = [(piece, "") if isinstance(piece, str) else piece for piece in pieces]
    return Text.assemble(*((safe(text), style) for text, style in parts))


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Leave it to the program, which ends quietly."""
        raise BrokenPipeError


class Output:
    """Standard output for answers, standard error for everything about them."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        self._out = _Console(markup=False, highlight=False, emoji=False)
        self._err = _Console(markup=False, highlight=False, emoji=False, stderr=True)

    @property
    def progress_console(self) -> Console | None:
        """Where a progress bar may be drawn; None when nobody watches."""
        return self._err if self._err.is_terminal else None

    def line(self, *pieces: Piece) -> None:
        """One line, never wrapped."""
        self._out.print(styled(*pieces), soft_wrap=True)

    def hanging(self, indent: int, *pieces: Piece, first: Piece = "", width: int = 0) -> None:
        """Text indented by `indent` columns, with `first` in front of its first line.

        Wrapped at `width` columns or those of the terminal; on neither, one line stays one line, for grep.
        """
        text = styled(*pieces)
        columns = min(filter(None, (width, self._out.width if self._out.is_terminal else 0)), default=0)
        wrapped = text.wrap(self._out, max(columns - indent, 20)) if columns else text.split("\n")
        head = styled(first)
        head.append(" " * max(indent - head.cell_len, int(not head.plain.endswith(" ") and bool(head.plain))))
        for number, part in enumerate(wrapped or [Text()]):
            part.rstrip()
            self._out.print(head + part if not number else Text(" " * indent) + part, soft_wrap=True)

    def field(self, label: str, *pieces: Piece) -> None:
        """A labelled text; an empty label continues the field above."""
        self.hanging(LABEL_WIDTH + 2, *pieces, first=(f"  {label}", LABEL))

    def value(self, text: str) -> None:
        """A JSON text for people."""
        shown = styled(text)
        if self._out.is_terminal and len(text) <= _COLOURED_CHARS_MAX:
            JSONHighlighter().highlight(shown)
            self._out.print(shown, soft_wrap=True)
        else:
            self._write(f"{safe(text)}\n")

    def document(self, document: dict[str, Any]) -> None:
        """The one JSON document of a --json answer."""
        self._write(json.dumps(document, indent=2, ensure_ascii=not self._is_unicode()) + "\n")

    def note(self, *pieces: Piece) -> None:
        """Something about the answer, on standard error; dim, and only for people who watch."""
        if self._err.is_terminal and not self.as_json:
            self._err.print(styled(*pieces), style=DIM, soft_wrap=True)

    def warn(self, *pieces: Piece) -> None:
        """Something about the answer that must not be missed, on standard error."""
        self._err.print(styled(("Note: ", WARN), *pieces), soft_wrap=True)

    def error(self, error: AsgError) -> None:
        """Why there is no answer, and what to do next."""
        if self.as_json:
            self.document({"error": error.as_dict()})
            return
        self._err.print(styled(("Error: ", BAD), error.message), soft_wrap=True)
        if error.hint:
            self._err.print(styled(("Hint:  ", LABEL), error.hint), soft_wrap=True)

    def flush(self) -> None:
        """Have all of it leave this process."""
        self._out.file.flush()
        self._err.file.flush()

    def _write(self, text: str) -> None:
        self._out.file.write(text)

    def _is_unicode(self) -> bool:
        return (self._out.encoding or "").lower().startswith("utf")
