"""What went wrong with plans in the project that this one learns from; here each is right.

The calls are those of the tools, over a real file.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.errors import AsgError, InvalidArgument, InvalidName, PlanClosed
from tests.repo.desk import Desk
from tests.tools.test_plans import ONE, Client, connected


async def _task_ids(client: Client, plan: str) -> dict[str, Any]:
    return dict(await Desk(client.repo).value(f"/plans/{plan}/tasks"))


async def test_two_servers_on_one_file_start_a_task_once(tmp_path: Path) -> None:
    async with connected(tmp_path) as one, connected(tmp_path) as two:
        await one.call("asg_plan", name="p", tasks=[{"id": f"t-{number}", "title": "Task"} for number in range(1, 31)])
        for number in range(1, 31):
            calls = [
                client.call("asg_update_task", plan="p", task=f"t-{number}", action="start") for client in (one, two)
            ]
            told = await asyncio.gather(*calls, return_exceptions=True)
            refused = [item for item in told if isinstance(item, AsgError)]
            assert [item.code for item in refused] == ["task_taken"]
            assert all(isinstance(item, dict | AsgError) for item in told)


async def test_a_task_started_by_one_agent_is_recorded_as_that_agents(tmp_path: Path) -> None:
    async with connected(tmp_path) as client:
        await client.call("asg_plan", name="p", tasks=ONE)
        task = (await client.call("asg_next_task", plan="p", agent="night-watch", claim=True))["task"]
        assert task["held_by"] == "night-watch"
        done = await client.call(
            "asg_update_task", plan="p", task="t-1", action="complete", proof="ok", agent="night-watch"
        )
        assert done["task"]["completed_by"] == "night-watch"


@pytest.mark.parametrize("name", ["a/b", "/", "a/../b"])
async def test_a_plan_name_with_a_slash_is_refused_and_breaks_no_list(tmp_path: Path, name: str) -> None:
    async with connected(tmp_path) as client:
        await client.call("asg_plan", name="good")
        with pytest.raises(InvalidName):
            await client.call("asg_plan", name=name, tasks=ONE)
        assert list(await Desk(client.repo).value("/plans")) == ["good"]


async def test_a_plan_named_by_a_number_is_a_plan(tmp_path: Path) -> None:
    async with connected(tmp_path) as client:
        await client.call("asg_plan", name="2026", tasks=ONE)
        assert (await client.call("asg_next_task", plan="2026"))["task"]["id"] == "t-1"


async def test_the_716th_task_overwrites_none(tmp_path: Path) -> None:
    async with connected(tmp_path) as client:
        await client.call("asg_plan", name="p", tasks=[f"Task {number}" for number in range(1, 711)])
        for number in range(711, 720):
            made = await client.call("asg_plan", name="p", tasks=[f"Task {number}"])
            assert made["tasks"][0]["id"].startswith(f"t-{number}-")
        tasks = await _task_ids(client, "p")
        assert {name.rpartition("-")[0]: task["title"] for name, task in tasks.items()} == {
            f"t-{number}": f"Task {number}" for number in range(1, 720)
        }


async def test_the_1000th_task_does_not_come_before_the_200th(tmp_path: Path) -> None:
    async with connected(tmp_path) as client:
        await client.call("asg_plan", name="p", tasks=["Task"] * 1_000)
        await client.call("asg_plan", name="q", tasks=[{"id": f"t-{n}", "title": "Task"} for n in (200, 1000)])
        assert (await client.call("asg_next_task", plan="q"))["task"]["id"] == "t-200"
        claimed = await client.call("asg_next_task", plan="p", claim=True)
        looked = await client.call("asg_next_task", plan="p")
        assert [told["task"]["id"].rpartition("-")[0] for told in (claimed, looked)] == ["t-1", "t-2"]


async def test_a_task_that_blocks_itself_or_its_blocker_is_refused(tmp_path: Path) -> None:
    async with connected(tmp_path) as client:
        await client.call("asg_plan", name="p", tasks=[*ONE, {"id": "t-2", "title": "Two", "blocked_by": ["t-1"]}])
        for blockers in (["t-1"], ["t-2"]):
            with pytest.raises(InvalidArgument):
                await client.call("asg_update_task", plan="p", task="t-1", action="block", blocked_by=blockers)


async def test_a_task_behind_an_abandoned_one_can_be_freed(tmp_path: Path) -> None:
    async with connected(tmp_path) as client:
        await client.call("asg_plan", name="p", tasks=[*ONE, {"id": "t-2", "title": "Two", "blocked_by": ["t-1"]}])
        await client.call("asg_update_task", plan="p", task="t-1", action="abandon", reason="Not needed")
        assert "t-1, which was abandoned" in (await client.call("asg_next_task", plan="p"))["why"]
        await client.call("asg_update_task", plan="p", task="t-2", action="unblock")
        assert (await client.call("asg_next_task", plan="p"))["task"]["id"] == "t-2"


@pytest.mark.parametrize(
    "proof", [None, "", "  ", {"kind": "text", "value": ""}, {"kind": "commit", "value": "ffffffffffff"}]
)
async def test_an_empty_proof_or_one_by_a_commit_that_is_not_there_completes_nothing(
    tmp_path: Path, proof: Any
) -> None:
    async with connected(tmp_path) as client:
        await client.call("asg_plan", name="p", tasks=ONE)
        await client.call("asg_update_task", plan="p", task="t-1", action="start")
        with pytest.raises(AsgError):
            await client.call("asg_update_task", plan="p", task="t-1", action="complete", proof=proof)
        assert (await _task_ids(client, "p"))["t-1"]["status"] == "in_progress"


async def test_an_archived_plan_takes_no_task_and_no_start(tmp_path: Path) -> None:
    async with connected(tmp_path) as client:
        await client.call("asg_plan", name="p", tasks=ONE)
        await client.call("asg_plan", name="p", status="archived")
        with pytest.raises(PlanClosed):
            await client.call("asg_plan", name="p", tasks=["Two"])
        with pytest.raises(PlanClosed):
            await client.call("asg_update_task", plan="p", task="t-1", action="start")
