"""The synchronous front: its life, its threads, and what a program gets with it."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from asg_mcp import AsyncStateGraph, StateGraph
from asg_mcp.errors import Forbidden, InvalidArgument, InvalidName, StorageError, StoreIncompatible
from asg_mcp.library.loop import LoopThread
from asg_mcp.library.stategraph import Watch
from tests.kit.processes import unmeasured_environment
from tests.kit.rpc import REPOSITORY_ROOT

WAIT_SECONDS = 60.0


@pytest.fixture(params=["file", "memory"])
def graph(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateGraph]:
    with StateGraph(tmp_path / "state.db" if request.param == "file" else None, agent="tester") as opened:
        yield opened


def run(code: str, *arguments: object) -> str:
    """What a program of its own prints; warnings are errors in it."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        cwd=REPOSITORY_ROOT,
        env=unmeasured_environment(),
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def threads() -> list[str]:
    """Names of the loops that run."""
    return [thread.name for thread in threading.enumerate() if thread.name == "asg-mcp library"]


# --- life -------------------------------------------------------------------------


def test_a_file_holds_what_a_graph_wrote_and_memory_does_not(tmp_path: Path) -> None:
    for _ in range(2):
        with StateGraph(tmp_path / "state.db") as graph:
            graph.update("/n", lambda number: number + 1, default=0)
        with StateGraph() as graph:
            graph.update("/n", lambda number: number + 1, default=0)
            assert graph.get("/n") == 1
    with StateGraph(str(tmp_path / "state.db")) as graph:
        assert graph.get("/n") == 2


def test_the_name_for_memory_makes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with StateGraph(":memory:") as graph:
        graph.set("/a", 1, "A change.")
    assert os.listdir(tmp_path) == []


def test_a_closed_graph_refuses_calls_and_closes_twice(graph: StateGraph) -> None:
    graph.close()
    graph.close()
    with pytest.raises(StorageError, match="closed"):
        graph.get("/")
    with pytest.raises(StorageError, match="closed"):
        graph.watch()
    assert threads() == []


def test_a_graph_that_cannot_be_opened_leaves_nothing_running(tmp_path: Path) -> None:
    with pytest.raises(StoreIncompatible, match="folder"):
        StateGraph(tmp_path)
    with pytest.raises(InvalidName):
        StateGraph(agent="x" * 10_000)
    assert threads() == []


def test_a_graph_that_nobody_holds_is_closed_without_a_warning(tmp_path: Path) -> None:
    graph = StateGraph(tmp_path / "state.db")
    graph.set("/a", 1, "A change.")
    (thread,) = (found for found in threading.enumerate() if found.name == "asg-mcp library")
    gone = weakref.ref(graph)
    del graph
    gc.collect()
    assert gone() is None
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive()


@pytest.mark.parametrize("place", ["file", "memory"])
def test_a_program_that_never_closes_ends_with_all_it_wrote(tmp_path: Path, place: str) -> None:
    path = tmp_path / "state.db" if place == "file" else ":memory:"
    told = run(
        "import sys; from asg_mcp import StateGraph\n"
        "graph = StateGraph(sys.argv[1])\n"
        "graph.set('/a', [1], 'A change.')\n"
        "watch = graph.watch()\n"
        "print(graph.get('/a'))",
        path,
    )
    assert told == "[1]\n"
    if place == "file":
        assert not (tmp_path / "state.db-wal").exists(), "it was closed in order"
        with StateGraph(path) as graph:
            assert graph.get("/a") == [1]


def test_calls_that_are_under_way_finish_before_it_is_closed(graph: StateGraph) -> None:
    begun = threading.Barrier(9)

    def write(number: int) -> bool:
        begun.wait(WAIT_SECONDS)
        try:
            return graph.set(f"/k{number}", number, "A change.").changed == 1
        except StorageError:
            return False

    with ThreadPoolExecutor(8) as pool:
        writes = [pool.submit(write, number) for number in range(8)]
        begun.wait(WAIT_SECONDS)
        graph.close()
        assert all(isinstance(one.result(WAIT_SECONDS), bool) for one in writes)
    assert threads() == []


def test_nothing_is_cancelled_under_a_thread_that_waits_for_it() -> None:
    begun, ended = threading.Event(), asyncio.Event()

    async def at_end() -> None:
        ended.set()

    async def work() -> int:
        begun.set()
        await ended.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        return 1

    loop = LoopThread("asg-mcp library", at_end)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(loop.run, work())
        assert begun.wait(WAIT_SECONDS)
        loop.stop(wait=True)
        assert answer.result(WAIT_SECONDS) == 1


# --- threads -----------------------------------------------------------------------


def test_any_number_of_threads_write_and_read_one_graph(graph: StateGraph) -> None:
    def work(number: int) -> list[int]:
        for step in range(10):
            graph.set(f"/t{number}/k{step}", step, "A change.")
        return [graph.get(f"/t{number}/k{step}") for step in range(10)]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8), timeout=WAIT_SECONDS)) == [[*range(10)]] * 8
    assert len(graph.log(limit=1_000)) == 81
    assert graph.get("/") == {f"t{number}": {f"k{step}": step for step in range(10)} for number in range(8)}


async def test_it_can_be_called_inside_a_running_loop(graph: StateGraph) -> None:
    graph.set("/a", 1, "A change.")
    assert await asyncio.to_thread(graph.get, "/a") == graph.get("/a") == 1


# --- who, and what is refused ---------------------------------------------------------


def test_the_agent_is_the_call_s_then_the_graph_s_then_the_program_s(tmp_path: Path) -> None:
    with StateGraph(tmp_path / "state.db", agent="tester") as graph:
        graph.set("/a", 1, "A change.", agent="other")
        graph.set("/b", 1, "A change.")
    with StateGraph(tmp_path / "state.db") as graph:
        graph.set("/c", 1, "A change.")
        agents = [graph.blame(path).agent for path in ("/a", "/b", "/c")]
    assert agents == ["other", "tester", Path(sys.argv[0]).stem.lstrip("-")]


def test_a_graph_in_a_session_keeps_to_it(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with StateGraph(path) as graph:
        session = graph.open_session("helper", "notes", path_scope=["/notes"]).session
    with StateGraph(path, session=session) as graph:
        graph.set("/notes/a", 1, "A note.")
        graph.update("/notes/a", lambda number: number + 1)
        assert graph.get("/notes/a", "notes") == 2
        assert graph.blame("/notes/a", "notes").session == session
        with pytest.raises(Forbidden):
            graph.set("/elsewhere", 1, "Not mine.")


def test_arguments_that_do_not_fit_are_named(graph: StateGraph) -> None:
    with pytest.raises(InvalidArgument, match="intent_category"):
        graph.set("/a", 1, "A change.", category="Improve")
    with pytest.raises(InvalidArgument, match="unknown"):
        graph.set("/a", 1, "A change.", unknown=1)  # type: ignore[call-arg]
    with pytest.raises(InvalidArgument, match="description is empty"):
        graph.set("/a", 1, " ")


# --- what a program gets with it -------------------------------------------------------


def test_the_library_never_loads_the_protocol_or_a_server(tmp_path: Path) -> None:
    told = run(
        "import sys, asg_mcp\n"
        "before = [name for name in sys.modules if name.startswith('asg_mcp.')]\n"
        "from asg_mcp import StateGraph, AsyncStateGraph\n"
        "with StateGraph(sys.argv[1]) as graph:\n"
        "    graph.set('/a', 1, 'A change.')\n"
        "loaded = {name.split('.')[0] for name in sys.modules} & {'mcp', 'mcp_types', 'starlette', 'uvicorn'}\n"
        "print(before, sorted(loaded), 'asg_mcp.server' in sys.modules)",
        tmp_path / "state.db",
    )
    assert told == "[] [] False\n"


def test_the_package_has_no_other_names(graph: StateGraph) -> None:
    with pytest.raises(ImportError, match="StateGrph"):
        exec("from asg_mcp import StateGrph")


def signatures(kind: type[Any]) -> dict[str, inspect.Signature]:
    """The public methods of a class, and how they are called."""
    return {
        name: inspect.signature(getattr(kind, name))
        for name in dir(kind)
        if not name.startswith("_") and callable(getattr(kind, name))
    }


def test_both_graphs_have_the_same_methods_with_the_same_signatures() -> None:
    front, twin = signatures(StateGraph), signatures(AsyncStateGraph)
    assert twin.keys() - front.keys() == {"open"}
    assert twin.pop("open").parameters.keys() == {"self"}
    assert front.pop("watch").replace(return_annotation="AsyncWatch") == twin.pop("watch")
    assert front == twin
    assert inspect.signature(StateGraph) == inspect.signature(AsyncStateGraph)
    for name in signatures(StateGraph):
        own, other = inspect.getdoc(getattr(StateGraph, name)), inspect.getdoc(getattr(AsyncStateGraph, name))
        assert own and other, f"{name} says what it does"
    assert signatures(Watch).keys() == {"close"}


# --- the async twin --------------------------------------------------------------------


async def test_the_async_graph_opens_with_its_first_call_and_closes_when_calls_are_done(tmp_path: Path) -> None:
    graph = AsyncStateGraph(tmp_path / "state.db")
    done = await asyncio.gather(*[graph.set(f"/k{number}", number, "A change.") for number in range(20)])
    assert len({write.commit for write in done}) == 20
    late = asyncio.gather(*[graph.get("/k1") for _ in range(20)])
    await asyncio.sleep(0)
    await graph.close()
    assert await late == [1] * 20
    with pytest.raises(StorageError, match="closed"):
        await graph.get("/k1")
    await graph.close()


async def test_closing_waits_for_the_calls_under_way() -> None:
    graph = AsyncStateGraph()
    async with graph._calling() as context:
        closing = asyncio.create_task(graph.close())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not closing.done()
        assert (await context.repo.health()).problems == ()
        await context.repo.log("main", (), limit=1, cursor="")
        with pytest.raises(StorageError, match="closed"):
            await graph.get("/")
    await closing


async def test_a_closed_graph_that_was_never_opened_opens_no_more(tmp_path: Path) -> None:
    graph = AsyncStateGraph(tmp_path / "state.db")
    await graph.close()
    with pytest.raises(StorageError, match="closed"):
        await graph.get("/")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only POSIX forks")
def test_a_graph_from_before_a_fork_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    told = run(
        "import os, sys; from asg_mcp import StateGraph; from asg_mcp.errors import StorageError\n"
        "graph = StateGraph(sys.argv[1])\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try:\n"
        "        graph.get('/')\n"
        "    except StorageError as error:\n"
        "        os.write(1, error.message.encode())\n"
        "    sys.exit(0)\n"
        "os.waitpid(child, 0)\n"
        "graph.set('/a', 1, 'A change.')\n"
        "graph.close()",
        tmp_path / "state.db",
    )
    assert told == "The graph was opened before a fork"
