"""Subscriptions: who changed it does not matter, and nothing is lost after the acknowledgement."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, MCPError
from mcp.client.subscriptions import Subscription
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp.shared.subscriptions import ResourceUpdated
from mcp_types import INVALID_PARAMS, ResourceUpdatedNotification

from asg_mcp.app import open_repository
from asg_mcp.core.limits import LISTEN_STREAMS_MAX, SUBSCRIPTIONS_MAX
from asg_mcp.errors import StoreBusy
from asg_mcp.repo.observing import Target
from asg_mcp.server import subscriptions
from asg_mcp.server.faults import RESOURCE_NOT_FOUND
from asg_mcp.server.subscriptions import Watcher, watching
from tests.kit.rpc import RawClient, enveloped, raw_client
from tests.repo.desk import Desk, open_desk
from tests.repo.stores import ALICE
from tests.server.served import client_of, served

WAIT_SECONDS = 30.0


class Ear:
    """What a client of the older era is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._arrived = anyio.Event()

    async def __call__(self, message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            self.told.append(message.params.uri)
            self._arrived.set()

    async def hears(self, uri: str) -> None:
        """Return when this address has been told."""
        with anyio.fail_after(WAIT_SECONDS):
            while uri not in self.told:
                self._arrived = anyio.Event()
                await self._arrived.wait()
        self.told.clear()


@contextlib.contextmanager
def older_calls() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        yield


async def subscribe(client: Client, uri: str) -> None:
    with older_calls():
        await client.subscribe_resource(uri)


async def unsubscribe(client: Client, uri: str) -> None:
    with older_calls():
        await client.unsubscribe_resource(uri)


async def next_told(stream: Subscription) -> str:
    with anyio.fail_after(WAIT_SECONDS):
        event = await anext(stream)
    assert isinstance(event, ResourceUpdated)
    return event.uri


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[tuple[Desk, Watcher, list[str]]]:
    """A repository with a watcher that looks when it is asked to, and what it tells."""
    told: list[str] = []
    async with open_desk(folder) as desk, anyio.create_task_group() as tasks:
        watcher = Watcher(desk.repo, tasks)
        watcher._bus.subscribe(lambda event: told.append(event.uri) if isinstance(event, ResourceUpdated) else None)
        yield desk, watcher, told


# --- what counts as a change ----------------------------------------------------------


async def test_a_path_is_told_when_its_object_differs_and_not_when_others_change(tmp_path: Path) -> None:
    async with watched(tmp_path) as (desk, watcher, told):
        await desk.set("/a", {"b": 1, "c": 1})
        await watcher.watch("b", Target("main", ("a", "b")))
        await watcher.watch("a", Target("main", ("a",)))
        await watcher.look()
        await desk.set("/x", 1)
        await watcher.look()
        assert told == []
        await desk.set("/a/c", 2)
        await watcher.look()
        assert told == ["a"]
        await desk.apply(("delete", "/a/b"))
        await watcher.look()
        assert told == ["a", "b", "a"]


async def test_a_path_that_appears_and_a_ref_that_goes_are_changes(tmp_path: Path) -> None:
    async with watched(tmp_path) as (desk, watcher, told):
        await desk.branch("dev")
        await watcher.watch("new", Target("dev", ("new",)))
        await desk.set("/new", 1, ref="dev")
        await watcher.look()
        assert told == ["new"]
        await desk.repo.delete_branch("dev", ALICE)
        await watcher.look()
        assert told == ["new", "new"]


async def test_a_ref_is_told_with_every_commit_on_it_and_none_elsewhere(tmp_path: Path) -> None:
    async with watched(tmp_path) as (desk, watcher, told):
        await desk.branch("dev")
        await watcher.watch("main", Target("main"))
        await desk.set("/a", 1, ref="dev")
        await watcher.look()
        assert told == []
        await desk.set("/a", 1)
        await watcher.look()
        assert told == ["main"]


async def test_several_changes_between_two_looks_are_told_as_one_and_a_change_taken_back_not_at_all(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path) as (desk, watcher, told):
        await desk.set("/a", 1)
        await watcher.watch("a", Target("main", ("a",)))
        await desk.set("/a", 2)
        await desk.set("/a", 3)
        await watcher.look()
        assert told == ["a"]
        await desk.set("/a", 4)
        await desk.set("/a", 3)
        await watcher.look()
        assert told == ["a"]


async def test_a_change_while_another_look_is_under_way_is_found_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is longer than when the path was first read, whatever the other look saw of it."""
    async with watched(tmp_path) as (desk, watcher, told):
        await desk.set("/a", 1)
        await watcher.watch("other", Target("main", ("b",)))
        await desk.set("/b", 1)
        real = Watcher._observe

        async def with_a_subscription_and_a_change_inside(asked: Watcher, targets: Any = (), **given: Any) -> Any:
            if len(targets) == 1 and not given:
                monkeypatch.setattr(Watcher, "_observe", real)
                await watcher.watch("a", Target("main", ("a",)))
                await desk.set("/a", 2)
            return await real(asked, targets, **given)

        monkeypatch.setattr(Watcher, "_observe", with_a_subscription_and_a_change_inside)
        await watcher.look()
        await watcher.look()
    assert told == ["other", "a"]


async def test_an_address_is_watched_as_long_as_anybody_is_subscribed_to_it(tmp_path: Path) -> None:
    async with watched(tmp_path) as (_, watcher, _told):
        target = Target("main", ("a",))
        await watcher.watch("a", target)
        await watcher.watch("a", target)
        watcher.unwatch("a")
        assert watcher.watched == {"a"}
        watcher.unwatch("a")
        assert watcher.watched == frozenset()


async def test_a_store_that_cannot_be_read_for_a_moment_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(subscriptions, "SUBSCRIPTION_POLL_SECONDS", 0.001)
    real, failed = Watcher._observe, anyio.Event()

    async def fail(*_: Any, **__: Any) -> Any:
        failed.set()
        raise StoreBusy("Not now")

    told = anyio.Event()
    async with open_desk(tmp_path) as desk, watching(desk.repo) as watcher:
        watcher._bus.subscribe(lambda _: told.set())
        await watcher.watch("a", Target("main", ("a",)))
        monkeypatch.setattr(Watcher, "_observe", fail)
        await desk.set("/a", 1)
        with anyio.fail_after(WAIT_SECONDS):
            await failed.wait()
            monkeypatch.setattr(Watcher, "_observe", real)
            await told.wait()
    assert "could not be looked at" in caplog.text


async def test_nothing_is_read_while_nothing_is_subscribed_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "SUBSCRIPTION_POLL_SECONDS", 0)
    reads: list[int] = []
    real = Watcher._observe

    async def counted(asked: Watcher, *given: Any, **named: Any) -> Any:
        reads.append(1)
        return await real(asked, *given, **named)

    monkeypatch.setattr(Watcher, "_observe", counted)
    async with open_desk(tmp_path) as desk, watching(desk.repo) as watcher:
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        assert reads == []
        await watcher.watch("a", Target("main", ("a",)))
        watcher.unwatch("a")
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        seen = len(reads)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        assert len(reads) == seen


# --- the older era ----------------------------------------------------------------------


async def test_a_client_of_the_older_era_is_told_of_paths_and_refs_until_it_unsubscribes(tmp_path: Path) -> None:
    ear = Ear()
    async with served(tmp_path, "older", message_handler=ear) as (desk, client):
        for uri in ("asg://state/main/a", "asg://log/main", "asg://value/main/z"):
            await subscribe(client, uri)
        await desk.set("/a", 1)
        await ear.hears("asg://state/main/a")
        await unsubscribe(client, "asg://state/main/a")
        await unsubscribe(client, "asg://state/main/a")
        await desk.set("/a", 2)
        await desk.set("/z", 2)
        await ear.hears("asg://value/main/z")
        assert "asg://state/main/a" not in ear.told


async def test_a_connection_takes_its_subscriptions_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Watcher] = []
    real = Watcher.__init__

    def remembered(watcher: Watcher, *given: Any) -> None:
        real(watcher, *given)
        made.append(watcher)

    monkeypatch.setattr(Watcher, "__init__", remembered)
    async with open_desk(tmp_path) as desk:
        async with client_of(desk, "older") as client:
            await subscribe(client, "asg://log/main")
            assert made[0].watched == {"asg://log/main"}
        async with client_of(desk) as client, client.listen(resource_subscriptions=["asg://log/main"]):
            assert made[1].watched == {"asg://log/main"}
    assert [watcher.watched for watcher in made] == [frozenset(), frozenset()]


async def test_a_connection_has_a_bounded_number_of_subscriptions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "SUBSCRIPTIONS_MAX", 3)
    async with served(tmp_path, "older") as (_, client):
        for number in range(3):
            await subscribe(client, f"asg://state/main/{number}")
        await subscribe(client, "asg://state/main/0")
        with pytest.raises(MCPError) as refused:
            await subscribe(client, "asg://state/main/3")
        await unsubscribe(client, "asg://state/main/0")
        await subscribe(client, "asg://state/main/3")
    assert refused.value.data["details"]["limit"] == "SUBSCRIPTIONS_MAX"


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("asg://state/nowhere/a", RESOURCE_NOT_FOUND),
        ("asg://log/nowhere", RESOURCE_NOT_FOUND),
        ("asg://nothing", RESOURCE_NOT_FOUND),
        ("asg://health", INVALID_PARAMS),
        ("asg://state/main/~2", INVALID_PARAMS),
    ],
)
async def test_what_cannot_be_watched_is_refused(tmp_path: Path, uri: str, code: int) -> None:
    async with served(tmp_path, "older") as (_, client):
        with pytest.raises(MCPError) as refused:
            await subscribe(client, uri)
    assert refused.value.code == code
    assert refused.value.data["hint"]


# --- the newer era ------------------------------------------------------------------------


async def test_a_listen_stream_tells_of_what_it_asked_for(tmp_path: Path) -> None:
    uris = ["asg://state/main/a", "asg://log/main"]
    async with served(tmp_path) as (desk, client), client.listen(resource_subscriptions=uris) as stream:
        await desk.set("/a", 1)
        assert {await next_told(stream), await next_told(stream)} == set(uris)


async def test_the_plans_are_told_when_a_plan_changes(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, client), client.listen(resource_subscriptions=["asg://plans"]) as stream:
        made = await client.call_tool("asg_plan", {"name": "move", "tasks": [{"title": "Pack"}]})
        assert not made.is_error, made.content
        assert await next_told(stream) == "asg://plans"


async def test_a_stream_is_acknowledged_for_what_can_happen_and_nothing_else(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, client):
        async with client.listen(tools_list_changed=True, resource_subscriptions=["asg://log/main"]) as stream:
            assert stream.honored.tools_list_changed is None
            assert stream.honored.resource_subscriptions == ["asg://log/main"]


@pytest.mark.parametrize("uri", ["asg://state/nowhere/a", "asg://nothing", "asg://health"])
async def test_a_stream_for_what_cannot_be_watched_is_refused(tmp_path: Path, uri: str) -> None:
    async with served(tmp_path) as (_, client):
        with pytest.raises(MCPError) as refused:
            async with client.listen(resource_subscriptions=["asg://log/main", uri]):
                pass
    assert refused.value.code == INVALID_PARAMS


async def test_a_stream_has_a_bounded_number_of_addresses(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, client):
        with pytest.raises(MCPError) as refused:
            uris = [f"asg://state/main/{number}" for number in range(SUBSCRIPTIONS_MAX + 1)]
            async with client.listen(resource_subscriptions=uris):
                pass
    assert refused.value.data["details"]["limit"] == "SUBSCRIPTIONS_MAX"


async def test_a_server_has_a_bounded_number_of_streams(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, client), contextlib.AsyncExitStack() as stack:
        for _ in range(LISTEN_STREAMS_MAX):
            await stack.enter_async_context(client.listen(resource_subscriptions=["asg://log/main"]))
        with pytest.raises(MCPError):
            await stack.enter_async_context(client.listen(resource_subscriptions=["asg://log/main"]))


# --- across processes ------------------------------------------------------------------------


async def _told(client: RawClient, uri: str) -> None:
    while True:
        message = await client.read()
        if message.get("method") == "notifications/resources/updated" and message["params"]["uri"] == uri:
            return


async def test_what_another_process_writes_is_told_by_a_server_over_pipes_in_both_eras(tmp_path: Path) -> None:
    path, uri = tmp_path / "state.db", "asg://state/main/a"
    async with open_repository(path) as repo:
        desk = Desk(repo)
        async with raw_client("-m", "asg_mcp", "serve", "--db", str(path)) as older:
            await older.handshake()
            reply = await older.ask(older.request("resources/subscribe", {"uri": uri}))
            assert reply["result"] == {}
            await desk.set("/a", 1)
            await _told(older, uri)
        async with raw_client("-m", "asg_mcp", "serve", "--db", str(path)) as newer:
            asked = {"notifications": {"resourceSubscriptions": [uri]}}
            newer.write(enveloped(newer.request("subscriptions/listen", asked)))
            acknowledged = await newer.read()
            assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
            await desk.set("/a", 2)
            await _told(newer, uri)
            newer.end_input()
            assert await newer.exit_code() == 0
