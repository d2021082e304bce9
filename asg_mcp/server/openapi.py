"""OpenAPI 3.1 of the HTTP API, made from the models that check arguments and make replies."""

from __future__ import annotations

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
    offered,
)
from asg_mcp.tools.registry import Catalogue, Tool

Json = dict[str, Any]
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
    "400": "An argument is missing, unknown or cannot be taken.",
    "401": "No token, or one that does not hold.",
    "403": "The token does not allow it, or a page of another site sent it.",
    "404": "No such ref, path, commit, handle, plan, task or tool.",
    "409": "Somebody else changed what the call changes; details has the conflict.",
    "413": "The request is too large.",
    "421": "The Host header names another server.",
    "429": "Too many requests; see Retry-After.",
    "500": "The server failed; its log has the details.",
    "503": "The store cannot be read or written now; see Retry-After.",
}


def document(catalogue: Catalogue) -> Json:
    """The whole document for these tools."""
    tools = {TOOLS_PATH.format(name=tool.name): {"post": _call(tool)} for tool in catalogue}
    reads = {route.path: {"get": _read(route, tool)} for route, tool in offered(catalogue)}
    rest = {route.path: {"get": _plain(route.path, route.summary)} for route in RESOURCES}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "AgentStateGraph",
            "version": __version__,
            "description": "Versioned, blameable state for AI agents: the tools of the MCP server over HTTP.",
        },
        "security": [{"token": []}, {}],
        "paths": {**tools, **reads, **rest, **_others()},
        "components": {
            "schemas": {"Error": _ERROR},
            "responses": {
                status: {"description": text, "content": _json({"$ref": "#/components/schemas/Error"})}
                for status, text in _STATUSES.items()
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "asg-mcp token add"}},
        },
    }


def _call(tool: Tool) -> Json:
    params = json_schema(tool.params)
    found = _operation(tool.name, tool.description, tool.group, json_schema(tool.result))
    found["requestBody"] = {"required": bool(params.get("required")), "content": _json(params)}
    if tool.name in CONFLICTING:
        both = [json_schema(tool.result), {"$ref": "#/components/schemas/Error"}]
        found["responses"]["409"] = {
            "description": "Conflicts, with nothing written: settle them with resolutions. Or as elsewhere.",
            "content": _json({"anyOf": both}),
        }
    return found


def _read(route: ReadRoute, tool: Tool) -> Json:
    found = _operation(f"get{route.path.replace('/', '_')}", route.summary, tool.group, json_schema(tool.result))
    found["parameters"] = [_parameter(name, part, needed) for name, part, needed in route.parameters(tool)]
    return found


def _parameter(name: str, part: Json, needed: bool) -> Json:
    told: Json = {"name": name, "in": "query", "required": needed, "description": part.get("description", name)}
    if part.get("type") == "object":
        return {**told, "content": _json(part)}
    return {**told, "schema": part}


def _plain(path: str, summary: str) -> Json:
    return _operation(f"get{path.replace('/', '_')}", summary, "store", {"type": "object"})


def _others() -> Json:
    events = _operation("get_api_events", "The log as server-sent events, from the event `after` on", "store", {})
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
    metrics = _operation("get_metrics", "Counters and gauges for Prometheus", "server", {})
    metrics["responses"]["200"] = {"description": "Prometheus text.", "content": {"text/plain": _TEXT}}
    return {
        EVENTS_PATH: {"get": events},
        METRICS_PATH: {"get": metrics},
        OPENAPI_PATH: {"get": _plain(OPENAPI_PATH, "This document")},
        "/healthz": {"get": _health("alive", "Whether the server runs")},
        "/readyz": {"get": _health("ready", "Whether the store can be read")},
    }


_TEXT: Json = {"schema": {"type": "string"}}


def _health(name: str, summary: str) -> Json:
    status = {"type": "object", "required": ["status"], "properties": {"status": {"enum": ["ok", "unavailable"]}}}
    found = _operation(f"get_{name}", summary, "server", status)
    found["security"] = [{}]
    found["responses"]["503"] = {"description": "Not now.", "content": _json(status)}
    return found


def _operation(name: str, summary: str, group: str, reply: Json) -> Json:
    responses: Json = {status: {"$ref": f"#/components/responses/{status}"} for status in _STATUSES}
    responses["200"] = {"description": "Done.", "content": _json(reply)}
    return {"operationId": name, "summary": summary, "tags": [group], "responses": responses}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}
