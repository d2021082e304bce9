"""Branches and tags: made, made again, dropped, refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.errors import CommitNotFound, Forbidden, InvalidArgument, InvalidName, RefExists, RefNotFound
from tests.repo.desk import Desk, open_desk
from tests.repo.stores import ALICE, BOB


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as opened:
        await opened.set("/a", 1)
        await opened.set("/a", 2)
        yield opened


async def names(desk: Desk) -> set[tuple[str, str]]:
    found = await desk.repo.list_refs("", kind="all", limit=50, cursor="")
    return {(ref.name, ref.kind) for ref in found.refs}


async def test_a_branch_starts_at_its_source_and_goes_its_own_way(desk: Desk) -> None:
    made = await desk.branch("team/fix-1", "main~1")
    assert (made.name, made.kind) == ("team/fix-1", "branch")
    assert await desk.value("/a", "team/fix-1") == 1
    await desk.set("/a", 9, ref="team/fix-1")
    assert (await desk.value("/a"), await desk.value("/a", "team/fix-1")) == (2, 9)


@pytest.mark.parametrize("kind", ["branch", "tag"])
async def test_the_same_one_again_is_answered_as_made_and_another_is_refused(desk: Desk, kind: str) -> None:
    first = await desk.branch("v1", kind=kind)
    assert await desk.branch("v1", kind=kind) == first
    events = await events_count(desk)
    assert await desk.branch("v1", first.commit.hex(), kind=kind) == first
    assert await events_count(desk) == events
    with pytest.raises(RefExists) as caught:
        await desk.branch("v1", "main~1", kind=kind)
    assert caught.value.details["commit"] == first.commit.short
    with pytest.raises(RefExists):
        await desk.branch("v1", kind="tag" if kind == "branch" else "branch")


async def events_count(desk: Desk) -> int:
    store: Any = desk.repo._store
    with store.reading() as reader:
        return int(reader.events_count())


async def test_a_tag_never_moves_and_never_goes(desk: Desk) -> None:
    await desk.branch("v1", kind="tag")
    await desk.set("/a", 3)
    with pytest.raises(Forbidden):
        await desk.set("/a", 4, ref="v1")
    with pytest.raises(Forbidden):
        await desk.repo.delete_branch("v1", ALICE)
    assert await desk.value("/a", "v1") == 2


async def test_dropping_a_branch_keeps_its_commits(desk: Desk) -> None:
    await desk.branch("side")
    last = await desk.set("/a", 7, ref="side")
    gone = await desk.repo.delete_branch("side", BOB)
    assert (gone.name, gone.commit) == ("side", last.commit)
    with pytest.raises(RefNotFound):
        await desk.value("/a", "side")
    assert await desk.value("/a", last.commit.hex()) == 7
    await desk.branch("side", last.commit.hex())
    assert await desk.value("/a", "side") == 7


async def test_the_default_branch_stays_and_what_is_not_there_cannot_go(desk: Desk) -> None:
    with pytest.raises(Forbidden):
        await desk.repo.delete_branch("main", ALICE)
    for name in ("nowhere", "", "a3f09c0000"):
        with pytest.raises(RefNotFound):
            await desk.repo.delete_branch(name, ALICE)
    assert await names(desk) == {("main", "branch")}


@pytest.mark.parametrize("name", ["", "a b", "main~1", "x@y", "-x", "a//b", "x.lock", "HEAD", "spec:x", "é", "n" * 201])
async def test_a_name_must_keep_the_rules(desk: Desk, name: str) -> None:
    with pytest.raises(InvalidName):
        await desk.branch(name)


async def test_the_source_and_the_kind_must_make_sense(desk: Desk) -> None:
    with pytest.raises(RefNotFound):
        await desk.branch("x", "nowhere")
    with pytest.raises(CommitNotFound):
        await desk.branch("x", "main~99")
    with pytest.raises(InvalidArgument):
        await desk.branch("x", kind="spec")
    assert await names(desk) == {("main", "branch")}


async def test_requests_made_again_are_answered_and_not_done_again(desk: Desk) -> None:
    first = await desk.branch("side", request_id="r-1")
    gone = await desk.repo.delete_branch("side", ALICE, "r-2")
    assert (await desk.branch("side", request_id="r-1")).commit == first.commit
    assert (await desk.repo.delete_branch("side", ALICE, "r-2")).commit == gone.commit
    assert await names(desk) == {("main", "branch")}


async def test_a_name_that_begins_a_commits_id_is_refused(desk: Desk) -> None:
    """A branch comes before a commit when text is resolved, so it would be taken for that commit."""
    commit = (await desk.head()).id
    for name in (commit.short, commit.hex(), commit.hex()[:6]):
        with pytest.raises(InvalidName):
            await desk.branch(name, "main~1")
