"""The HTTP API: the same tools, arguments, replies and errors as over MCP, with the statuses of HTTP."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import orjson
from mcp.shared.exceptions import MCPError
from mcp_types.version import LATEST_HANDSHAKE_VERSION
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from asg_mcp.core.limits import NAME_BYTES_MAX
from asg_mcp.errors import AsgError, InvalidArgument, NotFound
from asg_mcp.server.arguments import nearest, shown
from asg_mcp.server.dispatch import Reply, UnknownTool
from asg_mcp.server.http_errors import INTERNAL, answer, refusal, status_of
from asg_mcp.server.http_gate import grant_of
from asg_mcp.server.http_routes import CONFLICTING, RESOURCES, TOOLS_PATH, ReadRoute, ResourceRoute, offered
from asg_mcp.server.mcp import Offer, client_name
from asg_mcp.tools.registry import Tool, ToolContext

logger = logging.getLogger(__name__)


class NoSuchRoute(NotFound):
    """Nothing is at this address of the API."""

    code = "no_such_route"
    default_hint = "/api/openapi.json names all addresses."


class MethodNotAllowed(InvalidArgument):
    """The address is there, and takes another method."""

    code = "method_not_allowed"


class Api:
    """The routes of the API over what a server offers."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._names = [tool.name for tool in offer.catalogue]

    def routes(self) -> list[Route]:
        """All of them."""
        reads = offered(self._offer.catalogue)
        return [
            Route(TOOLS_PATH, self.call, methods=["POST"]),
            *(Route(route.path, self._reader(route, tool), methods=["GET"]) for route, tool in reads),
            *(Route(route.path, self._resource(route), methods=["GET"]) for route in RESOURCES),
        ]

    def context(self, request: Request) -> ToolContext:
        """Who calls: the token's principal, and the program that its User-Agent names."""
        name, _, version = request.headers.get("user-agent", "").split(" ")[0].partition("/")
        client = client_name(name[:NAME_BYTES_MAX], version[:NAME_BYTES_MAX])
        return self._offer.context(client, grant_of(request.scope))

    async def call(self, request: Request) -> Response:
        """POST of a tool: its arguments as a JSON object, its reply as JSON."""
        try:
            arguments = _arguments(request.headers.get("content-type", ""), await request.body())
            name = request.path_params["name"]
            if name not in self._names:
                guess = nearest(name, self._names)
                also = f"Did you mean {guess}? " if guess else ""
                raise UnknownTool(f"There is no tool {shown(name)}", hint=f"{also}/api/openapi.json names them all.")
            return _told(name, arguments, await self._offer.call(self.context(request), name, arguments))
        except AsgError as error:
            return refusal(error)

    def _reader(self, route: ReadRoute, tool: Tool) -> Any:
        known = {name for name, _, __ in route.parameters(tool)}

        async def read(request: Request) -> Response:
            try:
                arguments = _query(request, known)
                reply = await self._offer.call(self.context(request), tool.name, {**arguments, **route.fixed})
            except AsgError as error:
                return refusal(error)
            return _told(tool.name, arguments, reply)

        return read

    def _resource(self, route: ResourceRoute) -> Any:
        async def read(request: Request) -> Response:
            try:
                found = await self._offer.shelf.read(self.context(request), route.uri, LATEST_HANDSHAKE_VERSION)
            except MCPError as error:
                problem = {name: part for name, part in (error.error.data or {}).items() if name != "uri"}
                return answer(to_json(problem), status_of(problem))
            return answer(str(getattr(found.contents[0], "text", "")))

        return read


def _arguments(content_type: str, body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    if content_type.partition(";")[0].strip().lower() != "application/json":
        # A page of another site can make a browser send any of the other types without asking.
        raise InvalidArgument("The body is not of type application/json", hint="Send Content-Type: application/json.")
    try:
        arguments = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidArgument(f"The body is no JSON: {error}", hint="Send the arguments as one JSON object.") from None
    if not isinstance(arguments, dict):
        raise InvalidArgument("The body is no JSON object", hint="Send the arguments as one JSON object.")
    return arguments


def _query(request: Request, known: set[str]) -> dict[str, Any]:
    given = request.query_params
    arguments: dict[str, Any] = {}
    for name in given:
        if name not in known:
            raise InvalidArgument(
                f"There is no query parameter {name[:NAME_BYTES_MAX]!r}", hint=f"There are {', '.join(sorted(known))}."
            )
        values = given.getlist(name)
        arguments[name] = values[0] if len(values) == 1 else values
    return arguments


def _told(tool: str, arguments: Mapping[str, Any], reply: Reply) -> Response:
    if reply.is_error:
        problem = json.loads(reply.text)
        status = status_of(problem)
        return answer(reply.text, status, {"retry-after": "1"} if status in (429, 503) else None)
    found = reply.structured or {}
    is_conflict = tool in CONFLICTING and bool(found.get("conflicts")) and not arguments.get("preview")
    return answer(reply.text, 409 if is_conflict else 200)


async def no_route(request: Request, error: Exception) -> Response:
    """The answer where no route is, or none for the method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        told = MethodNotAllowed(f"{request.url.path} does not take {request.method}", hint=f"It takes {allowed}.")
        return answer(to_json(told.as_dict()), 405, {"allow": allowed})
    return refusal(NoSuchRoute(f"Nothing is at {request.url.path}"))


async def failed(_: Request, error: Exception) -> Response:
    """The answer to what should not happen; the server's log has the rest."""
    logger.error("a request failed unexpectedly", exc_info=error)
    problem = {"code": INTERNAL, "message": "The server failed unexpectedly", "hint": "Its log has the details."}
    return answer(to_json(problem), 500)
