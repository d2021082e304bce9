"""Errors of ours as errors of the protocol, for what is asked outside of tools."""

from __future__ import annotations

import json
from typing import Any

from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from asg_mcp.errors import AsgError, NotFound, StorageError

RESOURCE_NOT_FOUND = -32002
"""Of revisions up to 2025-11-25; since then it is INVALID_PARAMS."""


def protocol_error(error: AsgError, version: str, **data: str) -> MCPError:
    """The error that answers a request of a protocol revision; its data is that of a tool's error, and `data`."""
    return _told(error.as_dict(), isinstance(error, NotFound), isinstance(error, StorageError), version, data)


def replied_error(text: str, tool: str, version: str, **data: str) -> MCPError:
    """The same, from the text of a failed reply of a tool; its hints are about the arguments of that tool."""
    problem: dict[str, Any] = json.loads(text)
    missing, ours = problem["code"] in _codes(NotFound), problem["code"] in {"internal", *_codes(StorageError)}
    error = _told(problem, missing, ours, version, {"tool": tool, **data})
    return MCPError(error.code, f"{error.message} (This resource is a call of {tool}.)", error.data)


def _told(problem: dict[str, Any], missing: bool, ours: bool, version: str, data: dict[str, str]) -> MCPError:
    code = INTERNAL_ERROR if ours else INVALID_PARAMS
    if missing and version in HANDSHAKE_PROTOCOL_VERSIONS:
        code = RESOURCE_NOT_FOUND
    message = problem["message"]
    if problem.get("hint"):
        message = f"{message}. {problem['hint']}"
    return MCPError(code, message, {**problem, **data})


def _codes(family: type[AsgError]) -> set[str]:
    return {family.code}.union(*(_codes(member) for member in family.__subclasses__()))
