"""The speculation tools hand the repository what they were told, and hand back what it said."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_core import to_json

from asg_mcp.core.ids import CommitId
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.limits import REPLY_BYTES_MAX, SPECULATIONS_COMPARED_MAX
from asg_mcp.core.operations import ABSENT, Op, Operation
from asg_mcp.errors import InvalidArgument
from asg_mcp.repo import results as r
from asg_mcp.repo import specresults as sr
from asg_mcp.repo.repository import Guard, PromoteRequest, Resolution
from asg_mcp.repo.speculations import Speculations
from asg_mcp.schemas.base import json_schema
from asg_mcp.tools.registry import ToolContext
from asg_mcp.tools.speculate import CHANGE_BYTES_MAX, TOOLS
from tests.tools.recorder import AT, CALLER, HEAD, PARENT, ROOT, Recorder

BY_NAME = {tool.name: tool for tool in TOOLS}
HANDLE = "0123456789ab"
AUTHOR = Author("ana", "probe", "probe/1.0")
OPENED = sr.SpeculationResult(
    handle=HANDLE, label="", source="main", target="", base=PARENT, head=PARENT, expires=AT, changed=0
)


class OneAnswer(Speculations):
    """Answers every call with what it was given, and keeps the arguments."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.calls: list[tuple[str, list[Any]]] = []

    def _told(self, name: str, args: tuple[Any, ...]) -> Any:
        self.calls.append((name, list(args)))
        return self.answer

    async def open(self, *args: Any) -> Any:
        return self._told("asg_speculate", args)

    async def modify(self, *args: Any) -> Any:
        return self._told("asg_spec_modify", args)

    async def compare(self, *args: Any) -> Any:
        return self._told("asg_compare", args)

    async def commit(self, *args: Any) -> Any:
        return self._told("asg_commit_spec", args)

    async def discard(self, *args: Any) -> Any:
        return self._told("asg_discard", args)


async def called(tool: str, arguments: dict[str, Any], answer: Any) -> tuple[list[Any], dict[str, Any]]:
    """Call a tool over a recorder: the arguments that the repository was given, and the reply as it travels."""
    found = BY_NAME[tool]
    recorder = Recorder()
    recorder.speculations = OneAnswer(answer)
    reply = await found.handler(ToolContext(recorder, CALLER), found.params.model_validate(arguments))
    [(name, args)] = recorder.speculations.calls
    assert name == tool
    return args, reply.dump()


async def test_speculate_begins_at_main_unless_told_otherwise() -> None:
    args, reply = await called("asg_speculate", {}, OPENED)
    assert args == ["main", "", AUTHOR, ""]
    assert reply == {
        "handle": HANDLE,
        "ref": f"spec:{HANDLE}",
        "base": PARENT.short,
        "commit": PARENT.short,
        "changed": 0,
        "expires": AT,
    }
    given = {"from": "v1", "label": "bold", "request_id": "r1"}
    args, reply = await called("asg_speculate", given, sr.SpeculationResult(**_fields(OPENED), replayed=True))
    assert args == ["v1", "bold", AUTHOR, "r1"]
    assert (reply["label"], reply["target"], reply["replayed"]) == ("bold", "main", True)


def _fields(base: sr.SpeculationResult) -> dict[str, Any]:
    names = ("handle", "source", "base", "head", "expires", "changed")
    return {name: getattr(base, name) for name in names} | {"label": "bold", "target": "main"}


@pytest.mark.parametrize("value", ['{"a": 1}', {"a": [1, None, "2"]}, [], "", None, 1.5, False])
async def test_spec_modify_keeps_every_json_value_what_it_is(value: Any) -> None:
    operations = [
        {"op": "set", "path": "/a", "value": value},
        {"op": "delete", "path": "/b"},
        {"op": "move", "path": "/c", "from": "/d"},
    ]
    for name in ("handle", "handle_id"):
        args, reply = await called("asg_spec_modify", {name: HANDLE, "operations": operations}, OPENED)
        assert args == [
            HANDLE,
            [
                Operation(Op.SET, ("a",), value),
                Operation(Op.DELETE, ("b",)),
                Operation(Op.MOVE, ("c",), ABSENT, ("d",)),
            ],
            AUTHOR,
            "",
        ]
        assert type(args[1][0].value) is type(value)
        assert reply["changed"] == 0


async def test_an_operation_that_makes_no_sense_is_named_by_its_place() -> None:
    given = {"handle": HANDLE, "operations": [{"op": "delete", "path": "/a"}, {"op": "set", "path": "/b"}]}
    with pytest.raises(InvalidArgument, match=r"operations\[1\]"):
        await called("asg_spec_modify", given, OPENED)
    with pytest.raises(ValidationError):
        await called("asg_spec_modify", {"handle": HANDLE, "operations": []}, OPENED)


async def test_compare_tells_changes_counts_and_whether_the_branch_is_in_the_way() -> None:
    change = r.Change("replace", ("a",), 1, None)
    clash = r.Conflict(("a",), 1, 2, 3)
    answer = sr.CompareResult(
        (
            sr.Compared("h1", "one", PARENT, HEAD, "main", sr.ChangeSet((change,), {"replace": 3}), (clash,)),
            sr.Compared("h2", "", PARENT, HEAD, "main", sr.ChangeSet((), {}), ()),
            sr.Compared("h3", "", PARENT, HEAD, "", sr.ChangeSet((), {}), None),
        ),
        (sr.ComparedPair("h1", "h2", sr.ChangeSet((r.Change("remove", ("a",), 1, ABSENT),), {"remove": 1})),),
    )
    args, reply = await called("asg_compare", {"handles": ["h1", "h2", "h3"]}, answer)
    assert args == [["h1", "h2", "h3"], AUTHOR, ""]
    commits = {"base": PARENT.short, "commit": HEAD.short}
    assert reply == {
        "speculations": [
            {
                "handle": "h1",
                "label": "one",
                **commits,
                "target": "main",
                "clean": False,
                "conflicts": ["/a"],
                "counts": {"replace": 3},
                "changes": [{"op": "replace", "path": "/a", "old": 1, "new": None}],
                "omitted": 2,
            },
            {"handle": "h2", **commits, "target": "main", "clean": True, "counts": {}, "changes": []},
            {"handle": "h3", **commits, "counts": {}, "changes": []},
        ],
        "pairs": [
            {
                "one": "h1",
                "other": "h2",
                "counts": {"remove": 1},
                "changes": [{"op": "remove", "path": "/a", "old": 1}],
            }
        ],
    }


@pytest.mark.parametrize("size", [1, 300, 5_000, 40_000])
async def test_the_widest_comparison_fits_a_reply_and_counts_what_it_leaves_out(size: int) -> None:
    changes = tuple(r.Change("replace", ("k" * 100, str(number)), "x" * size, "y") for number in range(50))
    wide = sr.ChangeSet(changes, {"replace": 900, "add": 100})
    handles = [f"{number:012d}" for number in range(SPECULATIONS_COMPARED_MAX)]
    clashes = tuple(r.Conflict(("q" * 900, str(number)), 1, 2, 3) for number in range(40))
    answer = sr.CompareResult(
        tuple(sr.Compared(handle, "l" * 200, PARENT, HEAD, "b" * 200, wide, clashes) for handle in handles),
        tuple(sr.ComparedPair(one, other, wide) for one, other in combinations(handles, 2)),
    )
    _, reply = await called("asg_compare", {"handles": handles}, answer)
    assert len(to_json(reply)) <= REPLY_BYTES_MAX
    for told in [*reply["speculations"], *reply["pairs"]]:
        assert told["changes"]
        assert len(told["changes"]) + told["omitted"] == 1_000
        if size > CHANGE_BYTES_MAX:
            assert told["changes"][0]["left_out"]["old"] == size + 2
    assert all(
        told["conflicts"] and told["conflicts_omitted"] == 40 - len(told["conflicts"]) for told in reply["speculations"]
    )


async def test_a_large_value_is_left_out_of_a_comparison_by_name() -> None:
    large = sr.ChangeSet((r.Change("replace", ("a",), "x" * CHANGE_BYTES_MAX, 1),), {"replace": 1})
    answer = sr.CompareResult((sr.Compared("h1", "", PARENT, HEAD, "", large, None),), ())
    _, reply = await called("asg_compare", {"handle_ids": "h1"}, answer)
    [change] = reply["speculations"][0]["changes"]
    assert change == {"op": "replace", "path": "/a", "left_out": {"old": CHANGE_BYTES_MAX + 2, "new": 1}}


PROMOTED = sr.PromoteResult(
    handle=HANDLE,
    ref="main",
    commit=HEAD,
    parent=PARENT,
    changed=2,
    conflicts=(),
    alternatives=("h2",),
    object=ROOT,
    rebased=True,
)


async def test_commit_spec_gives_target_reasons_and_resolutions_to_the_repository() -> None:
    given = {
        "handle": HANDLE,
        "target": "release",
        "resolutions": [{"path": "/a", "take": "value", "value": None}],
        "intent_category": "fix",
        "intent_description": "The best.",
        "reasoning": "Fastest.",
        "confidence": 1,
        "expected_head": "abcdef",
        "request_id": "r1",
        "provenance": {"alternatives": ["Wait", {"description": "two", "handle": "h2"}], "agent": "planner"},
    }
    args, reply = await called("asg_commit_spec", given, PROMOTED)
    alternatives = [{"description": "Wait"}, {"description": "two", "handle": "h2"}]
    assert args == [
        PromoteRequest(HANDLE, "release", (Resolution(("a",), "value", None),)),
        Intent(Category.FIX, "The best.", "Fastest.", 1.0, provenance={"alternatives": alternatives}),
        Author("ana", "planner", "probe/1.0"),
        Guard("abcdef", "", "r1"),
    ]
    assert reply == {
        "handle": HANDLE,
        "ref": "main",
        "commit": HEAD.short,
        "parent": PARENT.short,
        "object": ROOT.short,
        "changed": 2,
        "rebased": True,
        "conflicts": [],
        "alternatives": ["h2"],
    }


async def test_commit_spec_hands_back_conflicts_and_counts_those_that_do_not_fit() -> None:
    clashes = tuple(r.Conflict((str(number),), 1, "x" * 9_000, ABSENT) for number in range(5))
    stuck = sr.PromoteResult(HANDLE, "main", None, PARENT, 0, clashes, (), None, rebased=True)
    required = {"handle": HANDLE, "intent_category": "Refine", "intent_description": "x"}
    _, reply = await called("asg_commit_spec", required, stuck)
    assert "commit" not in reply
    assert reply["conflicts"][0] == {"path": "/0", "rule": "scalar", "base": 1, "ours": "x" * 9_000}
    assert len(reply["conflicts"]) + reply["omitted"]["conflicts"] == 5
    for name in required:
        with pytest.raises(ValidationError):
            await called("asg_commit_spec", {key: item for key, item in required.items() if key != name}, stuck)


async def test_what_the_schema_says_against_it_travels_with_the_commit() -> None:
    warned = (r.SchemaWarning(("a",), "is no number"),)
    fields = {name: getattr(PROMOTED, name) for name in PROMOTED.__dataclass_fields__}
    given = {"handle": HANDLE, "intent_category": "Refine", "intent_description": "x"}
    _, reply = await called("asg_commit_spec", given, sr.PromoteResult(**{**fields, "warnings": warned}))
    assert reply["warnings"] == [{"path": "/a", "message": "is no number"}]


async def test_discard_hands_back_the_lesson_and_where_the_trial_can_be_read() -> None:
    answer = sr.DiscardResult(HANDLE, "bold", "Slow.", CommitId(HEAD))
    args, reply = await called("asg_discard", {"handle": HANDLE, "lesson": "Slow.", "request_id": "r1"}, answer)
    assert args == [HANDLE, "Slow.", AUTHOR, "r1"]
    assert reply == {"handle": HANDLE, "label": "bold", "lesson": "Slow.", "commit": HEAD.short}
    args, reply = await called("asg_discard", {"handle_id": HANDLE}, sr.DiscardResult(HANDLE, "", "", HEAD, True))
    assert (args[1], reply["lesson"], reply["replayed"]) == ("", "", True)


def test_the_tools_stay_within_their_part_of_the_list() -> None:
    def size(name: str) -> int:
        tool = BY_NAME[name]
        told = {"name": name, "description": tool.description, "inputSchema": json_schema(tool.params, brief=True)}
        return len(to_json(told))

    assert sum(map(size, BY_NAME)) <= 2_800
