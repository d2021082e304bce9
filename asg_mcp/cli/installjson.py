"""Edits of a JSON file that somebody else wrote: one member is put or taken away, every other byte stays.

Comments and trailing commas, which VS Code and Gemini allow, are blanked out for reading, character by character, so
that what is found in the blanked text is at the same place in the real one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

_STRING = r'"(?:[^"\\\n]|\\.)*+"?+'
"""One that is never closed ends with its line, and nothing is tried twice: the search stays linear."""
_COMMENT = re.compile(rf"{_STRING}|//[^\r\n]*|/\*(?:.*?\*/|.*)", re.DOTALL)
"""A comment that is never closed is matched to the end, so that the search stays linear; it is not blanked."""
_TRAILING_COMMA = re.compile(rf"{_STRING}|,(?=\s*[}}\]])")
_SPACE = re.compile(r"[ \t\r\n]*")
_REST_OF_LINE = re.compile(r"(?:[ \t]|//[^\r\n]*+|/\*(?:[^*\r\n]|\*(?!/))*+\*/)*+(?=[\r\n]|\Z)")
_INDENT = "  "


class NotEditable(ValueError):
    """The text is no JSON document that can be edited safely."""

    def __init__(self, why: str, text: str = "", at: int = 0) -> None:
        self.line = text.count("\n", 0, at) + 1
        self.column = at - (text.rfind("\n", 0, at) + 1) + 1
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class _Member:
    key: str
    start: int
    """Of the key's first quote."""
    value: int
    end: int
    """Behind the value."""


class Document:
    """A text with a JSON object in it."""

    def __init__(self, text: str) -> None:
        """Raises NotEditable."""
        self.text = text
        self._commas = _COMMENT.sub(_blank, text)
        self._plain = _TRAILING_COMMA.sub(_blank, self._commas)
        self.is_strict = self._plain == text
        """Whether it has neither comments nor trailing commas."""
        try:
            self.value: Any = json.loads(self._plain, parse_constant=_refuse_constant)
        except json.JSONDecodeError as error:
            raise NotEditable(error.msg, text, error.pos) from error
        except RecursionError as error:
            raise NotEditable("It is nested too deeply") from error
        if not isinstance(self.value, dict):
            raise NotEditable("It is no JSON object", text, _skip(self._plain, 0))
        self._newline = "\r\n" if "\r\n" in text else "\n"

    def get(self, path: Sequence[str]) -> Any:
        """The value at the keys; None where one is missing. Raises NotEditable for a key that is there twice."""
        found = self._find(path)
        return None if found is None else json.loads(self._plain[found.value : found.end])

    def is_bare(self, path: Sequence[str]) -> bool:
        """Whether an object is there with nothing in it, not even a comment. Raises NotEditable as `get` does."""
        if self.get(path) != {}:
            return False
        opening, closing = self._span(path)
        return not self.text[opening + 1 : closing - 1].strip()

    def put(self, path: Sequence[str], value: Any) -> Document:
        """The document with the value there; objects on the way are made.

        Raises NotEditable when something else than an object is on the way, or a key of the path is there twice.
        """
        found = self._find(path)
        if found is not None:
            text = _dump(value, self._indent_at(found.start), self._unit(), self._newline)
            return self._spliced(found.value, found.end, text)
        depth = next(depth for depth in range(len(path) - 1, -1, -1) if not depth or self._find(path[:depth]))
        for key in reversed(path[depth + 1 :]):
            value = {key: value}
        return self._inserted(path[:depth], path[depth], value)

    def without(self, path: Sequence[str]) -> Document:
        """The document without that member; itself when there is none. Raises NotEditable as `put` does."""
        found = self._find(path)
        if found is None:
            return self
        opening, closing = self._span(path[:-1])
        members = self._members(path[:-1])
        place = members.index(found)
        own_comma = self._comma_behind(found.end)
        start, end = self._cut(found, own_comma or found.end, is_last=place == len(members) - 1)
        if len(members) == 1 and not (self.text[opening + 1 : start] + self.text[end : closing - 1]).strip():
            return self._spliced(opening + 1, closing - 1, "")
        shorter = self.text[:start] + self.text[end:]
        if not own_comma and place > 0:
            comma = self._comma_behind(members[place - 1].end)
            shorter = shorter[: comma - 1] + shorter[comma:]
        return Document(shorter)

    def _cut(self, member: _Member, end: int, *, is_last: bool) -> tuple[int, int]:
        """From where to where text goes with a member that ends, with its comma, at `end`."""
        line = self.text.rfind("\n", 0, member.start)
        rest = _REST_OF_LINE.match(self.text, end)
        if line >= 0 and rest is not None and not (self.text[line : member.start] + rest[0]).strip():
            # It had its lines to itself, so they go as a whole, with the line break in front.
            return line - int(self.text[line - 1 : line] == "\r"), rest.end()
        if is_last:
            before = len(self.text[: member.start].rstrip())
            is_comment = before != len(self._commas[: member.start].rstrip())
            # What follows must not become part of a comment that ends with its line.
            return len(self.text[: member.start].rstrip(" \t")) if is_comment else before, end
        return member.start, end + len(self.text[end:]) - len(self.text[end:].lstrip(" \t"))

    def _spliced(self, start: int, end: int, text: str) -> Document:
        return Document(self.text[:start] + text + self.text[end:])

    def _inserted(self, path: Sequence[str], key: str, value: Any) -> Document:
        opening, closing = self._span(path)
        members = self._members(path)
        inner = self.text[opening + 1 : closing - 1]
        outer = self._indent_at(opening)
        indent = self._indent_at(members[0].start) if members else outer + self._unit()
        spread = f"{self._newline}{indent}{json.dumps(key)}: {_dump(value, indent, self._unit(), self._newline)}"
        if not members:
            return self._spliced(opening + 1 + len(inner.rstrip()), closing - 1, f"{spread}{self._newline}{outer}")
        last = members[-1].end
        behind = self._comma_behind(last)
        # The other members end with commas, or do not; so does the new one.
        separator, closer = ("", ",") if behind else (",", "")
        at = behind or last
        if "\n" not in inner:
            written = f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"
            return self._spliced(last, at, f"{self.text[last:at]}{separator} {written}{closer}")
        rest = _REST_OF_LINE.match(self.text, at)
        at = at if rest is None else rest.end()
        return self._spliced(last, at, f"{separator}{self.text[last:at]}{spread}{closer}")

    def _find(self, path: Sequence[str]) -> _Member | None:
        found = None
        for depth, key in enumerate(path):
            if found is not None and self._plain[found.value] != "{":
                where = " → ".join(path[:depth])
                raise NotEditable(f"What it has under {where} is no JSON object", self.text, found.value)
            same = [member for member in self._members_from(found) if member.key == key]
            if len(same) > 1:
                raise NotEditable(f"The key {key!r} is there {len(same)} times", self.text, same[1].start)
            if not same:
                return None
            found = same[0]
        return found

    def _members(self, path: Sequence[str]) -> list[_Member]:
        return self._members_from(self._find(path))

    def _members_from(self, owner: _Member | None) -> list[_Member]:
        decoder = json.JSONDecoder()
        at = _skip(self._plain, owner.value if owner else 0) + 1
        members = []
        while self._plain[at := _skip(self._plain, at)] != "}":
            start = at
            key, at = decoder.raw_decode(self._plain, at)
            value = _skip(self._plain, _skip(self._plain, at) + 1)
            _, at = decoder.raw_decode(self._plain, value)
            members.append(_Member(key, start, value, at))
            at = _skip(self._plain, at)
            at += int(self._plain[at] == ",")
        return members

    def _span(self, path: Sequence[str]) -> tuple[int, int]:
        """Where the object begins and ends."""
        found = self._find(path)
        if found is None:
            return _skip(self._plain, 0), len(self._plain.rstrip())
        if self._plain[found.value] != "{":
            raise NotEditable(f"What it has under {path[-1]} is no JSON object", self.text, found.value)
        return found.value, found.end

    def _comma_behind(self, end: int) -> int:
        """Where the comma behind a value that ends at `end` ends, a trailing one too; 0 where there is none."""
        at = _skip(self._commas, end)
        return at + 1 if self._commas[at] == "," else 0

    def _indent_at(self, at: int) -> str:
        start = self.text.rfind("\n", 0, at) + 1
        found = re.match(r"[ \t]*", self.text[start:at])
        return found[0] if found else ""

    def _unit(self) -> str:
        members = self._members(())
        indent = self._indent_at(members[0].start) if members else ""
        return indent or _INDENT


def _dump(value: Any, indent: str, unit: str, newline: str) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=unit)
    return text.replace("\n", f"{newline}{indent}")


def _blank(found: re.Match[str]) -> str:
    text = found[0]
    is_kept = text.startswith('"') or (text.startswith("/*") and not text.endswith("*/", 2))
    return text if is_kept else re.sub(r"[^\r\n]", " ", text)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None, "BUG: the pattern matches nothing at all too"
    return found.end()


def _refuse_constant(name: str) -> NoReturn:
    raise NotEditable(f"{name} is no JSON")
