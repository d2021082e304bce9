"""Blame and history through merges: what came from a branch leads to that branch, and nothing is told twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.operations import ABSENT
from asg_mcp.core.paths import parse_path
from asg_mcp.core.state import State
from asg_mcp.errors import LimitExceeded, PathNotFound
from asg_mcp.repo import history
from asg_mcp.repo.view import View
from tests.repo.desk import Desk, open_desk, settle


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Commit 2 makes the state, commits 1 and 2 are on `main` and `side`."""
    async with open_desk(tmp_path) as opened:
        await opened.set("/m", {"a": 1, "b": 1})
        await opened.branch("side")
        yield opened


async def number(desk: Desk, *told: tuple[Any, ...], ref: str = "main") -> int:
    """The number of a new commit."""
    await desk.apply(*told, ref=ref)
    return (await desk.head(ref)).seq


async def merged(desk: Desk, source: str = "side", target: str = "main", **asked: Any) -> int:
    """The number of a merge."""
    assert (await desk.merge(source, target, **asked)).merged
    return (await desk.head(target)).seq


async def last(desk: Desk, path: str, ref: str = "main") -> int:
    """The commit that changed a path last."""
    [entry] = await desk.blame(path, ref, depth=0)
    return entry.commit.seq


# --- history ------------------------------------------------------------------


async def test_the_history_of_a_path_goes_on_along_the_branch_its_value_came_from(desk: Desk) -> None:
    three = await number(desk, ("set", "/m/a", 2), ref="side")
    four = await number(desk, ("set", "/m/a", 3), ref="side")
    await number(desk, ("set", "/other", 1))
    await merged(desk)
    six = await number(desk, ("set", "/m/a", 4))
    assert await desk.past("/m/a") == [(six, "/m/a", 4), (four, "/m/a", 3), (three, "/m/a", 2), (2, "/m/a", 1)]
    assert await desk.log("/m/a") == [six, four, three, 2]


async def test_the_history_of_a_container_has_both_lines_newest_first_and_no_commit_twice(desk: Desk) -> None:
    changed = [2]
    for turn in range(3):
        changed.append(await number(desk, ("set", "/m/a", turn + 10)))
        changed.append(await number(desk, ("set", "/m/b", turn + 10), ref="side"))
        await number(desk, ("set", f"/other-{turn}", 1), ref="side")
        if turn < 2:
            await merged(desk, "side", "main")
            await merged(desk, "main", "side")
    await merged(desk)
    assert await desk.log("/m") == sorted(changed, reverse=True)
    assert await desk.log("/m/b") == [
        seq for seq in sorted(changed, reverse=True) if (seq == 2) or seq in changed[2::2]
    ]
    assert [seq for seq, _, _ in await desk.past("/m")] == sorted(changed, reverse=True)


async def test_a_merge_is_a_step_only_where_it_settled_something_itself(desk: Desk) -> None:
    three = await number(desk, ("set", "/m/a", 2))
    four = await number(desk, ("set", "/m/a", 3), ref="side")
    five = await number(desk, ("set", "/m/b", 5), ref="side")
    six = await merged(desk, resolutions=(settle("/m/a", "value", 9),))
    assert await desk.log("/m/a") == [six, four, three, 2]
    assert await desk.log("/m/b") == [five, 2]
    assert await last(desk, "/m/a") == six


async def test_a_line_whose_value_was_not_taken_is_no_part_of_the_history(desk: Desk) -> None:
    three = await number(desk, ("set", "/m/a", 2))
    await number(desk, ("set", "/m/a", 3), ref="side")
    await merged(desk, strategy="ours")
    assert await desk.log("/m/a") == [three, 2]


async def test_the_log_of_a_branch_has_the_merged_commits_in_pages(desk: Desk) -> None:
    for turn in range(4):
        await number(desk, ("set", "/m/a", turn + 10))
        await number(desk, ("set", "/m/b", turn + 10), ref="side")
        await merged(desk)
    for path, expected in (("/", list(range(14, 0, -1))), ("/m", [13, 12, 10, 9, 7, 6, 4, 3, 2])):
        found: list[int] = []
        cursor = ""
        while True:
            page = await desk.repo.log("main", parse_path(path), limit=3, cursor=cursor)
            found += [commit.seq for commit in page.commits]
            cursor = page.next_cursor
            if not cursor:
                break
        assert found == expected


async def test_an_element_of_a_list_that_came_by_a_merge_is_followed_to_its_branch(desk: Desk) -> None:
    await number(desk, ("set", "/l", [{"id": 1, "v": 1}]))
    await merged(desk, "main", "side")
    added = await number(desk, ("append", "/l", {"id": 2, "v": 1}), ref="side")
    changed = await number(desk, ("set", "/l/1/v", 2), ref="side")
    await number(desk, ("insert", "/l/0", {"id": 0}))
    await merged(desk)
    assert await desk.value("/l") == [{"id": 0}, {"id": 1, "v": 1}, {"id": 2, "v": 2}]
    assert [seq for seq, _, _ in await desk.past("/l/2/v")] == [changed, added]


# --- deletions ------------------------------------------------------------------


async def test_a_deletion_that_came_by_a_merge_is_its_authors_not_the_mergers(desk: Desk) -> None:
    gone = await number(desk, ("delete", "/m/a"), ref="side")
    await number(desk, ("set", "/m/b", 2), ref="side")
    await number(desk, ("set", "/other", 1))
    await merged(desk)
    assert await last(desk, "/m/a") == gone
    assert await desk.past("/m/a") == [(gone, "/m/a", ABSENT), (2, "/m/a", 1)]


async def test_a_merge_that_deleted_what_both_sides_had_is_named(desk: Desk) -> None:
    await number(desk, ("set", "/m/a", {"x": 1}))
    await number(desk, ("set", "/m/a", {"y": 1}), ref="side")
    gone = await merged(desk, resolutions=(settle("/m/a", "base"),))
    assert await last(desk, "/m/a") == gone
    await number(desk, ("set", "/m/b", 3))
    three = await number(desk, ("set", "/m", {"b": 3, "z": 1}))
    assert (await last(desk, "/m/z"), await last(desk, "/m/a")) == (three, three)


async def test_of_two_deletions_on_two_lines_the_newer_counts(desk: Desk) -> None:
    older = await number(desk, ("delete", "/m/a"))
    newer = await number(desk, ("delete", "/m"), ref="side")
    assert older < newer
    await merged(desk, strategy="ours")
    assert await last(desk, "/m/a") == newer
    assert await last(desk, "/m/a", "main~1") == older


async def test_a_path_that_was_only_ever_on_a_side_not_taken_never_was(desk: Desk) -> None:
    await number(desk, ("set", "/m", 5))
    await number(desk, ("set", "/m/new", 1), ref="side")
    await merged(desk, strategy="ours")
    await number(desk, ("set", "/m", {"b": 1}))
    with pytest.raises(PathNotFound):
        await desk.blame("/m/new")


async def test_a_deletion_behind_many_merges_is_found(desk: Desk) -> None:
    gone = await number(desk, ("delete", "/m/a"))
    for turn in range(6):
        await number(desk, ("set", "/m/b", turn + 10), ref="side")
        await merged(desk, "main", "side", strategy="theirs")
        await number(desk, ("set", f"/x-{turn}", 1))
        await merged(desk)
    assert await last(desk, "/m/a") == gone == await last(desk, "/m/a", "side")


async def test_only_commits_that_could_have_deleted_the_path_are_opened(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = await number(desk, ("delete", "/m/a"))
    for turn in range(150):
        await number(desk, ("set", "/m/b", turn + 10), ref="side" if turn % 2 else "main")
    await merged(desk, strategy="theirs")
    opened: list[int] = []
    state_of = View.state_of

    def counted(view: View, seq: int) -> State:
        opened.append(seq)
        return state_of(view, seq)

    monkeypatch.setattr(View, "state_of", counted)
    assert await last(desk, "/m/a") == gone
    assert len(opened) < 8


async def test_looking_through_many_merges_for_a_deletion_has_a_limit(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await number(desk, ("delete", "/m/a"))
    for turn in range(4):
        await number(desk, ("set", f"/x-{turn}", 1), ref="side")
        await merged(desk)
        await merged(desk, "main", "side")
    monkeypatch.setattr(history, "SCAN_COMMITS_MAX", 2)
    with pytest.raises(LimitExceeded):
        await desk.blame("/m/a")
