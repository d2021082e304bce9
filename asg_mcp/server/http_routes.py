"""The HTTP API as a table: every tool by POST, what is read most by GET. Routes and OpenAPI are made from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from asg_mcp.core.values import JsonValue
from asg_mcp.schemas.base import json_schema
from asg_mcp.tools.registry import Catalogue, Tool

TOOLS_PATH = "/api/tools/{name}"
EVENTS_PATH = "/api/events"
OPENAPI_PATH = "/api/openapi.json"
METRICS_PATH = "/metrics"
CONFLICTING = frozenset({"asg_merge", "asg_revert", "asg_commit_spec"})
"""Tools that answer conflicts as data, with nothing written; over HTTP that is a 409 with the same reply."""


@dataclass(frozen=True, slots=True)
class ReadRoute:
    """One GET. Its query parameters are the arguments of the tool, but for those that are fixed."""

    path: str
    tool: str
    summary: str
    fixed: Mapping[str, JsonValue] = field(default_factory=dict)

    def parameters(self, tool: Tool) -> Iterator[tuple[str, dict[str, Any], bool]]:
        """The name, schema and need of each query parameter."""
        schema = json_schema(tool.params)
        for name, part in schema["properties"].items():
            if name not in self.fixed:
                yield name, part, name in schema.get("required", ())


@dataclass(frozen=True, slots=True)
class ResourceRoute:
    """One GET of what is no tool's reply, but a resource's."""

    path: str
    uri: str
    summary: str


READS = (
    ReadRoute("/api/state", "asg_get", "A value or subtree at any ref"),
    ReadRoute("/api/search", "asg_search", "Keys and values by text or JSONPath"),
    ReadRoute("/api/log", "asg_log", "Commits that a ref reaches, the newest first"),
    ReadRoute("/api/blame", "asg_blame", "Who changed a path, and why"),
    ReadRoute("/api/diff", "asg_diff", "What differs between two refs"),
    ReadRoute("/api/branches", "asg_list_branches", "Branches, tags and open speculations"),
    ReadRoute("/api/query", "asg_query", "One query over commits, agents, state and records"),
    ReadRoute("/api/epochs", "asg_query", "Epochs, open and sealed", {"target": "epochs"}),
    ReadRoute("/api/plans", "asg_query", "Plans, and how far each is", {"target": "plans"}),
    ReadRoute("/api/sessions", "asg_query", "Your sessions", {"target": "sessions"}),
)
RESOURCES = (
    ResourceRoute("/api/stats", "asg://stats", "Counts and sizes of the store"),
    ResourceRoute("/api/health", "asg://health", "What should be mended in the store, if anything"),
)


def offered(catalogue: Catalogue) -> list[tuple[ReadRoute, Tool]]:
    """The GETs whose tools are switched on."""
    tools = {tool.name: tool for tool in catalogue}
    return [(route, tools[route.tool]) for route in READS if route.tool in tools]
