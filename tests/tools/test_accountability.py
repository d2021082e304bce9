"""The accountability tools say what they did, and let a bound server report on its own work alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.intents import Category, Intent
from asg_mcp.errors import Forbidden, HandleNotFound, InvalidArgument
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.repository import Repository
from asg_mcp.tools.accountability import TOOLS
from asg_mcp.tools.registry import ToolContext
from tests.repo.desk import Desk, open_desk
from tests.repo.stores import ALICE
from tests.tools.recorder import CALLER

BY_NAME = {tool.name: tool for tool in TOOLS}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def call(repo: Repository, tool: str, bound: str = "", **arguments: Any) -> dict[str, Any]:
    """Call a tool by name, from a server that is bound to a session: the reply as it travels."""
    found = BY_NAME[tool]
    caller = replace(CALLER, default_session=bound)
    context = ToolContext(repo.seen_by(caller.principal), caller)
    return (await found.handler(context, found.params.model_validate(arguments))).dump()


async def opened(desk: Desk, **arguments: Any) -> str:
    return str((await call(desk.repo, "asg_open_session", agent="fixer", **arguments))["session"])


DONE: dict[str, Any] = {"outcome": "fulfilled", "summary": "Done."}


@pytest.mark.parametrize("name", ["intent", "session"])
async def test_a_session_is_closed_by_either_name_and_the_reply_says_so(desk: Desk, name: str) -> None:
    handle = await opened(desk)
    reply = await call(desk.repo, "asg_resolve", **{name: handle}, **DONE)
    assert reply == {"intent": handle, "outcome": "fulfilled", "children": [], "closed": True}
    with pytest.raises(HandleNotFound):
        await call(desk.repo, "asg_resolve", **{name: handle}, **DONE)


@pytest.mark.parametrize("name", ["intent", "session"])
async def test_a_bound_server_closes_no_session_but_its_own_and_those_below(desk: Desk, name: str) -> None:
    own, other = await opened(desk), await opened(desk)
    child = await opened(desk, parent=own)
    with pytest.raises(Forbidden, match="not opened below it"):
        await call(desk.repo, "asg_resolve", own, **{name: other}, **DONE)
    assert desk.repo.session(other).status == "open"
    for handle in (child, own):
        assert (await call(desk.repo, "asg_resolve", own, **{name: handle}, **DONE))["closed"] is True


async def test_an_intent_reported_on_in_a_session_leaves_that_open_and_says_so(desk: Desk) -> None:
    handle, other = await opened(desk), await opened(desk)
    await desk.repo.commit("main", [], Intent(Category.FIX, "Mend.", intent_id="mend"), ALICE, Guard())
    reply = await call(desk.repo, "asg_resolve", intent="mend", session=handle, **DONE)
    assert (reply["intent"], "closed" in reply) == ("mend", False)
    assert f"{handle} stays open" in reply["hint"]
    assert desk.repo.session(handle).status == "open"
    assert "hint" not in await call(desk.repo, "asg_resolve", intent="mend", **DONE)
    with pytest.raises(InvalidArgument, match="names session"):
        await call(desk.repo, "asg_resolve", intent=other, session=handle, **DONE)
    assert (await call(desk.repo, "asg_resolve", intent=handle, session=handle, **DONE))["closed"] is True


async def test_a_repeated_request_says_that_it_is_one(desk: Desk) -> None:
    first = await call(desk.repo, "asg_open_session", agent="fixer", request_id="r")
    assert await call(desk.repo, "asg_open_session", agent="fixer", request_id="r") == first | {"replayed": True}
    closed = await call(desk.repo, "asg_resolve", session=first["session"], request_id="c", **DONE)
    again = await call(desk.repo, "asg_resolve", session=first["session"], request_id="c", **DONE)
    assert again == closed | {"replayed": True}
