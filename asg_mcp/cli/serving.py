"""`asg-mcp` itself: serve a client, or tell a person at a terminal what this is and how to connect it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shlex
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import Any

from asg_mcp import __version__, config
from asg_mcp.app import has_store, open_repository
from asg_mcp.cli import httpserving
from asg_mcp.cli.output import LABEL, STRONG, Output
from asg_mcp.core.intents import check_name
from asg_mcp.repo.branches import DEFAULT_BRANCH
from asg_mcp.repo.repository import Repository
from asg_mcp.server.mcp import ServerOptions, build_server
from asg_mcp.server.profiles import Profile, select
from asg_mcp.server.stdio import serve_stdio
from asg_mcp.services.migrate import notice
from asg_mcp.tools.catalogue import CATALOGUE

logger = logging.getLogger(__name__)

SERVER_KEY = "asg"
"""What the examples call the server in a client's configuration."""
_LABEL_WIDTH = 16


async def serve_or_tell(output: Output, options: Namespace) -> int:
    """Serve when a program is at the other end of standard input; tell what this is when a person is."""
    if not os.isatty(0):
        return await serve(output, options)
    tell(output, options)
    return 0


async def serve(output: Output, options: Namespace) -> int:
    """Serve MCP on standard input and output until the client is gone, or over HTTP until a signal comes."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format=f"{config.PROGRAM}: %(levelname)s: %(message)s"
    )
    agent = config.default_agent(options.agent)
    check_name(agent, "agent", empty=True)
    place = config.store_place(options.db)
    offered = profile(options)
    session = config.bound_session(options.session)
    if options.http:
        httpserving.door(options)  # refused before a store is made
    server_options = ServerOptions(agent=agent, session=session, profile=offered)
    async with open_repository(place.path, create=not offered.read_only, secrets=options.secrets) as repository:
        if os.isatty(0) and not options.http:
            output.note(f"Serving MCP on this terminal, from {place.path}; Ctrl-C ends it.")
        if session and not options.http:
            repository.seen_by(config.local_principal()).session(session)  # refused now, not at the first write
        # Packages are imported for it, so it is told while the server works already.
        told = asyncio.create_task(_tell_of_migrations(repository))
        try:
            if options.http:
                await httpserving.serve(output, options, repository, server_options)
            else:
                await serve_stdio(build_server(CATALOGUE, repository, config.local_principal(), server_options))
        finally:
            await told
    return 0


async def _tell_of_migrations(repository: Repository) -> None:
    text = await notice(repository, DEFAULT_BRANCH)
    if text:
        logger.warning("%s", text)


def profile(options: Namespace) -> Profile:
    """Which tools were asked for, by options or by variables. Raises InvalidArgument for what is not there."""
    asked = Profile(
        config.names(options.toolsets, config.TOOLSETS_VARIABLE),
        config.names(options.tools, config.TOOLS_VARIABLE),
        config.names(options.exclude_tools, config.EXCLUDE_TOOLS_VARIABLE),
        config.read_only(given=options.read_only),
    )
    select(CATALOGUE, asked)
    return asked


def server_command(options: Namespace) -> tuple[str, ...]:
    """What a client has to start: absolute, with what was given on the command line."""
    place = config.store_place(options.db)
    db = ("--db", str(place.path)) if place.named_by else ()
    agent = config.default_agent(options.agent)
    session = config.bound_session(options.session)
    bound = (*(("--agent", agent) if agent else ()), *(("--session", session) if session else ()))
    screened = ("--secrets", options.secrets) if options.secrets else ()
    return (*config.launcher(), *db, *bound, *screened, *_profile_options(profile(options)))


def _profile_options(asked: Profile) -> Iterator[str]:
    for option, names in (("--toolsets", asked.toolsets), ("--tools", asked.tools), ("--exclude-tools", asked.exclude)):
        if names:
            yield from (option, ",".join(names))
    if asked.read_only:
        yield "--read-only"


def client_configuration(command: Sequence[str]) -> dict[str, Any]:
    """The entry that Claude Desktop and Cursor read from their files."""
    entry: dict[str, Any] = {"command": command[0]}
    if command[1:]:
        entry["args"] = list(command[1:])
    return {"mcpServers": {SERVER_KEY: entry}}


def tell(output: Output, options: Namespace) -> None:
    """What this is, where the store is, how to connect clients, which commands exist."""
    path = config.store_place(options.db).path
    command = server_command(options)
    exists = has_store(path)
    add_to_claude_code = f"claude mcp add {SERVER_KEY} -- {shlex.join(command)}"
    configuration = client_configuration(command)
    if output.as_json:
        output.document(
            {
                "program": config.PROGRAM,
                "version": __version__,
                "store": {"path": str(path), "exists": exists},
                "connect": {"claude_code": add_to_claude_code, "claude_desktop_and_cursor": configuration},
            }
        )
        return
    program = shlex.join(config.launcher())
    output.line((f"{config.PROGRAM} {__version__}", STRONG), ": versioned, blameable state for AI agents.")
    output.line("An MCP client starts this program and talks to it on standard input and output.")
    output.line()
    for label, text in (
        ("store", f"{path}{'' if exists else ' (made when a client first starts the server)'}"),
        ("connect", f"{program} install claude-code, claude-desktop, cursor, vscode or gemini"),
        ("by hand", add_to_claude_code),
        ("", f"claude_desktop_config.json, ~/.cursor/mcp.json: {json.dumps(configuration, ensure_ascii=False)}"),
        ("", ""),
        ("try it", f"{program} demo"),
        ("look into it", f"{program} get, log, blame, diff, branches"),
        ("check it", f"{program} verify, doctor"),
        ("all options", f"{program} --help"),
    ):
        # Never wrapped: these lines are there to be copied.
        output.line((f"  {label:<{_LABEL_WIDTH}}", LABEL) if text else "", text)
