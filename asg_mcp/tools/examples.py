"""What an example of a call is, and how it is compared with a reply.

In an expected reply a text such as `<drain>` stands for one that differs from run
to run. Its first appearance gives it its value; later ones, in arguments too, are
the same text. A reply has at least the fields shown; lists have the elements shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asg_mcp.core.values import JsonValue


@dataclass(frozen=True, slots=True)
class Example:
    """One call and the part of its reply that is shown."""

    tool: str
    arguments: Mapping[str, JsonValue]
    reply: Mapping[str, JsonValue]
    caption: str


def filled(arguments: JsonValue, known: Mapping[str, str]) -> Any:
    """The arguments with the texts that earlier replies gave."""
    if isinstance(arguments, str):
        return known.get(arguments, arguments)
    if isinstance(arguments, Mapping):
        return {name: filled(item, known) for name, item in arguments.items()}
    return [filled(item, known) for item in arguments] if isinstance(arguments, list) else arguments


def mismatches(shown: JsonValue, got: JsonValue, known: dict[str, str], where: str = "reply") -> list[str]:
    """How a reply differs from what is shown of it; fills `known` with the texts met for the first time."""
    if isinstance(shown, Mapping) and isinstance(got, Mapping):
        missing = [f"{where}.{name} is missing" for name in shown if name not in got]
        present = (name for name in shown if name in got)
        return missing + [line for n in present for line in mismatches(shown[n], got[n], known, f"{where}.{n}")]
    if isinstance(shown, list) and isinstance(got, list) and len(shown) == len(got):
        pairs = enumerate(zip(shown, got, strict=True))
        return [line for place, (a, b) in pairs for line in mismatches(a, b, known, f"{where}[{place}]")]
    if isinstance(shown, str) and shown[:1] == "<" and isinstance(got, str) and got:
        shown = known.setdefault(shown, got)
    same = shown == got and isinstance(shown, bool) == isinstance(got, bool)
    return [] if same else [f"{where} is {got!r}, not {shown!r}"]
