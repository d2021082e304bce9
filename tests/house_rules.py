"""The house rules: each is a function from source files to complaints."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = "asg_mcp"

# --- the rules as data --------------------------------------------------------

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "evidence": set(),
    "core": {"errors"},
    "storage": {"core", "errors"},
    "repo": {"storage", "evidence", "core", "errors"},
    "services": {"repo", "evidence", "core", "errors"},
    "schemas": {"core", "errors"},
    "tools": {"services", "repo", "schemas", "core", "errors"},
    "server": {"tools", "services", "repo", "schemas", "core", "errors", PACKAGE},
    "config": {"core", "errors"},
    "app": {"storage", "repo", "services", "config", "core", "errors", PACKAGE},
    "library": {"app", "config", "tools", "schemas", "services", "repo", "core", "errors"},
    "cli": {"server", "tools", "schemas", "app", "config", "services", "repo", "core", "errors", PACKAGE},
    "__main__": {"cli"},
    PACKAGE: {"library", "errors"},
}
"""Layer -> the layers below it that it may name. The package itself stands for `__init__.py`."""

ONLY_CONTRACT = "asg_mcp.storage.base"
"""All that anybody but the composition root may see of storage."""
COMPOSITION_ROOT = "app"

HOME_OF: dict[str, str] = {
    "mcp": "server",
    "mcp_types": "server",
    "opentelemetry": "server",
    "starlette": "server",
    "uvicorn": "server",
    "sqlite3": "storage",
    "aiosqlite": "storage",
    "cryptography": "services",
    "jwt": "services",
}
"""Libraries with one layer each: whoever embeds the package loads no server, and SQLite has one adapter."""

IMPURE = {
    *("os", "sys", "io", "time", "random", "secrets", "uuid", "socket", "subprocess", "tempfile", "shutil", "glob"),
    *("threading", "asyncio", "anyio", "logging", "platformdirs", "portalocker", "rich"),
}
"""Modules that core does without: it has no clock, no chance and no I/O."""

MAY_CATCH_ALL = {
    "asg_mcp/server/dispatch.py",
    "asg_mcp/storage/sqlite.py",  # the error of one transaction of a batch is handed to its caller
}
"""dispatch is the one place where errors become results; a fault of ours must not end the connection."""

MAY_IMPORT_LATE = {
    "asg_mcp/__init__.py",  # the library is loaded when it is asked for: a part of the package is not all of it
}

MAY_OPEN_FILES = {
    "asg_mcp/storage/lock.py",
    "asg_mcp/storage/dictionary.py",  # a file of the package
}
"""Closing any handle of a database file drops every POSIX lock that the process has on it. The lock file is another."""

LEFTOVERS = tuple(word.replace("-", "") for word in ("FIX-ME", "TO-DO", "X-XX"))
"""Split, so that this file does not complain about itself."""

MODULE_LINES_MAX = 500
MAY_BE_LONG = {
    "asg_mcp/evidence/verify.py",  # runs on machines without this package, so it is one file with all that it needs
}
FUNCTION_LINES_MAX = 70
CLASS_PUBLIC_METHODS_MAX = 25
TEST_NAME_WORDS_MIN = 4

# --- reading source -----------------------------------------------------------

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Import:
    target: str
    """The module, or `module.name` where the name may be a module."""
    line: int
    for_types: bool
    """Whether it stands in an `if TYPE_CHECKING` block."""


@dataclass(frozen=True)
class Module:
    path: str
    """Relative to the root of the tree, with forward slashes."""
    name: str
    text: str
    tree: ast.Module

    @property
    def layer(self) -> str:
        """The first name below the package; the package itself for its `__init__`."""
        return self.name.split(".")[1] if "." in self.name else self.name

    def complaint(self, line: int, what: str) -> str:
        return f"{self.path}:{line}: {what}"

    def imports(self) -> Iterator[Import]:
        types_only = {id(inner) for node in ast.walk(self.tree) if _is_type_checking(node) for inner in ast.walk(node)}
        for node in ast.walk(self.tree):
            for target in self._targets(node):
                yield Import(target, getattr(node, "lineno", 0), id(node) in types_only)

    def _targets(self, node: ast.AST) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        if not isinstance(node, ast.ImportFrom):
            return []
        base = node.module or ""
        if node.level:
            here = self.name.split(".") + (["__init__"] if self.path.endswith("__init__.py") else [])
            base = ".".join([*here[: -node.level], *([node.module] if node.module else [])])
        return [f"{base}.{alias.name}" for alias in node.names]


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def read_modules(root: Path, folder: str) -> list[Module]:
    modules = []
    for file in sorted((root / folder).rglob("*.py")):
        path = file.relative_to(root).as_posix()
        name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        text = file.read_text(encoding="utf-8")
        modules.append(Module(path, name, text, ast.parse(text, path)))
    return modules


def dotted(node: ast.AST) -> str:
    """`a.b.c` for a name or a chain of attributes of one, else nothing."""
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    return node.id if isinstance(node, ast.Name) else ""


def calls(module: Module) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            yield dotted(node.func), node


def functions(module: Module) -> Iterator[FunctionNode]:
    for node in ast.walk(module.tree):
        if isinstance(node, FUNCTIONS):
            yield node


def classes(module: Module) -> Iterator[ast.ClassDef]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef):
            yield node


# --- the rules ----------------------------------------------------------------


def layers_import_only_downwards(modules: Sequence[Module]) -> Iterator[str]:
    for module in modules:
        if module.layer not in MAY_IMPORT:
            yield module.complaint(1, f"{module.layer} has no row in the import table")
            continue
        for wanted in module.imports():
            parts = wanted.target.split(".")
            if parts[0] != PACKAGE:
                continue
            layer = parts[1] if len(parts) > 1 and parts[1] in MAY_IMPORT else PACKAGE
            if layer != module.layer and layer not in MAY_IMPORT[module.layer]:
                yield module.complaint(wanted.line, f"{module.layer} may not import {layer} ({wanted.target})")


def storage_is_seen_through_its_contract(modules: Sequence[Module]) -> Iterator[str]:
    for module in modules:
        if module.layer in ("storage", COMPOSITION_ROOT):
            continue
        for wanted in module.imports():
            in_contract = wanted.target == ONLY_CONTRACT or wanted.target.startswith(f"{ONLY_CONTRACT}.")
            if wanted.target.startswith(f"{PACKAGE}.storage") and not in_contract:
                yield module.complaint(wanted.line, f"only {COMPOSITION_ROOT}.py names {wanted.target}")


def libraries_stay_in_their_layer(modules: Sequence[Module]) -> Iterator[str]:
    for module in modules:
        for wanted in module.imports():
            library = wanted.target.split(".")[0]
            home = HOME_OF.get(library, module.layer)
            if module.layer != home:
                yield module.complaint(wanted.line, f"{library} is imported under {home}/ alone")


def only_config_reads_the_environment(modules: Sequence[Module]) -> Iterator[str]:
    names = {"environ", "environb", "getenv", "getenvb"}
    for module in modules:
        if module.layer == "config":
            continue
        for wanted in module.imports():
            if wanted.target.startswith("os.") and wanted.target.removeprefix("os.") in names:
                yield module.complaint(wanted.line, f"only config.py reads the environment ({wanted.target})")
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and node.attr in names and dotted(node.value) == "os":
                yield module.complaint(node.lineno, f"only config.py reads the environment (os.{node.attr})")


def modules_import_without_cycles(modules: Sequence[Module]) -> Iterator[str]:
    known = {module.name for module in modules}
    graph: dict[str, set[str]] = {}
    for module in modules:
        wanted = [found.target for found in module.imports() if not found.for_types]
        # `from a.b import c` names the module a.b.c, or the name c inside the module a.b.
        targets = {target if target in known else target.rpartition(".")[0] for target in wanted}
        graph[module.name] = (targets & known) - {module.name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield "imports form a cycle: " + " <- ".join(error.args[1])


def imports_stand_at_the_top(modules: Sequence[Module]) -> Iterator[str]:
    for module in modules:
        for function in functions(module):
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    yield module.complaint(node.lineno, f"import inside {function.name}()")
        for name, call in calls(module):
            hides = name in ("__import__", "import_module", "importlib.import_module")
            if hides and module.path not in MAY_IMPORT_LATE:
                yield module.complaint(call.lineno, f"{name}() hides an import")


def nothing_prints(modules: Sequence[Module]) -> Iterator[str]:
    for module in modules:
        for name, call in calls(module):
            if name in ("print", "builtins.print", "rich.print"):
                yield module.complaint(call.lineno, "print(): standard output belongs to the protocol")


def errors_are_not_swallowed(modules: Sequence[Module]) -> Iterator[str]:
    for module in modules:
        if module.path in MAY_CATCH_ALL:
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ExceptHandler) and _catches_all(node.type) and not _raises_again(node):
                yield module.complaint(node.lineno, "catches every error and does not raise it again")
        for name, call in calls(module):
            if name.endswith("suppress") and any(_catches_all(argument) for argument in call.args):
                yield module.complaint(call.lineno, "suppresses every error")


def _catches_all(node: ast.expr | None) -> bool:
    if isinstance(node, ast.Tuple):
        return any(_catches_all(item) for item in node.elts)
    return node is None or dotted(node).removeprefix("builtins.") in ("Exception", "BaseException")


def _raises_again(handler: ast.ExceptHandler) -> bool:
    """Whether the handler can only end in a bare `raise`, as one that cleans up does."""
    last = handler.body[-1]
    leaves = any(isinstance(node, ast.Return | ast.Break | ast.Continue) for node in ast.walk(handler))
    return isinstance(last, ast.Raise) and last.exc is None and not leaves


def core_is_pure(modules: Sequence[Module]) -> Iterator[str]:
    for module in modules:
        if module.layer != "core":
            continue
        for wanted in module.imports():
            if wanted.target.split(".")[0] in IMPURE:
                yield module.complaint(wanted.line, f"core does without {wanted.target}")
        for name, call in calls(module):
            if name == "open" or name.rpartition(".")[2] in ("now", "utcnow", "today"):
                yield module.complaint(call.lineno, f"core does without {name}()")


def sizes_stay_readable(modules: Sequence[Module]) -> Iterator[str]:
    for module in modules:
        lines = len(module.text.splitlines())
        if lines > MODULE_LINES_MAX and module.path not in MAY_BE_LONG:
            yield module.complaint(1, f"{lines} lines in a module; at most {MODULE_LINES_MAX}")
        for function in functions(module):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield module.complaint(
                    function.lineno, f"{lines} lines in {function.name}(); at most {FUNCTION_LINES_MAX}"
                )
        for found in classes(module):
            methods = {node.name for node in found.body if isinstance(node, FUNCTIONS) and _is_public(node.name)}
            if len(methods) > CLASS_PUBLIC_METHODS_MAX:
                what = f"{len(methods)} public methods in {found.name}; at most {CLASS_PUBLIC_METHODS_MAX}"
                yield module.complaint(found.lineno, what)


def nothing_is_left_for_later(modules: Sequence[Module]) -> Iterator[str]:
    marks = re.compile(rf"\b({'|'.join(LEFTOVERS)})\b")
    for module in modules:
        for number, line in enumerate(module.text.splitlines(), 1):
            if found := marks.search(line):
                yield module.complaint(number, f"{found[1]}: finish it or drop it")


def database_files_are_not_opened_beside_sqlite(modules: Sequence[Module]) -> Iterator[str]:
    openers = {"open", "io.open", "os.open", "builtins.open", "shutil.copy", "shutil.copy2", "shutil.copyfile"}
    methods = {"read_bytes", "write_bytes", "read_text", "write_text"}
    for module in modules:
        if module.layer != "storage" or module.path in MAY_OPEN_FILES:
            continue
        for name, call in calls(module):
            method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            if name in openers or method in methods or (method == "open" and _makes_path(call.func)):
                yield module.complaint(call.lineno, f"{name or method}(): closing the file would drop SQLite's locks")


def _makes_path(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Call)
        and dotted(node.value.func).endswith("Path")
    )


def public_things_say_what_they_are(modules: Sequence[Module]) -> Iterator[str]:
    for module in modules:
        if not ast.get_docstring(module.tree):
            yield module.complaint(1, "a module without a docstring")
        yield from _undocumented(module, module.tree.body)


def _undocumented(module: Module, body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if not isinstance(node, (ast.ClassDef, *FUNCTIONS)) or not _is_public(node.name):
            continue
        is_wire_type = module.layer == "schemas" and isinstance(node, ast.ClassDef)  # its fields are described instead
        if not ast.get_docstring(node) and not is_wire_type and not _explains_itself(node):
            yield module.complaint(node.lineno, f"{node.name} has no docstring")
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(module, node.body)


def _explains_itself(node: ast.ClassDef | FunctionNode) -> bool:
    """An error class of constants (the tree in errors.py tells), a property of one line, an overriding method."""
    if isinstance(node, ast.ClassDef):
        return bool(node.bases) and all(isinstance(statement, ast.Assign) for statement in node.body)
    decorators = {dotted(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    if decorators & {"override", "overload", "setter"}:
        return True
    return bool(decorators & {"property", "cached_property"}) and len(node.body) == 1


def _is_public(name: str) -> bool:
    return not name.startswith("_")


def names_of_tests_are_sentences(modules: Sequence[Module]) -> Iterator[str]:
    for module in modules:
        for function in functions(module):
            words = [word for word in function.name.removeprefix("test_").split("_") if word]
            if function.name.startswith("test_") and len(words) < TEST_NAME_WORDS_MIN:
                yield module.complaint(function.lineno, f"{function.name} is no sentence about an outcome")
