"""Sessions of the older era: an id stands for one request at a time, and the end waits for what is under way."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCResponse
from sse_starlette import sse as streaming

from asg_mcp.repo.repository import Repository
from asg_mcp.server import http_sessions
from asg_mcp.server.http_sessions import Tally, Underway
from tests.server.http_served import WAIT_SECONDS, site
from tests.server.older import SESSIONS, WHY, Older, message, older, tool

TRANSPORTS = pytest.mark.parametrize("transport", SESSIONS)


class Held:
    """Commits wait here, until they are let go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = 0
        self._more = anyio.Event()
        self.let_go = anyio.Event()
        commit = Repository.commit

        async def held(repo: Repository, *given: Any) -> Any:
            self.begun += 1
            self._more.set()
            self._more = anyio.Event()
            await self.let_go.wait()
            return await commit(repo, *given)

        monkeypatch.setattr(Repository, "commit", held)

    async def until(self, number: int) -> None:
        """Return when so many have come."""
        while self.begun < number:
            await self._more.wait()


def put(request: Any, value: Any = 1) -> dict[str, Any]:
    return tool(request, "asg_set", path="/a", value=value, **WHY)


# --- ids ------------------------------------------------------------------------------


@TRANSPORTS
@pytest.mark.parametrize("again", [7, "7"])
async def test_a_request_whose_id_is_taken_is_refused_and_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: str, again: int | str
) -> None:
    held = Held(monkeypatch)
    with anyio.fail_after(WAIT_SECONDS):
        async with site(tmp_path) as at, at.http() as http, SESSIONS[transport](http) as client:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.post, put(7, "first"))
                await held.until(1)
                for _ in range(3):
                    await client.post(put(again, "second"))
                assert (await client.refusal(again))["code"] == -32600
                held.let_go.set()
                assert not (await client.reply(7))["isError"]
            assert (held.begun, len(client.received)) == (1, 4 + (transport == "sse"))
            assert await at.desk.value("/a") == "first"
            client.received.clear()
            await client.post(put(again, "third"))  # it is free again
            await client.reply(again)
            assert await at.desk.value("/a") == "third"


@TRANSPORTS
async def test_a_request_that_is_cancelled_gives_its_id_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    held = Held(monkeypatch)
    with anyio.fail_after(WAIT_SECONDS):
        async with site(tmp_path) as at, at.http() as http, SESSIONS[transport](http) as client:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.post, put(7))
                await held.until(1)
                await client.post(message("notifications/cancelled", requestId=7))
            held.let_go.set()
            while not any(one.get("id") == 7 and "result" in one for one in client.received):
                await client.post(put(7))
                await client.until(lambda one: one.get("id") == 7)


async def test_an_id_is_taken_until_the_call_is_answered_even_when_its_client_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    with anyio.fail_after(WAIT_SECONDS):
        async with site(tmp_path) as at, at.http() as http, older(http) as client:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.post, put(7, "first"))
                await held.until(1)
                tasks.cancel_scope.cancel()
            assert (await client.post(put(7, "second"))).status_code == 400
            held.let_go.set()
            while (await client.post(put(7, "third"))).status_code != 200:
                pass
            assert await at.desk.value("/a") == "third"
            assert held.begun == 2


async def test_an_id_is_free_only_when_the_answer_has_gone_to_whoever_had_it() -> None:
    underway = Underway(Tally())
    writing, reading = anyio.create_memory_object_stream[SessionMessage](0)
    outbox = http_sessions._Outbox(writing, underway)
    taken: list[bool] = []

    async def route() -> None:
        await reading.receive()
        taken.append(underway.begin(7) is not None)

    assert underway.begin(7) is None
    async with writing, reading:
        with anyio.fail_after(WAIT_SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(route)
                await anyio.wait_all_tasks_blocked()
                await outbox.send(SessionMessage(JSONRPCResponse(jsonrpc="2.0", id=7, result={})))
    assert taken == [True]
    assert underway.begin(7) is None


async def test_an_id_may_be_used_again_as_soon_as_the_reply_is_there(tmp_path: Path) -> None:
    with anyio.fail_after(WAIT_SECONDS):
        async with site(tmp_path) as at, at.http() as http, older(http) as client:
            for _ in range(50):
                sent = json.dumps(message("ping", 7))
                async with http.stream("POST", "/mcp", content=sent, headers=client.headers) as reply:
                    assert reply.status_code == 200
                    async for line in reply.aiter_lines():
                        if line.startswith("data: {"):
                            break
                    assert (await client.post(message("ping", 7))).status_code == 200


async def test_a_request_that_never_came_to_the_server_takes_no_id(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http() as http, older(http) as client:
        refused = Older(http, "/mcp", {**client.headers, "accept": "text/plain"})
        for _ in range(2):
            assert (await refused.post(put(7))).status_code == 406
        assert (await client.post(put(7))).status_code == 200


async def test_an_id_of_one_session_is_free_in_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(monkeypatch)
    with anyio.fail_after(WAIT_SECONDS):
        async with site(tmp_path) as at, at.http() as http, older(http) as one, older(http) as other:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(one.post, put(7))
                tasks.start_soon(other.post, put(7))
                await held.until(2)
                held.let_go.set()


# --- the end --------------------------------------------------------------------------


def looked_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """What waits until sse_starlette has looked twice for a server that is to end: it would end its streams then."""
    looks = 0
    more = anyio.Event()
    find: Callable[[], Any] = streaming._get_uvicorn_server

    def found() -> Any:
        nonlocal looks, more
        looks += 1
        more.set()
        more = anyio.Event()
        return find()

    monkeypatch.setattr(streaming, "_get_uvicorn_server", found)

    async def twice() -> None:
        until = looks + 2
        while looks < until:
            await more.wait()

    return twice


@TRANSPORTS
async def test_a_call_under_way_when_the_server_is_told_to_end_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    held, looked = Held(monkeypatch), looked_at(monkeypatch)
    with anyio.fail_after(WAIT_SECONDS):
        async with site(tmp_path) as at, at.http() as http, SESSIONS[transport](http) as client:
            async with anyio.create_task_group() as tasks:
                for request in range(5):
                    tasks.start_soon(client.post, put(request, request))
                await held.until(5)
                at.server.stop()
                await looked()
                held.let_go.set()
                for request in range(5):
                    assert not (await client.reply(request))["isError"]
            assert (await at.desk.blame("/a"))[0].commit.seq == 6  # the first is the empty state


async def test_a_call_that_does_not_finish_holds_up_the_end_for_so_long_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_sessions, "SSE_DRAIN_SECONDS_MAX", 0.01)
    held = Held(monkeypatch)
    with anyio.fail_after(WAIT_SECONDS):
        async with site(tmp_path) as at, at.http() as http:
            with contextlib.suppress(ExceptionGroup):
                async with SESSIONS["sse"](http) as client:
                    await client.post(put(7))
                    await held.until(1)
                    at.server.stop()
                    await client.reply(7)
        assert not held.let_go.is_set()


async def test_nothing_is_under_way_when_all_that_began_has_ended() -> None:
    tally = Tally()
    await tally.none()
    one, other = Underway(tally), Underway(tally)
    assert one.begin(1) is None
    assert other.begin(1) is None
    assert one.begin("1") is not None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tally.none)
        one.end(1)
        one.end(1)
        other.end_all()
        other.end_all()
    with anyio.fail_after(WAIT_SECONDS):
        await tally.none()
