"""The commands that read: get, log, blame, diff, branches. Each asks what the tool of that name asks."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from asg_mcp import __version__, config
from asg_mcp.app import open_repository
from asg_mcp.cli import render
from asg_mcp.cli.output import DIM, Output
from asg_mcp.core.limits import PAGE_ITEMS_MAX, REPLY_BYTES_ASKED_MAX
from asg_mcp.schemas.branch import DiffParams, DiffReply, ListBranchesParams, ListBranchesReply
from asg_mcp.schemas.history import BlameParams, BlameReply, LogParams, LogReply
from asg_mcp.schemas.state import GetParams
from asg_mcp.tools import branch, history, state
from asg_mcp.tools.registry import Caller, ToolContext


class _Page(Protocol):
    @property
    def next_cursor(self) -> str:
        """What gets the next page."""
        ...


Page = TypeVar("Page", bound=_Page)
Item = TypeVar("Item")


@asynccontextmanager
async def _context(options: Namespace) -> AsyncIterator[ToolContext]:
    caller = Caller(config.local_principal(), f"{config.PROGRAM}/{__version__}", config.default_agent(options.agent))
    async with open_repository(config.store_place(options.db).path, create=False) as repository:
        yield ToolContext(repository, caller)


async def _pages(
    count: int, ask: Callable[[int, str], Awaitable[Page]], items_of: Callable[[Page], list[Item]]
) -> tuple[Page, list[Item]]:
    """The first `count` items (0: all of them) over as many pages as they take, and the last page."""
    items: list[Item] = []
    cursor = ""
    while True:
        limit = min(count - len(items), PAGE_ITEMS_MAX) if count else PAGE_ITEMS_MAX
        page = await ask(limit, cursor)
        items += items_of(page)
        cursor = page.next_cursor
        if not cursor or len(items) == count:
            return page, items


def _more(output: Output, page: _Page) -> None:
    if page.next_cursor:
        output.line(("There is more: -n 0 shows all of it.", DIM))


async def get(output: Output, options: Namespace) -> int:
    """The value at a path, as JSON."""
    params = GetParams(ref=options.ref, path=options.path, depth=options.depth, max_bytes=REPLY_BYTES_ASKED_MAX)
    async with _context(options) as context:
        reply = await state.get(context, params)
    if output.as_json:
        output.document(reply.dump())
        return 0
    output.value(json.dumps(reply.value, indent=2, ensure_ascii=False))
    last = reply.last_change
    output.note(f"last changed by {last.agent} at {render.when(last.at)}: {last.description} ({last.commit})")
    if reply.withheld:
        paths = ", ".join(reply.withheld[:3]) + (" and more" if len(reply.withheld) > 3 else "")
        output.warn(f"what was erased is shown as $withheld with its id: {paths}")
    if reply.truncated:
        parts = ", ".join(part.path for part in reply.omitted[:3]) or "its end"
        output.warn(f"the value is not complete; left out: {parts}. Ask for those paths by themselves.")
    return 0


async def log(output: Output, options: Namespace) -> int:
    """The commits of a ref, newest first."""

    async def ask(limit: int, cursor: str) -> LogReply:
        return await history.log(context, LogParams(ref=options.ref, path=options.path, limit=limit, cursor=cursor))

    async with _context(options) as context:
        reply, commits = await _pages(options.count, ask, lambda page: page.commits)
    if output.as_json:
        output.document(reply.model_copy(update={"commits": commits}).dump())
        return 0
    render.log(output, commits)
    _more(output, reply)
    return 0


async def blame(output: Output, options: Namespace) -> int:
    """Who changed a path, and why."""

    async def ask(limit: int, cursor: str) -> BlameReply:
        depth = {} if options.depth is None else {"depth": options.depth}
        params = BlameParams(
            ref=options.ref, path=options.path, history=options.history, limit=limit, cursor=cursor, **depth
        )
        return await history.blame(context, params)

    async with _context(options) as context:
        reply, entries = await _pages(options.count, ask, lambda page: page.entries)
    if output.as_json:
        output.document(reply.model_copy(update={"entries": entries}).dump())
        return 0
    render.blame(output, options.ref, entries)
    _more(output, reply)
    return 0


async def diff(output: Output, options: Namespace) -> int:
    """What leads from one ref to another."""

    async def ask(limit: int, cursor: str) -> DiffReply:
        params = DiffParams(ref_a=options.ref_a, ref_b=options.ref_b, path=options.path, limit=limit, cursor=cursor)
        return await branch.diff(context, params)

    async with _context(options) as context:
        reply, changes = await _pages(options.count, ask, lambda page: page.changes)
    if output.as_json:
        output.document(reply.model_copy(update={"changes": changes}).dump())
        return 0
    render.diff(output, changes)
    if not changes:
        output.line(f"{options.ref_a} and {options.ref_b} hold the same at {options.path}.")
    _more(output, reply)
    return 0


async def branches(output: Output, options: Namespace) -> int:
    """The branches and tags there are."""

    async def ask(limit: int, cursor: str) -> ListBranchesReply:
        return await branch.list_branches(
            context, ListBranchesParams(prefix=options.prefix, limit=limit, cursor=cursor)
        )

    async with _context(options) as context:
        reply, refs = await _pages(options.count, ask, lambda page: page.branches)
    if output.as_json:
        output.document(reply.model_copy(update={"branches": refs}).dump())
        return 0
    render.branches(output, refs)
    if not refs:
        output.line(f"No branch or tag begins with {options.prefix!r}.")
    _more(output, reply)
    return 0
