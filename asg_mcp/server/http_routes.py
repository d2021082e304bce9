"""The HTTP API as a table: every tool by POST, what is read most by GET. Routes and OpenAPI are made from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from asg_mcp.core.values import JsonValue
from asg_mcp.schemas.base import Wire, json_schema
from asg_mcp.schemas.history import Filters
from asg_mcp.server.http_shapes import GRAPH, PATHS, Shape
from asg_mcp.services.bundles import MEDIA_TYPE
from asg_mcp.tools.registry import Catalogue, Tool

TOOLS_PATH = "/api/tools/{name}"
EVENTS_PATH = "/api/events"
OPENAPI_PATH = "/api/openapi.json"
METRICS_PATH = "/metrics"
CONFLICTING = frozenset({"asg_merge", "asg_revert", "asg_commit_spec"})
"""Tools that answer conflicts as data, with nothing written; over HTTP that is a 409 with the same reply."""
_FILTERS = "filters"


@dataclass(frozen=True, slots=True)
class ReadRoute:
    """One GET. Its query parameters are the arguments of the tool, but for those that are fixed; filters one by one."""

    path: str
    tool: str
    summary: str
    fixed: Mapping[str, JsonValue] = field(default_factory=dict)
    takes: frozenset[str] | None = None
    """The parameters that it has; None: all."""
    shape: Shape | None = None
    """What is made of the tool's reply; None: it is answered as it is."""

    def parameters(self, tool: Tool) -> Iterator[tuple[str, dict[str, Any], bool]]:
        """The name, schema and need of each query parameter."""
        schema = json_schema(tool.params)
        parts = {name: part for name, part in schema["properties"].items() if name not in self.fixed}
        if parts.pop(_FILTERS, None) is not None:
            parts.update(json_schema(Filters)["properties"])
        for name, part in parts.items():
            if self.takes is None or name in self.takes:
                yield name, part, name in schema.get("required", ())

    def result(self, tool: Tool) -> type[Wire]:
        """What it answers."""
        return tool.result if self.shape is None else self.shape.result


@dataclass(frozen=True, slots=True)
class ResourceRoute:
    """One GET of what is no tool's reply, but a resource's. Variables of the path are those of the address."""

    path: str
    uri: str
    summary: str
    media_type: str = "application/json"


_RECORDS = frozenset({"agent", "principal", "session", "authority", "status", "has_deviations", "text"})
_RECORDS |= {"since", "until", "limit", "cursor"}
READS = (
    ReadRoute("/api/state", "asg_get", "A value or subtree at any ref"),
    ReadRoute(
        "/api/paths",
        "asg_query",
        "Paths of all values at or below a path, with their types and last changes",
        {"target": "state", "order_by": "newest"},
        frozenset({"ref", "path", "pattern", "limit", "cursor"}),
        PATHS,
    ),
    ReadRoute("/api/search", "asg_search", "Keys and values by text or JSONPath"),
    ReadRoute("/api/log", "asg_log", "Commits that a ref reaches, the newest first"),
    ReadRoute("/api/blame", "asg_blame", "Who changed a path, and why"),
    ReadRoute("/api/diff", "asg_diff", "What differs between two refs"),
    ReadRoute(
        "/api/graph",
        "asg_query",
        "Commits and their parents, the newest first; ref * for the whole store",
        {"target": "commits", "order_by": "newest"},
        frozenset({"ref", "agent", "since", "until", "limit", "cursor"}),
        GRAPH,
    ),
    ReadRoute("/api/branches", "asg_list_branches", "Branches, tags and open speculations"),
    ReadRoute("/api/query", "asg_query", "One query over commits, agents, state and records"),
    ReadRoute("/api/epochs", "asg_query", "Epochs, open and sealed", {"target": "epochs"}, _RECORDS | {"intent"}),
    ReadRoute("/api/plans", "asg_query", "Plans, and how far each is", {"target": "plans"}, _RECORDS | {"ref"}),
    ReadRoute("/api/sessions", "asg_query", "Your sessions", {"target": "sessions"}, _RECORDS | {"intent"}),
)
RESOURCES = (
    ResourceRoute("/api/stats", "asg://stats", "Counts and sizes of the store"),
    ResourceRoute(
        "/api/epochs/{epoch}/bundle",
        "asg://epoch/{epoch}/bundle",
        "The evidence of a sealed epoch, with the program that verifies it",
        MEDIA_TYPE,
    ),
    ResourceRoute("/api/health", "asg://health", "What should be mended in the store, if anything"),
)


def offered(catalogue: Catalogue) -> list[tuple[ReadRoute, Tool]]:
    """The GETs whose tools are switched on."""
    tools = {tool.name: tool for tool in catalogue}
    return [(route, tools[route.tool]) for route in READS if route.tool in tools]
