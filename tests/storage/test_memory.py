"""The memory backend under a repository: the same histories, checked by the same models and by `verify`."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asg_mcp.app import open_memory
from asg_mcp.core.operations import Op
from asg_mcp.core.paths import parse_path
from asg_mcp.errors import StorageError, StoreBusy
from asg_mcp.repo.repository import Guard, Query, Repository
from asg_mcp.repo.words import indexed, words_of
from asg_mcp.storage import memory
from asg_mcp.storage.base import Writer
from asg_mcp.storage.memory import MemoryStore, MemoryWriter
from tests.model.test_repository_model import Story
from tests.repo.desk import Desk
from tests.repo.stores import ALICE, WHY, operation
from tests.storage.test_contract import commit

WAIT_SECONDS = 60.0
STEPS = 150
TEXTS = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("aZé ßẞİıſKΣσςéǆ_-.'\"9٣½ﬁ\x00"),
        st.characters(max_codepoint=0x24F),
    ),
    max_size=12,
)


async def verified(repo: Repository) -> dict[str, int]:
    """Verify, and return its counts."""
    report = await repo.verify(lambda what, done, total: None)
    assert report.problems == ()
    return dict(report.counts)


@pytest.mark.parametrize("seed", [11, 12])
async def test_histories_in_memory_equal_their_models(seed: int) -> None:
    async with open_memory() as repo:
        story = Story(repo, seed)
        await story.begin()
        for _ in range(STEPS):
            await story.step()
        await story.check_heads()
        for number in story.history.heads.values():
            await story.check_values(number)
        await story.check_blame(story.history.heads["main"])
        assert (await verified(repo))["commits"] == len(story.history.commits)


async def test_everything_a_session_may_leave_is_verified_in_memory() -> None:
    async with open_memory() as repo:
        desk = Desk(repo)
        await desk.set("/large", "x" * 5_000)
        for number in range(5):
            await desk.set("/n", number, request_id=f"r{number}")
        again = await desk.set("/n", 4, request_id="r4")
        assert again.replayed
        await desk.branch("side")
        await desk.set("/side", 1, ref="side")
        assert (await desk.merge("side")).merged
        found = await repo.query(Query(text="change"))
        assert len(found.items) == 7
        assert (await verified(repo))["commits"] == 9


async def test_large_reads_on_threads_see_one_moment_while_others_write() -> None:
    async with open_memory() as repo:
        desk = Desk(repo)

        async def write() -> None:
            for number in range(40):
                await desk.apply(("set", "/a", {"n": number}), ("set", "/b", {"n": number}))

        async def read() -> int:
            odd = 0
            for _ in range(40):
                found = await repo.read(
                    lambda view: view.state(view.resolve("main")).value(view.state(view.resolve("main")).root())
                )
                assert isinstance(found, dict)
                odd += found.get("a") != found.get("b")
            return odd

        done = await asyncio.gather(write(), *[read() for _ in range(4)])
        assert done[1:] == [0] * 4
        await verified(repo)


async def test_a_full_queue_is_told_and_nothing_of_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "WRITE_QUEUE_MAX", 2)
    store = MemoryStore()
    release, begun = threading.Event(), threading.Event()

    def hold(writer: Writer) -> None:
        begun.set()
        assert release.wait(WAIT_SECONDS)

    waiting = [asyncio.create_task(store.write(hold)) for _ in range(2)]
    await asyncio.to_thread(begun.wait, WAIT_SECONDS)
    with pytest.raises(StoreBusy):
        await store.write(lambda writer: None)
    closing = asyncio.create_task(store.close())
    release.set()
    await asyncio.gather(*waiting)
    await closing
    with pytest.raises(StorageError, match="closed"):
        await store.write(lambda writer: None)


async def test_a_caller_that_leaves_while_it_waits_writes_nothing() -> None:
    async with open_memory() as repo:
        release, begun = threading.Event(), threading.Event()

        def hold(writer: Any) -> None:
            begun.set()
            assert release.wait(WAIT_SECONDS)

        holding = asyncio.create_task(repo._store.write(hold))
        await asyncio.to_thread(begun.wait, WAIT_SECONDS)
        change = [operation(Op.SET, "/a", 1)]
        leaving = asyncio.create_task(repo.commit("main", change, WHY, ALICE, Guard()))
        await asyncio.sleep(0)
        leaving.cancel()
        release.set()
        await holding
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert (await verified(repo))["commits"] == 1
        await repo.commit("main", change, WHY, ALICE, Guard())
        assert (await repo.get("main", parse_path("/a"), depth=None, max_bytes=99, cursor="")).value == 1


async def test_the_health_of_memory_names_no_file() -> None:
    async with open_memory() as repo:
        health = await repo.health()
        assert (health.path, health.file_bytes, health.problems) == (":memory:", 0, ())


def find(text: str, words: list[str]) -> bool:
    """Whether a store in memory finds a text by these words."""
    store = MemoryStore()
    writer = MemoryWriter(store._tables, store._caches, store._moment, store._number)
    writer.put_commit(commit(1), (), text)
    store._moment = writer.flush()
    with store.reading() as reader:
        return reader.find_text(words, 2, 1) == [1]


@given(TEXTS, TEXTS)
@example("ΟΔΟΣ", "οδοσ")
@example("İx", "İx")
def test_memory_finds_every_text_that_holds_the_words(text: str, other: str) -> None:
    for asked in (text, text.upper(), text.lower(), other):
        words = [word for word in words_of(asked) if indexed(word)]
        if words and words_of(asked) <= words_of(text):
            assert find(text, words), (text, words)
