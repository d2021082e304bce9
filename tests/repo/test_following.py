"""Following a branch: each commit's changes of the places that are meant, none twice, none lost, in order."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.operations import ABSENT
from asg_mcp.core.paths import Tokens, format_path
from asg_mcp.core.patterns import Pattern
from asg_mcp.core.values import JsonValue, encode
from asg_mcp.errors import CommitNotFound, RefNotFound
from asg_mcp.repo import following
from asg_mcp.repo.following import Position, Step
from tests.repo.desk import Desk, open_desk
from tests.repo.stores import ALICE


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as opened:
        yield opened


async def begun(desk: Desk, ref: str = "main", since: str = "") -> Position:
    """Where a follower starts."""
    return await desk.repo.read(lambda view: following.begin(view, ref, since))


async def followed(desk: Desk, pattern: str, position: Position, ref: str = "main") -> tuple[list[Step], Position]:
    """All steps from there on, over as many looks as it takes."""
    steps: list[Step] = []
    while True:
        found, ahead = await look(desk, pattern, position, ref)
        steps += found
        if ahead == position:
            return steps, position
        position = ahead


async def look(desk: Desk, pattern: str, position: Position, ref: str) -> tuple[list[Step], Position]:
    """One look."""
    return await desk.repo.read(lambda view: following.follow(view, ref, Pattern(pattern), position))


def told(steps: list[Step]) -> list[tuple[Any, ...]]:
    """Changes as (op, path, old, new), absent sides left out."""
    return [
        (change.op, format_path(change.path), *(side for side in (change.old, change.new) if side is not ABSENT))
        for step in steps
        for change in step.changes
    ]


async def test_each_commit_is_a_step_of_its_own_though_the_value_came_back(desk: Desk) -> None:
    position = await begun(desk)
    for value in (1, 2, 1):
        await desk.set("/jobs/a/status", value)
    await desk.set("/other", 1)
    steps, position = await followed(desk, "/jobs/*/status", position)
    assert told(steps) == [
        ("add", "/jobs/a/status", 1),
        ("replace", "/jobs/a/status", 1, 2),
        ("replace", "/jobs/a/status", 2, 1),
    ]
    assert await followed(desk, "/jobs/*/status", position) == ([], position)


async def test_what_is_inside_a_container_that_comes_or_goes_is_told(desk: Desk) -> None:
    position = await begun(desk)
    await desk.set("/jobs", {"a": {"status": 1, "n": 0}, "b": {"status": 2}})
    await desk.set("/jobs", [{"status": 1}, {"status": 3}])
    await desk.apply(("delete", "/jobs"))
    steps, _ = await followed(desk, "/jobs/*/status", position)
    assert told(steps) == [
        ("add", "/jobs/a/status", 1),
        ("add", "/jobs/b/status", 2),
        ("remove", "/jobs/a/status", 1),
        ("remove", "/jobs/b/status", 2),
        ("add", "/jobs/0/status", 1),
        ("add", "/jobs/1/status", 3),
        ("remove", "/jobs/0/status", 1),
        ("remove", "/jobs/1/status", 3),
    ]


async def test_a_merge_tells_what_it_brought_to_the_branch(desk: Desk) -> None:
    await desk.set("/a", 1)
    await desk.repo.branch("side", "branch", "main", ALICE)
    await desk.set("/b", 2, ref="side")
    await desk.set("/c", 3)
    position = await begun(desk)
    await desk.merge("side")
    steps, _ = await followed(desk, "/", position)
    assert told(steps) == [("add", "/b", 2)]


async def test_a_branch_that_is_dropped_and_made_again_is_followed_on(desk: Desk) -> None:
    await desk.set("/a", 1)
    await desk.repo.branch("side", "branch", "main", ALICE)
    position = await begun(desk, "side")
    await desk.repo.delete_branch("side", ALICE)
    await desk.set("/a", 2)
    await desk.repo.branch("side", "branch", "main", ALICE)
    steps, _ = await followed(desk, "/", position, "side")
    assert told(steps) == [("replace", "/a", 1, 2)]


async def test_a_follower_goes_on_behind_a_commit_of_the_branch(desk: Desk) -> None:
    first = await desk.set("/a", 1)
    second = await desk.set("/a", 2)
    await desk.set("/a", 3)
    for since, expected in ((first, [(1, 2), (2, 3)]), (second, [(2, 3)])):
        steps, _ = await followed(desk, "/", await begun(desk, since=since.commit.hex()))
        assert [change[2:] for change in told(steps)] == expected
    await desk.repo.branch("side", "branch", "main", ALICE)
    other = await desk.set("/a", 4, ref="side")
    with pytest.raises(CommitNotFound, match="never at"):
        await begun(desk, since=other.commit.hex())
    with pytest.raises(RefNotFound, match="only a branch"):
        await begun(desk, first.commit.hex())
    with pytest.raises(RefNotFound):
        await begun(desk, "nowhere")


@pytest.mark.parametrize(("events", "changes"), [(1, 1_000), (3, 1), (256, 2)])
async def test_bounds_of_a_look_lose_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, events: int, changes: int
) -> None:
    monkeypatch.setattr(following, "FOLLOWED_EVENTS_MAX", events)
    monkeypatch.setattr(following, "FOLLOWED_CHANGES_MAX", changes)
    position = await begun(desk)
    await desk.repo.branch("side", "branch", "main", ALICE)
    for number in range(10):
        await desk.apply(("set", "/n", number), ("set", f"/k{number}", number))
        await desk.set("/elsewhere", number, ref="side")
    steps, _ = await followed(desk, "/n", position)
    assert [change[-1] for change in told(steps)] == list(range(10))


@pytest.mark.parametrize("seed", range(6))
async def test_a_random_history_is_told_place_by_place(desk: Desk, seed: int) -> None:
    rng = random.Random(seed)
    keys = ["a", "b", "c"]

    def value(depth: int) -> JsonValue:
        if depth == 0 or rng.random() < 0.3:
            return rng.randrange(3)
        return {key: value(depth - 1) for key in rng.sample(keys, rng.randrange(1, 4))}

    position = await begun(desk)
    states: list[JsonValue] = [(await desk.get()).value]
    for _ in range(25):
        path = "/" + "/".join(rng.choices(keys, k=rng.randrange(1, 4)))
        done = await desk.apply(
            ("delete", "/a") if rng.random() < 0.15 and "a" in states[-1] else ("set", path[:2], value(3))
        )
        if done.changed:
            states.append((await desk.get()).value)
    for text in ("/a/b", "/*/b", "/**/c", "/a/*/c", "/"):
        pattern = Pattern(text)
        steps, _ = await followed(desk, text, position)
        seen = iter(steps)
        for before, after in pairwise(states):
            old, new = dict(pattern.places((), before)), dict(pattern.places((), after))
            differing = {path for path in {**old, **new} if _bytes(old, path) != _bytes(new, path)}
            if not differing:
                continue
            found = {change.path for change in next(seen).changes}
            assert all(any(path[: len(place)] == place for path in found) for place in differing)
            assert all(any(path[: len(place)] == place for place in differing) for path in found)
        assert next(seen, None) is None


def _bytes(places: dict[Tokens, JsonValue], path: Tokens) -> bytes | None:
    return encode(places[path]) if path in places else None


async def test_a_commit_far_back_is_found_page_by_page(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_EVENTS_PAGE", 3)
    done = [await desk.set("/n", number) for number in range(20)]
    steps, _ = await followed(desk, "/n", await begun(desk, since=done[4].commit.hex()))
    assert [change[-1] for change in told(steps)] == [*range(5, 20)]


async def test_a_moved_element_is_told_where_it_was_and_where_it_is(desk: Desk) -> None:
    await desk.set("/l", [{"n": 0}, {"n": 1}, {"n": 2}])
    position = await begun(desk)
    await desk.apply(("move", "/l/2", "/l/0"))
    for pattern in ("/l/[0]", "/l/[2]", "/l/*"):
        steps, _ = await followed(desk, pattern, position)
        assert [change[:2] for change in told(steps)] == [("move", "/l/2")], pattern
    # A plain index means the place, whatever element stands there.
    steps, _ = await followed(desk, "/l/0", position)
    assert told(steps) == [("replace", "/l/0/n", 0, 1)]


async def test_what_stays_the_same_inside_another_container_is_not_told(desk: Desk) -> None:
    await desk.set("/jobs", {"0": {"status": 1}, "1": {"status": 2}})
    position = await begun(desk)
    await desk.set("/jobs", [{"status": 1}, {"status": 3}])
    steps, _ = await followed(desk, "/jobs/*/status", position)
    assert told(steps) == [("replace", "/jobs/1/status", 2, 3)]
