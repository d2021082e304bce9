"""AgentStateGraph for Python: a content-addressed, branchable, blameable state store for AI agents.

`from asg_mcp import StateGraph` is the store for a Python program; `AsyncStateGraph` is the same for an event loop.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asg_mcp.library import AsyncStateGraph, StateGraph

__version__ = "0.1.0"
__all__ = ["AsyncStateGraph", "StateGraph"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("asg_mcp.library"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
