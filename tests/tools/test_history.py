"""The history tools hand the repository what they were told, and hand back what it said."""

from __future__ import annotations

import pytest

from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.limits import VALUE_DEPTH_MAX
from asg_mcp.core.operations import ABSENT
from asg_mcp.errors import HandleNotFound
from asg_mcp.repo import results as r
from asg_mcp.repo.repository import Guard, Query, Resolution, RevertRequest
from tests.tools.recorder import AT, HEAD, PARENT, ROOT, called, commit_info

BRIEF = {
    "commit": HEAD.short,
    "agent": "night-watch",
    "principal": "ana",
    "client": "probe/1.0",
    "category": "Fix",
    "description": "Take node-3 out of rotation",
    "at": AT,
}
PROVENANCE = {
    "authority": {"principal": "on-call"},
    "alternatives": [{"description": "wait"}],
    "expected": None,
    "tool_calls": [{"tool": "kubectl"}],
}
EXPLAINED = commit_info(
    reasoning="CPU over 95 %",
    confidence=0.0,
    tags=("incident",),
    intent_id="i1",
    parent_intent="i0",
    session="s1",
    provenance=PROVENANCE,
)
ALL_OF_IT = BRIEF | {
    "reasoning": "CPU over 95 %",
    "confidence": 0.0,
    "session": "s1",
    "tags": ["incident"],
    "intent_id": "i1",
    "parent_intent": "i0",
    "authority": {"principal": "on-call"},
    "alternatives": [{"description": "wait"}],
    "expected": None,
}


async def test_log_tells_commits_with_what_was_given_and_nothing_else() -> None:
    answer = r.LogResult("main", (commit_info(parents=()), EXPLAINED), "more")
    recorder, reply = await called("asg_log", {"path": "/a", "limit": 2, "cursor": "c"}, log=answer)
    assert recorder.calls == [(("main", ("a",)), {"limit": 2, "cursor": "c"})]
    assert reply == {
        "ref": "main",
        "commits": [BRIEF | {"parents": []}, ALL_OF_IT | {"parents": [PARENT.short]}],
        "next_cursor": "more",
    }


async def test_log_tells_when_clocks_disagree_and_when_texts_were_erased() -> None:
    answer = r.LogResult("main", (commit_info(withheld=True, description=""),), "", clock_anomaly=True)
    _, reply = await called("asg_log", {}, log=answer)
    assert reply["clock_anomaly"] is True
    assert reply["commits"][0]["withheld"] is True


async def test_blame_tells_values_nulls_and_deletions_apart() -> None:
    entries = (
        r.BlameEntry(("a",), None, "null", EXPLAINED),
        r.BlameEntry(("a", "b"), ABSENT, "", commit_info()),
        r.BlameEntry(("a", "c"), "x" * 20_000, "string", commit_info()),
    )
    answer = r.BlameResult("main", HEAD, ("a",), entries, "", omitted=4)
    recorder, reply = await called("asg_blame", {"path": "/a"}, blame=answer)
    expected = {"depth": VALUE_DEPTH_MAX, "history": False, "limit": 20, "cursor": ""}
    assert recorder.calls == [(("main", ("a",)), expected)]
    assert reply == {
        "ref": "main",
        "commit": HEAD.short,
        "path": "/a",
        "entries": [
            ALL_OF_IT | {"path": "/a", "value": None, "type": "null"},
            BRIEF | {"path": "/a/b", "deleted": True},
            BRIEF | {"path": "/a/c", "type": "string", "left_out": {"value": 20_002}},
        ],
        "next_cursor": "",
        "omitted": 4,
    }


async def test_query_hands_every_filter_down() -> None:
    arguments = {
        "target": "state",
        "ref": "*",
        "path": "/a",
        "agent": "a",
        "principal": "p",
        "client": "c",
        "category": "fix",
        "tags": ["t"],
        "authority": "o",
        "intent": "i",
        "text": "w",
        "pattern": "r",
        "confidence_min": 0.1,
        "confidence_max": 0.9,
        "since": "s",
        "until": "u",
        "group_by": ["agent", "day"],
        "order_by": "count",
        "limit": 7,
        "cursor": "k",
    }
    group = r.Group({"agent": "a", "day": "2026-01-02"}, 3, AT, AT)
    answer = r.QueryResult("", (), (group,), "", 12)
    recorder, reply = await called("asg_query", arguments, query=answer)
    assert recorder.calls[0][0] == (
        Query(
            target="state",
            ref="",
            path=("a",),
            agent="a",
            principal="p",
            client="c",
            category=Category.FIX,
            tags=("t",),
            authority="o",
            intent="i",
            text="w",
            pattern="r",
            confidence_min=0.1,
            confidence_max=0.9,
            since="s",
            until="u",
            group_by=("agent", "day"),
            order_by="count",
            limit=7,
            cursor="k",
        ),
    )
    assert reply == {
        "ref": "*",
        "groups": [{"key": {"agent": "a", "day": "2026-01-02"}, "count": 3, "first_at": AT, "last_at": AT}],
        "next_cursor": "",
        "examined": 12,
    }


async def test_query_takes_the_argument_names_of_the_reference_project() -> None:
    given = {"agent_id": "a", "intent_category": "Fix", "reasoning_contains": "w", "authority_principal": "o"}
    recorder, _ = await called("asg_query", given, query=r.QueryResult("main", (), (), "", 0))
    assert recorder.calls[0][0] == (Query(agent="a", category=Category.FIX, text="w", authority="o"),)


async def test_query_tells_commits_agents_and_state_entries() -> None:
    agent = r.AgentInfo("a", 2, ("ana",), ("probe/1.0",), {"Fix": 2}, None, AT, AT)
    sure = r.AgentInfo("b", 1, ("ana",), (), {"Fix": 1}, 0.5, AT, AT)
    items = (EXPLAINED, agent, sure, r.StateItem(("a",), {}, "map", commit_info()))
    _, reply = await called("asg_query", {}, query=r.QueryResult("main", items, (), "", 4))
    told = {"agent": "a", "commits": 2, "principals": ["ana"], "clients": ["probe/1.0"], "categories": {"Fix": 2}}
    assert reply["items"] == [
        ALL_OF_IT | {"parents": [PARENT.short]},
        told | {"first_at": AT, "last_at": AT},
        told
        | {"agent": "b", "commits": 1, "clients": [], "categories": {"Fix": 1}}
        | {"confidence_mean": 0.5, "first_at": AT, "last_at": AT},
        BRIEF | {"path": "/a", "value": {}, "type": "map"},
    ]


async def test_a_full_view_adds_all_that_was_given() -> None:
    answer = r.QueryResult("main", (EXPLAINED, commit_info()), (), "", 2)
    _, reply = await called("asg_query", {"view": "full"}, query=answer)
    assert reply["items"][0]["provenance"] == PROVENANCE
    assert "provenance" not in reply["items"][1]


REVERTED = r.RevertResult("main", HEAD, PARENT, (PARENT,), 2, (), (), object=ROOT)


async def test_revert_is_a_rollback_unless_told_otherwise() -> None:
    arguments = {
        "commits": PARENT.short,
        "path": "",
        "since": "2026-01-01T00:00:00Z",
        "agent": "planner",
        "intent_description": "Undo it",
        "resolutions": [{"path": "/a", "take": "value", "value": None}, {"path": "/b", "take": "ours"}],
        "expected_head": HEAD.short,
        "request_id": "r",
        "provenance": {"agent": "morning-shift"},
    }
    recorder, reply = await called("asg_revert", arguments, revert=REVERTED)
    request = RevertRequest(
        commits=(PARENT.short,),
        agent="planner",
        since="2026-01-01T00:00:00Z",
        resolutions=(Resolution(("a",), "value", None), Resolution(("b",), "ours")),
    )
    intent = Intent(Category.ROLLBACK, "Undo it")
    author = Author("ana", "morning-shift", "probe/1.0")
    assert recorder.calls == [((request, intent, author, Guard(HEAD.short, "", "r")), {})]
    assert reply == {
        "ref": "main",
        "commit": HEAD.short,
        "parent": PARENT.short,
        "object": ROOT.short,
        "reverted": [PARENT.short],
        "changed": 2,
        "conflicts": [],
        "rebased": False,
    }


async def test_a_restored_path_may_be_the_root() -> None:
    given = {"path": "/", "source": "v1", "intent_description": "Start over", "intent_category": "Fix"}
    recorder, _ = await called("asg_revert", given, revert=REVERTED)
    assert recorder.calls[0][0][0] == RevertRequest(path=(), source="v1")


async def test_conflicts_leave_absent_sides_out_and_nothing_is_committed() -> None:
    conflict = r.Conflict(("a",), ABSENT, None, 1, "scalar")
    answer = r.RevertResult("main", None, None, (), 0, (), (conflict,))
    _, reply = await called("asg_revert", {"intent_description": "Undo it"}, revert=answer)
    assert reply == {
        "ref": "main",
        "reverted": [],
        "changed": 0,
        "conflicts": [{"path": "/a", "ours": None, "theirs": 1, "rule": "scalar"}],
        "rebased": False,
    }


async def test_a_preview_tells_the_changes_and_how_many_did_not_fit() -> None:
    changes = tuple(r.Change("add", (f"k{n}",), ABSENT, "x" * 1_000) for n in range(100))
    answer = r.RevertResult("main", None, HEAD, (PARENT,) * 3, 100, changes, ())
    _, reply = await called("asg_revert", {"intent_description": "Undo it", "preview": True}, revert=answer)
    assert 0 < len(reply["changes"]) < 100
    assert reply["reverted"] == [PARENT.short] * 3
    assert reply["omitted"] == {"changes": 100 - len(reply["changes"])}


async def test_a_preview_counts_the_changes_that_the_repository_did_not_hand_out() -> None:
    changes = tuple(r.Change("add", (f"k{n}",), ABSENT, n) for n in range(5))
    answer = r.RevertResult("main", None, HEAD, (PARENT,), 900, changes, ())
    _, reply = await called("asg_revert", {"intent_description": "Undo it", "preview": True}, revert=answer)
    assert (reply["changed"], len(reply["changes"]), reply["omitted"]) == (900, 5, {"changes": 895})


async def test_the_session_of_a_revert_selects_unless_something_else_does_and_then_it_acts() -> None:
    done = r.RevertResult("main", HEAD, PARENT, (PARENT,), 1, (), ())
    undo = {"intent_description": "Undo it", "session": "ses-1"}
    recorder, _ = await called("asg_revert", undo, revert=done)
    request, _, author, _ = recorder.calls[0][0]
    assert (request.session, author.session) == ("ses-1", "")
    with pytest.raises(HandleNotFound):
        await called("asg_revert", undo | {"commits": ["abcdef"]}, revert=done)
    session = r.SessionInfo("ses-1", "fixer", "ana", "fix", (), "", "", None, AT, AT, "open")
    recorder, _ = await called("asg_revert", undo | {"commits": ["abcdef"]}, revert=done, session=session)
    request, intent, author, _ = recorder.calls[0][0]
    assert (request.session, request.ref, author.agent, author.session) == ("", "fix", "fixer", "ses-1")
    assert intent.parent_intent == "ses-1"
