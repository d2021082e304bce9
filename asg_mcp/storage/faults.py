"""All that a database file can be asked about itself, without a look at what its rows mean."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from asg_mcp.storage.connection import connect_reader
from asg_mcp.storage.constants import constant_faults
from asg_mcp.storage.schema import counter_faults, schema_faults, tile_faults


def file_faults(connection: sqlite3.Connection) -> list[str]:
    """What SQLite finds wrong, how schema, constants and counters differ from ours, and tiles that no log has.

    Empty when all is well. The connection must see one moment of the store. Raises sqlite3.Error.
    """
    damaged = [str(row[0]) for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    if damaged:
        return damaged
    for faults in (schema_faults, constant_faults, counter_faults, tile_faults):
        found = faults(connection)
        if found:
            return found
    return []


def faults_in_use(path: Path) -> list[str]:
    """The same of a store that others may write to meanwhile; an error of SQLite is a fault."""
    connection = connect_reader(path)
    try:
        connection.execute("BEGIN")  # the counters and the rows must be of one moment
        return file_faults(connection)
    except sqlite3.Error as error:
        return [str(error)]
    finally:
        connection.close()
