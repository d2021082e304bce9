"""Operations: what a caller asks a transaction to do to the state."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from asg_mcp.core.paths import Tokens
from asg_mcp.core.values import JsonValue


class Op(StrEnum):
    """What an operation does at its path."""

    SET = "set"
    """The value at the path becomes this one; missing parents are made as maps."""
    DELETE = "delete"
    """The path and all below it go; it must exist."""
    APPEND = "append"
    """The value becomes the last element of the list at the path, which is made if missing."""
    INSERT = "insert"
    """The value becomes the element at this position of a list; later ones move up."""
    MOVE = "move"
    """What is at `source` goes to the path: this commit changes both; inside one list the element keeps its blame."""
    TEST = "test"
    """The value at the path must equal this one, or the whole transaction is refused."""


class Absent:
    """The type of ABSENT, the side of a change where there is nothing; None is a stored null."""

    _instance: Absent | None = None

    def __new__(cls) -> Absent:
        cls._instance = cls._instance or super().__new__(cls)
        return cls._instance

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `value` is given for set, append, insert and test; `source` for move."""

    op: Op
    path: Tokens
    value: JsonValue | Absent = ABSENT
    source: Tokens | None = None
