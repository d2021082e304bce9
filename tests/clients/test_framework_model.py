"""Every tool called by the test model of an agent framework, which knows nothing but the schemas it is sent.

pydantic-ai's `TestModel` gives what a schema requires; our own model beside it gives everything that a schema has.
Both go through the framework's client (FastMCP's) and pipes. A tool may refuse what they make up, as data that the
model reads; an error of the protocol ends the run, and one of the server ("internal") fails the test.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel

from asg_mcp.tools.catalogue import CATALOGUE
from tests.kit.processes import unmeasured_environment
from tests.kit.rpc import REPOSITORY_ROOT

INIT_SECONDS_MAX = 60.0


def made_up(schema: dict[str, Any]) -> Any:
    """A value that the schema takes, with every property and one element of each list."""
    if "enum" in schema:
        return schema["enum"][-1]
    if "anyOf" in schema:
        return made_up(schema["anyOf"][-1])
    match schema.get("type"):
        case "object":
            return {name: made_up(part) for name, part in schema.get("properties", {}).items()}
        case "array":
            return [made_up(schema["items"])]
        case "string":
            return "main"
        case "integer" | "number":
            return 1
        case "boolean":
            return True
        case _:
            return None


def gives_everything(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Call every tool with every argument, and end when the replies are there."""
    if len(messages) > 1:
        return ModelResponse(parts=[TextPart("done")])
    tools = info.function_tools
    return ModelResponse(parts=[ToolCallPart(tool.name, made_up(tool.parameters_json_schema)) for tool in tools])


MODELS: dict[str, Model] = {
    "what is required": TestModel(),
    "other values of it": TestModel(seed=1),
    "all there is": FunctionModel(gives_everything),
}


async def run(store: Path, model: Model) -> dict[str, Any]:
    """What each tool answered."""
    transport = StdioTransport(
        sys.executable,
        ["-m", "asg_mcp", "serve", "--db", str(store)],
        env=unmeasured_environment(),
        cwd=str(REPOSITORY_ROOT),
    )
    toolset: MCPToolset[None] = MCPToolset(
        transport, tool_error_behavior="failed", max_retries=0, init_timeout=INIT_SECONDS_MAX
    )
    async with Agent(model, toolsets=[toolset]) as agent:
        messages = (await agent.run("Try everything.")).all_messages()
    parts = [part for message in messages for part in message.parts]
    return {part.tool_name: part.content for part in parts if isinstance(part, ToolReturnPart)}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
async def test_an_agent_framework_calls_every_tool_without_an_error_of_the_protocol(
    tmp_path: Path, model: Model
) -> None:
    answers = await run(tmp_path / "state.db", model)
    assert answers.keys() == {tool.name for tool in CATALOGUE}
    for name, answer in answers.items():
        found = json.loads(answer) if isinstance(answer, str) else answer
        assert isinstance(found, dict), name
        assert found.get("code") != "internal", name
