"""`ClientSession` of the first line of the SDK."""

import asyncio
from typing import Any

from line_loop import SERVER, Answer, answer, converse, text_of
from mcp import ClientSession, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client


async def main() -> None:
    opened: Any
    if SERVER["transport"] == "stdio":
        opened = stdio_client(StdioServerParameters(command=SERVER["command"], args=SERVER["args"], env=SERVER["env"]))
    elif SERVER["transport"] == "sse":
        opened = sse_client(SERVER["url"], headers=SERVER["headers"])
    else:
        opened = streamablehttp_client(SERVER["url"], headers=SERVER["headers"])
    async with opened as (reading, writing, *_), ClientSession(reading, writing) as session:
        made = await session.initialize()

        async def call(tool: str, arguments: dict[str, Any]) -> Answer:
            reply = await session.call_tool(tool, arguments)
            return answer(reply.isError, text_of(reply.content), reply.structuredContent)

        await converse(call, str(made.protocolVersion))


asyncio.run(main())
