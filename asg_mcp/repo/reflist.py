"""The list of branches and tags."""

from __future__ import annotations

from asg_mcp.errors import InvalidArgument
from asg_mcp.repo import cursors
from asg_mcp.repo.graph import Graph
from asg_mcp.repo.records import info_of
from asg_mcp.repo.results import RefInfo, RefList
from asg_mcp.storage.base import Reader, Ref, RefKind

DEFAULT_BRANCH = "main"
KINDS: dict[str, RefKind | None] = {"all": None, "branch": RefKind.BRANCH, "tag": RefKind.TAG}
_PAGE = 500


def list_refs(reader: Reader, graph: Graph, prefix: str, kind: str, limit: int, cursor: str) -> RefList:
    """The branches and tags whose names begin with `prefix`, in name order; kind is branch, tag or all.

    Later pages go on behind the last name, with the refs as they are by then. Raises InvalidArgument and InvalidCursor.
    """
    cursors.check_limit(limit)
    if kind not in KINDS:
        raise InvalidArgument(f"There is no kind of ref called {kind!r}", hint=f"Use {', '.join(KINDS)}.")
    asked = cursors.digest(prefix, kind)
    after = cursors.read("refs", asked, cursor, str)[0] if cursor else ""
    wanted = KINDS[kind]
    found = _refs_after(reader, prefix, wanted, after, limit + 1)
    page = found[:limit]
    next_cursor = cursors.make("refs", asked, [page[-1].name]) if len(found) > limit else ""
    main = reader.ref(DEFAULT_BRANCH)
    infos = tuple(ref_info(reader, graph, ref, main) for ref in page)
    return RefList(infos, reader.refs_count(prefix, wanted), next_cursor)


def _refs_after(reader: Reader, prefix: str, kind: RefKind | None, after: str, count: int) -> list[Ref]:
    found: list[Ref] = []
    while len(found) < count:
        page = reader.refs(prefix, after, _PAGE)
        found += [ref for ref in page if kind is None or ref.kind is kind]
        if len(page) < _PAGE:
            break
        after = page[-1].name
    return found[:count]


def ref_info(reader: Reader, graph: Graph, ref: Ref, main: Ref | None) -> RefInfo:
    """A ref with its head commit, and how far it is ahead of and behind the default branch."""
    info = info_of(reader, reader.commit(ref.seq))
    ahead = behind = None
    if main is not None and ref.name != main.name:
        own, base = graph.reach(reader, ref.seq), graph.reach(reader, main.seq)
        ahead, behind = own.without(base), base.without(own)
    return RefInfo(ref.name, ref.kind.label, info.id, info.at, info.agent, info.description, ahead, behind)
