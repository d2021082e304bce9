"""The clients that `install` knows: where each keeps its servers, and what it wants to be told of ours.

Where files are is worked out from three folders alone, so that it can be tested for every system on any of them.
"""

from __future__ import annotations

import json
import shlex
import sys
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from asg_mcp import config
from asg_mcp.errors import InvalidArgument

USER, PROJECT = "user", "project"
SCOPES = (USER, PROJECT)
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a user's programs keep their files."""

    home: PurePath
    settings: PurePath
    """`$XDG_CONFIG_HOME`, `~/Library/Application Support` or `%APPDATA%`."""
    claude_code: PurePath
    """The home folder, unless `CLAUDE_CONFIG_DIR` says otherwise."""
    project: PurePath


@dataclass(frozen=True, slots=True)
class Client:
    """One client."""

    key: str
    """What is typed."""
    title: str
    base: str
    """Of the user's file: a field of Folders."""
    user_file: str
    """Below the base."""
    project_file: str
    """Below the folder of the project; empty where the client has no file of a project."""
    container: str = "mcpServers"
    """The key of the object that holds the servers."""
    tells_type: bool = False
    """Whether an entry says that it is of type stdio."""
    takes_comments: bool = True
    """Whether the client reads a file with comments."""
    restart: str = "Restart it, or reload its servers."

    def file(self, scope: str, folders: Folders) -> PurePath:
        """The file that the client reads. Raises InvalidArgument for a scope that it does not have."""
        if scope == USER:
            base: PurePath = getattr(folders, self.base)
            return base / self.user_file
        if not self.project_file:
            raise InvalidArgument(f"{self.title} has no servers of a project", hint="Leave --scope away.")
        return folders.project / self.project_file

    def entry(self, command: Sequence[str], variables: Mapping[str, str] = _NONE) -> dict[str, Any]:
        """What the client keeps of a server that is started by this command, with these variables."""
        kind = {"type": "stdio"} if self.tells_type else {}
        env = {"env": dict(variables)} if variables else {}
        return {**kind, "command": command[0], "args": list(command[1:]), **env}

    def by_itself(
        self, name: str, command: Sequence[str], scope: str, variables: Mapping[str, str] = _NONE
    ) -> dict[str, str]:
        """What does the same: a `link` to open, or a `command` to run; empty where neither is known."""
        # Before another option, because as many values as follow would be taken for it.
        env = [word for variable, value in variables.items() for word in ("--env", f"{variable}={value}")]
        if self.key == "cursor":
            entry = b64encode(json.dumps(self.entry(command, variables)).encode()).decode()
            return {
                "link": f"cursor://anysphere.cursor-deeplink/mcp/install?name={name}&config={quote(entry, safe='')}"
            }
        if self.key == "vscode":
            named = json.dumps({"name": name, **self.entry(command, variables)})
            return {"link": f"vscode:mcp/install?{quote(named, safe='')}"}
        if self.key == "claude-code":
            return {"command": shlex.join(["claude", "mcp", "add", *env, "--scope", scope, name, "--", *command])}
        if self.key == "gemini":
            add = ["gemini", "mcp", "add", *env, "--scope", scope, name, command[0], "--", *command[1:]]
            return {"command": shlex.join(add)}
        return {}


CLIENTS = {
    client.key: client
    for client in (
        Client(
            "claude-desktop",
            "Claude Desktop",
            "settings",
            "Claude/claude_desktop_config.json",
            "",
            takes_comments=False,
            restart="Quit Claude Desktop completely, and open it again.",
        ),
        Client(
            "claude-code",
            "Claude Code",
            "claude_code",
            ".claude.json",
            ".mcp.json",
            tells_type=True,
            takes_comments=False,
            restart="Start a new session; `claude mcp list` says whether it connects.",
        ),
        Client("cursor", "Cursor", "home", ".cursor/mcp.json", ".cursor/mcp.json"),
        Client(
            "vscode",
            "VS Code",
            "settings",
            "Code/User/mcp.json",
            ".vscode/mcp.json",
            container="servers",
            tells_type=True,
            restart="Run `MCP: List Servers` from the command palette, and start it.",
        ),
        Client(
            "gemini",
            "Gemini CLI",
            "home",
            ".gemini/settings.json",
            ".gemini/settings.json",
            restart="Start a new session; `gemini mcp list` says whether it connects.",
        ),
    )
}


def settings_folder(system: str, home: PurePath, named: PurePath | None) -> PurePath:
    """Where programs keep a user's settings: on `system` (as in sys.platform), unless a variable has named a folder."""
    if system == "darwin":
        return home / "Library" / "Application Support"
    if named is not None:
        return named
    return home / "AppData" / "Roaming" if system == "win32" else home / ".config"


def folders() -> Folders:
    """Those of this user on this machine."""
    home = Path.home()
    named = config.client_folder("APPDATA" if sys.platform == "win32" else "XDG_CONFIG_HOME")
    return Folders(
        home=home,
        settings=settings_folder(sys.platform, home, named),
        claude_code=config.client_folder("CLAUDE_CONFIG_DIR") or home,
        project=Path.cwd(),
    )
