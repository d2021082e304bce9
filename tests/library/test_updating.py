"""Read-modify-write: no change is lost, whoever else writes, and it gives up in the end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import BaseModel

from asg_mcp import AsyncStateGraph, StateGraph
from asg_mcp.core.limits import UPDATE_ATTEMPTS_MAX
from asg_mcp.errors import Conflict, PathNotFound, RefNotFound
from tests.kit.processes import unmeasured_environment
from tests.kit.rpc import REPOSITORY_ROOT

WAIT_SECONDS = 60.0
COUNTER = """
import sys
from asg_mcp import StateGraph
with StateGraph(sys.argv[1]) as graph:
    for _ in range(15):
        graph.update("/n", lambda number: number + 1, "Count.", default=0)
"""


class Job(BaseModel):
    """What a model's update is about."""

    tries: int = 0


@pytest.mark.parametrize("place", ["file", "memory"])
def test_threads_that_count_together_lose_no_count(tmp_path: Path, place: str) -> None:
    with StateGraph(tmp_path / "state.db" if place == "file" else None) as graph, ThreadPoolExecutor(6) as pool:
        for _ in pool.map(
            lambda _: graph.update("/n", lambda number: number + 1, default=0), range(60), timeout=WAIT_SECONDS
        ):
            pass
        assert graph.get("/n") == 60
        assert len(graph.log(limit=1_000)) == 61


def test_processes_that_count_together_lose_no_count(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    counters = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", COUNTER, str(path)], cwd=REPOSITORY_ROOT, env=unmeasured_environment()
        )
        for _ in range(3)
    ]
    assert [counter.wait(WAIT_SECONDS) for counter in counters] == [0, 0, 0]
    with StateGraph(path) as graph:
        assert graph.get("/n") == 45


def test_two_that_make_the_same_of_the_same_value_both_count() -> None:
    with StateGraph() as graph:
        graph.set("/n", 1, "Begin.")
        asked = []

        def change(number: int) -> int:
            asked.append(number)
            if len(asked) == 1:
                graph.set("/n", 2, "Somebody else counts meanwhile.")
            return number + 1

        graph.update("/n", change)
        assert asked == [1, 2]
        assert graph.get("/n") == 3


def test_what_others_change_elsewhere_does_not_disturb() -> None:
    with StateGraph() as graph:
        graph.set("/n", 1, "Begin.")

        def change(number: int) -> int:
            graph.set("/elsewhere", number, "Not here.")
            return number + 1

        assert graph.update("/n", change).rebased
        assert graph.get("/") == {"n": 2, "elsewhere": 1}


def test_it_gives_up_when_others_are_faster_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asg_mcp.library.graph.UPDATE_PAUSE_SECONDS_MAX", 0.0)
    with StateGraph() as graph:
        tries = []

        def change(number: int | None) -> int:
            tries.append(number)
            graph.set("/n", len(tries), "Faster.")
            return -1

        with pytest.raises(Conflict, match=f"{UPDATE_ATTEMPTS_MAX} times"):
            graph.update("/n", change)
        assert len(tries) == graph.get("/n") == UPDATE_ATTEMPTS_MAX


def test_what_the_change_raises_comes_back_and_writes_nothing() -> None:
    with StateGraph() as graph:
        graph.set("/n", 1, "Begin.")
        with pytest.raises(ZeroDivisionError):
            graph.update("/n", lambda number: number / 0)
        with pytest.raises(RefNotFound):
            graph.update("/n", lambda number: number, ref="nowhere")
        assert len(graph.log()) == 2


def test_a_model_is_updated_as_a_model() -> None:
    with StateGraph() as graph:
        for _ in range(2):
            graph.update("/job", lambda job: Job(tries=job.tries + 1), default=Job(), as_=Job, reasoning="It failed.")
        assert graph.get("/job", as_=Job) == Job(tries=2)
        assert graph.blame("/job/tries").reasoning == "It failed."
        with pytest.raises(PathNotFound):
            graph.get("/other", as_=Job)


async def test_an_async_change_is_awaited() -> None:
    async def change(number: int) -> int:
        await asyncio.sleep(0)
        return number + 1

    async with AsyncStateGraph() as graph:
        await asyncio.gather(*[graph.update("/n", change, default=0) for _ in range(10)])
        assert await graph.get("/n") == 10
