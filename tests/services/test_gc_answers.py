"""What was pruned answers so on every way in: the library, HTTP, MCP, to its own principal and to others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from asg_mcp import AsyncStateGraph
from asg_mcp.core.intents import Category, Intent
from asg_mcp.errors import CommitNotFound, Pruned
from asg_mcp.repo.collectingresults import CollectRequest
from asg_mcp.repo.guards import Guard
from tests.repo.desk import Desk, open_desk, ops
from tests.repo.stores import ALICE
from tests.repo.test_collecting import Yard, silent
from tests.server.http_served import site
from tests.server.served import read, served

NOW = CollectRequest(grace_seconds=0, rehearse=False, shrink=False)


async def pruned_trial(desk: Desk) -> str:
    """The short id of what was tried, discarded and collected."""
    yard = Yard(desk.repo)
    tried = await yard.trial()
    await desk.repo.collect(NOW, ALICE, silent)
    return tried[:12]


async def test_the_library_raises_it_and_lists_the_commit_as_pruned(tmp_path: Path) -> None:
    async with AsyncStateGraph(tmp_path / "state.db", agent="tester") as graph:
        trial = await graph.speculate()
        await graph.spec_modify(trial, [{"op": "set", "path": "/a", "value": 1}])
        tried = (await graph.log(f"spec:{trial.handle}", 1))[0].commit
        await graph.discard(trial)
        async with open_desk(tmp_path) as desk:  # as `asg-mcp gc` does it, beside the program
            await desk.repo.collect(NOW, ALICE, silent)
        with pytest.raises(Pruned):
            await graph.get("/a", tried)
        with pytest.raises(Pruned):
            await graph.branch("again", tried)
        newest = (await graph.log(tried, 1))[0]
        assert (newest.pruned, newest.withheld, newest.description) == (True, False, "")


async def test_over_http_it_is_a_404_with_its_code_and_hint(tmp_path: Path) -> None:
    async with site(tmp_path) as running, running.http() as http:
        held = (await Yard(running.desk.repo).dropped())[:12]
        await running.desk.repo.collect(replace(NOW, prune=True), ALICE, silent)
        for tool, asked in (
            ("get", {"ref": held, "path": "/held"}),
            ("diff", {"ref_a": "main", "ref_b": held}),
            ("blame", {"ref": held, "path": "/held"}),
            ("branch", {"name": "again", "from": held}),
        ):
            reply = await http.post(f"/api/tools/asg_{tool}", json=asked)
            told = reply.json()
            assert (reply.status_code, told["code"], told["details"]["commit"]) == (404, "pruned", held)
            assert told["hint"]


async def test_over_mcp_it_is_told_and_its_commit_can_be_read_by_address(tmp_path: Path) -> None:
    async with served(tmp_path) as (desk, client):
        tried = await pruned_trial(desk)
        answer = await client.call_tool("asg_get", {"ref": tried, "path": "/tried"})
        assert answer.is_error
        assert '"code":"pruned"' in str(answer.content)
        commit = await read(client, f"asg://commit/{tried}")
        assert (commit["commit"], commit["pruned"], commit["agent"]) == (tried, True, ALICE.agent)
        listed = await client.call_tool("asg_log", {"ref": tried, "limit": 1})
        assert listed.structured_content is not None
        assert listed.structured_content["commits"][0]["pruned"] is True
        with pytest.raises(Exception, match="taken away"):
            await read(client, f"asg://state/{tried}/tried")


async def test_an_intent_whose_commit_was_pruned_is_listed_as_such(tmp_path: Path) -> None:
    async with served(tmp_path) as (desk, client):
        await desk.branch("side")
        intent = Intent(Category.FIX, "Mend it.", intent_id="mending")
        await desk.repo.commit("side", ops(("set", "/a", 1)), intent, ALICE, Guard())
        await desk.repo.delete_branch("side", ALICE)
        asked = {"target": "intents", "intent": "mending", "ref": ""}
        before = (await client.call_tool("asg_query", asked)).structured_content
        await desk.repo.collect(replace(NOW, prune=True), ALICE, silent)
        after = (await client.call_tool("asg_query", asked)).structured_content
    assert before is not None
    assert after is not None
    [[was], [now]] = before["items"], after["items"]
    assert (was["description"], "pruned" in was) == ("Mend it.", False)
    assert (now["description"], now["pruned"], now["commit"]) == ("", True, was["commit"])


async def test_to_other_principals_a_trial_that_was_pruned_is_still_as_if_it_were_not_there(tmp_path: Path) -> None:
    async with served(tmp_path) as (desk, _):
        tried = await pruned_trial(desk)
        for principal, error in (("local:eve", CommitNotFound), (ALICE.principal, Pruned)):
            with pytest.raises(error):
                await desk.repo.seen_by(principal).get(tried, (), depth=None, max_bytes=1_000, cursor="")
