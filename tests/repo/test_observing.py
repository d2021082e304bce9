"""What a watcher compares."""

from __future__ import annotations

from pathlib import Path

import pytest

from asg_mcp.errors import HandleNotFound, RefNotFound
from asg_mcp.repo.observing import Observation, Target, observe
from tests.repo.desk import Desk, open_desk
from tests.repo.stores import ALICE


async def look(desk: Desk, *targets: Target, must_exist: bool = False) -> Observation:
    return await desk.repo.read(lambda view: observe(view, targets, must_exist=must_exist))


async def test_a_path_has_the_print_of_its_object_and_a_ref_that_of_its_commit(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        done = await desk.set("/a", {"b": 1})
        seen = await look(desk, Target("main", ("a",)), Target("main"), Target("main", ("x",)), Target("gone", ()))
        assert seen.prints == ((await desk.get("/a")).object.hex(), done.commit.hex(), "absent", "ref_not_found")


async def test_every_change_of_the_store_makes_the_log_longer(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        lengths = [(await look(desk)).events]
        await desk.set("/a", 1)
        lengths.append((await look(desk)).events)
        await desk.branch("dev")
        lengths.append((await look(desk)).events)
        await desk.repo.delete_branch("dev", ALICE)
        lengths.append((await look(desk)).events)
    assert lengths == sorted(set(lengths))


async def test_a_ref_that_means_nothing_is_an_error_where_it_must_exist(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        with pytest.raises(RefNotFound):
            await look(desk, Target("gone"), must_exist=True)
        with pytest.raises(HandleNotFound):
            await look(desk, Target("spec:0123456789ab", ("a",)), must_exist=True)
