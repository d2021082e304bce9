"""Watching: every change from the start on, in order, whoever makes it; and it ends when it is told to."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import pytest

from asg_mcp import AsyncStateGraph, StateGraph
from asg_mcp.errors import CommitNotFound, HandleNotFound, InvalidPath, RefNotFound
from tests.kit.processes import unmeasured_environment
from tests.kit.rpc import REPOSITORY_ROOT

WAIT_SECONDS = 60.0
WRITER = """
import sys
from asg_mcp import StateGraph
with StateGraph(sys.argv[1], agent="writer") as graph:
    for number in range(int(sys.argv[2])):
        graph.set(f"/jobs/j{number}/status", "new", "It came.")
        graph.set(f"/jobs/j{number}/log", "a line", "It said something.")
        graph.set(f"/jobs/j{number}/status", "done", "It is done.")
"""


@pytest.fixture(params=["file", "memory"])
def graph(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateGraph]:
    with StateGraph(tmp_path / "state.db" if request.param == "file" else None, agent="tester") as opened:
        yield opened


def test_a_watch_sees_what_happens_from_its_making_on(graph: StateGraph) -> None:
    graph.set("/jobs/a/status", "before", "Not seen.")
    watch = graph.watch("/jobs/*/status", idle_seconds=0)
    done = graph.set("/jobs/a", {"status": "new", "n": 1}, "Seen.", category="Fix")
    graph.delete("/jobs/a", "Seen too.")
    first, second = watch
    assert (first.op, first.path, first.old, first["new"]) == ("replace", "/jobs/a/status", "before", "new")
    assert (first.commit, first.agent, first.category, first.description) == (done.commit, "tester", "Fix", "Seen.")
    assert (second.op, second.path, "new" in second) == ("remove", "/jobs/a/status", False)


def test_no_change_of_another_process_is_lost(tmp_path: Path) -> None:
    path, jobs = tmp_path / "state.db", 8
    with StateGraph(path) as graph, graph.watch("/jobs/*/status", idle_seconds=WAIT_SECONDS) as watch:
        command = [sys.executable, "-W", "error", "-c", WRITER, str(path), str(jobs)]
        writer = subprocess.Popen(command, cwd=REPOSITORY_ROOT, env=unmeasured_environment())
        # Ended by the last change and not by a clock: the idle time only bounds the wait for one that is lost.
        seen = []
        for change in watch:
            seen.append((change.path, change.new))
            if len(seen) == 2 * jobs:
                break
        assert writer.wait(WAIT_SECONDS) == 0
    assert seen == [(f"/jobs/j{number}/status", value) for number in range(jobs) for value in ("new", "done")]


def test_a_watch_goes_on_behind_a_commit(graph: StateGraph) -> None:
    commits = [graph.set("/n", number, "Count.").commit for number in range(4)]
    assert [change.new for change in graph.watch(since=commits[1], idle_seconds=0)] == [2, 3]
    assert [change.new for change in graph.watch("/elsewhere", since=commits[1], idle_seconds=0)] == []
    graph.branch("side")
    other = graph.set("/n", 9, "Elsewhere.", ref="side")
    with pytest.raises(CommitNotFound):
        graph.watch(since=other.commit)


def test_a_branch_and_a_speculation_are_watched_alone(graph: StateGraph) -> None:
    graph.branch("side")
    spec = graph.speculate()
    on_side, on_spec = graph.watch(ref="side", idle_seconds=0), graph.watch(ref=spec.ref, idle_seconds=0)
    graph.set("/a", 1, "On main.")
    graph.set("/a", 2, "On the side.", ref="side")
    graph.spec_set(spec, "/a", 3)
    assert [change.new for change in on_side] == [2]
    assert [change.new for change in on_spec] == [3]


@pytest.mark.parametrize("close_graph", [False, True])
def test_closing_ends_a_watch_that_waits_in_another_thread(graph: StateGraph, close_graph: bool) -> None:
    watch = graph.watch()
    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(list, watch)
        graph.set("/a", 1, "A change.")
        (graph if close_graph else watch).close()
        assert [change.path for change in seen.result(WAIT_SECONDS)] in ([], ["/a"])
    assert list(watch) == []
    watch.close()


def test_a_watch_that_is_waiting_keeps_nobody_from_writing(graph: StateGraph) -> None:
    watches = [graph.watch() for _ in range(3)]
    seen: list[list[str]] = [[] for _ in watches]

    def listen(place: int) -> None:
        seen[place].extend(change.path for change in watches[place])

    listeners = [Thread(target=listen, args=(place,)) for place in range(3)]
    for listener in listeners:
        listener.start()
    for number in range(20):
        graph.set(f"/k{number:02}", number, "A change.")
    behind = graph.watch(since=graph.log(limit=21)[-1].id, idle_seconds=0)
    assert [change.path for change in behind] == [f"/k{number:02}" for number in range(20)]
    for watch in watches:
        watch.close()
    for listener in listeners:
        listener.join(WAIT_SECONDS)
    assert all(paths == [f"/k{number:02}" for number in range(len(paths))] for paths in seen)


def test_what_cannot_be_watched_is_refused_at_once(graph: StateGraph) -> None:
    with pytest.raises(RefNotFound):
        graph.watch(ref="nowhere")
    with pytest.raises(RefNotFound, match="only a branch"):
        graph.watch(ref=graph.log()[0].id)
    with pytest.raises(HandleNotFound):
        graph.watch(ref="spec:0123456789ab")
    with pytest.raises(InvalidPath):
        graph.watch("jobs")


async def test_an_async_watch_is_iterated_in_its_loop(tmp_path: Path) -> None:
    async with AsyncStateGraph(tmp_path / "state.db") as graph:
        watch = await graph.watch("/n")
        seen = []

        async def listen() -> None:
            async for change in watch:
                seen.append(change.new)
                if change.new == 9:
                    await watch.close()

        listening = asyncio.create_task(listen())
        for number in range(10):
            await graph.set("/n", number, "Count.")
        async with asyncio.timeout(WAIT_SECONDS):
            await listening
        assert seen == [*range(10)]


async def test_an_async_watch_ends_with_its_block() -> None:
    async with AsyncStateGraph() as graph:
        async with await graph.watch() as watch:
            await graph.set("/a", 1, "A change.")
            assert aiter(watch) is watch
            assert (await anext(watch)).new == 1
        assert [change async for change in watch] == []
