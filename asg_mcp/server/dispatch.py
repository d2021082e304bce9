"""One call of a tool: arguments in, one reply out. The one place where errors become results.

Whatever a handler raises ends here, so a call can neither kill the process nor
leak a traceback: what was raised on purpose is told to the caller with its code
and its hint, anything else is logged and named by a reference.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from asg_mcp.core.limits import REPLY_BYTES_MAX
from asg_mcp.core.secretscan import may_hold_secrets
from asg_mcp.core.values import JsonValue
from asg_mcp.errors import AsgError, Forbidden, HandleNotFound, InvalidArgument, InvalidValue, LimitExceeded
from asg_mcp.repo.denying import Denial
from asg_mcp.repo.screening import unsaid
from asg_mcp.schemas.base import Wire
from asg_mcp.server.arguments import NOT_UNICODE_HINT, ArgumentRules, nearest, shown
from asg_mcp.server.guarding import CursorSeal, Denied, call_of
from asg_mcp.server.withholding import kept, withheld
from asg_mcp.tools.aliases import ALIASES, Alias
from asg_mcp.tools.needs import authorise
from asg_mcp.tools.registry import Catalogue, Effect, Tool, ToolContext

logger = logging.getLogger(__name__)

ERROR_MESSAGE_CHARS_MAX = 2_000
"""Of the message of an error whose whole text would not fit a reply."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the caller gets. A failure has no structured part: its text is the error as JSON."""

    structured: dict[str, JsonValue] | None
    text: str
    """The same as `structured`, as compact JSON."""
    is_error: bool

    @property
    def code(self) -> str:
        """The code of the error, or "ok"."""
        return str(json.loads(self.text)["code"]) if self.is_error else "ok"


class UnknownTool(InvalidArgument):
    """No tool has this name. The protocol, not the tool, answers it."""

    code = "unknown_tool"


@dataclass(frozen=True, slots=True)
class _Entry:
    tool: Tool
    rules: ArgumentRules
    alias: Alias | None = None


class Dispatcher:
    """Finds the tool, checks the arguments, calls the handler, renders the reply. Holds no state of a call."""

    def __init__(self, catalogue: Catalogue, aliases: Sequence[Alias] = ALIASES, denied: Denied | None = None) -> None:
        self._denied = denied
        self._entries = {tool.name: _Entry(tool, ArgumentRules.of(tool)) for tool in catalogue}
        self._names = list(self._entries)
        self._cursors = CursorSeal()
        for alias in aliases:
            entry = self._entries.get(alias.tool)
            if entry is not None:
                assert alias.name not in self._entries, f"BUG: two tools answer to {alias.name}"
                self._entries[alias.name] = replace(entry, alias=alias)

    async def dispatch(self, context: ToolContext, name: str, arguments: Mapping[str, Any] | None) -> Reply:
        """Call the tool `name`.

        Raises UnknownTool, and nothing else but cancellation.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise self._unknown(name)
        try:
            given = arguments or {}
            given = self._cursors.opened(context, entry.tool, given)
            params = entry.rules.parse(given if entry.alias is None else entry.alias.arguments(given))
            authorise(context, entry.tool.name, params)
            result = await entry.tool.handler(context, params)
            told = kept(context.caller.grant, params, result.dump())
            return _success(entry.tool, params, self._cursors.closed(context, entry.tool, told))
        except AsgError as error:
            await self.refused(context, call_of(context, entry.tool, arguments or {}), error)
            return _failure(withheld(context.caller.grant, error), arguments)
        except UnicodeEncodeError:
            return _failure(InvalidValue("A text in the arguments has a lone surrogate", hint=NOT_UNICODE_HINT))
        except Exception:
            return _internal(entry.tool)

    async def refused(self, context: ToolContext, call: Denial, error: AsgError) -> None:
        """Have it noted that a caller is told this error."""
        if self._denied is not None and isinstance(error, Forbidden | HandleNotFound):
            await self._denied(context, call, error)

    def _unknown(self, name: str) -> UnknownTool:
        guess = nearest(name, self._names)
        also = f"Did you mean {guess}? " if guess else ""
        return UnknownTool(f"There is no tool {shown(name)}", hint=f"{also}tools/list names them all.")


def _success(tool: Tool, params: Wire, structured: dict[str, JsonValue]) -> Reply:
    text = to_json(structured)
    if len(text) > REPLY_BYTES_MAX and not hasattr(params, "max_bytes"):
        raise _too_large(tool, len(text))
    return Reply(structured, text.decode(), is_error=False)


def _too_large(tool: Tool, size: int) -> LimitExceeded:
    if tool.effect is Effect.READ:
        message = f"The reply would have {size} bytes; at most {REPLY_BYTES_MAX}"
        hint = "Ask for less: a smaller limit, a longer path, or page by page with the cursor."
    else:
        message = f"The call took effect, but its reply would have {size} bytes; at most {REPLY_BYTES_MAX}"
        hint = "Do not repeat it. See what it did with asg_log and asg_diff."
    return LimitExceeded(message, hint=hint, limit="REPLY_BYTES_MAX", max=REPLY_BYTES_MAX, size=size)


def _internal(tool: Tool) -> Reply:
    reference = secrets.token_hex(4)
    logger.exception("%s failed unexpectedly, reference %s", tool.name, reference)
    problem = {
        "code": "internal",
        "message": f"The server failed unexpectedly (reference {reference})",
        "hint": "The server's log has the details under this reference. Before repeating a write, "
        "check with asg_log whether it took effect.",
        "details": {"reference": reference},
    }
    return Reply(None, _compact(problem), is_error=True)


def _failure(error: AsgError, given: Mapping[str, Any] | None = None) -> Reply:
    """The error as a reply. A secret that was given in a wrong place is not said again."""
    text = _compact(error.as_dict())
    if given and may_hold_secrets(text.encode()):
        text = _compact(unsaid(error.as_dict(), given))
    size = len(text.encode())
    if size > REPLY_BYTES_MAX:
        cut = AsgError(
            error.message[:ERROR_MESSAGE_CHARS_MAX],
            hint=error.hint[:ERROR_MESSAGE_CHARS_MAX],
            left_out=f"The full error has {size} bytes; at most {REPLY_BYTES_MAX} are sent",
            limit="REPLY_BYTES_MAX",
        )
        text = _compact({**cut.as_dict(), "code": error.code})
    return Reply(None, text, is_error=True)


def _compact(document: dict[str, Any]) -> str:
    """Compact JSON that always comes out, whatever text or object an error carries."""
    try:
        return to_json(document).decode()
    except (PydanticSerializationError, UnicodeError, ValueError):
        # Lone surrogates and ids are no JSON: escape the former, spell out the latter.
        return json.dumps(document, ensure_ascii=True, separators=(",", ":"), default=str)
