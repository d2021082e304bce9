"""Epochs: commits grouped by their root intents or by time, until a seal fixes them for ever.

    EPOCH_OPENED   which work: description, root intents, the last commit before it
    EPOCH_SEALED   what it came to: summary, number and root of the members, the size of the log with this event
    EPOCH_SIGNED   the checkpoints of the log at the opening and at that size, signed: the second covers the seal, so
                   it can only follow it

Nothing about an epoch comes after its seal but its signature. Commits carry no mark of
an epoch: they are members by what they serve and when they were made, so whoever has
the log's events can tell the members again, and writing never waits for an epoch.
Trials in speculations are no members (see `lineage`): only what was committed to branches is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from asg_mcp.core.events import EventKind
from asg_mcp.core.ids import is_prefix
from asg_mcp.core.intents import Author, Category, Intent, check_name
from asg_mcp.core.limits import EPOCH_ROOTS_MAX, NEAREST_MAX, REASONING_BYTES_MAX
from asg_mcp.core.notes import Note, VerifierKey, parse_checkpoint
from asg_mcp.core.refs import check_ref_name
from asg_mcp.core.times import format_time, parse_time
from asg_mcp.core.values import checked
from asg_mcp.errors import Conflict, Forbidden, InvalidArgument, InvalidName, LimitExceeded, NotFound, RefExists
from asg_mcp.repo.branches import DEFAULT_BRANCH, EPOCH_TAGS
from asg_mcp.repo.epochmembers import LookedBehind, check_behind, check_members, newest_pruned
from asg_mcp.repo.intents import own_session
from asg_mcp.repo.ledger import is_lacking, log_event
from asg_mcp.repo.lineage import Lineage, whole_id
from asg_mcp.repo.permits import open_session_record
from asg_mcp.repo.repeats import fingerprint, recall, remember
from asg_mcp.repo.requests import EpochRequest
from asg_mcp.repo.resolve import commits_seen, tried_in
from asg_mcp.repo.results import EpochInfo
from asg_mcp.repo.streams import seqs_of
from asg_mcp.repo.view import View
from asg_mcp.storage.base import Reader, Record, RecordKind, Ref, RefKind, TermKind, Writer

OPEN, SEALED = "open", "sealed"
_PAGE = 500
_SHOWN_AS_KEPT = ("summary", "tag", "size", "members", "root", "opening", "checkpoint", "key")


@dataclass(frozen=True, slots=True)
class RootsTold:
    """Which root intents of an epoch may not be what was meant."""

    unknown: tuple[str, ...]
    """Nothing is called so yet."""
    earlier: tuple[str, ...]
    """Some of the commits below these were made before the epoch begins, and are no members."""


def looked_behind(reader: Reader, request: EpochRequest) -> LookedBehind:
    """The pass over what was made since a time, for `open_epoch`. Raises InvalidArgument for a time to come."""
    lineage = Lineage(_roots(reader, request.root_intents), _seq_of(reader, _last_before(reader, request.since)))
    lineage.advance(reader, reader.last_seq())
    return LookedBehind(reader.events_count(), newest_pruned(reader, lineage))


def open_epoch(
    writer: Writer, request: EpochRequest, author: Author, request_id: str, looked: LookedBehind | None
) -> tuple[Record, bool]:
    """Open an epoch that a checked request asks for. The same one again is answered as opened.

    `looked` is what `looked_behind` saw, where the request has a `since`. Once an epoch is open, nothing that may
    become a member is pruned (see `collectingmarks`). Returns its record, and whether this is the answer to an
    earlier request with the same request_id. Raises InvalidArgument for a time to come, Conflict when the id is taken
    by an epoch of other arguments, RefExists when it is by a tag, Pruned, StoreBusy, and RequestReused.
    """
    asked = fingerprint("create_epoch", request) if request_id else b""
    known = recall(writer, author.principal, request_id, asked)
    _check_session(writer, author)
    record = writer.record(RecordKind.EPOCH, request.epoch)
    if known is not None and record is not None:
        return record, True
    told = {
        "description": request.description,
        "root_intents": list(request.root_intents),
        "since": request.since,
        "tags": list(request.tags),
    }
    if record is None:
        _check_tag_free(writer, request.epoch)
        after = _last_before(writer, request.since)
        if looked is not None:
            check_behind(writer, _seq_of(writer, after), looked)
        body = {
            **told,
            "roots": _roots(writer, request.root_intents),
            "after": after,
            "principal": author.principal,
            "agent": author.agent,
            "opened_at": writer.now(),
            "state": OPEN,
        }
        log_event(writer, EventKind.EPOCH_OPENED, author, subject=request.epoch, body=body)
        record = writer.record(RecordKind.EPOCH, request.epoch)
        assert record is not None, "BUG: the event made it"
    elif any(record.data[name] != said for name, said in told.items() if not is_lacking(record, name)):
        raise Conflict(
            f"There is an epoch {request.epoch} already, opened with other arguments",
            hint="Choose another id, or go on with that epoch: its commits join by themselves."
            if record.data["state"] == OPEN
            else "Choose another id: that epoch is sealed, and nothing joins it any more.",
            epoch=request.epoch,
            state=record.data["state"],
        )
    remember(writer, author.principal, request_id, asked, [request.epoch])
    return record, False


def seal_epoch(
    writer: Writer, epoch: str, summary: str, author: Author, request_id: str, lineage: Lineage | None
) -> tuple[Record, bool]:
    """Fix the members of an epoch, tag the head of the default branch, and log the seal. Once sealed, it is answered.

    `lineage` is what `lineage_of` found on an earlier reader, and was looked at then for pruned members; only the
    commits since are looked at here. Returns the
    record, and whether this is the answer to an earlier request with the same request_id. Raises NotFound, Conflict
    when it was sealed with another summary, RefExists when its tag's name is taken, Forbidden in a session that is
    bound to paths, Pruned where what a member held is gone, RequestReused.
    """
    check_summary(summary)
    asked = fingerprint("seal_epoch", epoch, summary) if request_id else b""
    known = recall(writer, author.principal, request_id, asked)
    _check_session(writer, author, whole=True)
    record = epoch_record(writer, epoch)
    if record.data["state"] == OPEN:
        counted = 0 if lineage is None else len(lineage.members)
        lineage = lineage or _lineage(writer, record)
        lineage.advance(writer, writer.last_seq())
        check_members(writer, newest_pruned(writer, lineage, counted), f"is a member of epoch {epoch}")
        tag = _make_tag(writer, epoch, author)
        body = {
            "state": SEALED,
            "summary": summary,
            "sealed_at": writer.now(),
            "commits": len(lineage.members),
            "members": lineage.root().hex(),
            "last": writer.commit(writer.last_seq()).id.hex(),
            "tag": tag.name,
            "size": writer.events_count() + 1,
        }
        log_event(writer, EventKind.EPOCH_SEALED, author, subject=epoch, body=body)
        record = epoch_record(writer, epoch)
    elif record.data["summary"] != summary and not is_lacking(record, "summary"):
        raise Conflict(
            f"Epoch {epoch} was sealed already, with another summary",
            hint="A seal is for ever. Repeat its own summary to have the answer again; new work needs a new epoch.",
            epoch=epoch,
            sealed_at=format_time(record.data["sealed_at"]),
        )
    if known is None:
        remember(writer, author.principal, request_id, asked, [epoch])
    return record, known is not None


def sign_epoch(writer: Writer, epoch: str, opening: Note, sealing: Note, key: VerifierKey, author: Author) -> Record:
    """Keep the signed checkpoints of a sealed epoch, at its opening and at its seal; the first that are kept stay."""
    record = epoch_record(writer, epoch)
    assert record.data["state"] == SEALED, "BUG: a seal is signed when it is durable"
    if "checkpoint" in record.data:
        return record
    root = parse_checkpoint(sealing.text).root
    body = {"root": root.hex(), "opening": str(opening), "checkpoint": str(sealing), "key": str(key)}
    log_event(writer, EventKind.EPOCH_SIGNED, author, subject=epoch, body=body)
    return epoch_record(writer, epoch)


def epoch_record(reader: Reader, epoch: str) -> Record:
    """The record of an epoch. Raises NotFound, with the nearest there are."""
    record = reader.record(RecordKind.EPOCH, epoch)
    if record is None:
        names = [other.key for other in epoch_records(reader)]
        nearest = get_close_matches(epoch, names, n=NEAREST_MAX, cutoff=0.5) or names[:NEAREST_MAX]
        raise NotFound(
            f"There is no epoch {epoch!r}",
            hint="asg_create_epoch makes one; asg_query with target epochs lists them.",
            epoch=epoch,
            nearest=nearest,
        )
    return record


def epoch_records(reader: Reader) -> Iterator[Record]:
    """All epochs, the newest first."""
    before = reader.events_count()
    while page := reader.records(RecordKind.EPOCH, before, _PAGE):
        yield from page
        before = page[-1].opened


def lineage_of(reader: Reader, record: Record) -> Lineage:
    """The members of an epoch: those of a sealed one, or those so far."""
    lineage = _lineage(reader, record)
    sealed = record.data["state"] == SEALED
    lineage.advance(reader, _seq_of(reader, record.data["last"]) if sealed else reader.last_seq())
    return lineage


def epoch_info(reader: Reader, record: Record) -> EpochInfo:
    """An epoch as it is shown. Members of an open one are counted now, and what follows a seal where it has roots."""
    data = record.data
    sealed = data["state"] == SEALED
    return EpochInfo(
        epoch=record.key,
        state=data["state"],
        description=data["description"],
        root_intents=tuple(data["root_intents"]),
        since=data["since"],
        tags=tuple(data["tags"]),
        principal=data["principal"],
        agent=data["agent"],
        opened_at=format_time(data["opened_at"]),
        opened=record.opened,
        commits=data["commits"] if sealed else len(lineage_of(reader, record).members),
        follows=_follows(reader, record) if sealed else 0,
        sealed_at=format_time(data["sealed_at"]) if sealed else "",
        **{name: data[name] for name in _SHOWN_AS_KEPT if name in data},
    )


def checked_request(request: EpochRequest) -> None:
    """Raise InvalidName, InvalidArgument or LimitExceeded unless an epoch may be asked for like this."""
    if "/" in request.epoch:
        raise InvalidName(f"The epoch id {request.epoch!r} has a /", hint="Use - or . between its parts.")
    check_ref_name(request.epoch)
    check_ref_name(EPOCH_TAGS + request.epoch)
    Intent(Category.CUSTOM, request.description, tags=request.tags)  # the same rules as those of any commit
    if len(request.root_intents) > EPOCH_ROOTS_MAX:
        raise LimitExceeded(
            f"There are {len(request.root_intents)} root intents; at most {EPOCH_ROOTS_MAX}",
            hint="Name an intent that is an ancestor of several.",
            limit="EPOCH_ROOTS_MAX",
            max=EPOCH_ROOTS_MAX,
        )
    for root in request.root_intents:
        check_name(root, "root intent")
    if request.since:
        parse_time(request.since)


def _check_session(writer: Writer, author: Author, *, whole: bool = False) -> None:
    """Raise HandleNotFound unless the author's session, if it has one, is open.

    With `whole`, raise Forbidden where it is bound to paths: what is asked for is about the whole store.
    """
    if not author.session:
        return
    data = open_session_record(writer, author.session, author.principal, writer.now()).data
    if whole and data["scope"]:
        raise Forbidden(
            f"A seal is of the whole store, and session {author.session} is bound to {', '.join(data['scope'])}",
            hint="Have whoever opened the session seal it; asg_resolve reports what was done in it.",
            scope=data["scope"],
        )


def check_summary(summary: str) -> None:
    """Raise InvalidArgument, InvalidValue or LimitExceeded unless an epoch may be sealed with this summary."""
    checked(summary)
    if not summary.strip():
        raise InvalidArgument("The summary is empty", hint="Say in a few sentences what the epoch came to.")
    if len(summary.encode()) > REASONING_BYTES_MAX:
        raise LimitExceeded(
            f"The summary has {len(summary.encode())} bytes; at most {REASONING_BYTES_MAX}",
            hint="Shorten it; long material can be stored as a value.",
            limit="REASONING_BYTES_MAX",
            max=REASONING_BYTES_MAX,
        )


def _roots(reader: Reader, given: tuple[str, ...]) -> list[str]:
    """The names of the root intents; what begins the id of one commit stands for that commit too."""
    below = reader.last_seq() + 1
    return sorted({name for root in given for name in (root, _whole(reader, root, below)) if name})


def _whole(reader: Reader, root: str, below: int) -> str:
    found = whole_id(reader, root, below)
    # A trial links nothing, and its whole id would tell whoever does not see it that it is there.
    return "" if found and tried_in(reader, reader.commit(_seq_of(reader, found))) else found


def roots_told(view: View, record: Record) -> RootsTold:
    """What whoever opened an epoch over root intents should know of them. Found by the index, not by a pass."""
    after = _seq_of(view.reader, record.data["after"])
    unknown, earlier = [], []
    for root in record.data["root_intents"]:
        seqs = _serving(view, root)
        first = next(seqs, None)
        if first is None and own_session(view, root) is None:
            unknown.append(root)
        elif first is not None and first <= after:
            earlier.append(root)
    return RootsTold(tuple(unknown), tuple(earlier))


def _serving(view: View, root: str) -> Iterator[int]:
    """The commits that bear an intent or serve it directly, those that may be seen; of each kind the oldest first."""
    if is_prefix(root):
        yield from commits_seen(view.reader, view.graph, root, view.principal, 1)
    yield from seqs_of(view.reader, (TermKind.INTENT, root), rising=True)
    yield from seqs_of(view.reader, (TermKind.SESSION, root), rising=True)


def _last_before(reader: Reader, since: str) -> str:
    """The id of the last commit that does not belong to an epoch opened now; "" where all do."""
    last = reader.last_seq()
    if since:
        if parse_time(since) > reader.now():
            raise InvalidArgument(
                f"since is {since}, which is to come", hint="Leave since out: commits join from now on."
            )
        first, newest = reader.seqs_between(parse_time(since), None)
        last = first - 1 if newest else last
    return reader.commit(last).id.hex() if last else ""


def _lineage(reader: Reader, record: Record) -> Lineage:
    return Lineage(record.data["roots"], _seq_of(reader, record.data["after"]))


def _seq_of(reader: Reader, commit: str) -> int:
    if not commit:
        return 0
    [seq] = reader.commit_seqs(commit, 2)
    return seq


def _follows(reader: Reader, record: Record) -> int:
    """How many commits that were made after the seal serve the same root intents."""
    if not record.data["roots"]:
        return 0
    lineage = Lineage(record.data["roots"], _seq_of(reader, record.data["last"]))
    lineage.advance(reader, reader.last_seq())
    return len(lineage.members)


def _make_tag(writer: Writer, epoch: str, author: Author) -> Ref:
    head = writer.ref(DEFAULT_BRANCH)
    assert head is not None, "BUG: the default branch cannot be deleted"
    _check_tag_free(writer, epoch)
    tag = Ref(EPOCH_TAGS + epoch, RefKind.TAG, head.seq)
    writer.swap_ref(None, tag)
    log_event(writer, EventKind.REF_CREATED, author, new=tag)
    return tag


def _check_tag_free(writer: Writer, epoch: str) -> None:
    name = EPOCH_TAGS + epoch
    found = writer.ref(name)
    if found is not None:
        raise RefExists(
            f"The seal makes the tag {name}, and there is a {found.kind.label} of that name",
            hint="Delete that branch." if found.kind is RefKind.BRANCH else "Open an epoch with another id.",
            ref=name,
        )
