"""An agent of the OpenAI Agents SDK whose model calls what it is told to."""

import asyncio
import json
from typing import Any

from agents import Agent, Model, ModelResponse, Runner, Usage, set_tracing_disabled
from agents.mcp import MCPServerStdio, MCPServerStreamableHttp
from line_loop import SECONDS, SERVER, Answer, answer, converse
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText


class Scripted(Model):
    """Calls one tool, and ends with what it was shown."""

    def __init__(self) -> None:
        self.wanted: list[tuple[str, str]] = []
        self.shown: Any = None

    async def get_response(self, system_instructions: Any, input: Any, *_: Any, **__: Any) -> ModelResponse:
        output: Any
        if self.wanted:
            name, arguments = self.wanted.pop()
            output = ResponseFunctionToolCall(type="function_call", call_id="1", name=name, arguments=arguments)
        else:
            self.shown = input[-1]["output"]
            text = ResponseOutputText(type="output_text", text="done", annotations=[])
            output = ResponseOutputMessage(id="1", type="message", role="assistant", status="completed", content=[text])
        return ModelResponse(output=[output], usage=Usage(), response_id=None)

    def stream_response(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError


async def main() -> None:
    set_tracing_disabled(True)
    server: Any
    if SERVER["transport"] == "stdio":
        place: Any = {name: SERVER[name] for name in ("command", "args", "env")}
        server = MCPServerStdio(place, client_session_timeout_seconds=SECONDS)
    else:
        place = {"url": SERVER["url"], "headers": SERVER["headers"], "timeout": SECONDS}
        server = MCPServerStreamableHttp(place, client_session_timeout_seconds=SECONDS)
    async with server:
        model = Scripted()
        agent: Any = Agent(name="asg", model=model, mcp_servers=[server])

        async def call(tool: str, arguments: dict[str, Any]) -> Answer:
            model.wanted.append((tool, json.dumps(arguments)))
            await Runner.run(agent, "Go on.")
            shown = model.shown
            parts = shown if isinstance(shown, list) else [shown]
            return answer(None, "".join(part if isinstance(part, str) else part["text"] for part in parts))

        await converse(call, server.session.protocol_version)


asyncio.run(main())
