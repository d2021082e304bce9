"""Packages with migrations, installed as pip leaves them: a module, and the metadata with its entry points."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

MIGRATIONS = """\
from asg_mcp.services.migrations import UNVERSIONED, Migration


def split_names(state):
    people = state.get("people", {})
    for key, name in people.items():
        first, _, last = name.partition(" ")
        yield {"op": "set", "path": f"/people/{key}", "value": {"first": first, "last": last}}


def rename(state):
    return [{"op": "move", "path": "/persons", "from": "/people"}] if "people" in state else []


MIGRATIONS = [
    Migration("1.0.0", "1.1.0", "split-names", "A name is first and last name now.", split_names),
    Migration("1.1.0", "2.0.0", "rename", "People are persons now.", rename),
]
FROM_NOTHING = [Migration(UNVERSIONED, "1.0.0", "begin", "Versions begin.", lambda state: []), *MIGRATIONS]
"""
"""A module with migrations from 1.0.0 over 1.1.0 to 2.0.0, and the same from a state without a version."""


def install(folder: Path, package: str, source: str = MIGRATIONS, given: str = "MIGRATIONS") -> str:
    """Put a package into a folder that is, or will be, on sys.path; `given` is what its entry point names.

    Returns the name of its module.
    """
    module = package.replace("-", "_")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_text(source, encoding="utf-8")
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[asg_mcp.migrations]\nstate = {module}:{given}\n", encoding="utf-8")
    return module


class Packages:
    """Packages installed for this process until the test is over."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.patch, self.folder = patch, folder / "site-packages"

    def add(self, package: str, source: str = MIGRATIONS, given: str = "MIGRATIONS") -> None:
        """Install one more."""
        module = install(self.folder, package, source, given)
        if str(self.folder) not in sys.path:
            self.patch.syspath_prepend(str(self.folder))
        # Forgotten afterwards, so that the next test's module of this name is imported anew.
        self.patch.setitem(sys.modules, module, sys)
        del sys.modules[module]
