"""Conflicts as data and how the caller settles them: what merge, revert and commit_spec share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from asg_mcp.core.diff import Delta, deltas, element_deltas
from asg_mcp.core.edits import Editor, entries_of
from asg_mcp.core.flat import shown_held
from asg_mcp.core.limits import NEAREST_MAX, OPERATIONS_MAX
from asg_mcp.core.merge import Clash, Merged
from asg_mcp.core.nodes import LIST
from asg_mcp.core.operations import ABSENT, Absent, Op, Operation
from asg_mcp.core.paths import Tokens, format_path
from asg_mcp.core.state import Gap, Spot, State
from asg_mcp.core.values import JsonValue, checked, equal
from asg_mcp.errors import InvalidArgument, LimitExceeded
from asg_mcp.repo.history import find_deletion
from asg_mcp.repo.requests import Resolution
from asg_mcp.repo.results import CommitInfo, Conflict
from asg_mcp.repo.transaction import checked_operations
from asg_mcp.repo.view import View
from asg_mcp.storage.base import CommitRow

TAKES = ("ours", "theirs", "base", "value")
CHANGES_SHOWN_MAX = 500
"""Changes that a preview hands out; it counts them all."""
CONFLICTS_BLAMED_MAX = 100
"""Conflicts of one answer that name who changed either side: a reply has no room for more."""


def check_resolutions(resolutions: Sequence[Resolution]) -> None:
    """Raise InvalidArgument for a resolution that takes no side, and what any write of the values would raise."""
    if len(resolutions) > OPERATIONS_MAX:
        raise LimitExceeded(
            f"There are {len(resolutions)} resolutions; at most {OPERATIONS_MAX}",
            hint="Settle conflicts together: a side can be taken for all that lie below a path.",
            limit="OPERATIONS_MAX",
            max=OPERATIONS_MAX,
        )
    if len({resolution.path for resolution in resolutions}) < len(resolutions):
        raise InvalidArgument("Two resolutions name one path", hint="Give one resolution a path.")
    for resolution in resolutions:
        if resolution.take not in TAKES:
            raise InvalidArgument(
                f"{resolution.take!r} is no way to settle a conflict", hint=f"Take one of {', '.join(TAKES)}."
            )
    checked_operations([Operation(Op.SET, item.path, item.value) for item in resolutions if item.take == "value"])


class Settling:
    """A state while it is merged into, and where somebody has to choose.

    `otherwise` is the side (ours, theirs, base) that settles what no resolution names; "" leaves it open.
    """

    def __init__(self, state: State, resolutions: Sequence[Resolution], otherwise: str = "") -> None:
        self._editor = Editor(state, 0)
        self._hasher = state.tree.hasher
        self._open: dict[Tokens, Conflict] = {}
        self._fixed: set[Tokens] = set()
        """Conflicts that were settled by a value or by the base: a further merge has no say in them."""
        self._resolutions = {resolution.path: resolution for resolution in resolutions}
        self._used: set[Tokens] = set()
        self.decided: list[Tokens] = []
        """Conflicts that were settled by a resolution or by `otherwise`."""
        self._otherwise = otherwise

    @property
    def state(self) -> State:
        """The state after all that was done."""
        return self._editor.state

    def bring(self, base: State, theirs: State, merged: Merged) -> None:
        """Do what a merge found, given the two other states that it compared."""
        for operation in merged.operations:
            if not self._decided(operation.path):
                self.apply(operation)
        for clash in merged.clashes:
            if not self._decided(clash.tokens):
                self._settle(clash, base, theirs)

    def apply(self, operation: Operation) -> None:
        """Do one operation. What it changes has no origin: the commit does it again."""
        entries = entries_of(operation, 0, self._hasher)
        self._editor.apply(operation.op, operation.path, operation.source, entries)

    def reopen(self, path: Tokens, theirs: JsonValue | Absent) -> None:
        """An open conflict is with another value of theirs now."""
        self._open[path] = replace(self._open[path], theirs=theirs)

    @property
    def open_paths(self) -> list[Tokens]:
        """Where somebody has to choose, as far as is known."""
        return [*self._open]

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """Where somebody has to choose: what is the same on both sides in the end is left out."""
        found = (conflict for conflict in self._open.values() if not _same(conflict.ours, conflict.theirs))
        return tuple(_presentable(conflict) for conflict in found)

    def check_used(self) -> None:
        """Raise InvalidArgument for a resolution that settled nothing: a mistyped path must not pass."""
        for path in self._resolutions:
            if path not in self._used:
                found = [format_path(other) for other in (*self._open, *self.decided)][:NEAREST_MAX]
                raise InvalidArgument(
                    f"There is no conflict at {format_path(path)}",
                    hint=f"There is one at {', '.join(found)}." if found else "There is none at all: leave it out.",
                    path=format_path(path),
                    conflicts=found,
                )

    def _decided(self, path: Tokens) -> bool:
        return path in self._open or path in self._fixed

    def _settle(self, clash: Clash, base: State, theirs: State) -> None:
        resolution = self._resolution(clash.tokens)
        if resolution is not None:
            self._used.add(resolution.path)
        elif self._otherwise:
            resolution = Resolution(clash.tokens, self._otherwise)
        else:
            sides = [side_at(state, clash.tokens) for state in (base, self.state, theirs)]
            self._open[clash.tokens] = Conflict(clash.tokens, sides[0], sides[1], sides[2], clash.rule)
            return
        self.decided.append(clash.tokens)
        if resolution.take == "ours":
            return
        if resolution.take != "theirs":
            self._fixed.add(clash.tokens)
        value: JsonValue | Absent
        if resolution.take == "value":
            value = checked(resolution.value, depth=len(clash.tokens))
        else:
            value = side_at({"base": base, "theirs": theirs}[resolution.take], clash.tokens)
        if not isinstance(value, Absent):
            self.apply(Operation(Op.SET, clash.tokens, value))
        elif isinstance(self.state.locate(clash.tokens), Spot):
            self.apply(Operation(Op.DELETE, clash.tokens))

    def _resolution(self, path: Tokens) -> Resolution | None:
        """The nearest at or above a path. A value is one place's; a side can be taken for all that is below a path."""
        for length in range(len(path), -1, -1):
            found = self._resolutions.get(path[:length])
            if found is not None and (length == len(path) or found.take != "value"):
                return found
        return None


def _same(left: JsonValue | Absent, right: JsonValue | Absent) -> bool:
    if isinstance(left, Absent) or isinstance(right, Absent):
        return left is right
    return equal(left, right)


def _presentable(conflict: Conflict) -> Conflict:
    """With markers in the place of what was erased."""
    sides = (conflict.base, conflict.ours, conflict.theirs)
    base, ours, theirs = (side if isinstance(side, Absent) else shown_held(side) for side in sides)
    return replace(conflict, base=base, ours=ours, theirs=theirs)


def side_at(state: State, path: Tokens) -> JsonValue | Absent:
    """The value at a path of one side; ABSENT where nothing is. What was erased is carried as what it is."""
    place = state.locate(path)
    return ABSENT if isinstance(place, Gap) else state.carried(place)


def net(before: State, after: State) -> list[Operation]:
    """Operations that turn one state into the other, each as deep as it can be."""
    out: list[Operation] = []
    for delta in deltas(before, after):
        out += _net(before, after, delta)
    return out


def _net(before: State, after: State, delta: Delta) -> list[Operation]:
    old, new = delta.old, delta.new
    if new is None:
        return [Operation(Op.DELETE, delta.tokens)]
    if old is not None and old.entry.kind == new.entry.kind == LIST and old.entry.origin == new.entry.origin:
        # As many elements, in the same order: those that differ, unless they are the most of them.
        inner = [
            operation for item in element_deltas(before, after, old, new) for operation in _net(before, after, item)
        ]
        if len(inner) * 2 < new.end - new.rank:
            return inner
    return [Operation(Op.SET, delta.tokens, after.carried(new))]


def named(
    view: View, conflicts: Iterable[Conflict], ours: CommitRow | None, theirs: CommitRow | None
) -> tuple[Conflict, ...]:
    """The conflicts with who last changed the path on either side, where that side is a commit."""
    out: list[Conflict] = []
    for conflict in conflicts:
        if len(out) < CONFLICTS_BLAMED_MAX:
            by = [None if row is None else _changed_by(view, row, conflict.path) for row in (ours, theirs)]
            conflict = replace(conflict, ours_by=by[0], theirs_by=by[1])
        out.append(conflict)
    return tuple(out)


def _changed_by(view: View, row: CommitRow, path: Tokens) -> CommitInfo | None:
    """Who last changed a path, or deleted it; None where it never was, or where that takes too long to find."""
    state = view.state(row)
    place = state.locate(path)
    if isinstance(place, Spot):
        return view.info(state.tree.newest(place.rank, place.end))
    try:
        seq = find_deletion(view, row, state, place)
    except LimitExceeded:
        return None
    return None if seq is None else view.info(seq)
