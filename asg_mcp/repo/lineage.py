"""Which commits an epoch holds: those whose intent, or an ancestor of it, is one of its root intents.

An intent goes by the id of its commit, by the caller's `intent_id`, or by the handle of
a session, whose commits it is the parent of. A child may be written before the commit that
says what its parent serves: what a commit serves is settled by all commits up to the seal.

What was tried in a speculation is passed over: it is no member, whatever it serves, and links
nothing to a root. What came of a trial is a member by the commit that brought it to a branch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asg_mcp.core.ids import DIGEST_BYTES, CommitId, is_prefix
from asg_mcp.core.merkle import leaf_hash, root_of_leaves
from asg_mcp.repo.records import info_of
from asg_mcp.repo.resolve import tried_in
from asg_mcp.repo.results import CommitInfo
from asg_mcp.storage.base import Reader, RecordKind, TermKind

_PAGE = 500


@dataclass(frozen=True, slots=True)
class _Intent:
    """What a commit or a session serves."""

    names: tuple[str, ...]
    """The id of the commit or the handle of the session, then the intent_id, if it has one."""
    parents: tuple[str, ...]
    seq: int = 0
    """The number of a commit that may be a member; 0 for all others."""
    commit: CommitId | None = None


class Lineage:
    """The members among the commits behind a first one, found by taking in the commits in order.

    What it has taken in stays taken in, so a pass over a long history can be made on
    one reader and finished, in the transaction of the seal, on the few commits since.
    """

    def __init__(self, roots: Sequence[str], after: int) -> None:
        """Without `roots` every commit above number `after` that was made on a branch is a member."""
        self.members: dict[int, CommitId] = {}
        """The ids of the members by their numbers."""
        self.upto = after
        """The number of the last commit that was taken in."""
        self._after = after
        self._everything = not roots
        self._served = set(roots)
        """Names of the intents that are a root or below one."""
        self._waiting: dict[str, list[_Intent]] = {}
        """Intents that are served as soon as the intent of this name is."""
        self._sought: set[str] = set()
        self._root: tuple[int, bytes] | None = None

    def advance(self, reader: Reader, upto: int) -> None:
        """Take in the commits up to this number."""
        for seq in range(self.upto + 1, upto + 1):
            row = reader.commit(seq)
            if tried_in(reader, row):
                continue
            if self._everything:
                self.members[seq] = row.id
            else:
                self._put(_commit_intent(reader, info_of(reader, row), seq))
        self.upto = max(upto, self.upto)
        self._look_back(reader)

    def in_order(self) -> list[CommitId]:
        """The ids of the members in the order of their commits."""
        return [self.members[seq] for seq in sorted(self.members)]

    def root(self) -> bytes:
        """The RFC 6962 root over the binary commit ids of the members, in the order in which they were made."""
        if self._root is None or self._root[0] != len(self.members):  # members are only ever added
            self._root = (len(self.members), root_of_leaves([leaf_hash(bytes(member)) for member in self.in_order()]))
        return self._root[1]

    def _put(self, intent: _Intent) -> None:
        if self._served.isdisjoint(intent.names) and self._served.isdisjoint(intent.parents):
            # Also under its intent_id: another commit of the same intent may say what that serves.
            for name in (*intent.names[1:], *intent.parents):
                self._waiting.setdefault(name, []).append(intent)
            return
        served = [intent]
        while served:
            intent = served.pop()
            if intent.commit is not None and intent.seq:
                self.members[intent.seq] = intent.commit
            for name in intent.names:
                self._served.add(name)
                served += self._waiting.pop(name, ())

    def _look_back(self, reader: Reader) -> None:
        """Follow what is waited for to sessions and to commits from before the first one."""
        while names := [name for name in self._waiting if name not in self._sought]:
            self._sought.update(names)
            for name in names:
                for intent in _from_before(reader, name, self._after):
                    self._put(intent)


def _from_before(reader: Reader, name: str, after: int) -> Iterator[_Intent]:
    """The sessions and the commits up to number `after` that go by a name."""
    session = reader.record(RecordKind.SESSION, name)
    if session is not None:
        parent = session.data.get("parent")
        yield _Intent((name,), (parent,) if parent else ())
    if len(name) == 2 * DIGEST_BYTES and is_prefix(name):
        for seq in reader.commit_seqs(name, 1):
            if seq <= after and not tried_in(reader, reader.commit(seq)):
                yield _commit_intent(reader, info_of(reader, reader.commit(seq)), 0)
    before = after + 1
    while found := reader.find((TermKind.INTENT, name), before, _PAGE):
        before = found[-1]
        infos = (info_of(reader, reader.commit(seq)) for seq in found)
        yield from (_commit_intent(reader, info, 0) for info in infos if info.intent_id == name)


def _commit_intent(reader: Reader, info: CommitInfo, seq: int) -> _Intent:
    names = (info.id.hex(), info.intent_id) if info.intent_id else (info.id.hex(),)
    parents = {info.parent_intent, whole_id(reader, info.parent_intent, info.seq), info.session} - {""}
    return _Intent(names, tuple(parents), seq, info.id)


def whole_id(reader: Reader, name: str, before: int) -> str:
    """All digits of the only commit below number `before` whose id begins with the name; "" for no or several."""
    if not is_prefix(name):
        return ""
    found = [seq for seq in reader.commit_seqs(name.lower(), _PAGE) if seq < before]
    return reader.commit(found[0]).id.hex() if len(found) == 1 else ""
