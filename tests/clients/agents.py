"""MCP clients of the `mcp` package, each with a server process of its own, for the tests of the whole."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp_types import Implementation, TextContent

from tests.kit.processes import unmeasured_environment

CALL_SECONDS_MAX = 60.0


class Refused(Exception):
    """A tool's answer that it will not; `error` is the JSON inside."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.error = error
        self.code = str(error["code"])


class Agent:
    """A connected client that writes under one agent's name."""

    def __init__(self, client: Client, name: str) -> None:
        self.name = name
        self._client = client

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The structured reply; raises Refused."""
        reply = await self._client.call_tool(tool, arguments)
        text = "".join(part.text for part in reply.content if isinstance(part, TextContent))
        if reply.is_error:
            assert reply.structured_content is None, "an error has one JSON text and nothing beside it"
            raise Refused(json.loads(text))
        found = dict(reply.structured_content or {})
        assert json.loads(text) == found, "the text says what the structure says"
        return found

    async def write(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """A writing call, with a reason and this agent's name."""
        intent = {
            "intent_category": "Refine",
            "intent_description": "A step of the test",
            "provenance": {"agent": self.name},
        }
        return await self.call(tool, **intent, **arguments)

    async def read(self, path: str, ref: str = "main", max_bytes: int = 16 * 1_024 * 1_024) -> Any:
        """The whole value at a path."""
        found = await self.call("asg_get", path=path, ref=ref, max_bytes=max_bytes)
        assert found["truncated"] is False
        return found["value"]

    async def blame(self, path: str, ref: str = "main") -> dict[str, Any]:
        """The one entry that blame gives for the path itself."""
        (entry,) = (await self.call("asg_blame", path=path, ref=ref, depth=0))["entries"]
        return dict(entry)


@asynccontextmanager
async def agent(store: Path, name: str, *options: str) -> AsyncIterator[Agent]:
    """A server process on this file with a client connected; both end with the block."""
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "asg_mcp", "serve", "--db", str(store), *options],
        env=unmeasured_environment(),
    )
    about = Implementation(name=f"client-of-{name}", version="1")
    async with Client(parameters, client_info=about, read_timeout_seconds=CALL_SECONDS_MAX) as client:
        yield Agent(client, name)


async def run_program(*arguments: str, python_options: tuple[str, ...] = ()) -> tuple[int, str]:
    """Exit code and standard output of `asg-mcp` with these arguments."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *python_options,
        "-m",
        "asg_mcp",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env=unmeasured_environment(),
    )
    async with asyncio.timeout(CALL_SECONDS_MAX):
        out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


def exact(value: Any) -> str:
    """JSON that tells 1 from 1.0 and true, so that equal texts are equal values."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
