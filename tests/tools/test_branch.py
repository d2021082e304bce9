"""The branch tools hand the repository what they were told, and hand back what it said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic_core import to_json

from asg_mcp.core.intents import Author, Category
from asg_mcp.core.limits import REPLY_BYTES_MAX
from asg_mcp.core.operations import ABSENT
from asg_mcp.errors import Forbidden, HandleNotFound, InvalidArgument
from asg_mcp.repo import results as r
from asg_mcp.repo.repository import Guard, MergeRequest, Resolution
from tests.tools.recorder import AT, HEAD, PARENT, ROOT, called, commit_info

ME = Author("ana", "probe", "probe/1.0")
MAIN = r.RefInfo("main", "branch", HEAD, AT, "planner", "Begin")
DEV = r.RefInfo("dev", "branch", HEAD, AT, "planner", "Begin", ahead=0, behind=2)
TOLD = {"kind": "branch", "commit": HEAD.short, "at": AT, "agent": "planner", "description": "Begin"}


async def test_branch_names_its_source_kind_and_author() -> None:
    recorder, reply = await called("asg_branch", {"name": "dev", "from": "main~3", "request_id": "r"}, branch=DEV)
    assert recorder.calls == [(("dev", "branch", "main~3", ME, "r"), {})]
    assert reply == TOLD | {"name": "dev", "ahead": 0, "behind": 2}


async def test_a_tag_is_a_branch_of_another_kind_from_main_by_default() -> None:
    recorder, _ = await called("asg_branch", {"name": "v1", "kind": "tag"}, branch=DEV)
    assert recorder.calls == [(("v1", "tag", "main", ME, ""), {})]


@pytest.mark.parametrize(("given", "kind"), [({}, "all"), ({"kind": "tag"}, "tag")])
async def test_list_branches_tells_refs_and_their_distance(given: dict[str, Any], kind: str) -> None:
    answer = r.RefList(refs=(DEV, MAIN), total=9, next_cursor="more")
    recorder, reply = await called("asg_list_branches", {"prefix": "d", "limit": 2, **given}, list_refs=answer)
    assert recorder.calls == [(("d",), {"kind": kind, "limit": 2, "cursor": ""})]
    assert reply == {
        "branches": [TOLD | {"name": "dev", "ahead": 0, "behind": 2}, TOLD | {"name": "main"}],
        "total": 9,
        "next_cursor": "more",
    }


async def test_delete_branch_tells_what_the_name_stood_for() -> None:
    recorder, reply = await called("asg_delete_branch", {"name": "dev", "request_id": "r"}, delete_branch=DEV)
    assert recorder.calls == [(("dev", ME, "r"), {})]
    assert (reply["name"], reply["commit"]) == ("dev", HEAD.short)


@pytest.mark.parametrize("tool", ["asg_branch", "asg_delete_branch"])
async def test_a_ref_changed_under_a_session_that_is_not_open_is_refused(tool: str) -> None:
    with pytest.raises(HandleNotFound):
        await called(tool, {"name": "dev", "session": "s1"})


async def test_diff_leaves_an_absent_side_out_and_tells_a_stored_null() -> None:
    changes = (
        r.Change("add", ("a",), ABSENT, None),
        r.Change("remove", ("b",), None, ABSENT),
        r.Change("type", ("c",), 1, 1.0),
        r.Change("move", ("l", "0"), "x", "x", source=("l", "3")),
        r.Change("replace", ("big",), "y" * 20_000, 1),
    )
    answer = r.DiffResult("main", "dev", PARENT, HEAD, changes, "")
    recorder, reply = await called("asg_diff", {"ref_b": "dev", "path": "/p", "cursor": "c"}, diff=answer)
    assert recorder.calls == [(("main", "dev", ("p",)), {"limit": 20, "cursor": "c"})]
    assert reply == {
        "ref_a": "main",
        "ref_b": "dev",
        "commit_a": PARENT.short,
        "commit_b": HEAD.short,
        "changes": [
            {"op": "add", "path": "/a", "new": None},
            {"op": "remove", "path": "/b", "old": None},
            {"op": "type", "path": "/c", "old": 1, "new": 1.0},
            {"op": "move", "path": "/l/0", "from": "/l/3", "old": "x", "new": "x"},
            {"op": "replace", "path": "/big", "new": 1, "left_out": {"old": 20_002}},
        ],
        "next_cursor": "",
    }
    assert type(reply["changes"][2]["new"]) is float


MERGED = r.MergeResult(
    ref="main",
    merged=True,
    commit=HEAD,
    parent=PARENT,
    source=HEAD,
    bases=(PARENT,),
    changed=2,
    changes=(),
    conflicts=(),
    object=ROOT,
)


async def test_merge_hands_over_sides_strategy_resolutions_intent_and_guard() -> None:
    given = {
        "source": "dev",
        "target": "release",
        "strategy": "theirs",
        "resolutions": [{"path": "/a", "take": "value", "value": None}, {"path": "/b", "take": "ours"}],
        "intent_description": "Ship it",
        "reasoning": "It is done",
        "expected_head": "abcdef",
        "request_id": "r",
        "provenance": {"agent": "releaser"},
    }
    recorder, reply = await called("asg_merge", given, merge=MERGED)
    [((request, intent, author, guard), _)] = recorder.calls
    assert request == MergeRequest(
        "dev", "release", "theirs", (Resolution(("a",), "value", None), Resolution(("b",), "ours"))
    )
    assert (intent.category, intent.description, intent.reasoning) == (Category.MERGE, "Ship it", "It is done")
    assert (author.agent, guard) == ("releaser", Guard("abcdef", "", "r"))
    assert reply == {
        "ref": "main",
        "merged": True,
        "commit": HEAD.short,
        "parent": PARENT.short,
        "object": ROOT.short,
        "changed": 2,
        "conflicts": [],
        "rebased": False,
    }


async def test_merge_goes_into_main_by_itself_and_tells_what_was_there_already() -> None:
    answer = replace(MERGED, already=True, changed=0, replayed=True)
    recorder, reply = await called("asg_merge", {"source": "dev", "intent_description": "Join"}, merge=answer)
    assert recorder.calls[0][0][0] == MergeRequest("dev")
    assert (reply["already"], reply["replayed"], reply["changed"]) == (True, True, 0)


async def test_conflicts_of_a_merge_tell_every_side_and_who_changed_it() -> None:
    conflict = r.Conflict(("a",), 1, None, ABSENT, "scalar", ours_by=commit_info())
    answer = replace(MERGED, merged=False, commit=None, object=None, changed=0, conflicts=(conflict,))
    _, reply = await called("asg_merge", {"source": "dev", "intent_description": "Join"}, merge=answer)
    assert (reply["merged"], "commit" in reply) == (False, False)
    told = {"commit": HEAD.short, "agent": "night-watch", "description": "Take node-3 out of rotation", "at": AT}
    assert reply["conflicts"] == [{"path": "/a", "rule": "scalar", "base": 1, "ours": None, "ours_by": told}]


async def test_a_long_preview_of_a_merge_says_how_much_it_left_out() -> None:
    changes = tuple(r.Change("add", ("a", str(number)), ABSENT, "x" * 200) for number in range(400))
    answer = replace(MERGED, merged=False, commit=None, object=None, changed=1_000, changes=changes)
    arguments = {"source": "dev", "intent_description": "Join", "preview": True}
    _, reply = await called("asg_merge", arguments, merge=answer)
    assert 0 < len(reply["changes"]) < 400
    assert reply["omitted"] == {"changes": 1_000 - len(reply["changes"])}
    assert len(to_json(reply)) <= REPLY_BYTES_MAX


async def test_a_merge_in_a_session_goes_to_its_branch_on_its_authority_and_in_its_service() -> None:
    held = {"principal": "the board", "scope": "all"}
    session = r.SessionInfo("ses-1", "fixer", "ana", "fix", (), "", "", held, AT, AT, "open")
    arguments = {"source": "dev", "intent_description": "Bring it in", "session": "ses-1"}
    recorder, _ = await called("asg_merge", arguments, merge=MERGED, session=session)
    request, intent, author, _ = recorder.calls[0][0]
    assert (request.target, author.session, intent.parent_intent) == ("fix", "ses-1", "ses-1")
    assert intent.provenance["authority"] == held
    narrower = {"provenance": {"authority": {"principal": "the board", "scope": "one node"}}}
    recorder, _ = await called("asg_merge", arguments | narrower, merge=MERGED, session=session)
    assert recorder.calls[0][0][1].provenance["authority"]["scope"] == "one node"
    king = {"provenance": {"authority": "the king"}}
    with pytest.raises(Forbidden, match="authority of the board, not of the king"):
        await called("asg_merge", arguments | king, merge=MERGED, session=session)


@pytest.mark.parametrize(
    "resolution",
    [{"path": "/a", "take": "value"}, {"path": "/a", "take": "ours", "value": 1}],
)
async def test_a_resolution_has_a_value_where_it_takes_one_and_nowhere_else(resolution: dict[str, Any]) -> None:
    arguments = {"source": "dev", "intent_description": "Bring it in", "resolutions": [resolution]}
    with pytest.raises(InvalidArgument, match=r"resolutions\[0\]"):
        await called("asg_merge", arguments, merge=MERGED)
