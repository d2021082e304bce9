"""What guards a call over the network besides its grant: cursors of its own, and errors that name nothing beyond it."""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from asg_mcp.core.values import JsonValue
from asg_mcp.errors import AsgError, Conflict, InvalidCursor, NotFound
from asg_mcp.services.access import Grant
from asg_mcp.tools.registry import Tool, ToolContext

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


def withheld(grant: Grant | None, error: AsgError) -> AsgError:
    """The error as its caller may read it: to a grant that holds some alone it names nothing nearby, and no values."""
    if grant is None or (grant.all_refs and grant.all_paths):
        return error
    if isinstance(error, NotFound):
        told = type(error)("There is nothing of that name that you may see")
        told.hint = "Check the ref and the path."
        return told
    if isinstance(error, Conflict):
        # Where two changes meet may be above the path of either, and the values there are more than it holds.
        error.details.pop("conflicts", None)
    return error
