"""A session's branch and paths hold on every way by which a commit is made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.operations import Op
from asg_mcp.core.paths import parse_path
from asg_mcp.errors import Forbidden
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.requests import MergeRequest, PromoteRequest, SessionRequest
from tests.repo.desk import Desk, open_desk
from tests.repo.stores import ALICE, operation

WHY = Intent(Category.FIX, "A change.")
Way = Callable[[Desk, Author, str], Awaitable[object]]
"""Changes /in/x and the path that is given, as this author, and nothing else."""


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        await desk.apply(("set", "/in", {"x": 0}), ("set", "/out", {"x": 0}))
        yield desk


async def by_apply(desk: Desk, author: Author, path: str) -> None:
    await desk.apply(("set", "/in/x", 1), ("set", path, 1), author=author)


async def by_delete(desk: Desk, author: Author, path: str) -> None:
    await desk.apply(("delete", "/in/x"), ("delete", path), author=author) if path != "/in/x" else await desk.apply(
        ("delete", path), author=author
    )


async def by_merge(desk: Desk, author: Author, path: str) -> None:
    await desk.branch("side")
    await desk.apply(("set", "/in/x", 1), ("set", path, 1), ref="side")
    await desk.repo.merge(MergeRequest("side", "main"), Intent(Category.MERGE, "Bring it in."), author, Guard())


async def by_revert(desk: Desk, author: Author, path: str) -> None:
    done = await desk.apply(("set", "/in/x", 1), ("set", path, 1))
    await desk.revert(done.commit.hex(), author=author)


async def by_restoring(desk: Desk, author: Author, path: str) -> None:
    await desk.branch("then", kind="tag")
    await desk.apply(("set", "/in/x", 1), ("set", path, 1))
    await desk.revert(path="/" if path != "/in/x" else "/in", source="then", author=author)


async def by_commit_spec(desk: Desk, author: Author, path: str) -> None:
    plain = Author(author.principal, author.agent)
    opened = await desk.repo.speculations.open("main", "try", plain)
    told = [operation(Op.SET, "/in/x", 1), operation(Op.SET, path, 1)]
    await desk.repo.speculations.modify(opened.handle, told, plain)
    await desk.repo.speculations.commit(PromoteRequest(opened.handle), WHY, author, Guard())


async def by_spec_modify(desk: Desk, author: Author, path: str) -> None:
    opened = await desk.repo.speculations.open("main", "try", author)
    told = [operation(Op.SET, "/in/x", 1), operation(Op.SET, path, 1)]
    await desk.repo.speculations.modify(opened.handle, told, author)


WAYS: list[Way] = [by_apply, by_delete, by_merge, by_revert, by_restoring, by_commit_spec, by_spec_modify]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_no_way_of_writing_leads_out_of_the_scope(desk: Desk, way: Way) -> None:
    session = await desk.repo.open_session(SessionRequest("fixer", scope=(parse_path("/in"),)), ALICE)
    author = Author(ALICE.principal, "fixer", "", session.handle)
    with pytest.raises(Forbidden, match="outside the scope"):
        await way(desk, author, "/out/x")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_every_way_of_writing_is_open_inside_the_scope(desk: Desk, way: Way) -> None:
    session = await desk.repo.open_session(SessionRequest("fixer", scope=(parse_path("/in"),)), ALICE)
    author = Author(ALICE.principal, "fixer", "", session.handle)
    await way(desk, author, "/in/x" if way is by_delete else "/in/y")
    assert (await desk.repo.verify(lambda *_: None)).problems == ()


@pytest.mark.parametrize("way", [way for way in WAYS if way is not by_spec_modify], ids=lambda way: way.__name__)
async def test_no_way_of_writing_leads_to_another_branch(desk: Desk, way: Way) -> None:
    session = await desk.repo.open_session(SessionRequest("fixer", branch="own"), ALICE)
    author = Author(ALICE.principal, "fixer", "", session.handle)
    with pytest.raises(Forbidden, match="works on own, not on main"):
        await way(desk, author, "/in/x" if way is by_delete else "/in/y")
