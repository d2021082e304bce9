"""A database that fails as a test plans it."""

from __future__ import annotations

import sqlite3
from typing import Any


class Connection(sqlite3.Connection):
    """A connection whose next COMMITs may fail: `before` it reached the file, or `after`."""

    plan: list[str]

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql == "COMMIT" and Connection.plan:
            how = Connection.plan.pop(0)
            if how == "after":
                super().execute(sql)
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, *values)


def cannot_reopen(thread: Any) -> sqlite3.Connection:
    """In place of a writer's `reopen`: its connection is closed, and there is no other."""
    thread.connection.close()
    raise sqlite3.OperationalError("unable to open database file")
