"""The rows of the table `meta`: what a store is made with and has counted, checked in one place.

An id or a root made with another key is a wrong one, so a store with a row that is damaged is not opened.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from asg_mcp.core.commitments import CLASS_KEY_BYTES, SALT_BYTES
from asg_mcp.errors import StoreCorrupt
from asg_mcp.storage.rewriting import SHRINK_DUE, classes_in

TOKEN_BYTES = 16
"""Of a store's id, and of what names its last batch."""
_PIN_BYTES = 2 * SALT_BYTES
_SHOWN_MAX = 40


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a row has to be."""

    fits: Callable[[Any], bool]
    wanted: str
    needed: bool = False
    """Whether each store has it that was ever opened."""
    told_only: bool = False
    """Whether nothing goes wrong with another value: `verify` tells of it, and the store opens."""


def _bytes(*lengths: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is bytes and len(value) in lengths


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _are_pins(value: Any) -> bool:
    return type(value) is bytes and len(value) % _PIN_BYTES == 0


def _are_classes(value: Any) -> bool:
    if type(value) is not bytes:
        return False
    try:
        found = classes_in({"classes": value})
    except (ValueError, TypeError, LookupError, AttributeError):
        return False
    return all(type(group.name) is str and type(group.destroyed) is bool for group in found)


_RULES = {
    "store_id": _Rule(_bytes(TOKEN_BYTES), f"{TOKEN_BYTES} bytes", needed=True),
    "class_key": _Rule(_bytes(CLASS_KEY_BYTES), f"{CLASS_KEY_BYTES} bytes", needed=True),
    "level_salt": _Rule(_bytes(CLASS_KEY_BYTES), f"{CLASS_KEY_BYTES} bytes", needed=True),
    "generation": _Rule(_is_count, "a number from 0 up", needed=True),
    "batch": _Rule(_bytes(0, TOKEN_BYTES), f"{TOKEN_BYTES} bytes, or none", needed=True),
    "class_pins": _Rule(_are_pins, f"bytes, {_PIN_BYTES} for each pin"),
    "classes": _Rule(_are_classes, "a list of sensitive prefixes"),
    "counter.row": _Rule(_is_count, "a number from 0 up"),
    "counter.name": _Rule(_is_count, "a number from 0 up"),
    SHRINK_DUE: _Rule(lambda value: value == 1, "the number 1", told_only=True),
}
_COUNTED = {"counter.row": ("nodes", "blobs"), "counter.name": ("names",)}
"""Counters, and the tables whose rows they number: begun again, they would give out numbers of rows that are gone."""


def constants_of(connection: sqlite3.Connection) -> dict[str, Any]:
    """The rows that a store has, each as it has to be. Raises StoreCorrupt, which names those that are not."""
    found = _rows(connection)
    told = [*_faults(found), *_lost_counters(connection, found)]
    faults = [fault for name, fault in told if name in _RULES and not _RULES[name].told_only]
    if faults:
        raise _damaged(faults)
    return found


def constants_of_new(connection: sqlite3.Connection) -> dict[str, Any]:
    """The same; for an empty store those that it lacks are made. One that has a commit or an event has them already.

    Raises StoreCorrupt, and sqlite3.Error.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not _is_any(connection, "commits", "events"):
            fresh = {
                "store_id": secrets.token_bytes(TOKEN_BYTES),
                "class_key": secrets.token_bytes(CLASS_KEY_BYTES),
                "level_salt": secrets.token_bytes(CLASS_KEY_BYTES),
                "generation": 0,
                "batch": b"",
            }
            connection.executemany("INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING", fresh.items())
        found = constants_of(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return found


def generation_of(connection: sqlite3.Connection) -> int:
    """How often stored rows were changed or taken away. Raises StoreCorrupt when the row that says so is damaged."""
    row = connection.execute("SELECT value FROM meta WHERE name = 'generation'").fetchone()
    if row is None or type(row[0]) is not int:
        constants_of(connection)
    return int(row[0])


def constant_faults(connection: sqlite3.Connection) -> list[str]:
    """What is wrong with the rows, and which there are that no store has.

    Another value of the right kind is not told here. With another key all ids and roots are others, which `verify`
    finds; nothing is made from the store's id, from what names its last batch, or from how often rows were changed.
    """
    found = _rows(connection)
    return [fault for _, fault in (*_faults(found), *_lost_counters(connection, found))]


def _rows(connection: sqlite3.Connection) -> dict[str, Any]:
    # Texts are read as bytes: a damaged one need not be UTF-8.
    rows = connection.execute(
        "SELECT CAST(name AS BLOB), typeof(name), typeof(value),"
        " CASE typeof(value) WHEN 'text' THEN CAST(value AS BLOB) ELSE value END FROM meta"
    )
    found = {}
    for name, name_type, value_type, value in rows:
        text = name.decode("utf-8", "backslashreplace")
        key = text if name_type == "text" else f"{text} (a {name_type})"
        found[key] = value.decode("utf-8", "backslashreplace") if value_type == "text" else value
    return found


def _faults(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Names of rows, and what is wrong with each."""
    for name, rule in _RULES.items():
        if name not in found:
            if rule.needed:
                yield _missing(name)
        elif not rule.fits(found[name]):
            yield name, f"The row {name} of the table meta is {_shown(found[name])}, and has to be {rule.wanted}"
    for name in sorted(found.keys() - _RULES.keys()):
        yield name, f"The row {name[:_SHOWN_MAX]} of the table meta is none of a store's"


def _lost_counters(connection: sqlite3.Connection, found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, tables in _COUNTED.items():
        if name not in found and _is_any(connection, *tables):
            yield _missing(name)


def _is_any(connection: sqlite3.Connection, *tables: str) -> bool:
    """Whether one of the tables has a row."""
    return any(connection.execute(f"SELECT EXISTS (SELECT 1 FROM {table})").fetchone()[0] for table in tables)


def _missing(name: str) -> tuple[str, str]:
    return name, f"The row {name} of the table meta is missing"


def _shown(value: Any) -> str:
    """What there is instead. Of bytes only how many: they may be a part of a key."""
    if isinstance(value, bytes):
        return f"{len(value)} byte{'s' * (len(value) != 1)}"
    return f"the text of {len(value)} characters" if isinstance(value, str) else f"the number {value}"


def _damaged(faults: list[str]) -> StoreCorrupt:
    return StoreCorrupt(
        "; ".join(faults),
        hint="The file was damaged, or changed by another program. Restore a backup of it: "
        "`asg-mcp restore FILE --to NEWFILE`.",
        what="the table meta",
    )
