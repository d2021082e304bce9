"""An agent of LangChain whose model calls what it is told to, whatever brought its tools."""

from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from line_loop import Answer, answer, converse, text_of


class Model(GenericFakeChatModel):
    """Says what it is given to say, with tools or without."""

    def bind_tools(self, tools: Any, **_: Any) -> "Model":
        return self


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return text_of([part if isinstance(part, str) else part.get("text", "") for part in content])


async def converse_with(tools: list[Any]) -> None:
    """Answer calls with what the model is shown."""

    async def call(tool: str, arguments: dict[str, Any]) -> Answer:
        wanted = AIMessage("", tool_calls=[{"name": tool, "args": arguments, "id": "1"}])
        agent = create_agent(Model(messages=iter([wanted, AIMessage("done")])), tools)
        told = (await agent.ainvoke({"messages": [("user", "Go on.")]}))["messages"]
        (shown,) = (message for message in told if isinstance(message, ToolMessage))
        return answer(None, _text(shown.content))

    await converse(call)
