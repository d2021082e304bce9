"""The page about secrets is what the rules make it."""

from __future__ import annotations

from pathlib import Path

from asg_mcp.core.secretrules import RULES
from asg_mcp.tools.secretpage import PAGE, page, write

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_published_page_equals_what_the_rules_make() -> None:
    assert (REPOSITORY / PAGE).read_text(encoding="utf-8") == page(), "run: python -m asg_mcp.tools.secretpage"


def test_the_page_names_every_rule_once(tmp_path: Path) -> None:
    write(tmp_path)
    text = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert all(text.count(f"| `{rule.name}` |") == 1 for rule in RULES)
