"""`asg-mcp` itself: serve a client, or tell a person at a terminal what this is and how to connect it."""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from asg_mcp import __version__, config
from asg_mcp.app import has_store, open_repository
from asg_mcp.cli.output import STRONG, Output
from asg_mcp.core.intents import check_name
from asg_mcp.server.mcp import ServerOptions, build_server
from asg_mcp.server.stdio import serve_stdio
from asg_mcp.tools.catalogue import CATALOGUE

SERVER_KEY = "asg"
"""What the examples call the server in a client's configuration."""


async def serve_or_tell(output: Output, options: Namespace) -> int:
    """Serve when a program is at the other end of standard input; tell what this is when a person is."""
    if not os.isatty(0):
        return await serve(output, options)
    tell(output, options)
    return 0


async def serve(output: Output, options: Namespace) -> int:
    """Serve MCP on standard input and output until the client is gone."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format=f"{config.PROGRAM}: %(levelname)s: %(message)s"
    )
    agent = config.default_agent(options.agent)
    check_name(agent, "agent", empty=True)
    place = config.store_place(options.db)
    async with open_repository(place.path) as repository:
        if os.isatty(0):
            output.note(f"Serving MCP on this terminal, from {place.path}; Ctrl-C ends it.")
        await serve_stdio(build_server(CATALOGUE, repository, config.local_principal(), ServerOptions(agent=agent)))
    return 0


def server_command(options: Namespace) -> tuple[str, ...]:
    """What a client has to start: absolute, with what was given on the command line."""
    place = config.store_place(options.db)
    db = ("--db", str(place.path)) if place.named_by else ()
    agent = config.default_agent(options.agent)
    return (*config.launcher(), *db, *(("--agent", agent) if agent else ()))


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
    program = shlex.join(config.launcher()) if len(config.launcher()) > 1 else config.PROGRAM
    output.line((f"{config.PROGRAM} {__version__}", STRONG), ": versioned, blameable state for AI agents.")
    output.line("An MCP client starts this program and talks to it on standard input and output.")
    output.line()
    output.field("store", str(path), "" if exists else " (made when a client first starts the server)")
    output.field("Claude Code", add_to_claude_code)
    output.field("Claude", f"Desktop, in claude_desktop_config.json: {json.dumps(configuration, ensure_ascii=False)}")
    output.field("Cursor", "the same in ~/.cursor/mcp.json")
    output.line()
    for label, commands in (
        ("try it", ("demo",)),
        ("look", ("get", "log", "blame", "diff", "branches")),
        ("check", ("verify", "doctor")),
        ("more", ("--help",)),
    ):
        output.field(label, f"{program} {' | '.join(commands)}")
