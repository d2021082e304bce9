"""The plan tools over a real repository: what clients send, and the replies as they travel."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_core import to_json

from asg_mcp.app import open_repository
from asg_mcp.core import limits
from asg_mcp.errors import Forbidden, HandleNotFound, TaskTaken
from asg_mcp.repo.repository import Repository
from asg_mcp.repo.requests import SessionRequest
from asg_mcp.tools.plans import TOOLS
from asg_mcp.tools.registry import Caller, ToolContext
from tests.repo.desk import Desk
from tests.repo.stores import ALICE

ONE = [{"id": "t-1", "title": "One"}]
BY_NAME = {tool.name: tool for tool in TOOLS}


class Client:
    """Calls the plan tools as one principal."""

    def __init__(self, repo: Repository) -> None:
        self.repo = repo.seen_by(ALICE.principal)

    async def call(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        """The reply as it travels."""
        tool = BY_NAME[name]
        context = ToolContext(self.repo, Caller(ALICE.principal, "probe/1.0", "probe"))
        return (await tool.handler(context, tool.params.model_validate(arguments))).dump()


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[Client]:
    async with open_repository(folder / "state.db") as repo:
        yield Client(repo)


async def test_a_plan_is_made_of_titles_and_tasks_and_tells_the_ids(tmp_path: Path) -> None:
    async with connected(tmp_path) as client:
        made = await client.call(
            "asg_plan",
            name="night",
            description="Drain node-3",
            tasks=[
                {"id": "look", "title": "Look"},
                {"id": "drain", "title": "Drain", "blocked_by": "look", "priority": "High", "agent": None},
            ],
        )
        assert made["tasks"] == [{"id": "look", "title": "Look"}, {"id": "drain", "title": "Drain"}]
        assert made["plan"] == {
            "name": "night",
            "status": "active",
            "description": "Drain node-3",
            "created_at": made["plan"]["created_at"],
            "created_by": "probe",
            "counts": {"pending": 2, "in_progress": 0, "done": 0, "abandoned": 0},
            "total": 2,
        }
        assert (made["ref"], len(made["commit"])) == ("main", limits.SHORT_ID_DIGITS)
        assert "replayed" not in made


async def test_a_task_goes_from_claim_to_proof(tmp_path: Path) -> None:
    async with connected(tmp_path) as client:
        await client.call("asg_plan", name="night", tasks='[{"id":"t-1","title":"Look"}]')
        looked = await client.call("asg_next_task", plan="night", agent="ana")
        assert looked["task"]["status"] == "pending"
        claimed = await client.call("asg_next_task", plan="night", agent="ana", claim=True)
        task = claimed["task"]
        assert (task["id"], task["status"], task["held_by"]) == ("t-1", "in_progress", "ana")
        assert task["started_at"] < task["lease_until"]
        with pytest.raises(TaskTaken):
            await client.call("asg_update_task", plan="night", task="t-1", action="complete", proof="seen")
        done = await client.call(
            "asg_update_task",
            plan="night",
            task="t-1",
            action="Complete",
            proof='{"kind":"Text","value":"ok"}',
            agent="ana",
        )
        assert (done["plan"], done["task"]["status"], done["task"]["proof"]) == (
            "night",
            "done",
            {"kind": "text", "value": "ok"},
        )
        none = await client.call("asg_next_task", plan="night", claim=True)
        assert set(none) == {"ref", "commit", "plan", "why"}
        assert none["commit"] == done["commit"]


async def test_agent_names_the_assignee_of_assign_and_else_who_acts(tmp_path: Path) -> None:
    async with connected(tmp_path) as client:
        await client.call("asg_plan", name="p", tasks=ONE)
        given = await client.call("asg_update_task", plan="p", task="t-1", action="assign", agent="ana")
        assert given["task"]["agent"] == "ana"
        assert (await Desk(client.repo).head()).agent == "probe"
        await client.call("asg_update_task", plan="p", task="t-1", action="start", agent="ana")
        assert (await Desk(client.repo).head()).agent == "ana"
        ranked = await client.call("asg_update_task", plan="p", task="t-1", action="reprioritize", priority="LOW")
        assert ranked["task"]["priority"] == "low"


async def test_a_repeated_claim_is_answered_as_before(tmp_path: Path) -> None:
    async with connected(tmp_path) as client:
        await client.call("asg_plan", name="p", tasks=[*ONE, "Two"])
        first = await client.call("asg_next_task", plan="p", claim=True, request_id="r")
        assert await client.call("asg_next_task", plan="p", claim=True, request_id="r") == {**first, "replayed": True}


async def test_a_session_says_the_branch_and_the_agent_and_binds_the_paths(tmp_path: Path) -> None:
    async with connected(tmp_path) as client:
        await Desk(client.repo).branch("side")
        free = await client.repo.open_session(SessionRequest("worker", branch="side"), ALICE)
        made = await client.call("asg_plan", name="p", tasks=ONE, session=free.handle)
        assert (made["ref"], made["plan"]["created_by"]) == ("side", "worker")
        claimed = await client.call("asg_next_task", plan="p", claim=True, session=free.handle)
        assert claimed["task"]["held_by"] == "worker"
        bound = await client.repo.open_session(SessionRequest("worker", branch="side", scope=(("cluster",),)), ALICE)
        with pytest.raises(Forbidden):
            await client.call("asg_plan", name="p", tasks=["Two"], session=bound.handle)
        with pytest.raises(Forbidden):
            await client.call("asg_update_task", plan="p", task="t-1", action="start", agent="x", session=free.handle)
        with pytest.raises(Forbidden, match="and agent says 'x'") as refused:
            await client.call("asg_next_task", plan="p", agent="x", session=free.handle)
        assert refused.value.hint.startswith("Leave agent out")
        await client.call("asg_next_task", plan="p", agent="worker", session=free.handle)
        with pytest.raises(HandleNotFound):
            await client.call("asg_next_task", plan="p", session="ses-unknown")


async def test_replies_stay_within_their_size_whatever_was_stored(tmp_path: Path) -> None:
    async with connected(tmp_path) as client:
        long = "\x01" * limits.TASK_TITLE_BYTES_MAX
        made = await client.call(
            "asg_plan",
            name="p",
            description="\x01" * limits.DESCRIPTION_BYTES_MAX,
            tasks=[{"id": "t-1", "title": long}, *[long] * 199],
        )
        assert len(to_json(made)) < limits.REPLY_BYTES_MAX
        assert len(made["tasks"]) + made["omitted"] == 200
        assert made["plan"]["left_out"]["description"] > limits.DESCRIPTION_BYTES_MAX
        text = "\x01" * limits.TASK_PROOF_BYTES_MAX
        await client.call("asg_update_task", plan="p", task="t-1", action="start")
        done = await client.call(
            "asg_update_task",
            plan="p",
            task="t-1",
            action="complete",
            proof={"kind": "text", "value": text, "note": text},
        )
        assert (done["task"]["status"], set(done["task"]["left_out"])) == ("done", {"proof"})


async def test_a_name_alone_lists_the_tasks_as_they_stand(tmp_path: Path) -> None:
    async with connected(tmp_path) as client:
        await client.call("asg_plan", name="p", tasks=[*ONE, {"id": "b", "title": "Two", "blocked_by": ["t-1"]}])
        head = await client.call("asg_update_task", plan="p", task="t-1", action="start", agent="ana")
        seen = await client.call("asg_plan", name="p")
        assert (seen["commit"], seen["plan"]["total"], "omitted" in seen) == (head["commit"], 2, False)
        first, second = seen["tasks"]
        assert first == {
            "id": "t-1",
            "title": "One",
            "status": "in_progress",
            "priority": "medium",
            "held_by": "ana",
            "lease_until": head["task"]["lease_until"],
        }
        assert (second["status"], second["waits_for"]) == ("pending", ["t-1"])
        await client.call("asg_plan", name="p", tasks=["\x01" * limits.TASK_TITLE_BYTES_MAX] * 150)
        full = await client.call("asg_plan", name="p")
        assert len(to_json(full)) < limits.REPLY_BYTES_MAX
        assert len(full["tasks"]) + full["omitted"] == 152
        assert full["tasks"][2]["left_out"]["title"] > limits.TASK_TITLE_BYTES_MAX


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("asg_plan", {"name": "p", "tasks": [{"title": "x", "status": "done"}]}),
        ("asg_plan", {"name": "p", "tasks": [{"title": "x", "priority": "asap"}]}),
        ("asg_plan", {"name": "p", "status": "done"}),
        ("asg_update_task", {"plan": "p", "task": "t-1", "action": "finish"}),
        ("asg_update_task", {"plan": "p", "task": "t-1", "action": "complete", "proof": {"kind": "url", "value": "x"}}),
    ],
)
def test_words_outside_a_closed_set_are_refused_and_not_coerced(tool: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BY_NAME[tool].params.model_validate(arguments)
