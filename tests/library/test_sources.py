"""What is made from the async library is current."""

from __future__ import annotations

import ast

import pytest

from tests.kit.library_sources import GROUPS, LIBRARY, REFERENCE, blocking, reference


@pytest.mark.parametrize("group", GROUPS)
def test_the_synchronous_methods_are_those_of_the_async_ones(group: str) -> None:
    written = ast.parse((LIBRARY / f"blocking_{group}.py").read_text(encoding="utf-8"))
    made = ast.parse(blocking(group))
    classes = [[ast.dump(node) for node in module.body if isinstance(node, ast.ClassDef)] for module in (written, made)]
    assert classes[0] == classes[1], "run python -m tests.kit.library_sources"


def test_the_reference_is_current() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == reference(), "run python -m tests.kit.library_sources"
