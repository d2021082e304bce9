"""OpenAPI 3.1 of the HTTP API, made from the models that check arguments and make replies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from asg_mcp import __version__
from asg_mcp.schemas.base import json_schema
from asg_mcp.server.http_routes import (
    CONFLICTING,
    EVENTS_PATH,
    METRICS_PATH,
    OPENAPI_PATH,
    RESOURCES,
    TOOLS_PATH,
    ReadRoute,
    ResourceRoute,
    offered,
)
from asg_mcp.tools.registry import Catalogue, Tool

Json = dict[str, Any]
_VARIABLE = re.compile(r"\{(\w+)\}")
_NO_WORD = re.compile(r"\W+")
_ERROR = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {
        "code": {"type": "string", "description": "Stable; what programs match on."},
        "message": {"type": "string", "description": "What is wrong, with the values."},
        "hint": {"type": "string", "description": "What to do next."},
        "details": {"type": "object", "description": "The same for programs: the limit, the nearest names, …"},
    },
}
_STATUSES = {
    "304": "Not changed since the answer whose ETag the request named.",
    "400": "The request is not as it is described here, or is no JSON.",
    "401": "No token, or one that does not hold.",
    "403": "The token does not allow it, or a page of another site sent it.",
    "404": "No such ref, path, commit, handle, plan, task, epoch or tool.",
    "409": "Somebody else changed what the call changes; details has the conflict.",
    "413": "The request is too large.",
    "415": "The body is not of type application/json.",
    "421": "The Host header names another server.",
    "422": "The request is as described, and cannot be done: details has the limit, the place, the nearest names.",
    "429": "Too many requests; see Retry-After.",
    "500": "The server failed; its log has the details.",
    "503": "The store cannot be read or written now; see Retry-After.",
}
_HEADERS: dict[str, tuple[str, str]] = {
    "401": ("WWW-Authenticate", "How to show who calls."),
    "429": ("Retry-After", "Seconds."),
    "503": ("Retry-After", "Seconds."),
}
_ANY = ("400", "401", "403", "413", "421", "429", "500", "503")
"""What may come of every request but those for health."""
_READ = (*_ANY, "404", "409", "422")
_CALL = (*_READ, "415")
_TEXT: Json = {"schema": {"type": "string"}}
_ETAG = {"ETag": {"description": "Of this answer; send it as If-None-Match.", "schema": {"type": "string"}}}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The ETag of the answer that you have.",
    "schema": {"type": "string"},
}


def document(catalogue: Catalogue) -> Json:
    """The whole document for these tools."""
    tools = {TOOLS_PATH.format(name=tool.name): {"post": _call(tool)} for tool in catalogue}
    reads = {route.path: {"get": _read(route, tool)} for route, tool in offered(catalogue)}
    rest = {route.path: {"get": _resource(route)} for route in RESOURCES}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "AgentStateGraph",
            "version": __version__,
            "description": "Versioned, blameable state for AI agents: the tools of the MCP server over HTTP. "
            f"What takes GET takes HEAD, and answers it without a body; {EVENTS_PATH} alone does not.",
        },
        "security": [{"token": []}, {}],
        "paths": {**tools, **reads, **rest, **_others()},
        "components": {
            "schemas": {"Error": _ERROR},
            "responses": {status: _response(status, text) for status, text in _STATUSES.items()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "asg-mcp token add"}},
        },
    }


def _response(status: str, text: str) -> Json:
    if status == "304":
        return {"description": text}
    found: Json = {"description": text, "content": _json({"$ref": "#/components/schemas/Error"})}
    if status in _HEADERS:
        name, about = _HEADERS[status]
        found["headers"] = {name: {"description": about, "required": True, "schema": {"type": "string"}}}
    return found


def _call(tool: Tool) -> Json:
    params = json_schema(tool.params)
    found = _operation(tool.name, tool.description, tool.group, json_schema(tool.result), _CALL)
    found["requestBody"] = {"required": bool(params.get("required")), "content": _json(params)}
    if tool.name in CONFLICTING:
        both = [json_schema(tool.result), {"$ref": "#/components/schemas/Error"}]
        found["responses"]["409"] = {
            "description": "Conflicts, with nothing written: settle them with resolutions. Or as elsewhere.",
            "content": _json({"anyOf": both}),
        }
    return found


def _read(route: ReadRoute, tool: Tool) -> Json:
    found = _kept(_operation(_id(route.path), route.summary, tool.group, json_schema(route.result(tool)), _READ))
    found["parameters"] += [_parameter(name, part, needed) for name, part, needed in route.parameters(tool)]
    return found


def _parameter(name: str, part: Json, needed: bool) -> Json:
    return {
        "name": name,
        "in": "query",
        "required": needed,
        "description": part.get("description", name),
        "schema": part,
    }


def _resource(route: ResourceRoute) -> Json:
    found = _kept(_operation(_id(route.path), route.summary, "store", {"type": "object"}, _READ))
    if route.media_type != "application/json":
        body = {"type": "string", "contentMediaType": route.media_type}
        found["responses"]["200"]["content"] = {route.media_type: {"schema": body}}
    for name in _VARIABLE.findall(route.path):
        part = {"type": "string", "minLength": 1}
        found["parameters"].append(
            {"name": name, "in": "path", "required": True, "description": f"Id of the {name}.", "schema": part}
        )
    return found


def _kept(operation: Json) -> Json:
    """The operation, whose answer its reader may keep."""
    operation["responses"]["200"]["headers"] = _ETAG
    operation["responses"]["304"] = {"$ref": "#/components/responses/304"}
    operation["parameters"] = [_IF_NONE_MATCH]
    return operation


def _others() -> Json:
    events = _operation(_id(EVENTS_PATH), "The log as server-sent events, from the event `after` on", "store", {}, _ANY)
    events["responses"]["200"] = {"description": "Until the client goes.", "content": {"text/event-stream": _TEXT}}
    after = {"type": "integer", "minimum": 0}
    events["parameters"] = [
        {
            "name": "after",
            "in": "query",
            "description": "The last event that you have; default the newest.",
            "schema": after,
        },
        {"name": "Last-Event-ID", "in": "header", "description": "The same, as browsers send it.", "schema": after},
    ]
    metrics = _operation(_id(METRICS_PATH), "Counters and gauges for Prometheus", "server", {}, _ANY)
    metrics["responses"]["200"] = {"description": "Prometheus text.", "content": {"text/plain": _TEXT}}
    return {
        EVENTS_PATH: {"get": events},
        METRICS_PATH: {"get": metrics},
        OPENAPI_PATH: {"get": _operation(_id(OPENAPI_PATH), "This document", "server", {"type": "object"}, _ANY)},
        "/healthz": {"get": _health("alive", "Whether the server runs")},
        "/readyz": {"get": _health("ready", "Whether the store can be read")},
    }


def _health(name: str, summary: str) -> Json:
    status = {"type": "object", "required": ["status"], "properties": {"status": {"enum": ["ok", "unavailable"]}}}
    found = _operation(f"get_{name}", summary, "server", status, ("403", "421", "429", "500"))
    found["security"] = []
    found["responses"]["503"] = {"description": "Not now.", "content": _json(status)}
    return found


def _id(path: str) -> str:
    return "get" + _NO_WORD.sub("_", path).rstrip("_")


def _operation(name: str, summary: str, group: str, reply: Json, statuses: Sequence[str]) -> Json:
    responses: Json = {status: {"$ref": f"#/components/responses/{status}"} for status in sorted(statuses)}
    responses["200"] = {"description": "Done.", "content": _json(reply)}
    return {"operationId": name, "summary": summary, "tags": [group], "responses": responses}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}
