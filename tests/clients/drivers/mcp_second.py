"""`mcp.Client` of the second line; the way is its mode."""

import asyncio
from typing import Any

from line_loop import SECONDS, SERVER, WAY, Answer, answer, converse, text_of
from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client


async def main() -> None:
    target: Any
    if SERVER["transport"] == "stdio":
        target = StdioServerParameters(command=SERVER["command"], args=SERVER["args"], env=SERVER["env"])
    elif SERVER["transport"] == "sse":
        target = sse_client(SERVER["url"], headers=SERVER["headers"])
    else:
        target = streamable_http_client(SERVER["url"], http_client=create_mcp_http_client(SERVER["headers"]))
    async with Client(target, mode=WAY, read_timeout_seconds=SECONDS) as client:

        async def call(tool: str, arguments: dict[str, Any]) -> Answer:
            reply = await client.call_tool(tool, arguments)
            return answer(reply.is_error, text_of(reply.content), reply.structured_content)

        await converse(call, client.protocol_version)


asyncio.run(main())
