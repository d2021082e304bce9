"""A session's branch and paths hold on every way by which a commit is made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.operations import Op
from asg_mcp.core.paths import parse_path
from asg_mcp.errors import Forbidden, HandleNotFound, InvalidArgument
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.requests import MergeRequest, OutcomeRequest, PromoteRequest, SessionRequest
from tests.repo.desk import Desk, open_desk, settle
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


async def bound(desk: Desk, scope: str = "/in", **asked: Any) -> Author:
    session = await desk.repo.open_session(SessionRequest("fixer", scope=(parse_path(scope),), **asked), ALICE)
    return Author(ALICE.principal, "fixer", "", session.handle)


@pytest.mark.parametrize("strategy", ["ours", "theirs"])
async def test_a_strategy_settles_nothing_outside_the_scope(desk: Desk, strategy: str) -> None:
    await desk.branch("fixes")
    await desk.set("/out/x", "the fix", ref="fixes")
    await desk.set("/out/x", "another change")
    with pytest.raises(Forbidden, match="/out/x is outside"):
        await desk.merge("fixes", author=await bound(desk), strategy=strategy)
    await desk.merge("fixes", strategy="theirs")
    assert await desk.value("/out/x") == "the fix"


async def test_a_resolution_settles_nothing_outside_the_scope(desk: Desk) -> None:
    await desk.branch("fixes")
    await desk.apply(("set", "/out/x", "the fix"), ("set", "/in/x", 7), ref="fixes")
    await desk.set("/out/x", "another change")
    with pytest.raises(Forbidden, match="/out/x is outside"):
        await desk.merge("fixes", author=await bound(desk), resolutions=(settle("/", "ours"),))
    assert "fixes" not in (await desk.head()).description


async def test_a_session_with_paths_drops_no_branch_and_so_cannot_make_it_anew_elsewhere(desk: Desk) -> None:
    await desk.branch("prod")
    author = await bound(desk, branch="prod")
    with pytest.raises(Forbidden, match="bound to paths"):
        await desk.repo.delete_branch("prod", author)


async def test_an_ended_session_makes_no_branch(desk: Desk) -> None:
    author = await bound(desk)
    await desk.repo.branch("made", "branch", "main", author)
    await desk.repo.resolve(OutcomeRequest("fulfilled", "Done.", session=author.session), author)
    with pytest.raises(HandleNotFound, match="closed"):
        await desk.repo.branch("late", "tag", "main", author)


async def test_a_session_ends_with_the_one_that_it_was_opened_by(desk: Desk) -> None:
    parent = await bound(desk)
    child = await bound(desk, parent=parent.session)
    grandchild = await bound(desk, parent=child.session)
    await desk.set("/in/x", 1, author=grandchild)
    await desk.repo.resolve(OutcomeRequest("fulfilled", "Done.", session=parent.session), parent)
    for author in (child, grandchild):
        with pytest.raises(HandleNotFound, match="ended with the one that it was opened by"):
            await desk.set("/in/x", 2, author=author)
    await desk.repo.resolve(OutcomeRequest("failed", "Cut short.", session=child.session), child)


@pytest.mark.parametrize("path", ["/list/1", "/list/1/deep", "/list/-", "/list/9"])
async def test_a_scope_names_no_element_of_a_list(desk: Desk, path: str) -> None:
    await desk.set("/list", [0, {"deep": 1}])
    with pytest.raises(InvalidArgument, match="element of a list"):
        await bound(desk, path)
