"""`fastmcp.Client`."""

import asyncio
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from line_loop import SERVER, Answer, answer, converse, text_of


async def main() -> None:
    transport: Any
    if SERVER["transport"] == "stdio":
        transport = StdioTransport(SERVER["command"], SERVER["args"], env=SERVER["env"])
    else:
        transport = StreamableHttpTransport(SERVER["url"], headers=SERVER["headers"])
    async with Client(transport) as client:

        async def call(tool: str, arguments: dict[str, Any]) -> Answer:
            reply = await client.call_tool(tool, arguments, raise_on_error=False)
            return answer(reply.is_error, text_of(reply.content), reply.structured_content)

        await converse(call, client.protocol_version)


asyncio.run(main())
