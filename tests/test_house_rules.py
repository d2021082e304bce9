"""The house rules hold in the package and in its tests, and each rule bites: a small breach of it is reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.house_rules import (
    CLASS_PUBLIC_METHODS_MAX,
    FUNCTION_LINES_MAX,
    LEFTOVERS,
    MODULE_LINES_MAX,
    PACKAGE,
    Module,
    core_is_pure,
    database_files_are_not_opened_beside_sqlite,
    errors_are_not_swallowed,
    imports_stand_at_the_top,
    layers_import_only_downwards,
    libraries_stay_in_their_layer,
    modules_import_without_cycles,
    names_of_tests_are_sentences,
    nothing_is_left_for_later,
    nothing_prints,
    only_config_reads_the_environment,
    public_things_say_what_they_are,
    read_modules,
    sizes_stay_readable,
    storage_is_seen_through_its_contract,
)

REPOSITORY = Path(__file__).resolve().parent.parent

Rule = Callable[[Sequence[Module]], Iterator[str]]

PACKAGE_RULES: tuple[Rule, ...] = (
    layers_import_only_downwards,
    storage_is_seen_through_its_contract,
    libraries_stay_in_their_layer,
    only_config_reads_the_environment,
    modules_import_without_cycles,
    imports_stand_at_the_top,
    nothing_prints,
    errors_are_not_swallowed,
    core_is_pure,
    sizes_stay_readable,
    nothing_is_left_for_later,
    database_files_are_not_opened_beside_sqlite,
    public_things_say_what_they_are,
)
TEST_RULES: tuple[Rule, ...] = (names_of_tests_are_sentences, imports_stand_at_the_top, nothing_is_left_for_later)


@pytest.fixture(scope="module")
def package() -> list[Module]:
    return read_modules(REPOSITORY, PACKAGE)


@pytest.mark.parametrize("rule", PACKAGE_RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_every_house_rule(rule: Rule, package: list[Module]) -> None:
    assert package, "BUG: no source was found"
    assert list(rule(package)) == []


@pytest.mark.parametrize("rule", TEST_RULES, ids=lambda rule: rule.__name__)
def test_the_tests_keep_the_rules_made_for_them(rule: Rule) -> None:
    assert list(rule(read_modules(REPOSITORY, "tests"))) == []


def _lines(count: int) -> str:
    return "    x = 1\n" * count


BREACHES: tuple[tuple[Rule, str, str, str], ...] = (
    (layers_import_only_downwards, "core/a.py", "from asg_mcp.repo import results", ":1: core may not import repo"),
    (layers_import_only_downwards, "core/a.py", "from ..repo import results", ":1: core may not import repo"),
    (layers_import_only_downwards, "core/a.py", "import asg_mcp.repo.results as r", ":1: core may not import repo"),
    (layers_import_only_downwards, "core/a.py", "from asg_mcp import __version__", ":1: core may not import asg_mcp"),
    (layers_import_only_downwards, "schemas/a.py", "from asg_mcp.tools import x", ":1: schemas may not import tools"),
    (layers_import_only_downwards, "tools/a.py", "from asg_mcp.app import x", ":1: tools may not import app"),
    (
        layers_import_only_downwards,
        "services/a.py",
        "from asg_mcp.storage.base import x",
        ":1: services may not import",
    ),
    (layers_import_only_downwards, "helpers/a.py", "", ":1: helpers has no row in the import table"),
    (storage_is_seen_through_its_contract, "repo/a.py", "from asg_mcp.storage import sqlite", ":1: only app.py names"),
    (storage_is_seen_through_its_contract, "cli.py", "from asg_mcp.storage.memory import M", ":1: only app.py names"),
    (storage_is_seen_through_its_contract, "repo/a.py", "import asg_mcp.storage", ":1: only app.py names"),
    (libraries_stay_in_their_layer, "tools/a.py", "import mcp.types", ":1: mcp is imported under server/ alone"),
    (libraries_stay_in_their_layer, "cli.py", "from mcp_types import Tool", ":1: mcp_types is imported under server/"),
    (libraries_stay_in_their_layer, "repo/a.py", "import sqlite3", ":1: sqlite3 is imported under storage/ alone"),
    (libraries_stay_in_their_layer, "app.py", "import aiosqlite", ":1: aiosqlite is imported under storage/ alone"),
    (only_config_reads_the_environment, "cli.py", "import os\nx = os.environ['A']", ":2: only config.py reads"),
    (only_config_reads_the_environment, "cli.py", "import os\nx = os.getenv('A')", ":2: only config.py reads"),
    (only_config_reads_the_environment, "cli.py", "from os import environ", ":1: only config.py reads"),
    (modules_import_without_cycles, "core/a.py", "import asg_mcp.core.b", "asg_mcp.core.a"),
    (imports_stand_at_the_top, "core/a.py", "def f():\n    import json", ":2: import inside f()"),
    (imports_stand_at_the_top, "core/a.py", "import importlib\nimportlib.import_module('a')", ":2: importlib"),
    (nothing_prints, "cli.py", "print('hello')", ":1: print()"),
    (errors_are_not_swallowed, "repo/a.py", "try:\n    f()\nexcept Exception:\n    pass", ":3: catches every error"),
    (errors_are_not_swallowed, "repo/a.py", "try:\n    f()\nexcept:\n    g()", ":3: catches every error"),
    (
        errors_are_not_swallowed,
        "repo/a.py",
        "try:\n    f()\nexcept (KeyError, Exception):\n    g()",
        ":3: catches every",
    ),
    (errors_are_not_swallowed, "repo/a.py", "with suppress(Exception):\n    f()", ":1: suppresses every error"),
    (core_is_pure, "core/a.py", "import time", ":1: core does without time"),
    (core_is_pure, "core/a.py", "from os import path", ":1: core does without os.path"),
    (
        core_is_pure,
        "core/a.py",
        "from datetime import datetime\nx = datetime.now()",
        ":2: core does without datetime.now",
    ),
    (core_is_pure, "core/a.py", "x = open('f')", ":1: core does without open()"),
    (sizes_stay_readable, "core/a.py", "x = 1\n" * (MODULE_LINES_MAX + 1), ":1: 501 lines in a module"),
    (sizes_stay_readable, "core/a.py", f"def f():\n{_lines(FUNCTION_LINES_MAX)}", ":1: 71 lines in f()"),
    (
        sizes_stay_readable,
        "core/a.py",
        "class C:\n" + "".join(f"    def m{n}(self): ...\n" for n in range(CLASS_PUBLIC_METHODS_MAX + 1)),
        f":1: {CLASS_PUBLIC_METHODS_MAX + 1} public methods in C",
    ),
    (nothing_is_left_for_later, "core/a.py", f"x = 1  # {LEFTOVERS[1]}: more", f":1: {LEFTOVERS[1]}: finish it"),
    (database_files_are_not_opened_beside_sqlite, "storage/a.py", "x = open('s.db')", ":1: open()"),
    (database_files_are_not_opened_beside_sqlite, "storage/a.py", "Path('s.db').read_bytes()", ":1: read_bytes()"),
    (database_files_are_not_opened_beside_sqlite, "storage/a.py", "with Path('s.db').open() as f: ...", ":1: open()"),
    (public_things_say_what_they_are, "core/a.py", "x = 1", ":1: a module without a docstring"),
    (public_things_say_what_they_are, "core/a.py", "'''M.'''\nclass C:\n    x = 1", ":2: C has no docstring"),
    (public_things_say_what_they_are, "core/a.py", "'''M.'''\ndef f(): ...", ":2: f has no docstring"),
    (
        public_things_say_what_they_are,
        "core/a.py",
        "'''M.'''\nclass C:\n  '''C.'''\n  def m(self): ...",
        ":4: m has no",
    ),
    (names_of_tests_are_sentences, "test_a.py", "def test_it_works(): ...", ":1: test_it_works is no sentence"),
)


def _write(root: Path, path: str, source: str) -> None:
    file = root / PACKAGE / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source, encoding="utf-8")


@pytest.mark.parametrize(
    ("rule", "path", "source", "expected"), BREACHES, ids=[f"{row[0].__name__}-{n}" for n, row in enumerate(BREACHES)]
)
def test_a_breach_of_a_house_rule_is_reported(
    tmp_path: Path, rule: Rule, path: str, source: str, expected: str
) -> None:
    _write(tmp_path, "core/b.py", "'''B.'''\nfrom asg_mcp.core import a")
    _write(tmp_path, path, source)
    complaints = [complaint for complaint in rule(read_modules(tmp_path, PACKAGE)) if expected in complaint]
    assert len(complaints) == 1


def test_every_house_rule_is_shown_to_bite() -> None:
    assert {row[0] for row in BREACHES} == {*PACKAGE_RULES, *TEST_RULES}


LAWFUL: tuple[tuple[Rule, str, str], ...] = (
    (layers_import_only_downwards, "repo/a.py", "from asg_mcp.storage.base import Store\nfrom asg_mcp import errors"),
    (storage_is_seen_through_its_contract, "app.py", "from asg_mcp.storage.sqlite import SqliteStore"),
    (storage_is_seen_through_its_contract, "repo/a.py", "from asg_mcp.storage import base"),
    (libraries_stay_in_their_layer, "server/a.py", "import mcp.types"),
    (only_config_reads_the_environment, "config.py", "import os\nx = os.environ['A']"),
    (
        modules_import_without_cycles,
        "core/a.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from asg_mcp.core import b",
    ),
    (errors_are_not_swallowed, "repo/a.py", "try:\n    f()\nexcept BaseException:\n    undo()\n    raise"),
    (errors_are_not_swallowed, "server/dispatch.py", "try:\n    f()\nexcept Exception as error:\n    answer(error)"),
    (core_is_pure, "core/a.py", "from datetime import datetime\nx = datetime.fromisoformat('2026-01-01')"),
    (database_files_are_not_opened_beside_sqlite, "storage/lock.py", "x = open('s.db.lock')"),
    (database_files_are_not_opened_beside_sqlite, "storage/a.py", "x = Store.open('s.db')"),
    (public_things_say_what_they_are, "a.py", "'''M.'''\nclass E(Exception):\n    code = 'e'\ndef _f(): ..."),
    (public_things_say_what_they_are, "schemas/a.py", "'''M.'''\nclass C(Wire):\n    x: int = 1"),
    (names_of_tests_are_sentences, "test_a.py", "def test_equal_values_share_an_id(): ..."),
)


@pytest.mark.parametrize(
    ("rule", "path", "source"), LAWFUL, ids=[f"{row[0].__name__}-{n}" for n, row in enumerate(LAWFUL)]
)
def test_lawful_code_is_left_alone(tmp_path: Path, rule: Rule, path: str, source: str) -> None:
    _write(tmp_path, "core/b.py", "'''B.'''\nfrom asg_mcp.core import a")
    _write(tmp_path, path, source)
    assert list(rule(read_modules(tmp_path, PACKAGE))) == []
