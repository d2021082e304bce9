"""Which clients do the scenario, over what; and the table of them in docs/clients.md.

python -m tests.clients.client_list        writes the table anew
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mcp_types.version import LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION

from tests.kit import client_packages

DRIVERS = Path(__file__).parent / "drivers"
PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
BEGIN, END = "<!-- clients: written by python -m tests.clients.client_list -->\n", "<!-- end of clients -->"
OLDER, NEWER = LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION
_PLAIN = ("stdio", "http")
_INSPECTOR = "@modelcontextprotocol/inspector"


@dataclass(frozen=True)
class Driven:
    """A client, and how the tests drive it."""

    name: str
    package: str
    part: str
    """Where it is installed, of the parts of tests/kit/client_packages.py."""
    driver: str
    speaks: str
    """The revision of the protocol that it settles on with this server."""
    way: str = ""
    transports: tuple[str, ...] = _PLAIN

    @property
    def version(self) -> str:
        """The version in the lock."""
        if self.part == "npm":
            given = json.loads((client_packages.LOCKS / "package.json").read_text())["dependencies"]
            return str(given[self.package])
        lock = (client_packages.LOCKS / f"{self.part}.txt").read_text()
        (found,) = re.findall(rf"^{re.escape(self.package)}==(\S+)", lock, re.MULTILINE)
        return str(found)

    def command(self, server: Mapping[str, object]) -> list[str]:
        """What starts the driver for a server. Raises Missing where the client is not installed."""
        given = [json.dumps(server), self.way]
        if self.driver.endswith(".mjs"):
            client_packages.folder("npm")
            return [str(client_packages.node()), str(DRIVERS / self.driver), *given]
        # The Inspector's driver starts it; any Python does for that.
        part = "mcp2" if self.part == "npm" else self.part
        return [str(client_packages.python_of(part)), str(DRIVERS / self.driver), *given]

    def environment(self, own: Mapping[str, str], home: Path) -> dict[str, str]:
        """The environment of the driver, with a home of its own. Raises Missing."""
        # What says where the tests' own Python finds its modules is not for another one.
        kept = {name: value for name, value in own.items() if not name.startswith("PYTHON")}
        made = {**kept, "HOME": str(home)}
        if self.part == "npm":
            made |= {
                "NODE": str(client_packages.node()),
                "CLIENT_PACKAGES": str(client_packages.folder("npm")),
                "INSPECTOR": str(inspector()),
                "PATH": f"{client_packages.node().parent}{os.pathsep}{own.get('PATH', '')}",
            }
        return made


def inspector() -> Path:
    """The Inspector's program. Raises Missing."""
    return client_packages.module_of(_INSPECTOR, "clients/launcher/build/index.js")


CLIENTS = (
    Driven("mcp 2, newer era", "mcp", "mcp2", "mcp_second.py", NEWER, "auto"),
    Driven("mcp 2, older era", "mcp", "mcp2", "mcp_second.py", OLDER, "legacy", (*_PLAIN, "sse")),
    Driven("mcp 1", "mcp", "mcp1", "mcp_first.py", OLDER, "", (*_PLAIN, "sse")),
    Driven("FastMCP", "fastmcp", "mcp2", "fastmcp_client.py", NEWER),
    Driven("TypeScript SDK 1", "@modelcontextprotocol/sdk", "npm", "typescript_first.mjs", OLDER, "", (*_PLAIN, "sse")),
    Driven(
        "TypeScript client 2, older era",
        "@modelcontextprotocol/client",
        "npm",
        "typescript_second.mjs",
        OLDER,
        "legacy",
    ),
    Driven(
        "TypeScript client 2, newer era", "@modelcontextprotocol/client", "npm", "typescript_second.mjs", NEWER, "auto"
    ),
    Driven("Inspector CLI, older era", _INSPECTOR, "npm", "inspector_cli.py", OLDER, "legacy", ("stdio",)),
    Driven("Inspector CLI, newer era", _INSPECTOR, "npm", "inspector_cli.py", NEWER, "modern", ("http",)),
    Driven("pydantic-ai", "pydantic-ai-slim", "mcp2", "pydantic_ai_agent.py", NEWER),
    Driven(
        "LangChain, langchain-mcp-adapters",
        "langchain-mcp-adapters",
        "mcp1",
        "langchain_adapters.py",
        OLDER,
    ),
    Driven("LangChain, langchain[mcp]", "langchain", "mcp2", "langchain_own.py", NEWER),
    Driven("OpenAI Agents", "openai-agents", "mcp2", "openai_agent.py", NEWER),
)
"""All of them, in the order of the table."""


def table() -> str:
    """The table of CLIENTS, in Markdown."""
    lines = ["| client | package | stdio | HTTP | SSE | protocol |", "|---|---|---|---|---|---|"]
    for one in CLIENTS:
        marks = " | ".join("yes" if kind in one.transports else "" for kind in ("stdio", "http", "sse"))
        lines.append(f"| {one.name} | {one.package} {one.version} | {marks} | {one.speaks} |")
    return "\n".join(lines) + "\n"


def with_table(page: str) -> str:
    """The page with the table as it should be."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}{table()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
