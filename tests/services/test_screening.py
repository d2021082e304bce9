"""Secrets kept out of plans and tasks, whose commits services make inside a transaction."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asg_mcp.app import open_repository
from asg_mcp.errors import SecretRefused
from tests.kit.secret_samples import credentials, files_hold
from tests.services.plan_desk import PlanDesk

TOKEN = next(sample.secret for sample in credentials(5) if sample.rule == "github-token")


async def test_a_secret_in_a_task_is_refused_with_its_path(tmp_path: Path) -> None:
    async with open_repository(tmp_path / "state.db") as repo:
        desk = PlanDesk(repo)
        await desk.plan({"id": "a", "title": "First"})
        with pytest.raises(SecretRefused) as refused:
            await desk.plan({"id": "b", "title": f"Rotate {TOKEN}"}, request_id="once")
        assert refused.value.details["path"].startswith("/plans/")
        with pytest.raises(SecretRefused):
            await desk.do("abandon", "a", reason=f"{TOKEN} is wrong")
        assert await desk.listed() == ["a"]
        await desk.plan({"id": "b", "title": "Rotate"}, request_id="once")
    assert not files_hold(tmp_path, TOKEN[8:])


async def test_a_masked_task_is_masked_in_the_remembered_reply_too(tmp_path: Path) -> None:
    async with open_repository(tmp_path / "state.db", secrets="/=mask") as repo:
        desk = PlanDesk(repo)
        for replayed in (False, True):
            done = await desk.plan({"id": "b", "title": f"Rotate {TOKEN}"}, request_id="once")
            assert done.replayed is replayed
            assert TOKEN not in json.dumps(done.answer)
        assert (await desk.shown("b"))["title"] == "Rotate [masked: github-token]"
    assert not files_hold(tmp_path, TOKEN[8:])


async def test_a_task_with_an_older_secret_can_still_be_worked_on(tmp_path: Path) -> None:
    async with open_repository(tmp_path / "state.db", secrets="/=allow") as repo:
        await PlanDesk(repo).plan({"id": "b", "title": f"Rotate {TOKEN}"})
    async with open_repository(tmp_path / "state.db", secrets="texts=mask") as repo:
        desk = PlanDesk(repo)
        await desk.finish("b")
        assert await desk.status("b") == "done"
