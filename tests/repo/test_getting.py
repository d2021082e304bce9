"""Reading within a budget: pages and left-out parts together are everything, once."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from asg_mcp.core.paths import Tokens
from asg_mcp.core.values import encode
from asg_mcp.errors import InvalidCursor, LimitExceeded, PathNotFound
from tests.core.test_diff import random_document
from tests.repo.desk import Desk, open_desk, shown


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as opened:
        yield opened


async def gathered(desk: Desk, path: Tokens, depth: int | None, max_bytes: int, seen: list[Tokens]) -> Any:
    """A whole value, put together from pages and from what they leave out."""
    cursor, parts = "", []
    while True:
        page = await desk.repo.get("main", path, depth=depth, max_bytes=max_bytes, cursor=cursor)
        assert page.truncated == bool(page.omitted or page.next_cursor or cursor) or cursor
        value = page.value
        for tokens, _, _ in page.omitted:
            assert tokens not in seen, "each part is left out once"
            seen.append(tokens)
        parts.append((value, page.omitted))
        cursor = page.next_cursor
        if not cursor:
            break
    whole = joined([value for value, _ in parts])
    for tokens, kind, _ in (part for _, omitted in parts for part in omitted):
        put(whole, tokens[len(path) :], await gathered(desk, tokens, depth, room(kind, max_bytes), seen))
    return whole


def room(kind: str, max_bytes: int) -> int:
    """A scalar that is too large can be had by asking for more."""
    return max_bytes if kind in ("map", "list") else 100_000


def joined(pages: list[Any]) -> Any:
    first = pages[0]
    if isinstance(first, dict):
        assert sum(map(len, pages)) == len({key for page in pages for key in page}), "each key once"
        return {key: item for page in pages for key, item in page.items()}
    return [item for page in pages for item in page] if isinstance(first, list) else first


def put(whole: Any, tokens: Tokens, value: Any) -> None:
    for token in tokens[:-1]:
        whole = whole[int(token) if isinstance(whole, list) else token]
    if isinstance(whole, list):
        assert whole[int(tokens[-1])] in ({}, [], None), "something stands in its place"
        whole[int(tokens[-1])] = value
    else:
        assert whole.get(tokens[-1], None) in ({}, [], None)
        whole[tokens[-1]] = value


@pytest.mark.parametrize("max_bytes", [256, 600, 4_000, 1_000_000])
@pytest.mark.parametrize("depth", [None, 0, 1, 2, 5])
async def test_pages_and_left_out_parts_are_everything_once(desk: Desk, depth: int | None, max_bytes: int) -> None:
    rng = random.Random(max_bytes)
    for number in range(3):
        document = {**random_document(rng), "list": [rng.choice([1, "x" * 300, [2] * 200, {}]) for _ in range(40)]}
        document |= {"big": {f"k{index}": "y" * index for index in range(60)}, "text": "z" * 3_000}
        await desk.set("/", document)
        if depth == 0:
            page = await desk.get("/", depth=0, max_bytes=max_bytes)
            assert page.truncated
            continue
        whole = await gathered(desk, (), depth, max_bytes, [])
        assert encode(whole) == encode(document), number


async def test_depth_0_names_the_children_and_shows_none(desk: Desk) -> None:
    await desk.set("/a", {"m": {"x": 1}, "l": [1], "s": 5})
    page = await desk.get("/a", depth=0)
    assert [(shown(tokens), kind, count) for tokens, kind, count in page.omitted] == [
        ("/a/l", "list", 1),
        ("/a/m", "map", 1),
        ("/a/s", "int", 0),
    ]
    assert page.truncated
    assert page.value == {"l": [], "m": {}}


async def test_depth_1_shows_scalars_and_names_containers(desk: Desk) -> None:
    await desk.set("/a", {"m": {"x": 1}, "e": {}, "s": 5, "l": [1, [2]]})
    page = await desk.get("/a", depth=1)
    assert page.value == {"e": {}, "l": [], "m": {}, "s": 5}
    assert [(shown(tokens), kind, count) for tokens, kind, count in page.omitted] == [
        ("/a/l", "list", 3),
        ("/a/m", "map", 1),
    ]
    assert (await desk.get("/a", depth=3)).truncated is False


@pytest.mark.parametrize("max_bytes", [256, 1_000, 5_000])
async def test_a_page_stays_near_its_budget(desk: Desk, max_bytes: int) -> None:
    await desk.set("/many", {f"key {number}": {"x": "y" * (number % 400)} for number in range(300)})
    for depth in (0, 1, None):
        cursor, pages = "", 0
        while True:
            page = await desk.repo.get("main", ("many",), depth=depth, max_bytes=max_bytes, cursor=cursor)
            named = [[shown(tokens), kind, count] for tokens, kind, count in page.omitted]
            assert len(orjson.dumps(page.value)) + len(orjson.dumps(named)) <= max_bytes + 200
            cursor, pages = page.next_cursor, pages + 1
            if not cursor:
                break
        assert pages > 1


async def test_an_element_that_is_left_out_moves_no_other(desk: Desk) -> None:
    await desk.set("/l", ["x" * 500, [1] * 500, {"big": "y" * 500}, 7])
    page = await desk.get("/l", max_bytes=256)
    assert page.value == [None, [], {}, 7]
    assert [shown(tokens) for tokens, _, _ in page.omitted] == ["/l/0", "/l/1", "/l/2"]


async def test_later_pages_read_the_commit_of_the_first(desk: Desk) -> None:
    await desk.set("/", {f"k{number:02}": "x" * 50 for number in range(40)})
    first = await desk.get("/", max_bytes=256)
    await desk.apply(("set", "/", {"other": 1}))
    found = dict(first.value)
    cursor = first.next_cursor
    while cursor:
        page = await desk.repo.get("main", (), depth=None, max_bytes=256, cursor=cursor)
        assert page.commit == first.commit
        found |= page.value
        cursor = page.next_cursor
    assert len(found) == 40


async def test_a_cursor_serves_the_call_that_made_it_and_no_other(desk: Desk) -> None:
    await desk.set("/a", ["x" * 100] * 20)
    cursor = (await desk.get("/a", max_bytes=256)).next_cursor
    for path, depth, text in ((("b",), None, cursor), (("a",), 3, cursor), (("a",), None, cursor[:-2] + "xx")):
        with pytest.raises(InvalidCursor):
            await desk.repo.get("main", path, depth=depth, max_bytes=256, cursor=text)


async def test_a_scalar_larger_than_the_budget_says_how_much_it_needs(desk: Desk) -> None:
    await desk.set("/s", "é" * 400)
    with pytest.raises(LimitExceeded) as caught:
        await desk.get("/s", max_bytes=256)
    size = caught.value.details["size"]
    assert (await desk.get("/s", max_bytes=size)).value == "é" * 400


async def test_every_kind_of_value_says_its_type_object_and_last_change(desk: Desk) -> None:
    values: dict[str, Any] = {"n": None, "b": True, "i": 1, "f": 1.0, "s": "x", "t": "long " * 600, "l": [], "m": {}}
    made = await desk.set("/", values)
    kinds = {name: (await desk.get(f"/{name}")).type for name in values}
    assert kinds == dict(zip(values, ["null", "bool", "int", "float", "string", "string", "list", "map"], strict=True))
    objects = {(await desk.get(f"/{name}")).object for name in values}
    assert len(objects) == len(values)
    later = await desk.set("/m/x", 1)
    assert (await desk.get("/m")).last_change.id == (await desk.get("/")).last_change.id == later.commit
    assert (await desk.get("/l")).last_change.id == made.commit
    assert (await desk.get("/", ref="main~1")).value == values


async def test_an_object_names_the_content_at_its_path_however_it_came_there(desk: Desk) -> None:
    await desk.branch("side")
    await desk.apply(("set", "/a", {"x": [1, {"y": 2}]}), ("set", "/b", 7), ("set", "/c/d", 7))
    await desk.apply(("set", "/z", [0] * 100), ("set", "/a/x", []), ref="side")
    await desk.apply(("append", "/a/x", 1), ("append", "/a/x", {"y": 2}), ref="side")
    assert (await desk.get("/a")).object == (await desk.get("/a", "side")).object
    assert (await desk.get("/a/x")).object == (await desk.get("/a/x", "side")).object
    assert (await desk.get("/b")).object == (await desk.get("/c/d")).object, "a scalar's is that of its value"
    assert (await desk.get("/")).object != (await desk.get("/", "side")).object


async def test_a_missing_path_is_answered_with_the_nearest(desk: Desk) -> None:
    await desk.set("/cluster/node-3", 1)
    with pytest.raises(PathNotFound) as caught:
        await desk.get("/cluster/node3")
    assert caught.value.details["nearest"] == ["/cluster/node-3"]
