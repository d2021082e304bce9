"""Which action a policy has for a kind of secret at a place."""

from __future__ import annotations

import pytest

from asg_mcp.core.paths import parse_path
from asg_mcp.core.secretpolicy import Action, Policy, parse_policy
from asg_mcp.core.secretrules import RuleKind
from asg_mcp.errors import InvalidArgument, InvalidPath

TOKEN, PERSONAL = RuleKind.TOKEN, RuleKind.PERSONAL


def test_without_a_policy_everything_is_refused() -> None:
    for kind in RuleKind:
        assert Policy().action(kind, ()) is Policy().action(kind, None) is Action.REJECT
    assert parse_policy("") == parse_policy(" , ") == Policy()


@pytest.mark.parametrize(
    ("policy", "kind", "path", "action"),
    [
        ("/notes=mask", TOKEN, "/notes", "mask"),
        ("/notes=mask", TOKEN, "/notes/a/b", "mask"),
        ("/notes=mask", TOKEN, "/notes2", "reject"),
        ("/notes=mask", TOKEN, None, "reject"),
        ("/=allow,/notes=mask", TOKEN, "/notes/1", "mask"),
        ("/notes=mask,/=allow", TOKEN, "/notes/1", "mask"),
        ("/notes=mask,/=allow", TOKEN, None, "allow"),
        ("/=allow,texts=mask", TOKEN, None, "mask"),
        ("/=allow,texts=mask", TOKEN, "/a", "allow"),
        ("texts=mask", TOKEN, "/texts", "reject"),
        ("/c:personal=allow", PERSONAL, "/c/iban", "allow"),
        ("/c:personal=allow", TOKEN, "/c/iban", "reject"),
        ("/c:personal=allow,/c=salt", PERSONAL, "/c/iban", "allow"),
        ("/c:personal=allow,/c=salt", TOKEN, "/c/iban", "salt"),
        ("/c:personal=allow,/c/d=salt", PERSONAL, "/c/d", "salt"),
        ("/a~1b=allow", TOKEN, "/a~1b/c", "allow"),
        ("/a=b=allow", TOKEN, "/a=b/c", "allow"),
        ("/a=mask,/a=salt", TOKEN, "/a", "salt"),
    ],
)
def test_the_longest_prefix_decides_then_the_clause_with_a_kind(
    policy: str, kind: RuleKind, path: str | None, action: str
) -> None:
    tokens = None if path is None else parse_path(path)
    assert parse_policy(policy).action(kind, tokens) is Action(action)


@pytest.mark.parametrize("text", ["/a", "allow", "/a=drop", "a=allow", "=allow", "/a:tokens=", "notes=mask"])
def test_what_is_no_clause_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse_policy(text)
    assert "/notes=mask" in refused.value.hint


def test_a_prefix_that_is_no_pointer_is_refused() -> None:
    with pytest.raises(InvalidPath):
        parse_policy("/a~2b=mask")


@pytest.mark.parametrize(
    ("text", "off"),
    [
        ("/=allow", True),
        ("", False),
        ("/=allow,/a=mask", False),
        ("/:token=allow", False),
        ("/=allow,texts=mask", False),
    ],
)
def test_nothing_is_looked_for_only_where_everything_is_allowed(text: str, off: bool) -> None:
    assert parse_policy(text).looks_at_nothing is off
