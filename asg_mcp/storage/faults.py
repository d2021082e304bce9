"""All that a database file can be asked about itself, without a look at what its rows mean."""

from __future__ import annotations

import sqlite3

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
