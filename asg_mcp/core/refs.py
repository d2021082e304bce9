"""Ref names, and the text by which people and agents name a commit.

    name       a branch or tag: git's rules, of the characters A-Z a-z 0-9 . _ / -
    revision   ( NAME | PREFIX | spec:HANDLE ) [ @TIME ] { ~N }

    main   a3f09c   main~3   main@2026-11-21T08:00:00Z   main@2026-11-21~2   spec:HANDLE

A prefix of a commit id has the form of a name; which of them it is, is for the
repository to say (branch, then tag, then commit).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from asg_mcp.core.limits import ANCESTOR_STEPS_MAX, NAME_BYTES_MAX
from asg_mcp.core.times import format_time, parse_time
from asg_mcp.errors import InvalidName, LimitExceeded

_RULES = (
    (re.compile(r"\A\Z"), "is empty"),
    (re.compile(r"[^A-Za-z0-9._/-]"), "has a character other than A-Z a-z 0-9 . _ / -"),
    (re.compile(r"\A/|//|/\Z"), "has an empty part: / stands between two parts"),
    (re.compile(r"\A-"), "begins with -"),
    (re.compile(r"(?:\A|/)\."), "has a part that begins with ."),
    (re.compile(r"\.\."), "has two dots in a row"),
    (re.compile(r"\.lock(?:/|\Z)"), "has a part that ends with .lock"),
    (re.compile(r"\.\Z"), "ends with ."),
    (re.compile(r"\AHEAD\Z|\Arefs/"), "is reserved"),
)
"""Each form that a name must not have, and what to say of it. Whatever passes, `git check-ref-format` accepts."""
_HANDLE = re.compile(r"[A-Za-z0-9_-]+")
_SPEC = "spec:"
_SHOWN_CHARS_MAX = 80


@dataclass(frozen=True, slots=True)
class Revision:
    """Which commit is meant: a base, the time to see it at, and the steps back from there. `str` gives its text."""

    kind: Literal["name", "spec"]
    name: str
    """The ref name or id prefix, or the handle of the speculation."""
    at: str | None = None
    """RFC 3339, UTC, microseconds; None is now."""
    back: int = 0
    """First parents to go back."""

    def __str__(self) -> str:
        base = _SPEC + self.name if self.kind == "spec" else self.name
        return base + (f"@{self.at}" if self.at else "") + (f"~{self.back}" if self.back else "")


def check_ref_name(name: str) -> None:
    """Raise InvalidName unless `name` may name a branch or tag.

    `details.suggestion` is a corrected name where there is one.
    """
    fault = _fault(name)
    if not fault:
        return
    suggestion = _suggestion(name)
    details = {"suggestion": suggestion} if suggestion else {}
    hint = "Names are like main or team/fix-42; ~ @ and : are reserved for main~3, main@TIME and spec:HANDLE."
    if suggestion:
        hint = f"Did you mean {suggestion!r}? {hint}"
    raise InvalidName(f"The ref name {_shown(name)} {fault}", hint=hint, **details)


def parse_revision(text: str) -> Revision:
    """The revision that `text` names.

    Raises InvalidName (a name that breaks the rules, parts in another order than
    NAME@TIME~N), InvalidArgument (no RFC 3339 time) and LimitExceeded (more than
    ANCESTOR_STEPS_MAX steps back).
    """
    # The same few branches are named over and over; long texts are not kept.
    return _kept_revision(text) if len(text) <= NAME_BYTES_MAX else _revision(text)


def _revision(text: str) -> Revision:
    before, *steps = text.split("~")
    back = _sum_of(steps, text)
    base, mark, time = before.partition("@")
    if base.startswith(_SPEC):
        kind: Literal["name", "spec"] = "spec"
        name = base.removeprefix(_SPEC)
        _check_handle(name)
    else:
        kind, name = "name", base
        _check_base(name)
    return Revision(kind, name, format_time(parse_time(time)) if mark else None, back)


_kept_revision = lru_cache(maxsize=1_024)(_revision)


def _fault(name: str) -> str:
    size = len(name.encode(errors="surrogatepass"))
    if size > NAME_BYTES_MAX:
        return f"has {size} bytes; at most {NAME_BYTES_MAX} are allowed"
    return next((fault for rule, fault in _RULES if rule.search(name)), "")


def _suggestion(name: str) -> str:
    """A permitted name near this one, or "" where nothing of it is left."""
    text = re.sub(r"[^A-Za-z0-9._/-]+", "-", name[: 2 * NAME_BYTES_MAX])
    text = re.sub(r"\A/*(?:refs/+(?:(?:heads|tags)/+)?)+", "", text)
    parts = []
    for part in text.split("/"):
        part = re.sub(r"\.{2,}", ".", part).strip("-.")
        part = re.sub(r"(?:[.-]lock)+\Z", "", part) if part.endswith(".lock") else part
        if part:
            parts.append(part)
    text = "/".join(parts)[:NAME_BYTES_MAX].rstrip("-./")
    return "" if _fault(text) else text


def _check_base(name: str) -> None:
    if name == "HEAD":
        raise InvalidName("There is no current branch, so HEAD names nothing", hint="Name the branch, such as main.")
    if name.endswith("^") and not _fault(name.rstrip("^")):
        suggestion = f"{name.rstrip('^')}~{name.count('^')}"
        raise InvalidName(
            f"The ref name {_shown(name)} has a ^", hint=f"Did you mean {suggestion!r}?", suggestion=suggestion
        )
    check_ref_name(name)


def _check_handle(handle: str) -> None:
    if len(handle) > NAME_BYTES_MAX or not _HANDLE.fullmatch(handle):
        raise InvalidName(
            f"{_shown(handle)} is not the handle of a speculation",
            hint="Write spec: and the handle as it was given when the speculation was opened.",
        )


def _sum_of(steps: list[str], text: str) -> int:
    back = 0
    for step in steps:
        if "@" in step:
            raise InvalidName(
                f"In {_shown(text)} the time stands after ~", hint="The time comes first: main@2026-11-21T08:00:00Z~2."
            )
        if step and not (step.isascii() and step.isdigit()):
            raise InvalidName(
                f"In {_shown(text)} no whole number follows ~", hint="main~3 is the third commit before main."
            )
        # As many digits as the limit has already exceed it or convert at once; more are never converted.
        digits = step.lstrip("0")
        back += int(digits or "0") if len(digits) <= len(str(ANCESTOR_STEPS_MAX)) else ANCESTOR_STEPS_MAX + 1
        back += step == ""  # `main~` is `main~1`, as in git
        if back > ANCESTOR_STEPS_MAX:
            raise LimitExceeded(
                f"{_shown(text)} goes back more than {ANCESTOR_STEPS_MAX} commits",
                hint="Name a commit by its id, or a time: main@2026-11-21T08:00:00Z.",
                limit="ANCESTOR_STEPS_MAX",
                max=ANCESTOR_STEPS_MAX,
            )
    return back


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARS_MAX else text[:_SHOWN_CHARS_MAX] + "…")
