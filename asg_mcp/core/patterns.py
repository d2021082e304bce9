"""Patterns of paths: a JSON Pointer whose segments may be globs.

`*`, `?` and `[…]` stand for signs of one segment, `**` for any number of segments. A pattern means the places that it
matches and everything below them, so a plain path is a prefix.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from asg_mcp.core.paths import Tokens, parse_path
from asg_mcp.core.values import JsonValue

_ANY = "**"
_SIGNS = frozenset("*?[")


class Pattern:
    """A pattern that paths are matched against. Raises what `parse_path` raises."""

    def __init__(self, text: str) -> None:
        self._segments = parse_path(text)
        plain = next(
            (index for index, segment in enumerate(self._segments) if _SIGNS & set(segment)), len(self._segments)
        )
        self.prefix: Tokens = self._segments[:plain]
        """The segments before the first glob: all that is meant lies below."""

    def covers(self, path: Tokens) -> bool:
        """Whether the path is at or below a place that is meant."""
        return self._after(path) is None

    def places(self, path: Tokens, value: JsonValue) -> Iterator[tuple[Tokens, JsonValue]]:
        """The highest places in a value at this path that are meant, and what is there."""
        states = self._after(path)
        if states is None:
            yield path, value
        elif states:
            yield from self._inside(path, value, states)

    def _inside(self, path: Tokens, value: JsonValue, states: frozenset[int]) -> Iterator[tuple[Tokens, JsonValue]]:
        if isinstance(value, dict):
            children = list(value.items())
        elif isinstance(value, list):
            children = [(str(index), item) for index, item in enumerate(value)]
        else:
            return
        for token, item in children:
            following = self._step(states, token)
            if len(self._segments) in following:
                yield (*path, token), item
            elif following:
                yield from self._inside((*path, token), item, following)

    def _after(self, path: Tokens) -> frozenset[int] | None:
        """How far the pattern may have come behind the path; None when a place that is meant was reached."""
        states = self._closed({0})
        for token in path:
            if len(self._segments) in states:
                return None
            states = self._step(states, token)
        return None if len(self._segments) in states else states

    def _step(self, states: frozenset[int], token: str) -> frozenset[int]:
        following = set()
        for state in states:
            segment = self._segments[state]
            if segment == _ANY:
                following.add(state)
            elif fnmatchcase(token, segment):
                following.add(state + 1)
        return self._closed(following)

    def _closed(self, states: set[int]) -> frozenset[int]:
        """The states with those that are reached without a segment, because `**` may stand for none."""
        for state in sorted(states):
            while state < len(self._segments) and self._segments[state] == _ANY:
                state += 1
                states.add(state)
        return frozenset(states)
