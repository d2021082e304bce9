"""One write: check what the caller had read, apply, store, move the ref."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from asg_mcp.core.commits import TREE_LAYOUT, Header, RecordedOperation, body_id, body_of, operations_id
from asg_mcp.core.edits import Editor, entries_of
from asg_mcp.core.events import EventKind
from asg_mcp.core.flat import Held, has_marker, unmarked
from asg_mcp.core.ids import CommitId, Id, is_prefix
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.limits import COMMIT_BYTES_MAX, NAME_BYTES_MAX, OPERATIONS_MAX
from asg_mcp.core.mergerules import SCHEMA_ROOT
from asg_mcp.core.noderows import pack_node, stored_as
from asg_mcp.core.nodes import NOTHING, Blob, Branch, Entry, Hasher, Leaf, Link, Node
from asg_mcp.core.operations import Absent, Op, Operation
from asg_mcp.core.paths import Tokens, format_path, parse_path
from asg_mcp.core.state import Gap, State
from asg_mcp.core.values import checked_sized, encode
from asg_mcp.errors import Forbidden, InvalidPath, LimitExceeded, RefNotFound
from asg_mcp.repo.graph import Graph
from asg_mcp.repo.guards import Guard, check_head, check_object
from asg_mcp.repo.ledger import log_commit
from asg_mcp.repo.permits import check_permit
from asg_mcp.repo.records import pack_commit, terms_of
from asg_mcp.repo.repeats import asked_for, kept_warnings, recall, recalled_warnings, remember
from asg_mcp.repo.resolve import SPECULATION_PREFIX, no_such_ref, state_at
from asg_mcp.repo.results import SchemaWarning, WriteResult
from asg_mcp.repo.validation import check_against_schema, has_schema
from asg_mcp.storage.base import CommitRow, Reader, Ref, RefKind, Writer

KEPT_ROOTS = {"_meta": "the version of the state's schema", "plans": "plans and their tasks"}
"""Roots that no ordinary write changes; a write to / keeps them."""
BRIEF_OPERATIONS_MAX = 8
BRIEF_BYTES_MAX = 1_024
"""Of one value, in canonical bytes."""
Judge = Callable[[State, Operation], None]
"""Raises where a move may not be done in a state."""
_NAME = re.compile(r"[A-Za-z0-9._/-]+")


@dataclass(frozen=True, slots=True)
class Request:
    """What a write is asked to do."""

    ref: str
    operations: tuple[Operation, ...]
    intent: Intent
    author: Author
    guard: Guard


def checked_operations(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """The operations with values that may be stored.

    Raises what `values.checked` raises, LimitExceeded, and Forbidden for paths that have tools of their own.
    """
    if len(operations) > OPERATIONS_MAX:
        raise LimitExceeded(
            f"{len(operations)} operations; at most {OPERATIONS_MAX} fit one commit",
            hint="Split them over several commits.",
            limit="OPERATIONS_MAX",
            max=OPERATIONS_MAX,
        )
    check_kept(operations)
    out = []
    size = 0
    for operation in operations:
        value = operation.value
        if not isinstance(value, Absent):
            value, its_size = checked_sized(value, depth=len(operation.path))
            size += its_size
        if size > COMMIT_BYTES_MAX:
            raise LimitExceeded(
                f"The operations carry more than {COMMIT_BYTES_MAX} bytes",
                hint="Split them over several commits.",
                limit="COMMIT_BYTES_MAX",
                max=COMMIT_BYTES_MAX,
            )
        out.append(operation if value is operation.value else replace(operation, value=value))
    return tuple(out)


def are_brief(operations: Sequence[Operation]) -> bool:
    """Whether the operations bring few and small values, so that a transaction of them is most likely short.

    What is moved or deleted may be large; a value at the root, or a schema, is looked at with all of the state.
    """
    return len(operations) <= BRIEF_OPERATIONS_MAX and all(
        operation.path
        and operation.path[0] != SCHEMA_ROOT
        and not isinstance(operation.value, Absent)
        and len(encode(operation.value)) <= BRIEF_BYTES_MAX
        for operation in operations
    )


def _gone_already(state: State, operation: Operation) -> bool:
    """Whether an operation deletes what is not there: with expected_object that is success, for it is already so."""
    return operation.op is Op.DELETE and isinstance(state.locate(operation.path), Gap)


def check_kept(operations: Sequence[Operation]) -> None:
    """Raise Forbidden for an operation on a root that has tools of its own, and InvalidPath for a move to the root."""
    for operation in operations:
        _check_kept(operation, operation.path)
        if operation.source is not None:
            _check_kept(operation, operation.source)


def _check_kept(operation: Operation, path: Tokens) -> None:
    if operation.op is Op.MOVE and operation.path == ():
        raise InvalidPath(
            "Nothing can be moved to the root", hint="Set / to the value, or move to a path below it.", path="/"
        )
    named = list(path[:1])
    if path == () and operation.op is Op.SET and isinstance(operation.value, dict):
        named = [key for key in operation.value if key in KEPT_ROOTS]
    for root in named:
        if root in KEPT_ROOTS and operation.op is not Op.TEST:
            raise Forbidden(
                f"/{root} is kept for {KEPT_ROOTS[root]}",
                hint="Use another key. A write to / leaves it as it is, so leave it out there.",
                path=f"/{root}",
            )


def run(
    writer: Writer, hasher: Hasher, request: Request, graph: Graph | None = None, judge: Judge | None = None
) -> WriteResult:
    """Apply a request's (checked) operations to a branch as one commit, each move once `judge` has let it be.

    Runs on the writer's thread; writes nothing when it raises HeadMoved,
    ObjectChanged, TestFailed, RequestReused, RefNotFound or an error of an operation.
    """
    asked = asked_for(hasher, request.guard.request_id, "commit", request)
    known = recall(writer, request.author.principal, request.guard.request_id, asked)
    if known is not None:
        return _recalled(known)
    ref = branch_of(writer, request.ref)
    head = writer.commit(ref.seq)
    state = state_at(writer, hasher, head)
    guard, operations = request.guard, request.operations
    seen_by, graph = request.author.principal, graph or Graph()
    rebased = check_head(writer, hasher, graph, guard.expected_head, head, state, operations, seen_by)
    origin = writer.last_seq() + 1
    if guard.expected_object and all(_gone_already(state, operation) for operation in operations):
        operations = tuple(operation for operation in operations if operation.op is not Op.DELETE)
    edited = apply_all(state, operations, hasher, origin, judge)
    settled = bool(guard.expected_object) and _check_object(request, state, edited.state)
    if settled or (request.operations and not edited.changed):
        at = common_path(edited.paths or request_paths(request))
        result = WriteResult(head.id, ref.name, _parent(writer, head), object_at(edited.state, at), 0, rebased)
    else:
        commit = write_commit(writer, hasher, ref, head, edited, request.intent, request.author)
        made = (commit.id, ref.name, head.id, edited.object, edited.changed, rebased)
        result = WriteResult(*made, warnings=tuple(edited.warnings))
    if guard.request_id:
        remember(writer, request.author.principal, guard.request_id, asked, _memory(hasher, result))
    return result


def _check_object(request: Request, before: State, after: State) -> bool:
    """See `check_object`; it is what all paths of a request have in common that was read."""
    below = common_path(request_paths(request))
    writes = any(operation.op is not Op.TEST for operation in request.operations)
    return check_object(request.guard.expected_object, before, after, below, writes=writes)


@dataclass(frozen=True, slots=True)
class EditedAll:
    """A state after several operations, and what a commit records of them."""

    state: State
    changed: int
    recorded: list[RecordedOperation]
    paths: list[Tokens]
    object: Id | None
    warnings: list[SchemaWarning] = field(default_factory=list)
    """What the state's schema says of it: filled in by write_commit."""
    decided: list[Tokens] = field(default_factory=list)
    """Paths on which a merge chose between the sides, though it may have changed nothing there."""


def apply_all(
    state: State, operations: Sequence[Operation], hasher: Hasher, origin: int, judge: Judge | None = None
) -> EditedAll:
    """Apply operations in order; those that change nothing are not recorded. Raises what they and `judge` raise."""
    editor = Editor(state, origin)
    total = 0
    recorded: list[RecordedOperation] = []
    paths: list[Tokens] = []
    for operation in operations:
        if not operation.path and operation.op is Op.SET and isinstance(operation.value, dict):
            operation = replace(operation, value={**_kept(editor.state), **operation.value})
        if operation.op is Op.SET and has_marker(operation.value):
            operation = _written_back(editor.state, operation)
        if operation.op is Op.MOVE and judge is not None:
            judge(editor.state, operation)
        entries = entries_of(operation, origin, hasher)
        for entry in entries or ():
            hasher.value_id(entry)  # made once here, and kept by the copies that go into the tree
        changed, path = editor.apply(operation.op, operation.path, operation.source, entries)
        paths.append(path)
        if changed:
            total += changed
            source = None if operation.source is None else format_path(operation.source)
            recorded.append(RecordedOperation(operation.op, format_path(operation.path), source, entries))
    after = editor.state
    return EditedAll(after, total, recorded, paths, _object_after(after, recorded, paths, hasher))


def _object_after(
    state: State, recorded: Sequence[RecordedOperation], paths: Sequence[Tokens], hasher: Hasher
) -> Id | None:
    """The object at what the paths have in common; where one scalar alone was set, it is that."""
    if len(paths) == 1 and recorded and recorded[0].op is Op.SET and recorded[0].entries:
        value_id = hasher.value_id(recorded[0].entries[0])
        if value_id is not None:
            return value_id
    return object_at(state, common_path(paths or [()]))


def _written_back(state: State, operation: Operation) -> Operation:
    """Whoever reads a map with markers in it, changes a part and sets it again, leaves what was erased as it is."""
    place = state.locate(operation.path)
    if isinstance(place, Gap):
        return operation
    blobs = (entry.value for entry in state.tree.entries(place.rank, place.end) if type(entry.value) is Blob)
    return replace(operation, value=unmarked(operation.value, {blob.id.short: Held.of_blob(blob) for blob in blobs}))


def _kept(state: State) -> dict[str, Any]:
    kept = {}
    for root in KEPT_ROOTS:
        spot = state.locate((root,))
        if not isinstance(spot, Gap):
            kept[root] = state.carried(spot)
    return kept


def write_commit(
    writer: Writer,
    hasher: Hasher,
    ref: Ref,
    head: CommitRow,
    edited: EditedAll,
    intent: Intent,
    author: Author,
    *,
    others: tuple[CommitRow, ...] = (),
) -> CommitRow:
    """Store nodes, commit, index rows and event, and move the ref: the one way to a commit on a ref.

    `others` are the further parents of a merge. Raises Forbidden and HandleNotFound where the author's session may not
    do this, and what check_against_schema raises; its warnings are then in `edited`.
    """
    check_permit(writer, author, ref, edited.recorded, edited.decided)
    if has_schema(edited.state):
        check_schema(state_at(writer, hasher, head), edited)
    row = store_commit(writer, hasher, (head, *others), edited, intent, author)
    writer.swap_ref(ref, Ref(ref.name, ref.kind, row.seq))
    log_commit(writer, EventKind.COMMIT, ref, head, row, author)
    return row


def check_schema(before: State, edited: EditedAll) -> None:
    """Judge a state by the schema in it, and note the warnings. Raises what check_against_schema raises."""
    written = (text for operation in edited.recorded for text in (operation.path, operation.source))
    changed = (parse_path(text) for text in written if text is not None)
    edited.warnings[:] = check_against_schema(before, edited.state, changed)


def store_commit(
    writer: Writer,
    hasher: Hasher,
    parents: tuple[CommitRow, ...],
    edited: EditedAll,
    intent: Intent,
    author: Author,
) -> CommitRow:
    """Store nodes, commit and index rows, without a ref."""
    root_row = store_tree(writer, edited.state.tree.root)
    _store_blobs(writer, [entry for operation in edited.recorded for entry in operation.entries or ()])
    salt, body = writer.salt(), body_of(intent)
    header = Header(
        layout=TREE_LAYOUT,
        parents=tuple(parent.id for parent in parents),
        root=edited.state.tree.id,
        category=intent.category,
        confidence=intent.confidence,
        author=author,
        intent_id=intent.intent_id,
        parent_intent=intent.parent_intent,
        at=writer.now(),
        operations=operations_id(edited.recorded, hasher),
        body=body_id(salt, body),
    )
    parts = pack_commit(writer, header, salt, body, edited.recorded, root_stored=bool(root_row))
    seq = writer.last_seq() + 1
    row = CommitRow(seq, header.id, tuple(parent.seq for parent in parents), header.at, root_row, parts)
    writer.put_commit(row, terms_of(header, body, edited.recorded), f"{intent.description}\n{intent.reasoning}")
    return row


def store_tree(writer: Writer, link: Link) -> int:
    """Store the nodes below a link that are only in memory, children first; returns the row of its node."""
    node = link.node
    if node is None:
        return link.row
    if type(node) is Branch:
        for child in node.items:
            if child.node is not None:
                store_tree(writer, child)
    else:
        assert type(node) is Leaf, "BUG: a node is a leaf or a branch"
        _store_blobs(writer, node.items)
    return _store_node(writer, link, node)


def _store_node(writer: Writer, link: Link, node: Node) -> int:
    payload, depth = pack_node(node)
    row = writer.next_row()
    writer.put_node(row, payload, node)
    node.stored = stored_as(node, row, depth)
    link.row, link.node = row, None
    node.link = link
    return row


def _store_blobs(writer: Writer, entries: Sequence[Entry]) -> None:
    for entry in entries:
        blob = entry.value
        if type(blob) is Blob and not blob.row and not blob.erased:
            row = writer.next_row()
            writer.put_blob(row, encode([blob.value]), blob.group)
            blob.row, blob.value = row, NOTHING


def create_store(writer: Writer, hasher: Hasher, branch: str, author: Author) -> None:
    """The first commit and the first branch of an empty store; nothing when it has them."""
    if writer.last_seq():
        return
    state = State.empty(writer, hasher, 1)
    edited = EditedAll(state, 0, [], [], None)
    row = store_commit(writer, hasher, (), edited, Intent(Category.CHECKPOINT, "The store was created."), author)
    writer.swap_ref(None, Ref(branch, RefKind.BRANCH, row.seq))
    log_commit(writer, EventKind.STORE_CREATED, Ref(branch, RefKind.BRANCH, row.seq), None, row, author)


def branch_of(writer: Reader, name: str) -> Ref:
    """The branch that a write goes to.

    Raises RefNotFound when there is none, and Forbidden for a tag or a speculation.
    """
    if name.startswith(SPECULATION_PREFIX):  # whether there is one or not: others may not learn that
        raise Forbidden(
            f"{name[:NAME_BYTES_MAX]} is no branch, but a speculation",
            hint="Try things in it with asg_spec_modify; asg_commit_spec brings them to a branch.",
            ref=name[:NAME_BYTES_MAX],
        )
    ref = writer.ref(name)
    if ref is None:
        if not _NAME.fullmatch(name):
            raise RefNotFound(
                f"{name!r} is no branch, and a write needs one",
                hint="Name a branch, or make one from it with asg_branch.",
                ref=name,
            )
        if not is_prefix(name):
            raise no_such_ref(writer, name)
        raise RefNotFound(  # whether there is such a commit or not: others may not learn that of a trial
            f"{name} is no branch, and a write needs a branch",
            hint="Where it is a commit, make a branch from it with asg_branch.",
            ref=name,
        )
    if ref.kind is RefKind.TAG:
        raise Forbidden(
            f"{name} is a tag, and tags never move", hint="Make a branch from it with asg_branch.", ref=name
        )
    return ref


def request_paths(request: Request) -> list[Tokens]:
    """The paths that a request writes; the root when it writes none."""
    return [operation.path for operation in request.operations] or [()]


def common_path(paths: Sequence[Tokens]) -> Tokens:
    """The deepest path that contains them all."""
    first, last = min(paths), max(paths)
    count = 0
    for a, b in zip(first, last, strict=False):
        if a != b:
            break
        count += 1
    return first[:count]


def object_at(state: State, path: Tokens) -> Id | None:
    """The object at a path; None where nothing is."""
    place = state.locate(path)
    return None if isinstance(place, Gap) else state.object(place)


def _parent(writer: Writer, row: CommitRow) -> CommitId | None:
    return writer.commit(row.parents[0]).id if row.parents else None


def _memory(hasher: Hasher, result: WriteResult) -> list[Any]:
    told = kept_warnings(hasher, result.warnings)
    return [result.commit, result.ref, result.parent, result.object, result.changed, result.rebased, told]


def _recalled(answer: list[Any]) -> WriteResult:
    commit, ref, parent, content, changed, rebased, *told = answer  # replies kept by older programs have no warnings
    return WriteResult(
        CommitId(commit),
        ref,
        None if parent is None else CommitId(parent),
        None if content is None else Id(content),
        changed,
        rebased,
        replayed=True,
        warnings=recalled_warnings(told[0] if told else ()),
    )
