"""JSON Schema as the standard has it, to check what we say about our own types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raise unless `schema` is one."""
    Draft202012Validator.check_schema(schema)


def faults(instance: Any, schema: Mapping[str, Any]) -> list[str]:
    """What is wrong with the instance."""
    return [error.message for error in Draft202012Validator(schema).iter_errors(instance)]
