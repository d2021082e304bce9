"""manifest.json (an MCPB bundle, for `mcpb pack`) and server.json (the MCP registry), made from the code.

Run as `python -m tests.kit.manifests`, it writes them; with a new FOLDER it puts there what a bundle holds, for
`mcpb pack FOLDER asg-mcp.mcpb`. Both files name the version, which is set in asg_mcp/__init__.py alone.
"""

from __future__ import annotations

import json
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

from asg_mcp import __version__, config
from asg_mcp.tools.catalogue import CATALOGUE
from tests.kit.settings import settings

ROOT = Path(__file__).parents[2]
TITLE = "asg-mcp: state with reasons"
SUMMARY = "Versioned, blameable state for AI agents: branch, merge, undo, and evidence, in one SQLite file."
"""At most 100 characters: the registry takes no more."""
REGISTRY_NAME = "io.github.asg-mcp/asg-mcp"
"""Who publishes must own the namespace; README.md carries the name too, by which the registry knows the owner."""
_TOLD = ("ASG_DB", "ASG_AGENT", "ASG_SESSION", "ASG_TOOLSETS", "ASG_READ_ONLY", "ASG_SECRETS")
"""The variables that a registry's client may ask its user for."""

BUNDLED = ("manifest.json", "pyproject.toml", "README.md", "LICENSE", "asg_mcp")
"""What a bundle holds: the package, and what its build reads."""

Document = dict[str, Any]


def manifests() -> dict[str, str]:
    """Name of the file -> its text."""
    documents = {"manifest.json": bundle(), "server.json": registry()}
    return {name: json.dumps(document, indent=2, ensure_ascii=False) + "\n" for name, document in documents.items()}


def bundle() -> Document:
    """The manifest of the bundle: the host's uv installs what pyproject.toml says, so it runs on every system."""
    project = _project()
    return {
        "manifest_version": "0.4",
        "name": config.PROGRAM,
        "display_name": TITLE,
        "version": __version__,
        "description": project["description"],
        "author": {"name": "The asg-mcp authors"},
        "license": project["license"],
        "keywords": project["keywords"],
        "server": {
            "type": "uv",
            "entry_point": "asg_mcp/__main__.py",
            "mcp_config": {
                "command": "uv",
                "args": ["run", "--directory", "${__dirname}", config.PROGRAM, "serve", "--agent", "claude-desktop"],
                "env": {
                    config.TOOLSETS_VARIABLE: "${user_config.toolsets}",
                    config.READ_ONLY_VARIABLE: "${user_config.read_only}",
                },
            },
        },
        "user_config": {
            "toolsets": {
                "type": "string",
                "title": "Tools",
                "description": "all, or core for the ten that suffice; groups of tools between commas",
                "default": "all",
                "required": False,
            },
            "read_only": {
                "type": "boolean",
                "title": "Read only",
                "description": "Offer only the tools that change nothing",
                "default": False,
                "required": False,
            },
        },
        "tools": [{"name": tool.name, "description": tool.description} for tool in CATALOGUE],
        "compatibility": {
            "platforms": ["darwin", "linux", "win32"],
            "runtimes": {"python": project["requires-python"]},
        },
    }


def registry() -> Document:
    """What the registry is told of the package."""
    return {
        "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
        "name": REGISTRY_NAME,
        "title": TITLE,
        "description": SUMMARY,
        "version": __version__,
        "packages": [
            {
                "registryType": "pypi",
                "registryBaseUrl": "https://pypi.org",
                "identifier": config.PROGRAM,
                "version": __version__,
                "runtimeHint": "uvx",
                "transport": {"type": "stdio"},
                "packageArguments": [{"type": "positional", "value": "serve"}],
                "environmentVariables": [
                    {"name": setting.variable, "description": setting.meaning}
                    | ({"format": "filepath"} if setting.metavar == "FILE" else {})
                    | ({"format": "boolean"} if not setting.metavar else {})
                    for setting in settings()
                    if setting.variable in _TOLD
                ],
            }
        ],
    }


def lay_out(folder: Path) -> None:
    """Make the folder, with what a bundle holds."""
    folder.mkdir()
    for name in BUNDLED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.py[cod]"))
        else:
            shutil.copy(ROOT / name, folder / name)


def _project() -> Document:
    found = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert isinstance(found, dict)
    return found


if __name__ == "__main__":
    for name, text in manifests().items():
        (ROOT / name).write_text(text, encoding="utf-8")
    for argument in sys.argv[1:]:
        lay_out(Path(argument))
