"""What is made from the async library: the synchronous methods, and the reference of both.

Run as `python -m tests.kit.library_sources`, it writes them.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "asg_mcp" / "library"
REFERENCE = ROOT / "docs" / "library-api.md"
GROUPS = ("state", "branches", "history", "speculating", "working")
RESULTS = ("reading", "results", "workresults")
LINE_CHARS_MAX = 100
Function = ast.FunctionDef | ast.AsyncFunctionDef


def parsed(name: str) -> ast.Module:
    """A module of the library."""
    return ast.parse((LIBRARY / f"{name}.py").read_text(encoding="utf-8"))


def methods(module: ast.Module) -> list[ast.AsyncFunctionDef]:
    """The public async methods of a group, overloads included."""
    (group,) = (node for node in module.body if isinstance(node, ast.ClassDef))
    return [node for node in group.body if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith("_")]


# --- the synchronous methods ------------------------------------------------------


def blocking(group: str) -> str:
    """The synchronous twin of a group: the same signatures, each with one line."""
    module = parsed(group)
    made = [_twin(method) for method in methods(module)]
    names = {node.id for method in made for node in ast.walk(method) if isinstance(node, ast.Name)}
    about = ast.get_docstring(next(node for node in module.body if isinstance(node, ast.ClassDef)))
    kind = ast.ClassDef(
        name=f"Blocking{group.capitalize()}",
        bases=[ast.Name("Front")],
        keywords=[],
        body=[ast.Expr(ast.Constant(about)), *made],
        decorator_list=[],
    )
    imports = [*_imports(module, names)]
    head = f'"""Made from `library/{group}.py` by tests/kit/library_sources.py: do not edit it here."""'
    body = ast.Module([*ast.parse(head).body, *imports, kind], [])
    return ast.unparse(ast.fix_missing_locations(body)) + "\n"


def _twin(method: ast.AsyncFunctionDef) -> ast.FunctionDef:
    called = f"self._wait(self._graph.{method.name}({', '.join(_passed(method.args))}))"
    body: list[ast.stmt] = [*method.body[:1], *ast.parse(f"return {called}").body]
    if method.decorator_list:
        body = [ast.Expr(ast.Constant(...))]
    return ast.FunctionDef(method.name, method.args, body, method.decorator_list, method.returns)


def _passed(arguments: ast.arguments) -> Iterator[str]:
    yield from (argument.arg for argument in arguments.args[1:])
    yield from (f"{argument.arg}={argument.arg}" for argument in arguments.kwonlyargs)
    if arguments.kwarg is not None:
        yield f"**{arguments.kwarg.arg}"


def _imports(module: ast.Module, names: set[str]) -> Iterator[ast.stmt]:
    """What a group imports or defines for its signatures."""
    variables = [
        node
        for node in module.body
        if isinstance(node, ast.Assign)
        and any(isinstance(name, ast.Name) and name.id in names for name in node.targets)
    ]
    names = names | {node.id for variable in variables for node in ast.walk(variable) if isinstance(node, ast.Name)}
    for node in module.body:
        if isinstance(node, ast.ImportFrom):
            kept = [alias for alias in node.names if alias.name in names or node.module == "__future__"]
            if kept:
                yield ast.ImportFrom(node.module, kept, node.level)
    yield from ast.parse("from asg_mcp.library.front import Front").body
    yield from variables


# --- the reference ------------------------------------------------------------------


def reference() -> str:
    """The page of all methods and results, from their signatures and docstrings."""
    lines = [
        "# The Python library: reference",
        "",
        "Made from the docstrings by `python -m tests.kit.library_sources`. Start with [the guide](library.md).",
        "",
        "`StateGraph` and `AsyncStateGraph` have the same methods; those of the latter are awaited.",
    ]
    front = parsed("stategraph")
    for name, module in (("StateGraph", front), ("AsyncStateGraph", parsed("graph"))):
        (found,) = (node for node in module.body if isinstance(node, ast.ClassDef) and node.name == name)
        lines += ["", f"## {name}", "", *_told(found)]
    (graph,) = (node for node in front.body if isinstance(node, ast.ClassDef) and node.name == "StateGraph")
    lines += _section(
        "Opening, updating and watching", [node for node in graph.body if isinstance(node, ast.FunctionDef)]
    )
    for group in GROUPS:
        module = parsed(group)
        about = ast.get_docstring(next(node for node in module.body if isinstance(node, ast.ClassDef))) or ""
        lines += _section(about.split(". ")[0].rstrip("."), methods(module))
    lines += ["", "## Keywords that many methods share"]
    for kind in _classes("calls"):
        if kind.name in ("Retried", "Explained", "Guarded"):
            lines += _fields(kind)
    lines += ["", "## Results", "", 'A field is an attribute and a key: `entry.agent` is `entry["agent"]`.']
    for name in RESULTS:
        for kind in _classes(name):
            lines += _fields(kind)
    return "\n".join(lines) + "\n"


def _classes(name: str) -> list[ast.ClassDef]:
    return [node for node in parsed(name).body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


def _section(title: str, functions: list[ast.FunctionDef] | list[ast.AsyncFunctionDef]) -> list[str]:
    lines = ["", f"## {title}"]
    for function in functions:
        if not function.name.startswith("_") and not function.decorator_list:
            lines += ["", f"### {function.name}", "", "```python", _signature(function), "```", "", *_told(function)]
    return lines


def _signature(function: Function) -> str:
    parts, returns = [*_parts(function.args)], ast.unparse(function.returns or ast.Name("None"))
    line = f"{function.name}({', '.join(parts)}) -> {returns}"
    if len(line) <= LINE_CHARS_MAX:
        return line
    return "\n".join([f"{function.name}(", *[f"    {part}," for part in parts], f") -> {returns}"])


def _parts(arguments: ast.arguments) -> Iterator[str]:
    defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + list(arguments.defaults)
    yield from [_argument(*told) for told in zip(arguments.args, defaults, strict=True)][1:]
    if arguments.kwonlyargs:
        yield "*"
        yield from (_argument(*told) for told in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True))
    if arguments.kwarg is not None:
        yield f"**{_argument(arguments.kwarg, None)}"


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    kind = f": {ast.unparse(argument.annotation)}" if argument.annotation else ""
    return f"{argument.arg}{kind}{'' if default is None else f' = {ast.unparse(default)}'}"


def _told(node: ast.ClassDef | Function) -> list[str]:
    return (ast.get_docstring(node) or "").splitlines()


def _fields(found: ast.ClassDef) -> list[str]:
    bases = [ast.unparse(base) for base in found.bases if ast.unparse(base).isidentifier()]
    beside = [base for base in bases if base not in ("Result", "Row", "TypedDict")]
    lines = ["", f"### {found.name}", "", *_told(found)]
    if beside:
        lines += ["", f"It has the fields of {' and '.join(beside)} too."]
    rows = []
    following: list[ast.stmt | None] = [*found.body[1:], None]
    for node, after in zip(found.body, following, strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id[0] != "_":
            text = ""
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                text = " ".join(str(after.value.value).split())
            kind = ast.unparse(node.annotation).replace("|", "\\|")
            rows.append(f"| `{node.target.id}` | {kind} | {text} |")
    return [*lines, "", "| Field | Type | |", "|---|---|---|", *rows] if rows else lines


# --- writing --------------------------------------------------------------------------


def write() -> None:
    """Write all of it."""
    made = []
    for group in GROUPS:
        made.append(LIBRARY / f"blocking_{group}.py")
        made[-1].write_text(blocking(group), encoding="utf-8")
    for arguments in (["format", "--quiet"], ["check", "--fix", "--quiet"], ["format", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *arguments, *map(str, made)], cwd=ROOT, check=True)
    REFERENCE.parent.mkdir(exist_ok=True)
    REFERENCE.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    write()
