"""Replies of tools in the fewer words that a page or a script wants: the paths of a state, the graph of commits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from asg_mcp.schemas.base import MoreBehind, NextCursor, Wire

Reply = Mapping[str, Any]


class PathItem(Wire):
    """One value of a state."""

    path: Annotated[str, Field(description="Of the value.")]
    type: Annotated[str, Field(description="Its type.")]
    commit: Annotated[str, Field(description="The commit that last changed it.")]


class PathsReply(Wire):
    """Where the values of a state are."""

    ref: Annotated[str, Field(description="The ref that was asked for.")]
    paths: Annotated[list[PathItem], Field(description="In path order.")]
    next_cursor: NextCursor
    omitted: MoreBehind = 0


class GraphItem(Wire):
    """One commit and what it follows."""

    commit: Annotated[str, Field(description="The commit.")]
    parents: Annotated[list[str], Field(description="Its parents, the branch's own first; none for the first.")]
    agent: Annotated[str, Field(description="Who made it, as claimed.")]
    category: Annotated[str, Field(description="What kind of change it is.")]
    description: Annotated[str, Field(description="Why; missing where it was erased.")] = ""
    at: Annotated[str, Field(description="When, RFC 3339 in UTC.")]


class GraphReply(Wire):
    """Commits, as nodes with edges."""

    ref: Annotated[str, Field(description="The ref that was asked for; * for the whole store.")]
    commits: Annotated[list[GraphItem], Field(description="Children before their parents.")]
    next_cursor: NextCursor
    omitted: MoreBehind = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """What becomes of a tool's reply."""

    result: type[Wire]
    make: Callable[[Reply], dict[str, Any]]


def _listed(items: str, item: type[Wire]) -> Callable[[Reply], dict[str, Any]]:
    def made(reply: Reply) -> dict[str, Any]:
        found = [{name: one[name] for name in item.model_fields if name in one} for one in reply["items"]]
        rest = {name: reply[name] for name in ("next_cursor", "omitted") if name in reply}
        return {"ref": reply["ref"], items: found, **rest}

    return made


PATHS = Shape(PathsReply, _listed("paths", PathItem))
GRAPH = Shape(GraphReply, _listed("commits", GraphItem))
