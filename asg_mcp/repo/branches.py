"""Making and dropping branches and tags."""

from __future__ import annotations

from asg_mcp.core.events import EventKind
from asg_mcp.core.ids import is_prefix
from asg_mcp.core.intents import Author
from asg_mcp.core.limits import NAME_BYTES_MAX, NEAREST_MAX
from asg_mcp.core.refs import check_ref_name
from asg_mcp.errors import Forbidden, InvalidArgument, InvalidName, RefExists, RefNotFound
from asg_mcp.repo.ledger import log_event
from asg_mcp.repo.permits import check_branch, open_session_record
from asg_mcp.repo.records import info_of, whole
from asg_mcp.repo.repeats import fingerprint, recall, remember
from asg_mcp.repo.resolve import SPECULATION_PREFIX, commits_seen
from asg_mcp.repo.results import RefInfo
from asg_mcp.repo.view import View
from asg_mcp.storage.base import Ref, RefKind, Writer

DEFAULT_BRANCH = "main"
"""Made with the store; it cannot be deleted."""
EPOCH_TAGS = "epoch/"
"""Before an epoch's id, in the name of the tag that its seal makes."""


def make_ref(writer: Writer, view: View, name: str, kind: str, source: str, author: Author, request_id: str) -> RefInfo:
    """A new branch or tag at the commit that `source` means.

    The same name at the same commit is already as asked, and is answered as such.
    Raises InvalidName, RefExists, and what resolving the source raises.
    """
    check_ref_name(name)
    if name.startswith(EPOCH_TAGS):
        raise InvalidName(
            f"{name}: names below {EPOCH_TAGS} are for the tags of sealed epochs", hint="Choose another name."
        )
    ref_kind = _kind(kind)
    asked = fingerprint("branch", name, kind, source) if request_id else b""
    known = recall(writer, author.principal, request_id, asked)
    if known is not None:
        return _info(writer, Ref(name, ref_kind, known[0]))
    if author.session:
        open_session_record(writer, author.session, author.principal, writer.now())
    row = whole(view.resolve(source))  # a name would promise what is not there any more
    ref = Ref(name, ref_kind, row.seq)
    existing = writer.ref(name)
    if existing is None and is_prefix(name) and commits_seen(writer, view.graph, name, author.principal, 1):
        raise InvalidName(
            f"{name} is how a commit's id begins, and would mean the branch from now on",
            hint="Choose a name that is not all hex digits.",
        )
    if existing is None:
        writer.swap_ref(None, ref)
        log_event(writer, EventKind.REF_CREATED, author, new=ref)
    elif existing != ref:
        raise RefExists(
            f"{name} is a {existing.kind.label} already, at {writer.commit(existing.seq).id.short}",
            hint="Choose another name, or delete it first with asg_delete_branch."
            if existing.kind is RefKind.BRANCH
            else "Tags never move: choose another name.",
            ref=name,
            commit=writer.commit(existing.seq).id.short,
        )
    remember(writer, author.principal, request_id, asked, [row.seq])
    return _info(writer, ref)


def drop_branch(writer: Writer, name: str, author: Author, request_id: str) -> RefInfo:
    """Drop a branch's name; its commits stay, and `asg_branch` from its last commit brings it back.

    Raises RefNotFound, and Forbidden for a tag or the default branch.
    """
    asked = fingerprint("delete_branch", name) if request_id else b""
    known = recall(writer, author.principal, request_id, asked)
    if known is not None:
        return _info(writer, Ref(name, RefKind.BRANCH, known[0]))
    if name.startswith(SPECULATION_PREFIX):
        raise RefNotFound(f"{name[:NAME_BYTES_MAX]} is no branch", hint="asg_discard drops a speculation.")
    ref = writer.ref(name)
    if ref is None:
        names = [other.name for other in writer.refs(name[:1], "", NEAREST_MAX) if other.kind is RefKind.BRANCH]
        hint = "It is a commit, and commits stay." if is_prefix(name) and not names else "asg_list_branches lists them."
        raise RefNotFound(f"No branch is called {name!r}", hint=hint, ref=name, nearest=names)
    if ref.kind is RefKind.TAG:
        raise Forbidden(f"{name} is a tag, and tags stay", hint="Only branches can be deleted.", ref=name)
    if author.session:
        data = open_session_record(writer, author.session, author.principal, writer.now()).data
        check_branch(author.session, data, name)
        if data["scope"]:
            raise Forbidden(
                f"Session {author.session} is bound to paths, and a branch holds all paths",
                hint="Leave the deletion to whoever opened the session.",
                scope=data["scope"],
            )
    if name == DEFAULT_BRANCH:
        raise Forbidden(f"{name} is the default branch", hint="It stays; revert its commits instead.", ref=name)
    writer.swap_ref(ref, None)
    log_event(writer, EventKind.REF_DELETED, author, old=ref)
    remember(writer, author.principal, request_id, asked, [ref.seq])
    return _info(writer, ref)


def _kind(kind: str) -> RefKind:
    if kind not in ("branch", "tag"):
        raise InvalidArgument(f"{kind!r} is no kind of ref", hint="Use branch or tag.")
    return RefKind[kind.upper()]


def _info(writer: Writer, ref: Ref) -> RefInfo:
    info = info_of(writer, writer.commit(ref.seq))
    return RefInfo(ref.name, ref.kind.label, info.id, info.at, info.agent, info.description)
