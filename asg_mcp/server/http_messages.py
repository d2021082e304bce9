"""The messages of MCP over HTTP, looked at before the SDK takes them: what it would misread is refused."""

from __future__ import annotations

from typing import Any

from mcp_types import JSONRPCError, RequestId
from pydantic_core import from_json
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asg_mcp.server.http_errors import answer
from asg_mcp.server.lines import NotAMessage, check_id, check_names

_REQUEST_KEY = "asg_mcp.request"
"""Of the ASGI scope: the id of the request in the body."""


def request_of(scope: Scope) -> RequestId | None:
    """The id of the request that was posted; None where something else was."""
    found: RequestId | None = scope.get(_REQUEST_KEY)
    return found


def refused(error: JSONRPCError) -> Response:
    """The answer to a message that is not taken."""
    return answer(error.model_dump_json(by_alias=True, exclude_unset=True), 400)


class Messages:
    """The ASGI application around one that takes messages by POST. The gate hands on each body in one piece."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a message on, or refuse it."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        first = await receive()
        try:
            request = _request(first.get("body", b""))
        except NotAMessage as problem:
            await refused(problem.reply)(scope, receive, send)
            return
        held: list[Message] = [first]

        async def again() -> Message:
            return held.pop() if held else await receive()

        await self._app({**scope, _REQUEST_KEY: request}, again, send)


def _request(body: bytes) -> RequestId | None:
    try:
        document: Any = from_json(body)
    except ValueError:
        return None  # the SDK says what is wrong with it
    check_id(document)
    if not isinstance(document, dict) or not {"id", "method"} <= document.keys():
        return None
    request: RequestId = document["id"]
    check_names(body, request, document.get("params"))
    return request
