"""Patterns of callers: regular expressions on RE2, which matches in time linear in the text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import re2

from asg_mcp.core.limits import PATTERN_BYTES_MAX
from asg_mcp.errors import InvalidArgument, LimitExceeded

PATTERN_MEMORY_BYTES_MAX = 2 * 1_024 * 1_024
"""What one compiled pattern may take: some 128 are kept."""
Span = tuple[int, int]


def compile_pattern(pattern: str) -> Callable[[str], Span | None]:
    """A function that gives the first match of an RE2 pattern in a text, as (start, end), or None.

    Raises InvalidArgument for a pattern that RE2 does not know, and LimitExceeded for a long one.
    """
    size = len(pattern.encode(errors="surrogatepass"))
    if size > PATTERN_BYTES_MAX:
        raise LimitExceeded(
            f"The pattern has {size} bytes; at most {PATTERN_BYTES_MAX} are allowed",
            hint="Use a shorter pattern.",
            limit="PATTERN_BYTES_MAX",
            max=PATTERN_BYTES_MAX,
        )
    try:
        compiled = re2.compile(pattern, _options())
    except (re2.error, UnicodeEncodeError) as error:
        # The library hands on bytes where it could not read them.
        problem = error.args[0] if error.args else error
        shown = problem.decode(errors="replace") if isinstance(problem, bytes) else str(problem)
        raise InvalidArgument(
            f"The pattern {pattern!r} is not a regular expression: {shown}",
            hint="Patterns are RE2 (https://github.com/google/re2/wiki/Syntax): no look-around, no backreferences; "
            "(?i) in front ignores case.",
            pattern=pattern,
        ) from None

    def search(text: str) -> Span | None:
        found = compiled.search(text)
        return None if found is None else found.span()

    return search


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False  # it would write to stderr, which is the client's log on stdio
    options.max_mem = PATTERN_MEMORY_BYTES_MAX
    return options
