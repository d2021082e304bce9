"""One write: what is applied, what is stored, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core import limits
from asg_mcp.core.intents import Category
from asg_mcp.core.operations import Op
from asg_mcp.errors import (
    Forbidden,
    InvalidPath,
    InvalidValue,
    LimitExceeded,
    PathNotFound,
    RefNotFound,
    TestFailed,
    WrongType,
)
from asg_mcp.repo import transaction
from asg_mcp.repo.records import header_of, operations_of
from asg_mcp.repo.resolve import state_at
from asg_mcp.repo.transaction import checked_operations
from tests.repo.desk import Desk, open_desk, ops
from tests.repo.stores import ALICE, Made, made_store


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as opened:
        yield opened


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Made]:
    async with made_store(tmp_path) as opened:
        yield opened


async def test_a_write_answers_with_its_commit_parent_object_and_count(desk: Desk) -> None:
    before = await desk.head()
    answer = await desk.set("/a", {"b": [1, 2]})
    head = await desk.head()
    assert (answer.commit, answer.parent, answer.ref) == (head.id, before.id, "main")
    assert answer.object == (await desk.get("/a")).object
    assert answer.changed == 4, "/a, /a/b and two elements"
    assert not answer.rebased
    assert not answer.replayed
    gone = await desk.apply(("delete", "/a"))
    assert (gone.object, gone.changed) == (None, 4)


async def test_an_answer_names_where_an_appended_element_went(desk: Desk) -> None:
    await desk.set("/l", [1])
    answer = await desk.apply(("append", "/l", "x"))
    assert answer.object == (await desk.get("/l/1")).object


async def test_several_operations_are_one_commit_and_seen_in_order(desk: Desk) -> None:
    before = await desk.log()
    await desk.apply(
        ("set", "/l", [1]),
        ("append", "/l", 2),
        ("insert", "/l/0", 0),
        ("test", "/l", [0, 1, 2]),
        ("move", "/m", "/l"),
        ("set", "/gone", 1),
        ("delete", "/gone"),
    )
    assert await desk.value() == {"m": [0, 1, 2]}
    assert (await desk.log())[1:] == before


async def test_one_operation_that_fails_leaves_nothing_of_the_others(desk: Desk) -> None:
    await desk.set("/a", 1)
    before = await desk.log()
    for wrong, error in (
        (("test", "/a", 2), TestFailed),
        (("test", "/a", 1.0), TestFailed),
        (("delete", "/gone"), PathNotFound),
        (("set", "/a/b", 1), WrongType),
        (("append", "/a", 1), WrongType),
        (("delete", "/"), InvalidPath),
        (("set", "/", 1), WrongType),
        (("move", "/b", "/gone"), PathNotFound),
    ):
        with pytest.raises(error):
            await desk.apply(("set", "/b", 1), wrong)
    assert await desk.value() == {"a": 1}
    assert await desk.log() == before


async def test_what_changes_nothing_makes_no_commit_and_answers_with_the_head(desk: Desk) -> None:
    head = await desk.set("/a", {"x": [1]})
    for same in ([("set", "/a", {"x": [1]})], [("test", "/a/x/0", 1)], [("set", "/a/x", [1]), ("set", "/a/x/0", 1)]):
        answer = await desk.apply(*same)
        assert (answer.changed, answer.commit, answer.parent) == (0, head.commit, head.parent)
        assert answer.object is not None


async def test_operations_that_change_nothing_are_not_recorded(made: Made) -> None:
    await made.apply(ops(("set", "/a", 1), ("set", "/a", 1), ("set", "/b", 2)))
    with made.store.reading() as reader:
        told = [(operation.op, operation.path) for operation in operations_of(reader.commit(2))]
    assert told == [(Op.SET, "/a"), (Op.SET, "/b")]


async def test_an_apply_without_operations_is_a_checkpoint(desk: Desk) -> None:
    first = await desk.set("/a", 1)
    answer = await desk.apply()
    assert (answer.parent, answer.changed) == (first.commit, 0)
    assert answer.commit != first.commit
    assert answer.object == (await desk.get()).object
    assert await desk.value() == {"a": 1}
    assert (await desk.blame("/a"))[0].commit.id == first.commit, "a checkpoint changes nothing"


@pytest.mark.parametrize(
    "told",
    [
        ("set", "/_meta/version", 2),
        ("set", "/plans", {}),
        ("delete", "/plans"),
        ("move", "/mine", "/plans/p"),
        ("move", "/plans/p", "/a"),
        ("set", "/", {"plans": {}}),
        ("append", "/plans/p", 1),
        ("insert", "/_meta/0", 1),
    ],
)
async def test_the_roots_that_have_their_own_tools_are_refused(desk: Desk, told: tuple[Any, ...]) -> None:
    await desk.set("/a", 1)
    with pytest.raises(Forbidden):
        await desk.apply(("set", "/b", 1), told)
    assert await desk.value() == {"a": 1}


async def test_a_write_to_the_root_keeps_those_roots(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(transaction, "KEPT_ROOTS", {})
        await made.set("/plans/p", {"task": 1})
        await made.set("/_meta/version", 1)
    await made.set("/a", 1)
    await made.set("/", {"b": 2})
    with made.store.reading() as reader:
        state = state_at(reader, made.hasher, reader.commit(reader.last_seq()))
        assert state.value(state.root()) == {"b": 2, "plans": {"p": {"task": 1}}, "_meta": {"version": 1}}
        assert state.spot(("plans", "p", "task")).entry.origin == 2
        operation = operations_of(reader.commit(reader.last_seq()))[0]
        assert operation.entries is not None
        assert any(entry.key.startswith("plans") for entry in operation.entries), "replay needs them"


async def test_a_test_may_read_the_kept_roots(desk: Desk) -> None:
    with pytest.raises(TestFailed):
        await desk.apply(("test", "/plans", {}))


async def test_keys_that_only_begin_like_a_kept_root_are_free(desk: Desk) -> None:
    await desk.apply(("set", "/plans2", 1), ("set", "/a/plans", 2))
    assert await desk.value() == {"a": {"plans": 2}, "plans2": 1}


async def test_a_write_goes_to_a_branch_and_to_nothing_else(desk: Desk) -> None:
    head = await desk.set("/a", 1)
    await desk.branch("v1", kind="tag")
    with pytest.raises(Forbidden, match="tag"):
        await desk.set("/a", 2, ref="v1")
    with pytest.raises(RefNotFound, match="needs a branch"):
        await desk.set("/a", 2, ref=head.commit.hex())
    with pytest.raises(RefNotFound) as caught:
        await desk.set("/a", 2, ref="mian")
    assert caught.value.details["nearest"] == ["main"]
    assert await desk.value("/", "v1") == {"a": 1}


async def test_values_that_cannot_be_stored_are_refused_before_anything_is_written(desk: Desk) -> None:
    for value in (float("nan"), 2**63, {"\ud800": 1}, [object()]):
        with pytest.raises(InvalidValue):
            await desk.apply(("set", "/ok", 1), ("set", "/a", value))
    with pytest.raises(LimitExceeded) as caught:
        await desk.apply(*[("set", "/a", number) for number in range(limits.OPERATIONS_MAX + 1)])
    assert caught.value.details["limit"] == "OPERATIONS_MAX"
    assert await desk.value() == {}


async def test_a_commit_has_a_limit_of_its_own(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transaction, "COMMIT_BYTES_MAX", 1_000)
    with pytest.raises(LimitExceeded) as caught:
        await desk.apply(*[("set", f"/k{number}", "x" * 300) for number in range(4)])
    assert caught.value.details["limit"] == "COMMIT_BYTES_MAX"


async def test_a_caller_that_changes_its_value_later_changes_nothing(made: Made) -> None:
    value = {"list": [1]}
    checked = checked_operations(ops(("set", "/a", value)))
    value["list"].append(2)
    assert checked[0].value == {"list": [1]}


async def test_the_stored_commit_gives_its_id_again_with_the_body_erased_too(made: Made) -> None:
    await made.apply(ops(("set", "/a", "text " * 600), ("move", "/b", "/a"), ("append", "/l", None)))
    with made.store.reading(stored=True) as reader:
        row = reader.commit(2)
        header = header_of(reader, row, made.hasher)
        assert header.id == row.id
        erased = replace(row, parts=[*row.parts[:11], bytes(header.body), *row.parts[12:]])
        assert header_of(reader, erased, made.hasher).id == row.id


async def test_a_long_text_is_stored_once_however_often_it_is_moved(made: Made) -> None:
    await made.set("/a", "text " * 600)
    await made.apply(ops(("move", "/b", "/a")))
    await made.set("/c", 1)
    count = await made.store._thread.run(lambda db: db.execute("SELECT count(*) FROM blobs").fetchone()[0])
    assert count == 1


async def test_the_intent_is_kept_as_it_was_given(desk: Desk) -> None:
    await desk.set("/a", 1, description="Weil es nötig war")
    info = await desk.head()
    assert (info.category, info.description) == (Category.REFINE, "Weil es nötig war")
    assert (info.principal, info.agent, info.client) == (ALICE.principal, ALICE.agent, ALICE.client)


def test_the_common_path_is_the_deepest_that_holds_all() -> None:
    common = transaction.common_path
    assert common([("a", "b"), ("a", "c", "d")]) == ("a",)
    assert common([("a", "b")]) == ("a", "b")
    assert common([(), ("a",)]) == ()
    assert common([("a",), ("ab",)]) == ()


async def test_nothing_is_moved_to_the_root(desk: Desk) -> None:
    """It would bring in roots that no ordinary write may make, and drop those that no ordinary write may delete."""
    await desk.set("/a", {"plans": {"p": 1}, "b": 2})
    with pytest.raises(InvalidPath):
        await desk.apply(("move", "/", "/a"))
    assert await desk.value() == {"a": {"plans": {"p": 1}, "b": 2}}


async def test_a_write_to_a_revision_says_that_it_needs_a_branch(desk: Desk) -> None:
    with pytest.raises(RefNotFound, match="a write needs one"):
        await desk.set("/a", 1, ref="main~1")
