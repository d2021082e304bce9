"""The epoch tools open and seal what they were told to, as whoever calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.notes import parse_checkpoint, parse_note
from asg_mcp.errors import HandleNotFound
from asg_mcp.repo.repository import Repository
from asg_mcp.tools.epochs import TOOLS
from asg_mcp.tools.registry import ToolContext
from tests.services.epochs_desk import open_epoch_desk
from tests.tools.recorder import CALLER

BY_NAME = {tool.name: tool for tool in TOOLS}


async def call(repo: Repository, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool by name: the reply as it travels."""
    found = BY_NAME[tool]
    reply = await found.handler(ToolContext(repo, CALLER), found.params.model_validate(arguments))
    return reply.dump()


async def test_an_epoch_is_opened_with_all_that_was_said_of_it(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        told = {"root_intents": ["plan", "fix"], "since": "2001-01-01", "tags": "night", "request_id": "r"}
        reply = await call(desk.repo, "asg_create_epoch", id="e1", description="The night.", **told)
        info = await desk.repo.epochs.info("e1")
        hint = reply.pop("hint")
        assert "Nothing is called plan, fix yet" in hint
        assert reply == {
            "epoch": "e1",
            "state": "open",
            "opened_at": info.opened_at,
            "commits": 0,
            "unknown_intents": ["plan", "fix"],
        }
        assert (info.root_intents, info.since, info.tags) == (("plan", "fix"), "2001-01-01", ("night",))
        assert (info.description, info.principal, info.agent) == ("The night.", CALLER.principal, CALLER.default_agent)
        again = await call(desk.repo, "asg_create_epoch", id="e1", description="The night.", **told)
        assert again == reply | {"hint": hint, "replayed": True}


async def test_whoever_opens_an_epoch_after_the_work_is_told_that_it_does_not_join(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.commit("plan")
        reply = await call(desk.repo, "asg_create_epoch", id="e1", description="Late.", root_intents="plan")
        assert (reply["commits"], "unknown_intents" in reply) == (0, False)
        assert "Commits of plan made before the epoch do not join" in reply["hint"]
        since = {"root_intents": "plan", "since": "2001-01-01"}
        reply = await call(desk.repo, "asg_create_epoch", id="e2", description="All of it.", **since)
        assert (reply["commits"], "hint" in reply) == (1, False)


async def test_a_sealed_epoch_is_told_by_root_size_members_tag_and_bundle(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await call(desk.repo, "asg_create_epoch", id="e1", description="The night.", root_intents="plan")
        await desk.commit("plan")
        reply = await call(desk.repo, "asg_seal_epoch", id="e1", summary="It held.", request_id="r")
        info = await desk.repo.epochs.info("e1")
        assert reply == {
            "epoch": "e1",
            "root": info.root,
            "size": info.size,
            "commits": 1,
            "members": info.members,
            "bundle": "asg://epoch/e1/bundle",
            "tag": "epoch/e1",
            "checkpoint": info.checkpoint,
            "key": info.key,
            "sealed_at": info.sealed_at,
        }
        checkpoint = parse_checkpoint(parse_note(reply["checkpoint"].encode()).text)
        assert (checkpoint.size, checkpoint.root.hex()) == (reply["size"], reply["root"])
        await desk.commit("", "plan")
        again = await call(desk.repo, "asg_seal_epoch", id="e1", summary="It held.", request_id="r")
        assert again == reply | {"follows": 1, "replayed": True}


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [("asg_create_epoch", {"id": "e1", "description": "Work."}), ("asg_seal_epoch", {"id": "e1", "summary": "Done."})],
)
async def test_an_epoch_under_a_session_that_is_not_open_is_refused(
    tmp_path: Path, tool: str, arguments: dict[str, Any]
) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        with pytest.raises(HandleNotFound):
            await call(desk.repo, tool, session="ses-0123456789ab", **arguments)
