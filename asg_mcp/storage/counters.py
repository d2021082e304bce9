"""The numbers that a store has given out."""

from __future__ import annotations

import sqlite3


class Counters:
    """Row numbers that are never used twice: persisted, so that a deleted top row's number stays gone."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._values: dict[str, int] = {}
        self._stored: dict[str, int] = {}

    def take(self, name: str) -> int:
        """The next number of this counter, from 1."""
        if name not in self._values:
            found = self._db.execute("SELECT value FROM meta WHERE name = ?", (f"counter.{name}",)).fetchone()
            self._values[name] = self._stored[name] = int(found[0]) if found else 0
        self._values[name] += 1
        return self._values[name]

    def flush(self) -> None:
        """Store the counters that moved."""
        for name, value in self._values.items():
            if value != self._stored[name]:
                self._db.execute(
                    "INSERT INTO meta (name, value) VALUES (?, ?)"
                    " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    (f"counter.{name}", value),
                )
