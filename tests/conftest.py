"""What holds for every test: no settings from outside, and no clock in judgement."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# Coverage doubles what a test costs. It is left out where whole programs run for long, whose parts are measured by the
# tests of those parts; and processes that tests start are measured where they are what is tested.
UNMEASURED = frozenset({"acceptance", "clients", "conformance", "faults", "model"})
PROCESSES_MEASURED = frozenset({"cli", "test_stdio.py", "test_pipes.py"})

# Whoever runs the tests may have the program configured; the tests start from its defaults, subprocesses included.
for _name in [name for name in os.environ if name.startswith("ASG_")]:
    del os.environ[_name]

# What is kept outside the stores of the tests goes with the tests, not into the home of whoever runs them.
os.environ["ASG_STATE"] = tempfile.mkdtemp(prefix="asg-tests-")
atexit.register(shutil.rmtree, os.environ["ASG_STATE"], ignore_errors=True)

# No deadline: a slow machine is not a wrong result. The blob repeats a failure exactly. Where CI is set,
# Hypothesis starts from its own `ci` profile (fixed seed, no example database).
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")


def _places(path: Path) -> tuple[str, ...]:
    """The folders of a test below this one, and its file."""
    return path.relative_to(Path(__file__).parent).parts


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the tests of the folders in UNMEASURED out of coverage."""
    for item in items:
        if not UNMEASURED.isdisjoint(_places(item.path)) and item.config.pluginmanager.has_plugin("_cov"):
            item.add_marker(pytest.mark.no_cover)


@pytest.fixture(autouse=True)
def _processes_are_measured_by_their_own_tests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if PROCESSES_MEASURED.isdisjoint(_places(request.path)):
        for name in [name for name in os.environ if name.startswith("COV")]:
            monkeypatch.delenv(name)
