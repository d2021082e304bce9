"""Faults found in the project that this one follows, where branches meet: none of them is here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.intents import Author
from asg_mcp.core.paths import parse_path
from asg_mcp.repo import graph
from asg_mcp.repo.repository import Query
from asg_mcp.storage.session import SqliteReader
from tests.repo.desk import Desk, open_desk
from tests.repo.stores import ALICE

FEATURE = Author("local:fay", "feature-agent")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as opened:
        yield opened


class Counter:
    """Counts the calls of something, and lets them through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        self.calls = 0
        original = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)


async def grow(desk: Desk, commits: int, ref: str, key: str) -> None:
    """A branch with many commits that change one key."""
    await asyncio.gather(*(desk.set(f"/{key}", number, ref=ref) for number in range(commits)))


async def test_edits_of_different_fields_of_one_map_merge_and_the_branch_stays_readable(desk: Desk) -> None:
    await desk.set("/c", {"x": 1, "y": 1})
    await desk.branch("f")
    await desk.set("/c/x", 2)
    await desk.set("/c/y", 2, ref="f")
    assert (await desk.merge("f")).merged
    assert await desk.value() == {"c": {"x": 2, "y": 2}}
    assert (await desk.repo.verify(lambda what, done, total: None)).problems == ()


async def test_a_merge_keeps_the_commits_of_a_branch_whose_state_came_back_to_where_it_began(desk: Desk) -> None:
    await desk.set("/x", 1)
    await desk.branch("f")
    away, back = await desk.set("/x", 2), await desk.set("/x", 1)
    done = await desk.set("/y", 1, ref="f")
    merge = await desk.merge("f")
    logged = (await desk.repo.log("main", (), limit=10, cursor="")).commits
    assert {away.commit, back.commit, done.commit, merge.commit} <= {commit.id for commit in logged}
    assert logged[0].parents == (back.commit, done.commit)


async def test_keys_that_only_the_target_has_are_no_deletions_after_earlier_merges(desk: Desk) -> None:
    await desk.set("/base", 1)
    await desk.branch("f")
    await desk.set("/f", 1, ref="f")
    await desk.merge("f")
    await desk.set("/main", 1)
    await desk.set("/f", 2, ref="f")
    assert (await desk.merge("f")).merged
    assert await desk.value() == {"base": 1, "f": 2, "main": 1}


@pytest.mark.parametrize("history", [40, 160])
async def test_a_merge_looks_at_each_commit_of_two_long_branches_once_at_most(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, history: int
) -> None:
    await desk.branch("f")
    await grow(desk, history, "main", "m")
    await grow(desk, history, "f", "f")
    taken, read = Counter(monkeypatch, graph, "heappop"), Counter(monkeypatch, SqliteReader, "commit")
    assert (await desk.merge("f")).merged
    assert 0 < taken.calls <= 2 * history + 1
    assert 0 < read.calls < 40, "however long the branches are"


@pytest.mark.parametrize("history", [40, 400])
async def test_a_set_and_a_new_branch_read_as_much_however_long_the_history_is(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, history: int
) -> None:
    await grow(desk, history, "main", "k")
    commits, nodes = Counter(monkeypatch, SqliteReader, "commit"), Counter(monkeypatch, SqliteReader, "load")
    await desk.set("/one", 1)
    await desk.branch("new")
    assert 0 < commits.calls < 20
    assert 0 < nodes.calls < 60


async def test_an_early_write_is_blamed_however_many_commits_came_after_it(desk: Desk) -> None:
    early = await desk.set("/early", 1, description="The first of all")
    await grow(desk, 1_001, "main", "k")
    [entry] = await desk.blame("/early")
    assert (entry.commit.id, entry.commit.description) == (early.commit, "The first of all")


async def test_a_merged_change_is_blamed_on_its_author_and_not_on_the_merger(desk: Desk) -> None:
    await desk.set("/a", 1)
    await desk.branch("f")
    done = await desk.set("/a", 2, ref="f", author=FEATURE)
    await desk.apply(("set", "/b", 1), ref="f", author=FEATURE)
    gone = await desk.apply(("delete", "/b"), ref="f", author=FEATURE)
    await desk.set("/c", 1)
    await desk.merge("f", author=ALICE)
    [entry] = await desk.blame("/a")
    assert (entry.commit.id, entry.commit.agent) == (done.commit, "feature-agent")
    [entry] = await desk.blame("/b")
    assert (entry.commit.id, entry.value is None) == (gone.commit, False)


async def test_log_and_query_find_the_commits_that_came_by_a_merge(desk: Desk) -> None:
    await desk.branch("f")
    one = await desk.set("/a", 1, ref="f", author=FEATURE, description="Feature work")
    await desk.set("/b", 1)
    await desk.merge("f")
    found = (await desk.repo.query(Query(agent="feature-agent"))).items
    assert [item.id for item in found if hasattr(item, "id")] == [one.commit]
    logged = (await desk.repo.log("main", parse_path("/a"), limit=5, cursor="")).commits
    assert [commit.id for commit in logged] == [one.commit]
    assert one.commit in {commit.id for commit in (await desk.repo.log("main", (), limit=9, cursor="")).commits}


async def test_maps_added_by_both_sides_under_one_name_are_merged_key_by_key(desk: Desk) -> None:
    await desk.branch("f")
    await desk.set("/cfg", {"a": {"x": 1}})
    await desk.set("/cfg", {"a": {"y": 1}, "b": 2}, ref="f")
    assert (await desk.merge("f")).conflicts == ()
    assert await desk.value("/cfg") == {"a": {"x": 1, "y": 1}, "b": 2}


async def test_a_conflict_shows_whole_values_and_can_be_settled_in_one_call(desk: Desk) -> None:
    await desk.set("/m", {"k": [1, {"deep": True}]})
    await desk.branch("f")
    await desk.set("/m/k", [2], ref="f")
    await desk.apply(("delete", "/m"))
    [conflict] = (await desk.merge("f")).conflicts
    assert (conflict.path, conflict.base, conflict.theirs) == (("m",), {"k": [1, {"deep": True}]}, {"k": [2]})
    assert (await desk.merge("f", strategy="theirs")).merged
    assert await desk.value("/m/k") == [2]
