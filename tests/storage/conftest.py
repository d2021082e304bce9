"""Stores that the tests of this folder share."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.repo.stores import Made, made_store
from tests.storage.faulty import Connection


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Made]:
    async with made_store(tmp_path) as store:
        yield store


@pytest.fixture
async def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Made]:
    """A store whose writing connection fails as Connection.plan says."""
    real = sqlite3.connect
    Connection.plan = []

    def connect(*given: Any, **named: Any) -> sqlite3.Connection:
        return real(*given, factory=Connection, **named)

    monkeypatch.setattr(sqlite3, "connect", connect)
    async with made_store(tmp_path) as store:
        yield store
