"""What callers of the tools are told where something was erased."""

from __future__ import annotations

from pathlib import Path

import pytest

from asg_mcp.errors import Withheld
from asg_mcp.schemas.branch import DiffParams
from asg_mcp.schemas.history import BlameParams, LogParams
from asg_mcp.schemas.state import GetParams, SearchParams
from asg_mcp.tools import branch, history, state
from asg_mcp.tools.registry import Caller, ToolContext
from tests.repo.redactdesk import open_redact_desk

SECRET = "hunter2-Qx91zz"


async def test_replies_name_what_was_erased(tmp_path: Path) -> None:
    async with open_redact_desk(tmp_path) as desk:
        await desk.set("/a", {"password": SECRET, "n": 1})
        commit = await desk.set("/a/password", "other", description=f"Not {SECRET} any more.")
        await desk.redact("value", value=SECRET)
        context = ToolContext(desk.repo, Caller("local:alice", "test/1", "tester"))
        got = (await state.get(context, GetParams(ref="main~1", path="/a"))).dump()
        assert got["withheld"] == ["/a/password"]
        assert list(got["value"]["password"]) == ["$withheld"]
        assert "withheld" not in (await state.get(context, GetParams(path="/a"))).dump()
        with pytest.raises(Withheld):
            await state.get(context, GetParams(ref="main~1", path="/a/password"))
        found = (await state.search(context, SearchParams(ref="main~1", query="hunter"))).dump()
        assert (found["matches"], found["withheld"]) == ([], 1)
        assert "withheld" not in (await state.search(context, SearchParams(query="hunter"))).dump()
        [told, *_] = (await history.log(context, LogParams())).dump()["commits"]
        assert (told["commit"], told["withheld"], told["description"]) == (commit[:12], True, "(withheld)")
        [told] = (await history.blame(context, BlameParams(ref="main~1", path="/a/password"))).dump()["entries"]
        assert (told["type"], list(told["value"])) == ("withheld", ["$withheld"])
        [told] = (await branch.diff(context, DiffParams(ref_a="main~1", ref_b="main"))).dump()["changes"]
        assert (told["op"], list(told["old"]), told["new"]) == ("replace", ["$withheld"], "other")
