"""`serve --http`: what it says when it starts about who is let in."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import anyio
import httpx2

from asg_mcp.services.tokens import TokenFile, TokenRequest
from tests.kit.processes import unmeasured_environment
from tests.server.http_served import WAIT_SECONDS


async def told(db: Path, until: str) -> tuple[str, int]:
    """What a server on this machine says when it starts, as far as this text; what it answers without a token."""
    command = [sys.executable, "-m", "asg_mcp", "serve", "--http", "--port", "0", "--db", str(db)]
    said = ""
    with anyio.fail_after(WAIT_SECONDS):
        async with await anyio.open_process(command, env=unmeasured_environment()) as process:
            assert process.stderr is not None
            while until not in said:
                said += (await process.stderr.receive()).decode()
            url = said.partition(" at ")[2].partition("/mcp")[0]
            async with httpx2.AsyncClient(base_url=url) as http:
                status = (await http.get("/api/state")).status_code
            process.terminate()
            await process.wait()
    return said, status


async def test_a_server_whose_tokens_hold_no_more_lets_nobody_in_and_says_so(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "s.db.tokens")
    file.revoke(file.add(TokenRequest("alice"), time.time_ns() // 1_000)[1].id)
    said, status = await told(tmp_path / "s.db", "delete that file.")
    assert status == 401
    assert "Nobody is let in" in said
    assert str(file.path) in said
    assert "asg-mcp token add" in said
    assert "without tokens" not in said
    file.path.unlink()
    said, status = await told(tmp_path / "s.db", "everything.")
    assert status == 200
    assert "Nobody is let in" not in said
