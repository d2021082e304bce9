"""The migration tool: what travels, over a real store and migrations of the test's own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.app import open_repository
from asg_mcp.core.limits import REPLY_BYTES_MAX
from asg_mcp.errors import HandleNotFound, MigrationFailed
from asg_mcp.schemas.base import json_schema
from asg_mcp.services import migrate as service
from asg_mcp.services.migrations import UNVERSIONED, Migration, Registry
from asg_mcp.tools.migrate import TOOLS
from asg_mcp.tools.registry import ToolContext
from tests.repo.desk import Desk
from tests.tools.recorder import CALLER

(TOOL,) = TOOLS
Call = Callable[..., Any]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """An empty store."""
    async with open_repository(tmp_path / "state.db") as repo:
        yield Desk(repo)


@pytest.fixture
def call(desk: Desk) -> Call:
    """Call the tool with these arguments; the reply as it travels."""

    async def call_tool(**arguments: Any) -> dict[str, Any]:
        reply = await TOOL.handler(ToolContext(desk.repo, CALLER), TOOL.params.model_validate(arguments))
        return reply.dump()

    return call_tool


def use(patch: pytest.MonkeyPatch, *migrations: Migration) -> None:
    patch.setattr(service, "installed", lambda: Registry(migrations))


def step(begin: str, end: str, *operations: dict[str, Any], description: str = "A step.") -> Migration:
    return Migration(begin, end, f"to-{end}", description, lambda state: operations, "app")


def put(path: str, value: Any) -> dict[str, Any]:
    return {"op": "set", "path": path, "value": value}


async def test_without_arguments_it_checks_main(call: Call, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, step(UNVERSIONED, "1.0.0", put("/a", 1)))
    head = await desk.head()
    assert await call() == {
        "ref": "main",
        "commit": head.id.short,
        "state": "available",
        "from": "absent",
        "to": "1.0.0",
        "steps": [
            {"name": "to-1.0.0", "from": "absent", "to": "1.0.0", "description": "A step.", "package": "app"},
        ],
    }


async def test_a_dry_run_shows_changes_and_an_apply_its_commits(
    call: Call, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, step(UNVERSIONED, "1.0.0", put("/a", None)))
    (tried,) = (await call(action="dry_run"))["steps"]
    assert (tried["operations"], tried["changed"], "commit" in tried) == (1, 3, False)
    assert tried["changes"] == [
        {"op": "add", "path": "/_meta", "new": {"schema_version": "1.0.0"}},
        {"op": "add", "path": "/a", "new": None},
    ]
    done = await call(action="apply", request_id="r1")
    head = await desk.head()
    (applied,) = done["steps"]
    assert (done["state"], done["from"], done["to"], done["commit"]) == (
        "up_to_date",
        "absent",
        "1.0.0",
        head.id.short,
    )
    assert (applied["commit"], "changes" in applied) == (head.id.short, False)
    assert (head.principal, head.agent, head.client) == ("ana", "probe", "probe/1.0")
    assert (await call(action="apply", request_id="r1"))["replayed"] is True


async def test_what_stands_in_the_way_is_told_in_a_note(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch)
    found = await call()
    assert (found["state"], found["from"], found["to"], found["steps"]) == ("unversioned", "absent", "absent", [])
    assert "to" in found["note"]


async def test_a_session_that_is_not_open_is_refused(call: Call) -> None:
    with pytest.raises(HandleNotFound):
        await call(action="apply", to="1.0.0", session="no-such-session")


async def test_a_failed_step_is_an_error_that_is_small(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, step(UNVERSIONED, "1.0.0", {"op": "delete", "path": "/x" * 1_000}))
    with pytest.raises(MigrationFailed) as failed:
        await call(action="apply")
    assert len(json.dumps(failed.value.as_dict())) < REPLY_BYTES_MAX


async def test_a_reply_of_any_number_of_large_steps_is_bounded(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = [UNVERSIONED, *(f"{number}.0.0" for number in range(1, 61))]
    big = [put(f"/k{number}", "x" * 1_000) for number in range(30)]
    use(
        monkeypatch,
        *(step(*pair, *big, description="d" * 4_000) for pair in pairwise(versions)),
    )
    for action in ("check", "dry_run", "apply"):
        found = await call(action=action)
        assert len(json.dumps(found)) < REPLY_BYTES_MAX
        assert len(found["steps"]) + found["omitted"] == 60


async def test_the_changes_of_a_dry_run_fit_the_reply(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, step(UNVERSIONED, "1.0.0", *(put(f"/k{number:02}", "x" * 5_000) for number in range(30))))
    found = await call(action="dry_run")
    assert len(json.dumps(found)) < REPLY_BYTES_MAX
    assert 2 <= len(found["steps"][0]["changes"]) < 10
    assert found["steps"][0]["changed"] == 32


def test_what_a_model_reads_of_it_is_small() -> None:
    schema = json.dumps(json_schema(TOOL.params, brief=True), separators=(",", ":"))
    assert len((TOOL.name + TOOL.description + schema).encode()) <= 470
