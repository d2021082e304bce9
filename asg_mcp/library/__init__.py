"""The library: the store of a server for Python programs, without the server and without its protocol."""

from __future__ import annotations

from asg_mcp.library.graph import AsyncStateGraph
from asg_mcp.library.stategraph import StateGraph

__all__ = ["AsyncStateGraph", "StateGraph"]
