"""The published contract and reference, made from the catalogue: schemas/*.json and tools/*.md.

Pure functions return {path relative to the repository: text}; `python -m
asg_mcp.tools.reference` writes them below the current directory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from asg_mcp.core.values import JsonValue
from asg_mcp.schemas.accountability import Deviation
from asg_mcp.schemas.base import Wire, json_schema
from asg_mcp.schemas.history import Filters, ResolutionItem
from asg_mcp.schemas.intents import Provenance
from asg_mcp.schemas.plans import ProofItem, TaskItem
from asg_mcp.schemas.state import OperationItem
from asg_mcp.tools.catalogue import CATALOGUE
from asg_mcp.tools.examples import Example
from asg_mcp.tools.registry import Tool
from asg_mcp.tools.story import STORY

Pages = dict[str, str]
"""Path relative to the repository, with forward slashes -> text."""

Schema = dict[str, Any]

CLOSED_MODELS: dict[str, type[Wire]] = {
    "provenance": Provenance,
    "resolution": ResolutionItem,
    "operation": OperationItem,
    "filters": Filters,
    "deviation": Deviation,
    "task": TaskItem,
    "proof": ProofItem,
}
"""What the tools' input schemas only sum up, published in full under these names."""
GROUPS = {
    "state": ("State", "Reading and writing values. Every write is a commit that says why it was made."),
    "branch": ("Branches", "Names for commits, and what differs between them."),
    "history": ("History", "What happened, who did it and why, and how to undo it."),
    "speculate": ("Speculation", "Trying several ways at once, at no cost, and keeping what was learned."),
    "accountability": ("Accountability", "What an agent may do, and what became of what it meant to do."),
    "epochs": ("Epochs", "Work grouped, sealed and signed, so that a stranger can verify it."),
    "plans": ("Plans", "Tasks that several agents share, each started exactly once."),
    "migrate": ("Migration", "The version of the state's own schema."),
}
"""Group -> title and introduction of its page."""
COMMON = """
- **ref**: a branch, a tag, the first 6 or more digits of a commit, `main~3` (three commits back) or `main@TIME` (as it
  was then, RFC 3339). Writes go to a branch.
- **path**: a JSON Pointer, such as `/users/42/name` or `/list/0`; `/` is the root; `~1` is a `/` inside a key, `~0` a
  `~`; `-` as the last step appends to a list.
- **expected_head**: the commit at which you read. If the branch has moved on and nothing you write has changed since,
  the write is rebased, and says so; otherwise it fails with `head_moved` and names the paths.
- **expected_object**: the `object` that the path must still have, as asg_get gave it; else `object_changed`.
- **request_id**: any text of your own. The same call with the same id takes effect once, and is answered again.
- **provenance**: the circumstances, all optional, as [schemas/provenance.json](../schemas/provenance.json) has them.
- **session**: what asg_open_session gave. The write is its agent's, goes to its branch unless `ref` says otherwise, and
  is refused outside its paths and after its time.
- **limit**, **cursor**: a reply holds at most `limit` items and about 32 KB; `next_cursor` gets the next page.
- A field without a value is missing; `null` is a stored null. What is too large to show is named in `left_out`.
"""


def contract() -> Pages:
    """The published schemas: what a client is sent for each tool, and the models that are only summed up there."""
    pages = {f"schemas/{tool.name}.json": _json(_definition(tool)) for tool in CATALOGUE}
    return pages | {f"schemas/{name}.json": _json(json_schema(model)) for name, model in CLOSED_MODELS.items()}


def _definition(tool: Tool) -> dict[str, JsonValue]:
    hints = tool.effect.hints
    return {
        "name": tool.name,
        "description": tool.description,
        "inputSchema": json_schema(tool.params, brief=True),
        "outputSchema": json_schema(tool.result),
        "annotations": {
            "readOnlyHint": hints.read_only,
            "destructiveHint": hints.destructive,
            "idempotentHint": hints.idempotent,
            "openWorldHint": hints.open_world,
        },
    }


def _json(document: JsonValue) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def reference() -> Pages:
    """The reference: one page a group of tools."""
    return {f"tools/{group}.md": "\n".join(_page(group)) for group in dict.fromkeys(tool.group for tool in CATALOGUE)}


def _page(group: str) -> Iterator[str]:
    title, introduction = GROUPS[group]
    tools = [tool for tool in CATALOGUE if tool.group == group]
    yield f"# {title}\n\n{introduction}\n"
    yield "<!-- Made by `python -m asg_mcp.tools.reference`. A test runs every example. -->\n"
    yield " · ".join(f"[{tool.name}](#{tool.name})" for tool in tools)
    yield f"\n## What the arguments have in common\n{COMMON}"
    for tool in tools:
        yield from _section(tool)


def _section(tool: Tool) -> Iterator[str]:
    yield f"## {tool.name}\n\n{tool.description}\n"
    yield from _table(json_schema(tool.params), ("Argument", "Type", "Default", "Meaning"), _argument_row)
    yield from _table(json_schema(tool.result), ("Field of the reply", "Type", "Meaning"), _result_row)
    for example in STORY:
        if example.tool == tool.name:
            yield from _example(example)


def _table(
    schema: Schema, heads: tuple[str, ...], row: Callable[[str, Schema, bool], tuple[str, ...]]
) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for name, field, required in _fields(schema):
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row(name, field, required)) + " |"
    yield ""


def _fields(schema: Schema, prefix: str = "") -> Iterator[tuple[str, Schema, bool]]:
    """Every field, those of nested objects below it: `commits`, `commits[].commit`. Provenance has its own page."""
    for name, field in schema.get("properties", {}).items():
        yield prefix + name, field, name in schema.get("required", ())
        if name == "provenance":
            continue
        nested = field.get("items", field)
        inner = f"{prefix}{name}[]." if "items" in field else f"{prefix}{name}."
        rows = {row[0]: row for branch in nested.get("anyOf", [nested]) for row in _fields(branch, inner)}
        yield from rows.values()


def _argument_row(name: str, field: Schema, required: bool) -> tuple[str, ...]:
    default = "**required**" if required else f"`{json.dumps(field['default'])}`" if field.get("default") else ""
    return f"`{name}`", _type(field), default, field["description"] + _range(field)


def _result_row(name: str, field: Schema, _: bool) -> tuple[str, ...]:
    return f"`{name}`", _type(field), field["description"]


def _type(field: Schema) -> str:
    """The type in words: an enum by its members."""
    if "enum" in field:
        return ", ".join(f"`{member}`" for member in field["enum"])
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    if "anyOf" in field:
        types = dict.fromkeys(_type(branch) for branch in field["anyOf"])
        return "any JSON" if "null" in types else " or ".join(types)
    return str(field.get("type", "any JSON"))


def _range(field: Schema) -> str:
    low, high = field.get("minimum"), field.get("maximum", field.get("maxItems"))
    if high is None:
        return ""
    return f" ({low} to {high})" if low is not None else f" (at most {high})"


def _example(example: Example) -> Iterator[str]:
    yield f"{example.caption}\n"
    yield f"```json\n{_compact(dict(example.arguments))}\n```\n"
    yield f"```json\n{_compact(dict(example.reply))}\n```\n"


def _compact(document: dict[str, JsonValue]) -> str:
    """JSON with one line a top-level field, as far as people can read it."""
    lines = [f"  {json.dumps(name)}: {json.dumps(item, ensure_ascii=False)}" for name, item in document.items()]
    return "{\n" + ",\n".join(lines) + "\n}"


def write(root: Path) -> list[str]:
    """Write all pages below `root`, drop those that are no longer made, and return the paths that changed."""
    pages = contract() | reference()
    changed = []
    for stale in sorted({*root.glob("schemas/*.json"), *root.glob("tools/*.md")}):
        path = stale.relative_to(root).as_posix()
        if path not in pages:
            stale.unlink()
            changed.append(path)
    for path, text in pages.items():
        target = root / path
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.parent.mkdir(exist_ok=True)
            target.write_text(text, encoding="utf-8", newline="\n")
            changed.append(path)
    return changed


if __name__ == "__main__":
    write(Path.cwd())
