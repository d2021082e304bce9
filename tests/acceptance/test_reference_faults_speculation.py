"""What went wrong with speculations in the project that this one learns from; here each is right.

The calls are those of the tools, over a real file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.app import open_repository
from asg_mcp.errors import AsgError, Forbidden, HandleNotFound, PathNotFound
from asg_mcp.tools import branch, history, speculate, state
from asg_mcp.tools.aliases import ALIASES
from asg_mcp.tools.registry import Caller, ToolContext

TOOLS = {tool.name: tool for tool in (*state.TOOLS, *branch.TOOLS, *history.TOOLS, *speculate.TOOLS)}
BY_ALIAS = {alias.name: alias for alias in ALIASES}
WHY = {"intent_category": "Refine", "intent_description": "The winner."}


class Client:
    """Calls tools by name, as one principal."""

    def __init__(self, repo: Any, principal: str) -> None:
        self.context = ToolContext(repo.seen_by(principal), Caller(principal, "probe/1.0", "probe"))

    async def call(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        """The reply, as it travels."""
        alias = BY_ALIAS.get(name)
        if alias is not None:
            name, arguments = alias.tool, alias.arguments(arguments)
        tool = TOOLS[name]
        return (await tool.handler(self.context, tool.params.model_validate(arguments))).dump()

    async def set(self, path: str, value: Any, **given: Any) -> dict[str, Any]:
        """One write."""
        return await self.call("asg_set", path=path, value=value, **(WHY | given))

    async def value(self, path: str = "/", ref: str = "main") -> Any:
        """One value."""
        return (await self.call("asg_get", path=path, ref=ref))["value"]

    async def tried(self, *operations: dict[str, Any], **given: Any) -> str:
        """The handle of a speculation in which something was tried."""
        handle: str = (await self.call("asg_speculate", **given))["handle"]
        if operations:
            await self.call("asg_spec_modify", handle=handle, operations=list(operations))
        return handle


@asynccontextmanager
async def at_work(folder: Path, *principals: str) -> AsyncIterator[list[Client]]:
    async with open_repository(folder / "state.db") as repo:
        yield [Client(repo, principal) for principal in principals]
        assert (await repo.verify(lambda what, done, total: None)).problems == ()


@pytest.fixture
async def ana(tmp_path: Path) -> AsyncIterator[Client]:
    async with at_work(tmp_path, "ana") as [client]:
        yield client


async def test_committing_a_speculation_keeps_what_another_agent_committed_meanwhile(tmp_path: Path) -> None:
    async with at_work(tmp_path, "ana", "bob") as [ana, bob]:
        handle = await ana.tried({"op": "set", "path": "/y", "value": 1})
        others = await bob.set("/z", 2)
        done = await ana.call("asg_commit_spec", handle=handle, **WHY)
        assert await ana.value() == {"y": 1, "z": 2}
        assert (done["parent"], done["rebased"]) == (others["commit"], True)
        diff = await ana.call("asg_diff", ref_a=others["commit"], ref_b="main")
        assert [(change["op"], change["path"]) for change in diff["changes"]] == [("add", "/y")]


async def test_a_change_of_the_same_value_is_asked_about_and_never_overwritten(tmp_path: Path) -> None:
    async with at_work(tmp_path, "ana", "bob") as [ana, bob]:
        await ana.set("/y", 0)
        handle = await ana.tried({"op": "set", "path": "/y", "value": 1})
        await bob.set("/y", 2)
        stuck = await ana.call("asg_commit_spec", handle=handle, **WHY)
        [conflict] = stuck["conflicts"]
        assert (conflict["path"], conflict["base"], conflict["ours"], conflict["theirs"]) == ("/y", 0, 2, 1)
        assert await ana.value("/y") == 2
        await ana.call("asg_commit_spec", handle=handle, resolutions=[{"path": "/y", "take": "theirs"}], **WHY)
        assert await ana.value("/y") == 1


async def test_an_object_set_in_a_speculation_is_an_object_and_not_its_text(ana: Client) -> None:
    handle = await ana.tried({"op": "set", "path": "/cfg", "value": {"a": 1, "list": [1, "[2]"]}})
    assert await ana.value("/cfg/list", f"spec:{handle}") == [1, "[2]"]
    await ana.call("agentstategraph_commit_spec", handle_id=handle, **WHY)
    assert await ana.value("/cfg") == {"a": 1, "list": [1, "[2]"]}


async def test_operations_before_one_that_fails_are_not_applied(ana: Client) -> None:
    handle = await ana.tried({"op": "set", "path": "/a", "value": 1})
    with pytest.raises(PathNotFound):
        await ana.call(
            "agentstategraph_spec_modify",
            handle_id=handle,
            operations=[{"op": "set", "path": "/a", "value": 2}, {"op": "delete", "path": "/nothing"}],
        )
    assert await ana.value("/a", f"spec:{handle}") == 1


async def test_a_handle_works_in_every_later_call_and_after_a_restart(tmp_path: Path) -> None:
    async with at_work(tmp_path, "ana") as [ana]:
        handle = (await ana.call("agentstategraph_speculate", label="x"))["handle"]
        await ana.call("asg_spec_modify", handle=handle, operations=[{"op": "set", "path": "/a", "value": 1}])
    async with at_work(tmp_path, "ana") as [ana]:
        found = await ana.call("agentstategraph_compare", handle_ids=[handle])
        assert found["speculations"][0]["counts"] == {"add": 1}
        await ana.call("asg_spec_modify", handle=handle, operations=[{"op": "set", "path": "/b", "value": 2}])
        assert (await ana.call("asg_commit_spec", handle=handle, **WHY))["changed"] == 2


async def test_a_handle_from_before_a_restart_never_means_another_speculation(tmp_path: Path) -> None:
    async with at_work(tmp_path, "ana") as [ana]:
        old = await ana.tried()
        await ana.call("agentstategraph_discard", handle_id=old)
    async with at_work(tmp_path, "ana") as [ana]:
        handles = {await ana.tried() for _ in range(20)}
        assert len(handles) == 20
        assert old not in handles
        with pytest.raises(HandleNotFound):
            await ana.call("asg_spec_modify", handle=old, operations=[{"op": "set", "path": "/a", "value": 1}])


async def test_a_refused_commit_loses_no_work(ana: Client) -> None:
    handle = await ana.tried({"op": "set", "path": "/a", "value": 1})
    for bad in ({"target": "nowhere"}, {"expected_head": "abcdef123456"}, {"session": "ses-0123"}):
        with pytest.raises(AsgError):
            await ana.call("asg_commit_spec", handle=handle, **WHY, **bad)
    await ana.call("asg_commit_spec", handle=handle, **WHY)
    assert await ana.value("/a") == 1


async def test_the_schema_version_cannot_be_forged_through_a_speculation(ana: Client) -> None:
    forged = {"_meta": {"schema_version": "9.9.9"}}
    for operation in (
        {"op": "set", "path": "/", "value": forged},
        {"op": "set", "path": "/_meta", "value": forged["_meta"]},
        {"op": "set", "path": "/_meta/schema_version", "value": "9.9.9"},
        {"op": "delete", "path": "/_meta"},
        {"op": "move", "path": "/_meta", "from": "/a"},
    ):
        with pytest.raises(Forbidden):
            await ana.tried(operation)
    with pytest.raises(AsgError):
        await ana.tried({"op": "set", "path": "/", "value": ["a list at the root"]})


async def test_speculations_are_compared_with_each_other_and_not_only_with_their_base(ana: Client) -> None:
    one = await ana.tried({"op": "set", "path": "/a", "value": 1})
    other = await ana.tried({"op": "set", "path": "/a", "value": 2})
    found = await ana.call("asg_compare", handles=[one, other])
    [pair] = found["pairs"]
    assert pair["changes"] == [{"op": "replace", "path": "/a", "old": 1, "new": 2}]


async def test_speculations_can_be_read_listed_and_committed_elsewhere(ana: Client) -> None:
    await ana.call("asg_branch", name="release")
    handle = await ana.tried({"op": "set", "path": "/a", "value": 1})
    log = await ana.call("asg_log", ref=f"spec:{handle}")
    assert log["commits"][0]["description"] == "Tried in a speculation."
    blame = await ana.call("asg_blame", ref=f"spec:{handle}", path="/a")
    assert blame["entries"][0]["value"] == 1
    listed = await ana.call("asg_list_branches")
    assert f"spec:{handle}" in [item["name"] for item in listed["branches"]]
    assert (await ana.call("asg_commit_spec", handle=handle, target="release", **WHY))["ref"] == "release"
    assert (await ana.value("/", "main"), await ana.value("/", "release")) == ({}, {"a": 1})
