"""The list of branches and tags."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from asg_mcp.errors import InvalidArgument
from asg_mcp.repo import cursors
from asg_mcp.repo.records import info_of
from asg_mcp.repo.resolve import SPECULATION_PREFIX, is_expired, own_prefix
from asg_mcp.repo.results import RefInfo, RefList
from asg_mcp.repo.view import View
from asg_mcp.storage.base import RecordKind, Ref, RefKind

DEFAULT_BRANCH = "main"
KINDS: dict[str, frozenset[RefKind]] = {
    "all": frozenset(RefKind),
    **{kind.label: frozenset({kind}) for kind in RefKind},
}
_PAGE = 500
_LAST_SPECULATION = SPECULATION_PREFIX + "~"
"""Behind every handle, and before every name that goes on after them."""
SPECULATIONS_LISTED_MAX = 100_000
"""More are never open at once: each principal has a quota."""


def list_refs(view: View, prefix: str, kind: str, limit: int, cursor: str) -> RefList:
    """The refs whose names begin with `prefix`, in name order; kind is branch, tag, speculation (open ones) or all.

    Of speculations, whoever looks sees its own. Later pages go on behind the last name, with the refs as they are by
    then. Raises InvalidArgument and InvalidCursor.
    """
    cursors.check_limit(limit)
    if kind not in KINDS:
        raise InvalidArgument(f"There is no kind of ref called {kind!r}", hint=f"Use {', '.join(KINDS)}.")
    asked = cursors.digest(prefix, kind)
    after = cursors.read("refs", asked, cursor, str)[0] if cursor else ""
    wanted = KINDS[kind]
    found = list(islice(_refs_after(view, prefix, wanted, after), limit + 1))
    page = found[:limit]
    next_cursor = cursors.make("refs", asked, [page[-1].name]) if len(found) > limit else ""
    main = view.reader.ref(DEFAULT_BRANCH)
    infos = tuple(ref_info(view, ref, main) for ref in page)
    return RefList(infos, _total(view, prefix, wanted), next_cursor)


def _total(view: View, prefix: str, kinds: frozenset[RefKind]) -> int:
    total = sum(view.reader.refs_count(prefix, kind) for kind in kinds - {RefKind.SPECULATION})
    if RefKind.SPECULATION in kinds:
        # Only its own are looked at, as one principal sees them, however many others there are.
        own = own_prefix(view.principal)
        start = max(own, prefix) if own.startswith(prefix) or prefix.startswith(own) else ""
        found = _refs_after(view, start, frozenset({RefKind.SPECULATION}), "") if start else ()
        total += sum(1 for _ in islice(found, SPECULATIONS_LISTED_MAX))
    return total


def _refs_after(view: View, prefix: str, kinds: frozenset[RefKind], after: str) -> Iterator[Ref]:
    own = own_prefix(view.principal)
    while page := view.reader.refs(prefix, after, _PAGE):
        for ref in page:
            after = ref.name
            if ref.kind is RefKind.SPECULATION and not ref.name.startswith(own):
                after = own if ref.name < own else _LAST_SPECULATION
                break  # the others' are passed over without a look at any of them
            if ref.kind in kinds and _is_visible(view, ref):
                yield ref


def _is_visible(view: View, ref: Ref) -> bool:
    if ref.kind is not RefKind.SPECULATION:
        return True
    record = view.reader.record(RecordKind.SPECULATION, ref.name.removeprefix(SPECULATION_PREFIX))
    if record is None or is_expired(record, view.reader.now()):
        return False
    return not view.principal or record.data["principal"] == view.principal


def ref_info(view: View, ref: Ref, main: Ref | None) -> RefInfo:
    """A ref with its head commit, and how far it is ahead of and behind the default branch."""
    info = info_of(view.reader, view.reader.commit(ref.seq))
    ahead = behind = None
    if main is not None and ref.name != main.name:
        own, base = view.graph.reach(view.reader, ref.seq), view.graph.reach(view.reader, main.seq)
        ahead, behind = own.without(base), base.without(own)
    return RefInfo(ref.name, ref.kind.label, info.id, info.at, info.agent, info.description, ahead, behind)
