"""Merging one branch into another: a three-way merge from what both began with, as a commit with two parents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from asg_mcp.core.adopt import adopt
from asg_mcp.core.diff import differences
from asg_mcp.core.ids import CommitId, Id
from asg_mcp.core.intents import Author, Intent
from asg_mcp.core.merge import Merged, merge
from asg_mcp.core.mergerules import SCHEMA_ROOT, Rules
from asg_mcp.core.nodes import Hasher
from asg_mcp.core.operations import Absent, Operation
from asg_mcp.core.paths import Tokens, format_path
from asg_mcp.core.refs import parse_revision
from asg_mcp.core.state import State
from asg_mcp.errors import Forbidden, InvalidArgument, LimitExceeded
from asg_mcp.repo.diffing import change
from asg_mcp.repo.guards import Guard, check_head, check_object
from asg_mcp.repo.patterns import compile_pattern
from asg_mcp.repo.repeats import asked_for, kept_warnings, recall, recalled_warnings, remember
from asg_mcp.repo.requests import MergeRequest
from asg_mcp.repo.results import Conflict, MergeResult
from asg_mcp.repo.settling import CHANGES_SHOWN_MAX, Settling, check_resolutions, named, net, side_at
from asg_mcp.repo.transaction import KEPT_ROOTS, EditedAll, apply_all, branch_of, check_schema, object_at, write_commit
from asg_mcp.repo.view import View
from asg_mcp.storage.base import CommitRow, Reader, Ref, Writer

STRATEGIES = ("auto", "ours", "theirs", "manual")
BASES_MERGED_MAX = 64
"""Merges of merge bases that one merge makes in memory: branches merged into each other crosswise have several."""
_IN_MEMORY = 2**62
"""Origins from here on are those of merges of bases, which are no commits."""


def check_request(request: MergeRequest) -> None:
    """Raise InvalidArgument or Forbidden unless the request can be carried out whatever the branches hold."""
    if request.strategy not in STRATEGIES:
        raise InvalidArgument(
            f"{request.strategy!r} is no merge strategy", hint=f"Use one of {', '.join(STRATEGIES)}; auto is usual."
        )
    for resolution in request.resolutions:
        root = resolution.path[0] if resolution.path else ""
        # The base of a migration is the version before it, which neither side has any more.
        unfit = ("value", "base") if root == "_meta" else ("value",)
        if resolution.take in unfit and root in KEPT_ROOTS:
            raise Forbidden(
                f"{format_path(resolution.path)} takes no {resolution.take} by a merge:"
                f" /{root} is kept for {KEPT_ROOTS[root]}",
                hint="Take ours or theirs there.",
                path=format_path(resolution.path),
            )
    check_resolutions(request.resolutions)


def rules_of(state: State) -> Rules:
    """The merge rules of the schema that a state holds. Raises InvalidValue for one that does not exist."""
    schema = side_at(state, (SCHEMA_ROOT,))
    return Rules.of(None if isinstance(schema, Absent) else schema, _matches())


def _matches() -> Any:
    @cache
    def compiled(pattern: str) -> Any:
        try:
            return compile_pattern(pattern)
        except (InvalidArgument, LimitExceeded):
            return None  # a pattern that cannot be run describes no key

    def matches(pattern: str, text: str) -> bool:
        found = compiled(pattern)
        return found is not None and found(text) is not None

    return matches


def base_of(view: View, ours: Sequence[int], theirs: Sequence[int], rules: Rules) -> tuple[State, list[int]]:
    """The state that both sides began with, and the best common ancestors it is made of.

    Where there are several they are merged first, in memory and likewise, the oldest first; a path on which they
    clash is as it was where they began.
    """
    return _Bases(view, rules).of(ours, theirs)


@dataclass(slots=True)
class _Bases:
    view: View
    rules: Rules
    merged: int = 0

    def of(self, ours: Sequence[int], theirs: Sequence[int]) -> tuple[State, list[int]]:
        found = self.view.graph.bases(self.view.reader, ours, theirs)
        assert found, "BUG: all commits come from the first one"
        oldest, *others = reversed(found)
        state, taken = self.view.state_of(oldest), [oldest]
        for seq in others:
            state = self._pair(state, taken, seq)
            taken.append(seq)
        return state, found

    def _pair(self, state: State, taken: Sequence[int], seq: int) -> State:
        self.merged += 1
        if self.merged > BASES_MERGED_MAX:
            raise LimitExceeded(
                f"The branches were merged crosswise so often that more than {BASES_MERGED_MAX} merges of their common"
                " ancestors are needed",
                hint="Merge the target into the source first, or write what is missing with asg_apply.",
                limit="BASES_MERGED_MAX",
                max=BASES_MERGED_MAX,
            )
        origin = _IN_MEMORY + self.merged
        theirs, (base, _) = self.view.state_of(seq), self.of(taken, [seq])
        plan = Settling(state, (), otherwise="base")
        plan.bring(base, theirs, merge(base, state, theirs, self.rules))
        edited = apply_all(state, net(state, plan.state), self.view.hasher, origin)
        return adopt(state, theirs, edited.state, origin)


@dataclass(frozen=True, slots=True)
class _Sides:
    """What a merge works on."""

    ref: Ref
    head: CommitRow
    source: CommitRow
    ours: State
    theirs: State


def merge_branches(
    writer: Writer, view: View, request: MergeRequest, intent: Intent, author: Author, guard: Guard
) -> MergeResult:
    """Merge a source into a branch as one commit with both as parents; conflicts are answered as data.

    Nothing is written with unsettled conflicts, or where the branch has the source already. Raises InvalidArgument,
    Forbidden, HeadMoved, ObjectChanged, RequestReused, RefNotFound, SchemaViolation, InvalidValue and LimitExceeded.
    """
    check_request(request)
    asked = asked_for(view.hasher, guard.request_id, "merge", request, intent, author, guard)
    known = recall(writer, author.principal, guard.request_id, asked)
    if known is not None:
        return _recalled(known)
    plan = _planned(writer, view, request, guard)
    result = plan.result
    if plan.conflicts:
        return plan.shown(view)
    if not result.already:
        edited = plan.edited(view, writer.last_seq() + 1)
        check_object(guard.expected_object, plan.sides.ours, edited.state, (), writes=True)
        result = _write(writer, view, plan.sides, edited, result, intent, author)
    remember(writer, author.principal, guard.request_id, asked, _memory(view.hasher, result))
    return result


def preview_merge(view: View, request: MergeRequest, guard: Guard) -> MergeResult:
    """What `merge_branches` would answer, and what the merge would change; it reads, and nobody waits for it.

    Raises what the merge would, but what a session forbids.
    """
    check_request(request)
    plan = _planned(view.reader, view, request, guard)
    if plan.result.already:
        return plan.result
    edited = plan.edited(view, view.reader.last_seq() + 1)
    if not plan.conflicts:
        check_object(guard.expected_object, plan.sides.ours, edited.state, (), writes=True)
        check_schema(plan.sides.ours, edited)
    found = [change(plan.sides.ours, edited.state, item) for item in differences(plan.sides.ours, edited.state)]
    result = replace(plan.shown(view), changes=tuple(found[:CHANGES_SHOWN_MAX]), changed=len(found))
    return replace(result, warnings=tuple(edited.warnings))


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a merge comes to."""

    result: MergeResult
    sides: _Sides
    operations: Sequence[Operation]
    decided: list[Tokens]
    conflicts: tuple[Conflict, ...]

    def edited(self, view: View, origin: int) -> EditedAll:
        """The branch's state with the merge done to it."""
        return replace(apply_all(self.sides.ours, self.operations, view.hasher, origin), decided=self.decided)

    def shown(self, view: View) -> MergeResult:
        """The answer while somebody has to choose."""
        return replace(self.result, conflicts=named(view, self.conflicts, self.sides.head, self.sides.source))


def _planned(reader: Reader, view: View, request: MergeRequest, guard: Guard) -> _Plan:
    sides = _sides(reader, view, request)
    rules = rules_of(sides.ours)
    base, bases = base_of(view, [sides.head.seq], [sides.source.seq], rules)
    result = MergeResult(
        ref=sides.ref.name,
        merged=False,
        commit=None,
        parent=CommitId(sides.head.id),
        source=CommitId(sides.source.id),
        bases=tuple(CommitId(reader.commit(seq).id) for seq in bases),
        changed=0,
        changes=(),
        conflicts=(),
    )
    if bases == [sides.source.seq]:
        rebased = check_head(
            reader, view.hasher, view.graph, guard.expected_head, sides.head, sides.ours, (), view.principal
        )
        result = replace(result, merged=True, commit=result.parent, already=True, rebased=rebased)
        return _Plan(replace(result, object=object_at(sides.ours, ())), sides, (), [], ())
    merged = merge(base, sides.ours, sides.theirs, rules, manual=request.strategy == "manual")
    plan = _settled(request, sides, base, merged)
    operations = net(sides.ours, plan.state) if merged.clashes else merged.operations
    expected, seen_by = guard.expected_head, view.principal
    rebased = check_head(reader, view.hasher, view.graph, expected, sides.head, sides.ours, operations, seen_by)
    return _Plan(replace(result, rebased=rebased), sides, operations, plan.decided, plan.conflicts)


def _sides(reader: Reader, view: View, request: MergeRequest) -> _Sides:
    ref = branch_of(reader, request.target)
    if parse_revision(request.source).kind == "spec":
        raise InvalidArgument(
            f"{request.source} is a speculation, and its commits are no history",
            hint="Bring it to a branch with asg_commit_spec.",
        )
    head, source = reader.commit(ref.seq), view.resolve(request.source)
    return _Sides(ref, head, source, view.state(head), view.state(source))


def _settled(request: MergeRequest, sides: _Sides, base: State, merged: Merged) -> Settling:
    """The merge with conflicts settled as far as the request says how. Raises InvalidArgument as check_used does."""
    otherwise = request.strategy if request.strategy in ("ours", "theirs") else ""
    plan = Settling(sides.ours, request.resolutions, otherwise)
    if merged.clashes:  # else the operations are all there is, and the commit does them
        plan.bring(base, sides.theirs, merged)
    plan.check_used()
    return plan


def _write(
    writer: Writer,
    view: View,
    sides: _Sides,
    edited: EditedAll,
    result: MergeResult,
    intent: Intent,
    author: Author,
) -> MergeResult:
    edited = replace(edited, state=adopt(sides.ours, sides.theirs, edited.state, writer.last_seq() + 1))
    row = write_commit(writer, view.hasher, sides.ref, sides.head, edited, intent, author, others=(sides.source,))
    content = object_at(edited.state, ())
    return replace(
        result,
        merged=True,
        commit=CommitId(row.id),
        changed=edited.changed,
        object=content,
        warnings=tuple(edited.warnings),
    )


def _memory(hasher: Hasher, result: MergeResult) -> list[Any]:
    return [
        result.ref,
        result.commit,
        result.parent,
        result.source,
        list(result.bases),
        result.changed,
        result.already,
        result.object,
        result.rebased,
        kept_warnings(hasher, result.warnings),
    ]


def _recalled(answer: list[Any]) -> MergeResult:
    ref, commit, parent, source, bases, changed, already, content, rebased, told = answer
    return MergeResult(
        ref=ref,
        merged=True,
        commit=CommitId(commit),
        parent=CommitId(parent),
        source=CommitId(source),
        bases=tuple(CommitId(item) for item in bases),
        changed=changed,
        changes=(),
        conflicts=(),
        already=already,
        object=Id(content),
        rebased=rebased,
        replayed=True,
        warnings=recalled_warnings(told),
    )
