"""Diff between any two commits, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.operations import ABSENT
from asg_mcp.errors import InvalidCursor, PathNotFound
from asg_mcp.repo.results import Change
from tests.repo.desk import Desk, open_desk, shown


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as opened:
        await opened.set("/", {"m": {"x": 1, "y": "s"}, "l": [1, {"k": 1}, 3], "n": None})
        yield opened


def told(changes: tuple[Change, ...]) -> list[tuple[Any, ...]]:
    return [(change.op, shown(change.path), change.old, change.new) for change in changes]


async def test_each_change_has_its_kind_and_both_sides(desk: Desk) -> None:
    await desk.apply(
        ("set", "/m/x", 2),
        ("set", "/m/y", 5),
        ("delete", "/n"),
        ("set", "/new", {"a": None}),
        ("set", "/l/1/k", 2),
        ("append", "/l", None),
    )
    found = await desk.diff("main~1", "main")
    assert told(found.changes) == [
        ("replace", "/l/1/k", 1, 2),
        ("add", "/l/3", ABSENT, None),
        ("replace", "/m/x", 1, 2),
        ("type", "/m/y", "s", 5),
        ("remove", "/n", None, ABSENT),
        ("add", "/new", ABSENT, {"a": None}),
    ]
    back = await desk.diff("main", "main~1")
    assert {path for _, path, _, _ in told(back.changes)} == {path for _, path, _, _ in told(found.changes)}
    assert (await desk.diff("main", "main")).changes == ()
    assert found.commit_b == (await desk.head()).id


async def test_an_element_that_moved_and_one_that_shifted_tell_where_they_were(desk: Desk) -> None:
    await desk.apply(("move", "/l/0", "/l/2"))
    [move] = (await desk.diff("main~1", "main")).changes
    assert (move.op, shown(move.path), move.source and shown(move.source), move.new) == ("move", "/l/0", "/l/2", 3)
    await desk.apply(("insert", "/l/0", "new"), ("set", "/l/3/k", 2))
    [new, inner] = (await desk.diff("main~1", "main")).changes
    assert (new.op, shown(new.path)) == ("add", "/l/0")
    assert (inner.op, shown(inner.path), inner.old, inner.new) == ("replace", "/l/3/k", 1, 2)
    assert (inner.source and shown(inner.source)) == "/l/2/k"


async def test_pages_hold_every_change_once_while_others_write(desk: Desk) -> None:
    await desk.branch("old", kind="tag")
    await desk.apply(*[("set", f"/m/k{number}", number) for number in range(10)])
    whole = told((await desk.diff("old", "main")).changes)
    found: list[Any] = []
    cursor = ""
    while True:
        page = await desk.diff("old", "main", limit=3, cursor=cursor)
        assert len(page.changes) <= 3
        found += told(page.changes)
        cursor = page.next_cursor
        if not cursor:
            break
        await desk.set("/m/k5", {"now": len(found)})
    assert found == whole
    assert len(whole) == 10


async def test_a_path_narrows_the_diff_and_must_exist_on_one_side(desk: Desk) -> None:
    await desk.apply(("set", "/m/x", 2), ("set", "/other", 1))
    assert told((await desk.diff("main~1", "main", "/m")).changes) == [("replace", "/m/x", 1, 2)]
    assert told((await desk.diff("main~1", "main", "/other")).changes) == [("add", "/other", ABSENT, 1)]
    assert told((await desk.diff("main", "main~1", "/other")).changes) == [("remove", "/other", 1, ABSENT)]
    with pytest.raises(PathNotFound):
        await desk.diff("main~1", "main", "/never")


async def test_a_cursor_belongs_to_its_call(desk: Desk) -> None:
    await desk.apply(("set", "/m/x", 2), ("set", "/n", 1))
    cursor = (await desk.diff("main~1", "main", limit=1)).next_cursor
    with pytest.raises(InvalidCursor):
        await desk.diff("main", "main~1", limit=1, cursor=cursor)
    with pytest.raises(InvalidCursor):
        await desk.diff("main~1", "main", "/m", limit=1, cursor=cursor)
