"""What guards a call over the network besides its grant: cursors of its own, and a log of what is refused."""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import Any

from asg_mcp.core.intents import Author
from asg_mcp.core.values import JsonValue
from asg_mcp.errors import AsgError, InvalidCursor
from asg_mcp.repo.denying import Denial
from asg_mcp.services.access import Rule, Verb
from asg_mcp.services.denials import Denials
from asg_mcp.tools.registry import Effect, Tool, ToolContext

_MARK = "."
_SEAL_BYTES = 15
_KEY_BYTES = 32
_CURSOR_CHARS_MAX = 16_384


class CursorSeal:
    """Seals cursors for one principal and one tool: a position that was not given out is not read from.

    The local user's are left as they are. The key goes with the process, and so do the cursors.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(_KEY_BYTES)

    def closed(self, context: ToolContext, tool: Tool, reply: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """The reply with its next_cursor sealed."""
        cursor = reply.get("next_cursor")
        if context.caller.grant is None or not isinstance(cursor, str) or not cursor:
            return reply
        return {**reply, "next_cursor": f"{self._seal(context, tool, cursor)}{_MARK}{cursor}"}

    def opened(self, context: ToolContext, tool: Tool, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments with the cursor as the tool made it. Raises InvalidCursor."""
        given = arguments.get("cursor")
        if context.caller.grant is None or not isinstance(given, str) or not given:
            return arguments
        seal, _, cursor = given.partition(_MARK)
        is_ours = len(given) <= _CURSOR_CHARS_MAX and given.isascii()
        if not is_ours or not hmac.compare_digest(seal, self._seal(context, tool, cursor)):
            raise InvalidCursor("The cursor was not given to this principal by this tool of this server")
        return {**arguments, "cursor": cursor}

    def _seal(self, context: ToolContext, tool: Tool, cursor: str) -> str:
        sealed = "\x00".join((context.caller.principal, tool.name, cursor)).encode()
        return urlsafe_b64encode(hmac.digest(self._key, sealed, sha256)[:_SEAL_BYTES]).decode()


Denied = Callable[[ToolContext, Denial, AsgError], Awaitable[None]]
"""Told of an error that is told a caller, and of what is known of the call; it finds out whether that is a denial."""


def call_of(context: ToolContext, tool: Tool, arguments: Mapping[str, Any]) -> Denial:
    """A call of a tool, as it is logged where it is refused and the error says no more."""
    verb = Verb.READ if tool.effect is Effect.READ else Verb.WRITE
    in_session = bool(context.caller.default_session or arguments.get("session") or arguments.get("parent"))
    return Denial(tool.name, (Rule.SESSION if in_session else Rule.OPERATION).value, verb.value)


def reading(what: str) -> Denial:
    """The same of what reads and is no tool: a method of the protocol, a route."""
    return Denial(what, Rule.OPERATION.value, Verb.READ.value)


def logged(denials: Denials) -> Denied:
    """What a dispatcher tells of refusals, in the log: under the principal, under no agent that was only claimed."""

    async def denied(context: ToolContext, call: Denial, error: AsgError) -> None:
        caller = context.caller
        agent = caller.default_agent or caller.principal
        await denials.heard(Author(caller.principal, agent, caller.client), call, error)

    return denied
