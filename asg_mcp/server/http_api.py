"""The HTTP API: the same tools, arguments, replies and errors as over MCP, with the statuses of HTTP."""

from __future__ import annotations

import json
import logging
import re
from base64 import b64decode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import orjson
from mcp.shared.exceptions import MCPError
from mcp_types import BlobResourceContents
from mcp_types.version import LATEST_HANDSHAKE_VERSION
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from asg_mcp.core.limits import NAME_BYTES_MAX
from asg_mcp.errors import AsgError, InvalidArgument, NotFound
from asg_mcp.schemas.base import json_schema
from asg_mcp.server.arguments import ArgumentRules, nearest, shown
from asg_mcp.server.described import Check, checker
from asg_mcp.server.dispatch import Reply, UnknownTool
from asg_mcp.server.http_errors import INTERNAL, answer, refusal, status_of
from asg_mcp.server.http_gate import grant_of
from asg_mcp.server.http_routes import CONFLICTING, RESOURCES, TOOLS_PATH, ReadRoute, ResourceRoute, offered
from asg_mcp.server.http_shapes import Shape
from asg_mcp.server.mcp import Offer, client_name
from asg_mcp.tools.registry import Tool, ToolContext

logger = logging.getLogger(__name__)

_UNPROCESSABLE = 422
"""The status of a call that is as described and cannot be done; 400 says that it is not as described."""
_REVALIDATED = "private, no-cache"
"""A reader may keep what it read, and asks each time whether it is still so."""
_ETAG_CHARS = 32
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]*)", re.IGNORECASE)
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class NoSuchRoute(NotFound):
    """Nothing is at this address of the API."""

    code = "no_such_route"
    default_hint = "/api/openapi.json names all addresses."


class MethodNotAllowed(InvalidArgument):
    """The address is there, and takes another method."""

    code = "method_not_allowed"


class UnsupportedMediaType(InvalidArgument):
    """The body is of a type that is not read."""

    code = "unsupported_media_type"


class Api:
    """The routes of the API over what a server offers."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._bodies = {tool.name: _Described(tool) for tool in offer.catalogue}

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
            name = request.path_params["name"]
            body = self._bodies.get(name)
            if body is None:
                guess = nearest(name, self._bodies)
                also = f"Did you mean {guess}? " if guess else ""
                raise UnknownTool(f"There is no tool {shown(name)}", hint=f"{also}/api/openapi.json names them all.")
            no_parameters(request, hint="Send the arguments as JSON, in the body.")
            arguments = _arguments(request.headers.get("content-type", ""), await request.body())
            body.check(arguments)
            reply = await self._offer.call(self.context(request), name, arguments)
        except AsgError as error:
            return refusal(error)
        found = reply.structured or {}
        if name in CONFLICTING and found.get("conflicts") and not arguments.get("preview"):
            return answer(reply.text, 409)
        return _failed(reply) if reply.is_error else answer(reply.text)

    def _reader(self, route: ReadRoute, tool: Tool) -> Any:
        query = _Described(tool, route)

        async def read(request: Request) -> Response:
            try:
                arguments = query.arguments(request)
                reply = await self._offer.call(self.context(request), tool.name, {**arguments, **route.fixed})
            except AsgError as error:
                return refusal(error)
            return _failed(reply) if reply.is_error else _fresh(request, _shaped(reply, route.shape))

        return read

    def _resource(self, route: ResourceRoute) -> Any:
        async def read(request: Request) -> Response:
            parts = {name: quote(text, safe="") for name, text in request.path_params.items()}
            uri = route.uri.format(**parts)
            try:
                no_parameters(request)
                held = await self._offer.shelf.read(self.context(request), uri, LATEST_HANDSHAKE_VERSION)
            except MCPError as error:
                problem = {name: part for name, part in (error.error.data or {}).items() if name != "uri"}
                return answer(to_json(problem), _status(problem))
            except AsgError as error:
                return refusal(error)
            found = held.contents[0]
            if isinstance(found, BlobResourceContents):
                return _file(request, b64decode(found.blob), route.media_type, request.path_params)
            return _fresh(request, found.text.encode())

        return read


class _Described:
    """The arguments of one route, as its description has them."""

    def __init__(self, tool: Tool, route: ReadRoute | None = None) -> None:
        self._rules = ArgumentRules.of(tool)
        schema = json_schema(tool.params)
        if route is not None:
            parts = list(route.parameters(tool))
            required = [name for name, _, needed in parts if needed]
            schema = {**schema, "properties": {name: part for name, part, _ in parts}, "required": required}
        self._parts: Mapping[str, Mapping[str, Any]] = schema["properties"]
        self._check: Check = checker(schema)

    def check(self, arguments: dict[str, Any]) -> None:
        """Raise InvalidArgument unless they are as described."""
        fault = self._check(arguments)
        if fault:
            self._rules.parse(arguments)  # it says better what is wrong, where it does not take it all the same
            raise InvalidArgument(fault.lstrip("."), hint="/api/openapi.json describes what is taken.")

    def arguments(self, request: Request) -> dict[str, Any]:
        """Those of the query. Raises InvalidArgument unless they are as described."""
        arguments: dict[str, Any] = {}
        for name in request.query_params:
            if name not in self._parts:
                raise InvalidArgument(
                    f"There is no query parameter {shown(name)}", hint=f"There are {', '.join(sorted(self._parts))}."
                )
            part, given = self._parts[name], request.query_params.getlist(name)
            if part["type"] == "array":
                arguments[name] = [_decoded(text, part["items"]) for text in given]
            else:
                arguments[name] = _decoded(given[0], part) if len(given) == 1 else given
        if fault := self._check(arguments):
            raise InvalidArgument(fault.lstrip("."), hint="/api/openapi.json describes the query parameters.")
        return arguments


def no_parameters(request: Request, hint: str = "It takes none.") -> None:
    """Raise InvalidArgument where the request has any."""
    for name in request.query_params:
        raise InvalidArgument(f"There is no query parameter {shown(name)}", hint=hint)


def _decoded(text: str, schema: Mapping[str, Any]) -> Any:
    """The text of a query as what its schema describes, where it is one."""
    if schema["type"] == "string":
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _arguments(content_type: str, body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    if content_type.partition(";")[0].strip().lower() != "application/json":
        # A page of another site can make a browser send any of the other types without asking.
        raise UnsupportedMediaType(
            "The body is not of type application/json", hint="Send Content-Type: application/json."
        )
    charset = _CHARSET.search(content_type)
    if charset is not None and charset[1].lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaType("The body is not in UTF-8, as JSON is", hint="Encode it as UTF-8.")
    try:
        orjson.loads(body)  # stricter than the next, which in turn does not make floats of the integers beyond 64 bits
        arguments = json.loads(body, object_pairs_hook=_named_once)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"The body is no JSON: {error}", hint="Send the arguments as one JSON object.") from None
    if not isinstance(arguments, dict):
        raise InvalidArgument("The body is no JSON object", hint="Send the arguments as one JSON object.")
    return arguments


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object. Raises InvalidArgument if it has a key twice: whoever looked at it before may have read the other."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise InvalidArgument(f"An object in the body has the key {shown(twice)} twice", hint="Name each key once.")
    return found


def _shaped(reply: Reply, shape: Shape | None) -> bytes:
    return reply.text.encode() if shape is None else to_json(shape.make(reply.structured or {}))


def _failed(reply: Reply) -> Response:
    problem = json.loads(reply.text)
    status = _status(problem)
    return answer(reply.text, status, {"retry-after": "1"} if status in (429, 503) else None)


def _status(problem: Mapping[str, Any]) -> int:
    """The status of an error of a call that was as described."""
    status = status_of(problem)
    return _UNPROCESSABLE if status == 400 else status


def _fresh(request: Request, body: bytes, media_type: str = "", **headers: str) -> Response:
    """The body, or a word that the reader has it already."""
    tag = f'"{sha256(body).hexdigest()[:_ETAG_CHARS]}"'
    kept = {"etag": tag, "cache-control": _REVALIDATED, "vary": "authorization"}
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if tag in known or "*" in known:
        return Response(status_code=304, headers=kept)
    found = answer(body, 200, {**kept, **headers})
    if media_type:
        found.headers["content-type"] = media_type
    return found


def _file(request: Request, body: bytes, media_type: str, parts: Mapping[str, str]) -> Response:
    name = "-".join(parts.values())
    name = name if _FILE_NAME.fullmatch(name) else "bundle"
    return _fresh(request, body, media_type, **{"content-disposition": f'attachment; filename="{name}.zip"'})


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
