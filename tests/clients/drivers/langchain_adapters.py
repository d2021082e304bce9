"""LangChain with the tools of langchain-mcp-adapters."""

import asyncio

from langchain_loop import converse_with
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from line_loop import SERVER


async def main() -> None:
    if SERVER["transport"] == "stdio":
        place = {"transport": "stdio", **{name: SERVER[name] for name in ("command", "args", "env")}}
    else:
        place = {"transport": "streamable_http", "url": SERVER["url"], "headers": SERVER["headers"]}
    # One session for all calls; without it each call starts a server of its own.
    async with MultiServerMCPClient({"asg": place}).session("asg") as session:
        await converse_with(await load_mcp_tools(session))


asyncio.run(main())
