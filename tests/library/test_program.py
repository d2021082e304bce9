"""The library beside a server: a program that uses all of it on a file that a server process is writing."""

from __future__ import annotations

import ast
import asyncio
import json
import sys
from pathlib import Path

from asg_mcp import StateGraph
from asg_mcp.app import open_repository
from asg_mcp.core.paths import parse_path
from asg_mcp.tools.catalogue import CATALOGUE
from tests.kit.processes import unmeasured_environment
from tests.kit.rpc import REPOSITORY_ROOT, WAIT_SECONDS, RawClient, raw_client
from tests.library.program import main

PROGRAM = Path(__file__).with_name("program.py")
WRITES_AFTER = 5
"""Of the server, once the program has ended."""


async def write_until(ended: asyncio.Event, client: RawClient) -> dict[str, str]:
    """Write through the server, one call after the other; path -> the commit that was acknowledged."""
    acknowledged: dict[str, str] = {}
    after = 0
    while after < WRITES_AFTER:
        after += ended.is_set()
        path = f"/server/k{len(acknowledged)}"
        arguments = {"path": path, "value": path, "intent_category": "Refine", "intent_description": "At work."}
        reply = await client.ask(client.call("asg_set", arguments))
        acknowledged[path] = reply["result"]["structuredContent"]["commit"]
    return acknowledged


async def test_a_program_that_uses_everything_beside_a_writing_server_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with raw_client("-m", "asg_mcp", "serve", "--db", str(path), measured=False) as client:
        await client.handshake()
        await client.ask(client.call("asg_list_branches", {}))  # the store is there now
        ended = asyncio.Event()
        writing = asyncio.create_task(write_until(ended, client))
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-m", "tests.library.program", str(path)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=REPOSITORY_ROOT,
            env=unmeasured_environment(),
        )
        async with asyncio.timeout(WAIT_SECONDS):
            out, err = await program.communicate()
        ended.set()
        by_server = await writing
    assert program.returncode == 0, err.decode()
    assert len(by_server) > WRITES_AFTER, "the server wrote while the program ran"

    async with open_repository(path, create=False) as repo:
        report = await repo.verify(lambda step, done, total: None)
        assert report.ok, report.problems
        reached = set()
        cursor = ""
        while True:
            page = await repo.log("main", (), limit=500, cursor=cursor)
            reached |= {info.id.short for info in page.commits}
            cursor = page.next_cursor
            if not cursor:
                break
        assert {*json.loads(out), *by_server.values()} <= reached
        for key in by_server:
            found = await repo.get("main", parse_path(key), depth=None, max_bytes=1_000, cursor="")
            assert found.value == key


def test_the_program_calls_every_method_of_the_library() -> None:
    tree = ast.parse(PROGRAM.read_text(encoding="utf-8"))
    called = {
        node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    offered = {name for name in dir(StateGraph) if not name.startswith("_")}
    assert offered - {"close"} <= called  # the block closes it


def test_every_tool_is_a_method_of_the_same_name() -> None:
    assert {tool.name.removeprefix("asg_") for tool in CATALOGUE} <= set(dir(StateGraph))


def test_the_same_program_runs_in_memory() -> None:
    assert len(set(main(":memory:"))) == 12
