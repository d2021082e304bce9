"""Messages that the SDK would take for something else, on every transport of HTTP."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from tests.server.http_served import WAIT_SECONDS, site
from tests.server.older import ACCEPT, SESSIONS, WHY, tool

WRONG_IDS = (b"null", b"1.5", b"1.0", b"true", b"{}", b"[1]")
SET = (
    b'{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":"asg_set","arguments":'
    b'{"path":"/a","value":1,"intent_category":"Fix","intent_description":"Because."},"_meta":'
    b'{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}'
)
NEWER = {**ACCEPT, "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "asg_set"}


async def test_a_call_of_the_newer_era_whose_id_is_none_is_refused(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http(**NEWER) as http:
        for wrong in WRONG_IDS:
            reply = await http.post("/mcp", content=SET % wrong)
            assert (reply.status_code, reply.json()["id"], reply.json()["error"]["code"]) == (400, None, -32600), wrong
        assert await at.desk.value() == {}


async def test_a_call_that_names_a_key_twice_is_refused_in_both_eras(tmp_path: Path) -> None:
    twice = (SET % b"7").replace(b'"path":"/a"', b'"path":"/a","path":"/b"')
    async with site(tmp_path) as at, at.http() as http, SESSIONS["older"](http) as client:
        for reply in (await http.post("/mcp", content=twice, headers=NEWER), await client.post(twice)):
            assert (reply.status_code, reply.json()["id"], reply.json()["error"]["code"]) == (400, 7, -32600)
            assert "path twice" in reply.json()["error"]["message"].replace("'", "")
        assert await at.desk.value() == {}


@pytest.mark.parametrize("transport", SESSIONS)
async def test_a_call_of_a_session_whose_id_is_none_is_refused_and_does_nothing(tmp_path: Path, transport: str) -> None:
    with anyio.fail_after(WAIT_SECONDS):
        async with site(tmp_path) as at, at.http() as http, SESSIONS[transport](http) as client:
            for wrong in WRONG_IDS:
                reply = await client.post(SET % wrong)
                told = (reply.status_code, reply.json()["id"], reply.json()["error"]["code"])
                assert told == (400, None, -32600), wrong
            await client.post(tool(1, "asg_set", path="/b", value=1, **WHY))
            await client.reply(1)
            assert await at.desk.value() == {"b": 1}
