"""What a caller says it had read: rebased where nothing it writes changed, refused with the reasons where it did."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.intents import Author
from asg_mcp.errors import CommitNotFound, HeadMoved, InvalidName, ObjectChanged, PathNotFound, RequestReused
from asg_mcp.repo.guards import Guard
from tests.repo.desk import Desk, open_desk
from tests.repo.stores import ALICE, BOB

START = {"m": {"x": 1, "y": {"z": 1}}, "l": [1, 2, 3], "o": [{"in": [1]}, {"in": [2]}], "s": 1}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as opened:
        for name, value in START.items():
            await opened.set(f"/{name}", value)
        yield opened


async def raced(desk: Desk, theirs: tuple[Any, ...], mine: tuple[Any, ...]) -> bool:
    """Whether my operation, made from the head before theirs, is rebased; raises where it is refused."""
    read = (await desk.head()).id.hex()
    await desk.apply(theirs, author=BOB)
    return (await desk.apply(mine, expected_head=read)).rebased


@pytest.mark.parametrize(
    ("theirs", "mine"),
    [
        (("set", "/m/y/z", 2), ("set", "/m/x", 2)),
        (("set", "/new", 1), ("set", "/s", 2)),
        (("delete", "/m/x"), ("set", "/m/y/z", 2)),
        (("set", "/m/new", 1), ("set", "/m/y/w", 2)),
        (("append", "/l", 4), ("append", "/l", 5)),
        (("append", "/l", 4), ("set", "/l/-", 5)),
        (("append", "/l", 4), ("insert", "/l/-", 5)),
        (("delete", "/l/0"), ("append", "/l", 5)),
        (("set", "/l/0", 9), ("set", "/l/2", 5)),
        (("set", "/l/0", 9), ("append", "/l", 5)),
        (("set", "/m/q", 1), ("set", "/m/r", 1)),
        (("set", "/m/x", 1), ("set", "/m/x", 2)),
        (("set", "/m", {**START["m"], "n": 1}), ("set", "/m/x", 2)),  # type: ignore[dict-item]
        (("set", "/m/x", 2), ("move", "/t", "/s")),
        (("append", "/o/0/in", 5), ("append", "/o/0/in", 6)),
    ],
)
async def test_a_write_whose_paths_nobody_touched_is_rebased(desk: Desk, theirs: Any, mine: Any) -> None:
    before = (await desk.head()).id
    rebased = await raced(desk, theirs, mine)
    assert rebased == ((await desk.head()).id != before and len(await desk.log()) == len(START) + 3)


@pytest.mark.parametrize(
    ("theirs", "mine", "path"),
    [
        (("set", "/s", 2), ("set", "/s", 3), "/s"),
        (("set", "/s", 2), ("delete", "/s"), "/s"),
        (("delete", "/s"), ("set", "/s", 3), "/s"),
        (("set", "/n", 2), ("set", "/n", 3), "/n"),
        (("set", "/m/y/z", 2), ("set", "/m", 3), "/m"),
        (("set", "/m/y/z", 2), ("delete", "/m/y"), "/m/y"),
        (("set", "/m", 2), ("set", "/m/x", 3), "/m/x"),
        (("delete", "/m"), ("set", "/m/x", 3), "/m/x"),
        (("delete", "/m"), ("set", "/m/new", 3), "/m/new"),
        (("set", "/m", [1]), ("set", "/m/new", 3), "/m/new"),
        (("set", "/q/w", 1), ("set", "/q/v", 1), "/q/v"),
        (("delete", "/l/0"), ("set", "/l/1", 5), "/l"),
        (("insert", "/l/0", 0), ("delete", "/l/2"), "/l"),
        (("append", "/l", 4), ("insert", "/l/0", 5), "/l"),
        (("set", "/l/1", 9), ("set", "/l/1", 5), "/l/1"),
        (("set", "/l", 9), ("append", "/l", 5), "/l"),
        (("delete", "/l"), ("append", "/l", 5), "/l"),
        (("delete", "/o/0"), ("append", "/o/0/in", 5), "/o"),
        (("insert", "/o/0", {"in": []}), ("append", "/o/0/in", 5), "/o"),
        (("set", "/s", 2), ("move", "/t", "/s"), "/s"),
        (("set", "/t", 2), ("move", "/t", "/s"), "/t"),
        (("set", "/s", 2), ("test", "/s", 2), "/s"),
        (("append", "/l", 4), ("set", "/", {}), "/"),
    ],
)
async def test_a_write_whose_paths_changed_is_refused_with_the_conflict(
    desk: Desk, theirs: Any, mine: Any, path: str
) -> None:
    before = await desk.log()
    with pytest.raises(HeadMoved) as caught:
        await raced(desk, theirs, mine)
    assert [conflict["path"] for conflict in caught.value.details["conflicts"]] == [path]
    assert caught.value.details["head"] == (await desk.head()).id.short
    assert (await desk.log())[1:] == before, "only theirs was written"


async def test_a_retyped_ancestor_that_still_leads_to_the_same_value_is_a_conflict(desk: Desk) -> None:
    await desk.set("/r", {"0": {"x": 1}})
    with pytest.raises(HeadMoved):
        await raced(desk, ("set", "/r", [{"x": 1}]), ("set", "/r/0/x", 2))


async def test_a_conflict_tells_what_was_what_is_and_what_was_wanted(desk: Desk) -> None:
    with pytest.raises(HeadMoved) as caught:
        await raced(desk, ("set", "/s", None), ("set", "/s", 3))
    assert caught.value.details["conflicts"] == [{"path": "/s", "base": 1, "ours": None, "theirs": 3}]
    with pytest.raises(HeadMoved) as caught:
        await raced(desk, ("delete", "/s"), ("set", "/s", "long " * 200))
    assert caught.value.details["conflicts"] == [{"path": "/s", "base": None, "theirs": "(your value)"}]


async def test_a_head_that_is_still_the_head_is_no_rebase_and_prefixes_serve(desk: Desk) -> None:
    head = (await desk.head()).id
    assert not (await desk.set("/s", 2, expected_head=head.short)).rebased


async def test_a_commit_of_another_branch_is_not_in_the_history(desk: Desk) -> None:
    await desk.branch("side")
    elsewhere = await desk.set("/s", 5, ref="side")
    with pytest.raises(HeadMoved, match="not in the history") as caught:
        await desk.set("/s", 6, expected_head=elsewhere.commit.hex())
    assert caught.value.details["head"] == (await desk.head()).id.short
    with pytest.raises(CommitNotFound):
        await desk.set("/s", 6, expected_head="0123456789")


async def test_a_checkpoint_may_be_rebased(desk: Desk) -> None:
    read = (await desk.head()).id.hex()
    await desk.set("/s", 2)
    assert (await desk.apply(expected_head=read)).rebased


# --- expected_object ----------------------------------------------------------------


async def test_the_object_that_was_read_lets_the_write_through(desk: Desk) -> None:
    for path in ("/s", "/m", "/l/0"):
        found = (await desk.get(path)).object
        answer = await desk.set(path, "new", expected_object=found.short)
        assert answer.changed
        assert answer.object == (await desk.get(path)).object


async def test_another_object_refuses_the_write_and_is_told(desk: Desk) -> None:
    read = (await desk.get("/m")).object
    await desk.set("/m/y/z", 2)
    with pytest.raises(ObjectChanged) as caught:
        await desk.set("/m", 1, expected_object=read.short)
    now = await desk.get("/m")
    assert caught.value.details["object"] == now.object.short
    assert caught.value.details["value"] == now.value
    with pytest.raises(ObjectChanged):
        await desk.set("/new", 1, expected_object=read.short)


async def test_what_is_already_as_asked_is_a_success_that_changes_nothing(desk: Desk) -> None:
    read = (await desk.get("/s")).object
    await desk.set("/s", 2)
    before = await desk.log()
    answer = await desk.set("/s", 2, expected_object=read.short)
    assert (answer.changed, answer.commit) == (0, (await desk.head()).id)
    assert await desk.log() == before


async def test_an_expected_object_must_be_an_id(desk: Desk) -> None:
    with pytest.raises(InvalidName):
        await desk.set("/s", 2, expected_object="not hex")


async def test_a_delete_of_what_is_gone_is_already_as_asked_only_for_who_had_read_it(desk: Desk) -> None:
    answer = await desk.apply(("delete", "/gone"), expected_object="abcdef123456")
    assert (answer.changed, answer.object) == (0, None)
    with pytest.raises(PathNotFound):
        await desk.apply(("delete", "/gone"))


@pytest.mark.parametrize("told", [(), (("test", "/s", 1),)])
async def test_a_request_that_writes_nothing_needs_what_it_expects_to_hold(desk: Desk, told: Any) -> None:
    before = await desk.log()
    with pytest.raises(ObjectChanged):
        await desk.apply(*told, expected_object="abcdef123456")
    assert await desk.log() == before


async def test_an_element_that_was_replaced_at_its_index_is_not_written_into(desk: Desk) -> None:
    """An index names a place: what stands there may be another element though the list is as long as it was."""
    await desk.set("/q", [{"name": "amy", "state": "idle"}, {"name": "bob", "state": "idle"}])
    read = (await desk.head()).id.hex()
    await desk.set("/q", [{"name": "carol", "state": "idle"}, {"name": "bob", "state": "idle"}], author=BOB)
    with pytest.raises(HeadMoved) as caught:
        await desk.set("/q/0/state", "busy", expected_head=read)
    assert caught.value.details["conflicts"][0]["path"] == "/q/0"
    assert (await desk.set("/q/1/state", "busy", expected_head=read)).rebased


async def test_two_fields_of_one_element_are_changed_side_by_side(desk: Desk) -> None:
    await desk.set("/q", [{"name": "amy", "state": "idle"}])
    read = (await desk.head()).id.hex()
    await desk.set("/q/0/name", "ann", author=BOB)
    assert (await desk.set("/q/0/state", "busy", expected_head=read)).rebased


async def test_a_retry_may_order_its_keys_otherwise_and_come_from_a_newer_client(desk: Desk) -> None:
    first = await desk.set("/r", {"a": 1, "b": [{"c": 1, "d": 2}]}, request_id="r-7")
    newer = Author(ALICE.principal, ALICE.agent, "claude/2.0")
    again = await desk.set("/r", {"b": [{"d": 2, "c": 1}], "a": 1}, request_id="r-7", author=newer)
    assert (again.commit, again.replayed) == (first.commit, True)
    with pytest.raises(RequestReused):
        await desk.set("/r", {"a": 1.0, "b": [{"c": 1, "d": 2}]}, request_id="r-7")


# --- request_id -----------------------------------------------------------------------


async def test_a_request_made_again_is_answered_and_not_done_again(desk: Desk) -> None:
    first = await desk.apply(("append", "/l", 4), request_id="r-1")
    await desk.set("/s", 9)
    again = await desk.apply(("append", "/l", 4), request_id="r-1")
    assert again.replayed
    assert not first.replayed
    assert (again.commit, again.ref, again.parent, again.object, again.changed, again.rebased) == (
        first.commit,
        first.ref,
        first.parent,
        first.object,
        first.changed,
        first.rebased,
    )
    assert await desk.value("/l") == [1, 2, 3, 4]


async def test_a_request_that_changed_nothing_is_remembered_too(desk: Desk) -> None:
    first = await desk.set("/s", 1, request_id="r-1")
    await desk.set("/s", 2)
    again = await desk.set("/s", 1, request_id="r-1")
    assert (again.replayed, again.changed, again.commit) == (True, 0, first.commit)
    assert await desk.value("/s") == 2


@pytest.mark.parametrize("value", [1.0, True, "1", [1]])
async def test_an_id_used_for_another_request_is_refused(desk: Desk, value: Any) -> None:
    await desk.set("/n", 1, request_id="r-1")
    with pytest.raises(RequestReused):
        await desk.set("/n", value, request_id="r-1")
    with pytest.raises(RequestReused):
        await desk.set("/n", 1, request_id="r-1", expected_head="abcdef")
    with pytest.raises(RequestReused):
        await desk.branch("side", request_id="r-1")
    with pytest.raises(RequestReused):
        await desk.revert("main", guard=Guard(request_id="r-1"))
    assert await desk.value("/n") == 1


async def test_a_request_that_was_refused_is_not_remembered(desk: Desk) -> None:
    with pytest.raises(PathNotFound):
        await desk.apply(("delete", "/n"), request_id="r-1")
    await desk.set("/n", 1)
    assert not (await desk.apply(("delete", "/n"), request_id="r-1")).replayed


async def test_an_id_belongs_to_its_principal(desk: Desk) -> None:
    other = Author("local:carol", ALICE.agent, ALICE.client)
    await desk.apply(("append", "/l", 4), request_id="r-1")
    assert not (await desk.apply(("append", "/l", 4), author=other, request_id="r-1")).replayed
    assert await desk.value("/l") == [1, 2, 3, 4, 4]


async def test_requests_are_known_after_the_store_was_opened_again(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        first = await desk.set("/n", 1, request_id="r-1")
    async with open_desk(tmp_path) as desk:
        again = await desk.set("/n", 1, request_id="r-1")
        assert (again.replayed, again.commit) == (True, first.commit)


async def test_a_request_id_is_a_name(desk: Desk) -> None:
    with pytest.raises(InvalidName):
        await desk.set("/n", 1, request_id="two\nlines")
