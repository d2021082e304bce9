"""A new store file with constants that come from elsewhere: those of the repository that is brought into it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asg_mcp.core.classes import ValueClass
from asg_mcp.core.values import encode
from asg_mcp.storage.connection import connect_writer, translated
from asg_mcp.storage.lock import make_file
from asg_mcp.storage.schema import migrate


@dataclass(frozen=True, slots=True)
class Seed:
    """What ids and roots are made with; see `core.commitments` and `core.nodes.Hasher`."""

    class_key: bytes
    level_salt: bytes
    pins: bytes = b""
    classes: Sequence[ValueClass] = ()


def make_store(path: Path, seed: Seed) -> None:
    """Make a store in a file that is not there yet, without a commit or an event. Open it with `open_store`.

    Raises StoreIncompatible and StorageError.
    """
    constants = {"class_key": seed.class_key, "level_salt": seed.level_salt}
    if seed.pins:
        constants["class_pins"] = seed.pins
    if seed.classes:
        constants["classes"] = encode([[group.name, list(group.path), group.destroyed] for group in seed.classes])
    lock = make_file(path)
    try:
        lock.take(0)
        with contextlib.closing(connect_writer(path)) as connection:
            migrate(connection)
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO meta (name, value) VALUES (?, ?)", constants.items())
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise translated(error) from error
    finally:
        lock.close()
