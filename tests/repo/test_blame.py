"""Blame and log: who changed a path last, who deleted it, and every change before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.operations import ABSENT
from asg_mcp.core.paths import parse_path
from asg_mcp.errors import InvalidArgument, InvalidCursor, LimitExceeded, PathNotFound
from asg_mcp.repo import history
from asg_mcp.repo.repository import Repository
from tests.repo.desk import Desk, open_desk, paths
from tests.repo.stores import BOB, Made, made_store


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as opened:
        yield opened


async def last(desk: Desk, path: str, ref: str = "main") -> tuple[int, Any]:
    """The commit that changed a path last, and the value there."""
    [entry] = await desk.blame(path, ref, depth=0)
    return entry.commit.seq, entry.value


async def number(desk: Desk, *told: tuple[Any, ...], ref: str = "main") -> int:
    """The number of a new commit."""
    await desk.apply(*told, ref=ref)
    return (await desk.head(ref)).seq


async def test_blame_tells_who_why_and_how_sure(desk: Desk) -> None:
    await desk.set("/a", 1)
    await desk.set("/a", 2, author=BOB, description="Mend it")
    [entry] = await desk.blame("/a")
    info = entry.commit
    assert (entry.value, entry.type, info.agent, info.principal) == (2, "int", BOB.agent, BOB.principal)
    assert (info.description, info.session, info.client) == ("Mend it", BOB.session, BOB.client)


async def test_each_field_below_a_path_has_its_own_entry_in_order(desk: Desk) -> None:
    one = await number(desk, ("set", "/m", {"b": 1, "a": {"x": 1, "e": {}}, "l": [5, 6]}))
    two = await number(desk, ("set", "/m/a/x", 2))
    entries = await desk.blame("/m")
    assert paths(entries) == ["/m/a/e", "/m/a/x", "/m/b", "/m/l/0", "/m/l/1"]
    assert [entry.commit.seq for entry in entries] == [one, two, one, one, one]
    shallow = await desk.blame("/m", depth=1)
    assert [(entry.path[-1], entry.commit.seq) for entry in shallow] == [("a", two), ("b", one), ("l", one)]
    assert [(entry.path, entry.commit.seq) for entry in await desk.blame("/m", depth=0)] == [(("m",), two)]


async def test_a_container_is_blamed_for_what_went_from_it(desk: Desk) -> None:
    await number(desk, ("set", "/m", {"a": 1, "b": 1}))
    gone = await number(desk, ("delete", "/m/a"))
    assert (await last(desk, "/m"))[0] == gone


async def test_setting_what_is_there_changes_no_blame(desk: Desk) -> None:
    one = await number(desk, ("set", "/m", {"a": 1, "b": 1}))
    two = await number(desk, ("set", "/m", {"a": 1, "b": 2}))
    assert [entry.commit.seq for entry in await desk.blame("/m")] == [one, two]


async def test_elements_of_a_list_keep_their_blame_when_they_shift(desk: Desk) -> None:
    one = await number(desk, ("set", "/l", ["a", "b", "c"]))
    two = await number(desk, ("insert", "/l/0", "new"))
    assert [entry.commit.seq for entry in await desk.blame("/l")] == [two, one, one, one]
    three = await number(desk, ("delete", "/l/1"))
    assert [entry.commit.seq for entry in await desk.blame("/l")] == [two, one, one]
    four = await number(desk, ("set", "/l", ["new", "b", "x", "c"]))
    assert [entry.commit.seq for entry in await desk.blame("/l")] == [two, one, four, one]
    assert (await last(desk, "/l"))[0] == four > three


# --- deletions --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "path"),
    [
        (("delete", "/m/a/x"), "/m/a/x"),
        (("delete", "/m/a"), "/m/a/x"),
        (("delete", "/m"), "/m/a/x"),
        (("set", "/m", {"other": 1}), "/m/a/x"),
        (("set", "/m", 5), "/m/a/x"),
        (("set", "/m/a", [1]), "/m/a/x"),
        (("set", "/", {}), "/m/a/x"),
        (("move", "/elsewhere", "/m/a"), "/m/a/x"),
        (("move", "/elsewhere", "/m/a/x"), "/m/a/x"),
        (("delete", "/l/0"), "/l/2"),
        (("set", "/l", [1]), "/l/2"),
        (("move", "/x", "/l/1"), "/l/2"),
        (("delete", "/o/0"), "/o/1/k"),
        (("delete", "/o/0"), "/o/0/only"),
        (("insert", "/o/0", 0), "/o/0/only"),
        (("move", "/o/1", "/o/0"), "/o/0/only"),
    ],
)
async def test_a_deletion_is_found_however_the_path_went(desk: Desk, told: Any, path: str) -> None:
    await desk.apply(("set", "/m", {"a": {"x": 1}, "z": 1}), ("set", "/l", [1, 2, 3]))
    await desk.set("/o", [{"only": 1, "k": 1}, {"k": 2}])
    await desk.set("/m/z", 2)
    gone = await number(desk, told)
    await desk.set("/unrelated", 1)
    [entry] = await desk.blame(path)
    assert (entry.commit.seq, entry.value, entry.type) == (gone, ABSENT, "")
    assert (await desk.past(path))[0] == (gone, path, ABSENT)


async def test_the_newest_of_several_deletions_counts_and_older_refs_know_theirs(desk: Desk) -> None:
    one = await number(desk, ("set", "/m/a", 1))
    two = await number(desk, ("delete", "/m/a"))
    await desk.set("/m/a", 2)
    four = await number(desk, ("delete", "/m"))
    await desk.set("/m", {"b": 1})
    assert await last(desk, "/m/a") == (four, ABSENT)
    assert await last(desk, "/m/a", "main~2") == (two + 1, 2)
    assert await last(desk, "/m/a", "main~3") == (two, ABSENT)
    assert await last(desk, "/m/a", "main~4") == (one, 1)


async def test_what_was_moved_up_over_an_older_value_is_found(desk: Desk) -> None:
    # What stands at /l/0 now is older than the deletion that moved it there.
    await desk.set("/l", [[1], 5])
    gone = await number(desk, ("delete", "/l/0"))
    assert await last(desk, "/l/0/0") == (gone, ABSENT)


async def test_a_path_that_never_was_is_not_found(desk: Desk) -> None:
    await desk.set("/m/a", 1)
    for path in ("/never", "/m/b", "/m/b/c"):
        with pytest.raises(PathNotFound):
            await desk.blame(path)
    with pytest.raises(PathNotFound):
        await desk.log("/never")


async def test_deletions_on_other_branches_do_not_count(desk: Desk) -> None:
    await desk.set("/a", 1)
    await desk.branch("side")
    gone = await number(desk, ("delete", "/a"), ref="side")
    assert await last(desk, "/a", "side") == (gone, ABSENT)
    assert (await last(desk, "/a"))[1] == 1
    await desk.set("/b", 1, ref="side")
    await desk.apply(("delete", "/b"), ref="side")
    await desk.set("/c", 1)
    with pytest.raises(PathNotFound):
        await desk.blame("/b")


async def test_looking_for_a_deletion_has_a_limit(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.set("/m/a", 1)
    for value in range(5):
        await desk.set("/m", {"b": 1, f"c{value}": 1})
    monkeypatch.setattr(history, "SCAN_COMMITS_MAX", 2)
    with pytest.raises(LimitExceeded) as caught:
        await desk.blame("/m/never")
    assert caught.value.details["limit"] == "SCAN_COMMITS_MAX"


# --- history ------------------------------------------------------------------------


async def test_history_tells_every_change_of_a_path_and_what_it_left(desk: Desk) -> None:
    one = await number(desk, ("set", "/m/a", 1))
    two = await number(desk, ("set", "/m/a", 2))
    await desk.set("/m/b", 1)
    four = await number(desk, ("delete", "/m"))
    five = await number(desk, ("set", "/m/a", 3))
    assert await desk.past("/m/a") == [
        (five, "/m/a", 3),
        (four, "/m/a", ABSENT),
        (two, "/m/a", 2),
        (one, "/m/a", 1),
    ]
    assert await desk.log("/m/a") == [five, four, two, one]


async def test_history_of_a_container_has_every_change_below_it(desk: Desk) -> None:
    one = await number(desk, ("set", "/m", {"a": 1, "b": 1}))
    two = await number(desk, ("set", "/m/a", 2))
    await desk.set("/other", 1)
    four = await number(desk, ("delete", "/m/b"))
    assert await desk.log("/m") == [four, two, one]


async def test_history_follows_an_element_that_can_be_told_from_the_others(desk: Desk) -> None:
    await number(desk, ("set", "/l", [{"id": 1, "v": 1}, {"id": 2, "v": 1}]))
    two = await number(desk, ("set", "/l/1/v", 2))
    await desk.apply(("insert", "/l/0", {"id": 0}))
    found = await desk.past("/l/2/v")
    assert found[0] == (two, "/l/1/v", 2)


async def test_log_has_all_commits_newest_first_in_pages_that_others_do_not_disturb(desk: Desk) -> None:
    for value in range(7):
        await desk.set("/a", value)
    whole = await desk.log()
    assert whole == [8, 7, 6, 5, 4, 3, 2, 1]
    for path, expected in (("/", whole), ("/a", whole[:-1])):
        found, cursor = [], ""
        while True:
            page = await desk.repo.log("main", parse_path(path), limit=3, cursor=cursor)
            found += [commit.seq for commit in page.commits]
            cursor = page.next_cursor
            await desk.set("/b", len(found))
            if not cursor:
                break
        assert found == expected


async def test_pages_of_blame_are_not_disturbed_by_others(desk: Desk) -> None:
    await desk.set("/m", {f"k{index}": [index] for index in range(10)})
    whole = [(entry.path, entry.commit.seq) for entry in await desk.blame("/m")]
    for deep in (False, True):
        found, cursor = [], ""
        while True:
            page = await desk.repo.blame("main", ("m",), depth=9, history=deep, limit=3, cursor=cursor)
            found += [(entry.path, entry.commit.seq) for entry in page.entries]
            cursor = page.next_cursor
            if not cursor:
                break
            await desk.apply(("set", "/m/a0", len(found)), ("set", "/m/k9", len(found)), ("insert", "/m/k0/0", 7))
        assert deep or found == whole
        whole = []


async def test_branches_share_history_up_to_their_fork(desk: Desk) -> None:
    await desk.set("/a", 1)
    await desk.branch("side")
    await desk.set("/b", 1)
    await desk.set("/c", 1, ref="side")
    assert (await desk.log(), await desk.log(ref="side")) == ([3, 2, 1], [4, 2, 1])


async def test_limits_and_cursors_are_checked(desk: Desk) -> None:
    await desk.set("/a", [1, 2, 3])
    for limit, error in ((0, InvalidArgument), (-1, InvalidArgument), (501, LimitExceeded)):
        with pytest.raises(error):
            await desk.repo.log("main", (), limit=limit, cursor="")
        with pytest.raises(error):
            await desk.repo.blame("main", (), depth=1, history=False, limit=limit, cursor="")
        with pytest.raises(error):
            await desk.diff("main", "main~1", limit=limit)
    cursor = (await desk.repo.blame("main", ("a",), depth=1, history=False, limit=1, cursor="")).next_cursor
    with pytest.raises(InvalidCursor):
        await desk.repo.blame("main", ("a",), depth=2, history=False, limit=1, cursor=cursor)
    with pytest.raises(InvalidCursor):
        await desk.repo.log("main", (), limit=1, cursor=cursor)


async def test_a_clock_that_went_back_is_told(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        desk = desk_of(made)
        await made.set("/a", 1, at=1_900_000_000_000_000)
        assert not (await desk.repo.log("main", (), limit=9, cursor="")).clock_anomaly
        await made.set("/a", 2, at=1_800_000_000_000_000)
        assert (await desk.repo.log("main", (), limit=9, cursor="")).clock_anomaly


def desk_of(made: Made) -> Desk:
    """The repository over a store that is being made."""
    return Desk(Repository(made.store))
