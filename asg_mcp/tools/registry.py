"""What a tool is: one record in a catalogue, from which everything else is derived.

The MCP definitions, the argument check, the published schemas and the reference
pages all read these records. Nothing here knows the protocol.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from asg_mcp.repo.repository import Repository
from asg_mcp.schemas.base import Wire
from asg_mcp.services.access import Grant


@dataclass(frozen=True, slots=True)
class Hints:
    """The four MCP tool annotations. All are always written out: the protocol's defaults are pessimistic."""

    read_only: bool
    destructive: bool
    idempotent: bool
    open_world: bool = False
    """No tool reaches beyond the store."""


class Effect(Enum):
    """What a call does to the store; its value is what clients are told."""

    READ = Hints(read_only=True, destructive=False, idempotent=True)
    """Changes nothing."""
    WRITE = Hints(read_only=False, destructive=False, idempotent=False)
    """Adds to the history; what was there stays reachable."""
    ENSURE = Hints(read_only=False, destructive=False, idempotent=True)
    """Adds to the history; the same call again changes nothing more."""
    DESTRUCTIVE = Hints(read_only=False, destructive=True, idempotent=True)
    """Takes something away that no other call gives back; the same call again changes nothing more."""

    @property
    def hints(self) -> Hints:
        return self.value


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. Built by the server from the connection and its options, never from tool arguments."""

    principal: str
    """Verified: the local user on stdio, the token's subject over HTTP."""
    client: str
    """Observed: name/version of the connected client."""
    default_agent: str
    """The agent recorded when the arguments name none."""
    default_session: str = ""
    """The session that every call is made in, or below; empty when the server was started without one."""
    grant: Grant | None = None
    """What the caller may do; None is the local user, who may do everything."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a handler may use besides its arguments."""

    repo: Repository
    caller: Caller


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool. `handler` takes the context and an instance of `params`, and returns one of `result`.

    A handler reports failure by raising an AsgError, nothing else. It builds its
    result with the fields that are present, and only those: a field that was never
    set is absent from the reply, and a field set to None is a null in it.
    """

    name: str
    """asg_ and at most 26 more of a-z and _."""
    group: str
    """The toolset it belongs to: state, branch, history, …"""
    description: str
    """What the model reads: purpose, when to use it and which sibling instead, what comes back."""
    handler: Callable[[ToolContext, Any], Awaitable[Wire]]
    params: type[Wire]
    result: type[Wire]
    effect: Effect


Catalogue = tuple[Tool, ...]
