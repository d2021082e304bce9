from __future__ import annotations

from datetime import UTC, datetime

import pytest

from asg_mcp.cli import render
from asg_mcp.cli.output import Output
from asg_mcp.schemas.branch import RefItem
from asg_mcp.schemas.entries import ChangeItem, CommitItem
from asg_mcp.schemas.history import BlameItem

NOW = datetime(2026, 11, 21, 8, 0, 0, tzinfo=UTC)
MADE = {
    "commit": "0123456789ab",
    "agent": "night-watch",
    "principal": "local:tester",
    "client": "pytest/1",
    "category": "Fix",
    "description": "Drain it",
    "at": "2026-11-21T02:14:07.000000Z",
}


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ("2026-11-21T02:14:07Z", "5 hours ago"),
        ("2026-11-21T07:00:00Z", "1 hour ago"),
        ("2026-11-21T07:58:30Z", "1 minute ago"),
        ("2026-11-21T07:59:30Z", "just now"),
        ("2026-11-19T07:59:30Z", "2 days ago"),
        ("2026-11-21T09:00:00Z", ""),
    ],
)
def test_an_age_is_told_in_its_largest_unit(at: str, told: str) -> None:
    assert render.ago(at, NOW) == told


@pytest.mark.parametrize(("confidence", "told"), [(0.73, "73 %"), (1.0, "100 %"), (0.0, "0 %"), (0.005, "0.5 %")])
def test_a_confidence_is_told_in_percent(confidence: float, told: str) -> None:
    assert render.percent(confidence) == told


def test_a_long_value_is_cut_and_its_length_told() -> None:
    text = render.compact("x" * 1_000)
    assert len(text) < 500
    assert "(1002 characters" in text


def test_a_chain_without_the_optional_parts_has_no_empty_lines(capsys: pytest.CaptureFixture[str]) -> None:
    render.chain(Output(), BlameItem.model_validate({**MADE, "client": "", "path": "/a", "type": "int", "value": 1}))
    who, verified, what, at, commit = capsys.readouterr().out.splitlines()
    assert who == "  who         night-watch (agent, as claimed)"
    assert verified == "              local:tester (principal, verified)"
    assert what == "  what        Fix: Drain it"
    assert at.startswith("  when        2026-11-21 02:14:07 UTC")
    assert commit == "  commit      0123456789ab"


def test_null_and_nothing_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    changes = [
        ChangeItem.model_validate({"op": "replace", "path": "/a", "old": None, "new": 1}),
        ChangeItem.model_validate({"op": "add", "path": "/b", "new": None}),
        ChangeItem.model_validate({"op": "remove", "path": "/c", "old": 1}),
        ChangeItem.model_validate({"op": "move", "path": "/d/1", "from": "/d/0", "old": 1, "new": 1}),
        ChangeItem.model_validate({"op": "replace", "path": "/e", "left_out": {"new": 20_000}}),
    ]
    render.diff(Output(), changes)
    assert capsys.readouterr().out.splitlines() == [
        "~ /a  null → 1",
        "+ /b  null",
        "- /c  1",
        "> /d/1 (from /d/0)",
        "~ /e  (20000 bytes)",
    ]


def test_what_was_too_large_or_erased_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    item = {**MADE, "path": "/a", "type": "string", "withheld": True, "left_out": {"value": 20_000, "expected": 30_000}}
    render.blame(Output(), "main", [BlameItem.model_validate(item)])
    shown = capsys.readouterr().out
    assert "/a: a string of 20000 bytes" in shown
    assert "erased" in shown
    assert "expected: 30000 bytes" in shown


def test_an_authority_of_unknown_shape_is_shown_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    given = {"principal": "alice", "ticket": {"id": 7}, "delegation_chain": ["bob", {"to": "carol", "expires": "noon"}]}
    item = {**MADE, "path": "/a", "type": "map", "authority": given, "alternatives": [{"other": 1}]}
    render.blame(Output(), "main", [BlameItem.model_validate(item)])
    shown = capsys.readouterr().out
    for told in ("alice", '"bob"', "carol, until noon", 'ticket: {"id": 7}', '{"other": 1}', "/a: a map"):
        assert told in shown


def test_a_merge_and_a_long_description_keep_one_line_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    item = CommitItem.model_validate({**MADE, "description": "First\nsecond", "parents": ["a" * 12, "b" * 12]})
    render.log(Output(), [item])
    assert capsys.readouterr().out == "0123456789ab  2026-11-21 02:14  night-watch         merge Fix: First …\n"


def test_a_tag_and_its_distance_are_told_in_the_list_of_branches(capsys: pytest.CaptureFixture[str]) -> None:
    about = {"commit": "0123456789ab", "at": MADE["at"], "agent": "a", "description": "Why"}
    refs = [
        RefItem.model_validate({"name": "main", "kind": "branch", **about}),
        RefItem.model_validate({"name": "v1", "kind": "tag", "ahead": 2, "behind": 3, **about}),
    ]
    render.branches(Output(), refs)
    assert capsys.readouterr().out.splitlines() == [
        "branch  main  0123456789ab         2026-11-21 02:14  a  Why",
        "tag     v1    0123456789ab  +2 -3  2026-11-21 02:14  a  Why",
    ]


def test_session_and_intents_are_told_where_there_are_any(capsys: pytest.CaptureFixture[str]) -> None:
    more = {"session": "s-1", "intent_id": "drain-3", "parent_intent": "night-shift"}
    render.chain(Output(), CommitItem.model_validate({**MADE, **more, "parents": []}))
    shown = capsys.readouterr().out
    assert "s-1 (session)" in shown
    assert "  intent      drain-3\n  serves      night-shift\n" in shown
