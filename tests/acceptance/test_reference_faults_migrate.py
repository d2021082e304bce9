"""Faults found in the project that this one follows, about the version of the state: none of them is here.

There, any write to an ancestor could forge the version, the category Migrate opened it to everybody, a mistyped path
became a new store at the newest version even in a dry run, and a state that no migration leads on from counted as up
to date.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.intents import Category, Intent
from asg_mcp.errors import AsgError, Forbidden, InvalidPath
from asg_mcp.repo.repository import Guard
from asg_mcp.repo.requests import PromoteRequest
from asg_mcp.services.migrate import Action, migrate
from tests.repo.desk import Desk, open_desk, ops, settle
from tests.repo.stores import ALICE, BOB

META = {"schema_version": "1.0.0"}
MIGRATE = Intent(Category.MIGRATE, "Let me in.")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A store at version 1.0.0, with the commit before its migration on `before`."""
    async with open_desk(tmp_path) as opened:
        await opened.apply(("set", "/a", 1), ("set", "/list", [1, 2]))
        await opened.branch("before")
        await migrate(opened.repo, Action.APPLY, "main", "1.0.0", BOB)
        yield opened


FORGED: dict[str, list[tuple[Any, ...]]] = {
    "the version is set": [("set", "/_meta/schema_version", "9.9.9")],
    "what is below it is set": [("set", "/_meta/schema_version/x", 1)],
    "something beside it is set": [("set", "/_meta/mine", 1)],
    "its parent is set": [("set", "/_meta", {"schema_version": "9.9.9"})],
    "its parent becomes a scalar": [("set", "/_meta", None)],
    "the root is set with it": [("set", "/", {"_meta": {"schema_version": "9.9.9"}})],
    "the root is set with an empty one": [("set", "/", {"_meta": {}})],
    "it is deleted": [("delete", "/_meta/schema_version")],
    "its parent is deleted": [("delete", "/_meta")],
    "the root is deleted": [("delete", "/")],
    "something is appended to it": [("append", "/_meta/schema_version", 1)],
    "its parent becomes a list": [("append", "/_meta/list", 1)],
    "something is inserted": [("insert", "/_meta/0", 1)],
    "it is moved away": [("move", "/stolen", "/_meta/schema_version")],
    "its parent is moved away": [("move", "/stolen", "/_meta")],
    "something is moved over it": [("move", "/_meta/schema_version", "/a")],
    "something is moved over its parent": [("move", "/_meta", "/a")],
    "something is moved to the root": [("move", "/", "/a")],
    "it hides among other operations": [("set", "/b", 1), ("set", "/_meta/schema_version", "9.9.9"), ("set", "/c", 1)],
    "it is written with another spelling": [("set", "/_meta/", {"schema_version": "9.9.9"})],
}
REFUSALS = (Forbidden, InvalidPath)

forged = pytest.mark.parametrize("told", FORGED.values(), ids=FORGED.keys())


async def untouched(desk: Desk) -> bool:
    return bool(await desk.value("/_meta") == META)


@forged
async def test_no_write_of_any_category_changes_the_version(desk: Desk, told: list[tuple[Any, ...]]) -> None:
    head = await desk.head()
    for category in Category:
        with pytest.raises(REFUSALS):
            await desk.repo.commit("main", ops(*told), Intent(category, "Let me in."), ALICE, Guard())
    assert (await desk.head()).id == head.id
    assert await untouched(desk)


@forged
async def test_no_speculation_changes_the_version(desk: Desk, told: list[tuple[Any, ...]]) -> None:
    opened = await desk.repo.speculations.open("main", "", ALICE)
    with pytest.raises(REFUSALS):
        await desk.repo.speculations.modify(opened.handle, ops(*told), ALICE)
    assert await desk.value("/_meta", f"spec:{opened.handle}") == META


async def test_a_write_to_the_root_keeps_the_version(desk: Desk) -> None:
    await desk.set("/", {"only": "this"})
    assert await desk.value() == {"only": "this", "_meta": META}


async def test_a_speculation_begun_before_a_migration_leaves_it_when_it_is_committed(desk: Desk) -> None:
    opened = await desk.repo.speculations.open("before", "", ALICE)
    await desk.repo.speculations.modify(opened.handle, ops(("set", "/", {"only": "this"})), ALICE)
    await desk.repo.speculations.commit(PromoteRequest(opened.handle, "main"), MIGRATE, ALICE, Guard())
    assert await untouched(desk)


async def test_a_speculation_of_a_migrated_branch_does_not_bring_its_version_along(desk: Desk) -> None:
    opened = await desk.repo.speculations.open("main", "", ALICE)
    await desk.repo.speculations.modify(opened.handle, ops(("set", "/b", 1)), ALICE)
    await desk.repo.speculations.commit(PromoteRequest(opened.handle, "before"), MIGRATE, ALICE, Guard())
    assert await desk.value(ref="before") == {"a": 1, "list": [1, 2], "b": 1}


async def test_a_speculation_is_not_migrated(desk: Desk) -> None:
    opened = await desk.repo.speculations.open("before", "", ALICE)
    with pytest.raises(Forbidden):
        await migrate(desk.repo, Action.APPLY, f"spec:{opened.handle}", "1.0.0", ALICE)


async def test_a_migration_is_not_reverted_by_its_commit_its_agent_or_its_path(desk: Desk) -> None:
    commit = (await desk.head()).id.hex()
    assert (await desk.revert(commit)).skipped == ("/_meta",)
    assert (await desk.revert(agent=BOB.agent)).skipped == ("/_meta",)
    for path in ("/_meta", "/_meta/schema_version"):
        with pytest.raises(AsgError):
            await desk.revert(path=path, source="before")
    assert await untouched(desk)


async def test_restoring_the_root_leaves_the_version(desk: Desk) -> None:
    await desk.set("/a", 2)
    await desk.revert(path="/", source="before")
    assert await desk.value() == {"a": 1, "list": [1, 2], "_meta": META}


async def test_a_revert_to_a_later_version_is_refused_too(desk: Desk) -> None:
    await migrate(desk.repo, Action.APPLY, "before", "7.0.0", BOB)
    for path in ("/_meta", "/_meta/schema_version"):
        with pytest.raises(Forbidden):
            await desk.revert(path=path, source="before")
    assert await untouched(desk)


async def test_no_resolution_of_a_merge_gives_the_version_a_value_of_its_own(desk: Desk) -> None:
    await migrate(desk.repo, Action.APPLY, "before", "7.0.0", BOB)
    found = await desk.merge("before")
    assert not found.merged
    assert found.conflicts
    for conflict in found.conflicts:
        path = "/" + "/".join(conflict.path)
        with pytest.raises(Forbidden):
            await desk.merge("before", resolutions=(settle(path, "value", "9.9.9"),))
    assert await untouched(desk)


async def test_a_merge_takes_a_migration_made_on_one_side(desk: Desk) -> None:
    await desk.set("/b", 1, ref="before")
    assert (await desk.merge("main", "before")).merged
    assert await desk.value(ref="before") == {"a": 1, "list": [1, 2], "b": 1, "_meta": META}
    assert (await desk.blame("/_meta/schema_version", "before"))[0].commit.category is Category.MIGRATE


async def test_an_old_branch_that_is_merged_leaves_the_version(desk: Desk) -> None:
    await desk.set("/b", 1, ref="before")
    for strategy in ("auto", "theirs"):
        await desk.merge("before", strategy=strategy)
        assert await untouched(desk)


async def test_only_migrate_commits_ever_changed_the_version(desk: Desk) -> None:
    await desk.set("/", {})
    await migrate(desk.repo, Action.APPLY, "main", "", BOB)
    (entry,) = await desk.blame("/_meta/schema_version")
    assert entry.commit.category is Category.MIGRATE
    assert len(await desk.past("/_meta/schema_version")) == 1
