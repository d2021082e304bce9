from __future__ import annotations

from pathlib import Path

import pytest

from tests.services.packages import Packages


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Packages:
    """Where a test installs packages."""
    return Packages(monkeypatch, tmp_path)
