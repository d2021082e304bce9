"""LangChain with the tools of its own `langchain[mcp]`."""

import asyncio

from langchain.mcp import MCPAdapter
from langchain_loop import converse_with
from line_loop import SERVER


async def main() -> None:
    names = ("command", "args", "env") if SERVER["transport"] == "stdio" else ("url", "headers")
    place = {name: SERVER[name] for name in names}
    async with MCPAdapter({"mcpServers": {"asg": place}}) as adapter:
        await converse_with(await adapter.list_tools())


asyncio.run(main())
