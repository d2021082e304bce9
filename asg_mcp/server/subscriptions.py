"""Telling clients that what they subscribed to has changed, whoever changed it, in this process or another.

One watcher a server reads the length of the log a few times a second, as long as anything is subscribed to, and
compares what the watched refs and paths hold when it has grown. A client is told at least once of each change that
comes after its subscription was acknowledged; several changes may be told as one, as the protocol has it ("may need
to be read again").

The two eras of the protocol differ in the last step alone: a listen stream is served by the SDK from the bus, a
connection of the older era by a task of ours that hears the same bus.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.subscriptions import ResourceUpdated, ServerEvent

from asg_mcp.core.limits import LISTEN_STREAMS_MAX, SUBSCRIPTION_POLL_SECONDS, SUBSCRIPTIONS_MAX
from asg_mcp.errors import AsgError, LimitExceeded
from asg_mcp.repo.observing import Observation, Target, observe
from asg_mcp.repo.repository import Repository

logger = logging.getLogger(__name__)

CONNECTION_KEY = "subscriber"


@dataclass(slots=True)
class _Watch:
    """One address that is watched, for one or more subscribers."""

    target: Target
    print: str
    """What it held when last looked at."""
    events: int
    """The length of the log then."""
    subscribers: int = 1


class Watcher:
    """What is subscribed to at one server, and the task that looks whether it changed. Made by `watching`."""

    def __init__(self, repo: Repository, tasks: TaskGroup) -> None:
        self._repo = repo
        self._tasks = tasks
        self._bus = InMemorySubscriptionBus()
        self._watches: dict[str, _Watch] = {}
        self._wanted = anyio.Event()
        self.listen = ListenHandler(self._bus, max_subscriptions=LISTEN_STREAMS_MAX)
        """Serves the listen streams of the newer era; what they name has to be watched meanwhile."""

    @property
    def watched(self) -> frozenset[str]:
        """The addresses that are subscribed to."""
        return frozenset(self._watches)

    async def watch(self, uri: str, target: Target) -> None:
        """Look at one more address from now on, until `unwatch`. Raises what a ref that means nothing raises."""
        known = self._watches.get(uri)
        if known is None:
            # Read before it is acknowledged: whatever is written after that makes the log longer than this.
            seen = await self._observe((target,), must_exist=True)
            known = self._watches.get(uri)
        else:
            seen = None
        if known is not None:
            known.subscribers += 1
            return
        assert seen is not None, "BUG: a new address was looked at"
        self._watches[uri] = _Watch(target, seen.prints[0], seen.events)
        self._wanted.set()

    def unwatch(self, uri: str) -> None:
        """End one `watch` of this address."""
        known = self._watches[uri]
        known.subscribers -= 1
        if not known.subscribers:
            del self._watches[uri]
            if not self._watches:
                self._wanted = anyio.Event()

    @asynccontextmanager
    async def watched_all(self, targets: dict[str, Target]) -> AsyncIterator[None]:
        """All of these are watched inside the block."""
        watched: list[str] = []
        try:
            for uri, target in targets.items():
                await self.watch(uri, target)
                watched.append(uri)
            yield
        finally:
            for uri in watched:
                self.unwatch(uri)

    def subscriber(self, session: ServerSession) -> Subscriber:
        """The subscriber behind a request of the older era: one a connection, gone with it."""
        # The SDK says that cleanup belongs on the connection's exit stack, and hands its handlers no public way to it.
        connection = session._connection
        found = connection.state.get(CONNECTION_KEY)
        if found is None:
            found = Subscriber(self, self._bus, session)
            connection.state[CONNECTION_KEY] = found
            connection.exit_stack.callback(found.close)
            self._tasks.start_soon(found.deliver)
        assert isinstance(found, Subscriber), "BUG: this key is ours"
        return found

    async def run(self) -> None:
        """Look again and again, for as long as the server runs."""
        while True:
            await self._wanted.wait()
            await anyio.sleep(SUBSCRIPTION_POLL_SECONDS)
            try:
                await self.look()
            except AsgError:
                # Nothing is lost: what changed meanwhile is found when the store can be read again.
                logger.exception("what clients subscribed to could not be looked at")

    async def look(self) -> None:
        """Tell of everything that has changed since it was last looked at."""
        events = (await self._observe()).events
        stale = [(uri, watch) for uri, watch in self._watches.items() if watch.events != events]
        if not stale:
            return
        seen = await self._observe([watch.target for _, watch in stale])
        for (uri, watch), now in zip(stale, seen.prints, strict=True):
            changed = watch.print != now
            watch.print, watch.events = now, seen.events
            if changed and self._watches.get(uri) is watch:
                await self._bus.publish(ResourceUpdated(uri))

    async def _observe(self, targets: Sequence[Target] = (), *, must_exist: bool = False) -> Observation:
        return await self._repo.read(lambda view: observe(view, targets, must_exist=must_exist))


class Subscriber:
    """A connection of the older era: what it subscribed to, and what it has yet to be told."""

    def __init__(self, watcher: Watcher, bus: InMemorySubscriptionBus, session: ServerSession) -> None:
        self._watcher = watcher
        self._session = session
        self._uris: set[str] = set()
        self._turn = anyio.Lock()
        self._changed: dict[str, None] = {}
        self._wake = anyio.Event()
        self._scope = anyio.CancelScope()
        self._leave = bus.subscribe(self._heard)

    async def subscribe(self, uri: str, target: Target) -> None:
        """Tell the client of changes from now on; once more changes nothing. Raises LimitExceeded."""
        async with self._turn:
            if uri not in self._uris:
                check_count(len(self._uris) + 1)
                await self._watcher.watch(uri, target)
                self._uris.add(uri)

    async def unsubscribe(self, uri: str) -> None:
        """Tell no more of it; what was never subscribed to is let pass."""
        async with self._turn:
            if uri in self._uris:
                self._uris.discard(uri)
                self._changed.pop(uri, None)
                self._watcher.unwatch(uri)

    async def deliver(self) -> None:
        """Send what the bus tells, each address once however often it has changed meanwhile, until `close`."""
        with self._scope:
            while True:
                await self._wake.wait()
                self._wake = anyio.Event()
                while self._changed:
                    uri = next(iter(self._changed))
                    del self._changed[uri]
                    await self._session.send_resource_updated(uri)

    def close(self) -> None:
        """The connection is gone."""
        self._leave()
        self._scope.cancel()
        for uri in self._uris:
            self._watcher.unwatch(uri)
        self._uris.clear()

    def _heard(self, event: ServerEvent) -> None:
        if isinstance(event, ResourceUpdated) and event.uri in self._uris:
            self._changed[event.uri] = None
            self._wake.set()


def check_count(count: int) -> None:
    """Raise LimitExceeded for more than SUBSCRIPTIONS_MAX."""
    if count > SUBSCRIPTIONS_MAX:
        raise LimitExceeded(
            f"{count} subscriptions are too many for one connection",
            hint="End some; a path stands for everything below it.",
            limit="SUBSCRIPTIONS_MAX",
            max=SUBSCRIPTIONS_MAX,
        )


@asynccontextmanager
async def watching(repo: Repository) -> AsyncIterator[Watcher]:
    """A watcher that looks until the end of the block."""
    async with anyio.create_task_group() as tasks:
        watcher = Watcher(repo, tasks)
        tasks.start_soon(watcher.run)
        try:
            yield watcher
        finally:
            tasks.cancel_scope.cancel()
