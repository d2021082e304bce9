"""The guide: its blocks run, one after the other, and print what their comments say."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "library.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def shown(block: str) -> list[str]:
    """What a block says that it prints: in comments beside its prints, or in lines of their own below."""
    said = []
    for line in block.splitlines():
        if line.startswith("# "):
            said.append(line.removeprefix("# "))
        elif "print(" in line and "  # " in line:
            said.append(line.rpartition("  # ")[2])
    return said


def test_every_block_of_the_guide_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "guide"}
    blocks = BLOCK.findall(GUIDE.read_text(encoding="utf-8"))
    assert len(blocks) > 10
    for block in blocks:
        out = io.StringIO()
        with redirect_stdout(out):
            exec(compile(block, str(GUIDE), "exec"), names)
        assert out.getvalue().splitlines() == shown(block), block
