"""An agent of pydantic-ai, whose model calls what it is told to and hands back what it was shown."""

import asyncio
import json
from typing import Any

from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from line_loop import SECONDS, SERVER, Answer, answer, converse
from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.function import AgentInfo, FunctionModel


async def main() -> None:
    transport: Any
    if SERVER["transport"] == "stdio":
        transport = StdioTransport(SERVER["command"], SERVER["args"], env=SERVER["env"])
    else:
        transport = StreamableHttpTransport(SERVER["url"], headers=SERVER["headers"])
    wanted: list[ToolCallPart] = []

    def model(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[wanted.pop() if wanted else TextPart("done")])

    toolset: Any = MCPToolset(transport, tool_error_behavior="failed", max_retries=0, init_timeout=SECONDS)
    async with Agent(FunctionModel(model), toolsets=[toolset]) as agent:

        async def call(tool: str, arguments: dict[str, Any]) -> Answer:
            wanted.append(ToolCallPart(tool, arguments))
            messages = (await agent.run("Go on.")).all_messages()
            (shown,) = (part for one in messages for part in one.parts if isinstance(part, ToolReturnPart))
            text = shown.content if isinstance(shown.content, str) else json.dumps(shown.content)
            return answer(None, text)

        await converse(call, toolset.client.protocol_version)


asyncio.run(main())
