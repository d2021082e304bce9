"""The repository: version control over a store. One call of a tool is one call of a method here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from typing import TypeVar

import anyio.to_thread

from asg_mcp.core.intents import Author, Intent
from asg_mcp.core.limits import COUNT_AHEAD_MAX
from asg_mcp.core.notes import Signer
from asg_mcp.core.operations import Operation
from asg_mcp.core.paths import Tokens
from asg_mcp.core.secretpolicy import Policy
from asg_mcp.repo import results as r
from asg_mcp.repo.blame import blame, log
from asg_mcp.repo.branches import DEFAULT_BRANCH, drop_branch, make_ref
from asg_mcp.repo.classing import Classes
from asg_mcp.repo.collecting import Collection
from asg_mcp.repo.collectingresults import Collected, CollectRequest
from asg_mcp.repo.denying import Denial, log_denial
from asg_mcp.repo.diffing import diff
from asg_mcp.repo.getting import get, get_small
from asg_mcp.repo.graph import Graph
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.keyring import Keys
from asg_mcp.repo.merging import merge_branches, preview_merge
from asg_mcp.repo.outcomes import reported, resolve
from asg_mcp.repo.permits import session_record
from asg_mcp.repo.query import run_query
from asg_mcp.repo.receipts import erased_since
from asg_mcp.repo.redacting import Redactions
from asg_mcp.repo.reflist import list_refs
from asg_mcp.repo.requests import (
    MergeRequest,
    OutcomeRequest,
    PromoteRequest,
    Query,
    Resolution,
    RevertRequest,
    SessionRequest,
)
from asg_mcp.repo.revert import revert
from asg_mcp.repo.screening import Screen, names_of
from asg_mcp.repo.sealing import Epochs
from asg_mcp.repo.search import search
from asg_mcp.repo.sessions import open_session, session_info
from asg_mcp.repo.speculations import Speculations
from asg_mcp.repo.transact import Decide, Transacted, transact
from asg_mcp.repo.transaction import Request, are_brief, checked_operations, create_store, run
from asg_mcp.repo.validation import forget as forget_schemas
from asg_mcp.repo.verify import Journal, Progress, Scope, VerifyReport, verify_apart
from asg_mcp.repo.view import View
from asg_mcp.storage.base import Health, Reader, Store, Writer

T = TypeVar("T")
Page = TypeVar("Page", r.SearchResult, r.DiffResult, r.LogResult, r.BlameResult, r.QueryResult)
PROGRAM = "asg-mcp"
"""Principal and agent of what the program does of itself."""

__all__ = ["Guard", "MergeRequest", "PromoteRequest", "Query", "Repository", "Resolution", "RevertRequest"]


class Repository:
    """An open store. Safe for any number of tasks of one event loop; other processes may have the file open too.

    Reads that cost little run on the event loop, all others on a thread; each is
    one read transaction, so it sees one moment. Writes go through the store's
    single writer and return when they are durable. Every method raises the
    errors of `asg_mcp.errors` alone.
    """

    def __init__(self, store: Store, signer: Signer | None = None, secrets: Policy | None = None) -> None:
        self._store = store
        self._screen = Screen(secrets or Policy(), store.hasher)
        self.epochs = Epochs(store, signer, self._screen)
        self.classes = Classes(store, self._screen)
        self._signer = signer
        self.keys = Keys(store)
        self._graph = Graph()
        self.speculations = Speculations(store, self._graph, self._screen)
        self.redactions = Redactions(store, self._graph, self._screen)
        self._principal = ""
        store.on_forget(self._graph.forget)
        store.on_forget(forget_schemas)

    def seen_by(self, principal: str) -> Repository:
        """The same repository as one principal sees it: of others' sessions and speculations it knows nothing."""
        seen = copy(self)
        seen._principal = principal
        return seen

    async def create(self) -> None:
        """Make the first commit and the default branch, if the store has none."""
        with self._store.reading() as reader:
            if reader.last_seq():
                return
        hasher, author = self._store.hasher, Author(principal=PROGRAM, agent=PROGRAM)
        await self._store.write(lambda writer: create_store(writer, hasher, DEFAULT_BRANCH, author))

    # --- writing --------------------------------------------------------------

    async def commit(
        self, ref: str, operations: Sequence[Operation], intent: Intent, author: Author, guard: Guard
    ) -> r.WriteResult:
        """Apply operations to a branch as one commit; with none, an explicit checkpoint.

        Operations that change nothing are left out, and if none remain no commit is
        made. Raises what the operations raise, HeadMoved, ObjectChanged, TestFailed,
        RequestReused, RefNotFound, Forbidden and the storage errors.
        """
        brought, kept, told = await self._screen.commit(checked_operations(operations), intent, author)
        request = Request(ref, brought, kept, author, guard)
        hasher, judge = self._store.hasher, self._screen.moved
        brief = are_brief(brought)
        done = await self._store.write(lambda writer: run(writer, hasher, request, self._graph, judge), brief=brief)
        return replace(done, warnings=(*done.warnings, *told)) if told else done

    async def merge(self, request: MergeRequest, intent: Intent, author: Author, guard: Guard) -> r.MergeResult:
        """Merge a ref into a branch as a commit with two parents; conflicts are answered as data."""
        kept = self._screen.intent(intent, author)
        told = self._screen.told(intent, kept)
        request = replace(request, resolutions=self._screen.resolutions(request.resolutions))
        # What the search for the common ancestors reads is read before the writer's turn, not while others wait.
        await self._read_apart(lambda view: view.graph.parents(view.reader, view.reader.last_seq()))
        if request.preview:
            return await self._read_apart(lambda view: preview_merge(view, request, guard))
        done = await self._store.write(
            lambda writer: merge_branches(writer, self._view(writer), request, kept, author, guard)
        )
        return replace(done, warnings=(*done.warnings, *told)) if told else done

    async def revert(self, request: RevertRequest, intent: Intent, author: Author, guard: Guard) -> r.RevertResult:
        """Undo commits, all by an agent or session since a time, or restore a path; conflicts are answered as data."""
        kept = self._screen.intent(intent, author)
        told = self._screen.told(intent, kept)
        request = replace(request, resolutions=self._screen.resolutions(request.resolutions))
        done = await self._store.write(lambda writer: revert(writer, self._view(writer), request, kept, author, guard))
        return replace(done, warnings=(*done.warnings, *told)) if told else done

    async def transact(self, ref: str, author: Author, request_id: str, asked: bytes, decide: Decide) -> Transacted:
        """Let `decide` see the head of a branch, and commit what it says in the same transaction; see `transact`."""
        decide = self._screen.deciding(decide, author)
        return await self._store.write(
            lambda writer: transact(writer, self._view(writer), ref, author, request_id, asked, decide)
        )

    async def open_session(self, request: SessionRequest, author: Author, request_id: str = "") -> r.SessionInfo:
        """Open a session for an agent, no wider than its parent."""
        request = self._screen.session(request, author)
        return await self._store.write(
            lambda writer: open_session(writer, self._view(writer), request, author, request_id)
        )

    async def resolve(self, request: OutcomeRequest, author: Author, request_id: str = "") -> r.OutcomeResult:
        """File the outcome of an intent, or of a session, which it closes."""
        request = self._screen.outcome(request, author)
        filed = await self._store.write(lambda writer: resolve(writer, self._view(writer), request, author, request_id))
        return await self._read_apart(lambda view: reported(view, filed))  # no writer waits for what this looks at

    def session(self, handle: str) -> r.SessionInfo:
        """A session of whoever looks, open or not; one read. Raises HandleNotFound."""
        return self._read(lambda view: session_info(session_record(view.reader, handle, view.principal)))

    async def branch(self, name: str, kind: str, source: str, author: Author, request_id: str = "") -> r.RefInfo:
        """Make a branch or an immutable tag. The same one again is answered as made."""
        self._screen.texts({}, {"name": name, **names_of(author)})
        return await self._store.write(
            lambda writer: make_ref(writer, self._view(writer), name, kind, source, author, request_id)
        )

    async def delete_branch(self, name: str, author: Author, request_id: str = "") -> r.RefInfo:
        """Drop a branch's name; its commits stay."""
        self._screen.texts({}, names_of(author))
        return await self._store.write(lambda writer: drop_branch(writer, name, author, request_id))

    def erased_since(self, size: int) -> bool:
        """Whether something was erased behind the first `size` events of the log."""
        with self._store.reading() as reader:
            return erased_since(reader, size)

    async def deny(self, denial: Denial, author: Author) -> None:
        """Log that somebody was refused something."""
        await self._store.write(lambda writer: log_denial(writer, author, denial))

    # --- reading --------------------------------------------------------------

    async def get(self, ref: str, path: Tokens, *, depth: int | None, max_bytes: int, cursor: str) -> r.GetResult:
        """A value or subtree at any ref, at most `max_bytes` of JSON a page."""
        found = self._read(lambda view: get_small(view, ref, path, depth, max_bytes, cursor))
        if found is not None:
            return found
        return await self._read_apart(lambda view: get(view, ref, path, depth, max_bytes, cursor))

    async def search(
        self, ref: str, query: str, *, mode: str, prefix: Tokens, limit: int, cursor: str
    ) -> r.SearchResult:
        """Keys and values by text, regular expression or JSONPath."""

        def page(view: View, most: int, at: str) -> r.SearchResult:
            return search(view, ref, query, mode, prefix, most, at)

        return await self._read_apart(lambda view: _counted(page, view, limit, cursor, _matches))

    async def list_refs(self, prefix: str, *, kind: str, limit: int, cursor: str) -> r.RefList:
        """Branches and tags, with what they are ahead and behind."""
        return await self._read_apart(lambda view: list_refs(view, prefix, kind, limit, cursor))

    async def diff(self, ref_a: str, ref_b: str, path: Tokens, *, limit: int, cursor: str) -> r.DiffResult:
        """Typed changes between any two refs."""

        def page(view: View, most: int, at: str) -> r.DiffResult:
            return diff(view, ref_a, ref_b, path, limit=most, cursor=at)

        return await self._read_apart(lambda view: _counted(page, view, limit, cursor, _changes))

    async def log(self, ref: str, path: Tokens, *, limit: int, cursor: str) -> r.LogResult:
        """Commits a ref reaches, newest first; with a path, those that changed it."""

        def page(view: View, most: int, at: str) -> r.LogResult:
            return log(view, ref, path, limit=most, cursor=at)

        return await self._read_apart(lambda view: _counted(page, view, limit, cursor, _commits))

    async def blame(
        self, ref: str, path: Tokens, *, depth: int, history: bool, limit: int, cursor: str
    ) -> r.BlameResult:
        """Who last changed a path and every field below it, or deleted it; with `history`, every change."""

        def page(view: View, most: int, at: str) -> r.BlameResult:
            return blame(view, ref, path, depth=depth, history=history, limit=most, cursor=at)

        return await self._read_apart(lambda view: _counted(page, view, limit, cursor, _entries))

    async def query(self, query: Query) -> r.QueryResult:
        """Commits, agents or state entries that pass every filter."""

        def page(view: View, most: int, at: str) -> r.QueryResult:
            return run_query(view, replace(query, limit=most, cursor=at))

        return await self._read_apart(lambda view: _counted(page, view, query.limit, query.cursor, _found))

    async def read(self, work: Callable[[View], T]) -> T:
        """What `work` makes of one moment, on a thread: for services that look at states themselves."""
        return await self._read_apart(work)

    async def verify(
        self, progress: Progress, scope: Scope | None = None, journal: Journal | None = None
    ) -> VerifyReport:
        """Replay and hash everything again, or what the scope says. `progress` is called on another thread.

        Whoever cancels it can go on later from what the journal keeps; see `verify`.
        """
        return await verify_apart(self._store, progress, self._signer, scope or Scope(), journal)

    async def health(self) -> Health:
        """Versions, known faults, settings, sizes."""
        return await self._store.check()

    async def collect(self, request: CollectRequest, author: Author, progress: Progress) -> Collected:
        """Take away what nothing needs any more, or tell what that would be. `progress` may be called on any thread."""
        reason = self._screen.texts({"reason": request.reason}, names_of(author))["reason"]
        return await Collection(self._store, replace(request, reason=reason), author, progress).run()

    def _view(self, reader: Reader | Writer) -> View:
        return View(reader, self._store.hasher, self._graph, self._principal)

    def _read(self, work: Callable[[View], T]) -> T:
        with self._store.reading() as reader:
            return work(self._view(reader))

    async def _read_apart(self, work: Callable[[View], T]) -> T:
        return await anyio.to_thread.run_sync(lambda: self._read(work))


def _counted(
    page: Callable[[View, int, str], Page], view: View, limit: int, cursor: str, size: Callable[[Page], int]
) -> Page:
    """A page that says how much it left out, as far as one more page of COUNT_AHEAD_MAX tells."""
    first = page(view, limit, cursor)
    if not first.next_cursor:
        return first
    return replace(first, omitted=size(page(view, COUNT_AHEAD_MAX, first.next_cursor)))


def _matches(found: r.SearchResult) -> int:
    return len(found.matches)


def _changes(found: r.DiffResult) -> int:
    return len(found.changes)


def _commits(found: r.LogResult) -> int:
    return len(found.commits)


def _entries(found: r.BlameResult) -> int:
    return len(found.entries)


def _found(found: r.QueryResult) -> int:
    return len(found.items) + len(found.groups)
