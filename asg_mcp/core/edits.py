"""Operations on a state. Each is all or nothing and says how many paths it changed.

What a set or a delete does to the tree is planned first, as splices. So a run of them at different places is planned
on one state and done in one go: each node is made once, however many operations fall into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asg_mcp.core.classes import ValueClasses, flat_key
from asg_mcp.core.flat import flatten, nest, placed, reconcile, relative, same_content, same_scalar, splices_between
from asg_mcp.core.limits import VALUE_INLINE_BYTES_MAX
from asg_mcp.core.nodes import LIST, MAP, SCALAR, Blob, Entry, Hasher
from asg_mcp.core.operations import Absent, Op, Operation
from asg_mcp.core.paths import APPEND, ELEMENT, END, Tokens, format_path, is_within, list_index, map_segment
from asg_mcp.core.state import Gap, Spot, State
from asg_mcp.core.tree import Splice
from asg_mcp.core.values import JsonValue
from asg_mcp.errors import InvalidPath, TestFailed, WrongType


@dataclass(frozen=True, slots=True)
class Edited:
    """A state after an operation. `changed` counts paths whose value came, went or differs."""

    state: State
    changed: int
    path: Tokens
    """Where the value is afterwards: an append names the index it got."""


def apply_operation(state: State, operation: Operation, origin: int) -> Edited:
    """Apply one operation with a checked value; `origin` is the seq of the commit in the making.

    Raises PathNotFound, InvalidPath, WrongType or TestFailed; the state is immutable, so nothing is half done.
    """
    entries = entries_of(operation, origin, state.tree.hasher)
    return apply_entries(state, operation.op, operation.path, operation.source, entries, origin)


def entries_of(operation: Operation, origin: int, hasher: Hasher) -> list[Entry] | None:
    """The value of an operation as entries below the key ""; None where it has none."""
    if isinstance(operation.value, Absent):
        return None
    entries = flatten(operation.value, "", origin, hasher)
    return _sealed(entries, flat_key(operation.path), hasher.classes) if hasher.classes else entries


def _sealed(entries: list[Entry], at: str, classes: ValueClasses) -> list[Entry]:
    """Entries that will be at a key, those below a sensitive prefix with the ids of its class, to be stored sealed.

    Raises Withheld when the key of the class is not there.
    """
    out = []
    for entry in entries:
        group = classes.of_key(at + entry.key) if entry.kind == SCALAR else None
        if group is not None and not (type(entry.value) is Blob and (entry.value.row or entry.value.erased)):
            value = entry.value.value if type(entry.value) is Blob else entry.value
            blob = Blob(classes.value_ids(group.name).of(value), 0, value, group.name)
            entry = Entry(entry.key, SCALAR, blob, entry.origin)
        out.append(entry)
    return out


def apply_entries(
    state: State, op: Op, path: Tokens, source: Tokens | None, entries: Sequence[Entry] | None, origin: int
) -> Edited:
    """The same for a value given as entries below the key "", which is how commits keep it: replay runs this too."""
    if op is Op.DELETE:
        return _delete(state, path, origin)
    if op is Op.MOVE:
        assert source is not None, "BUG: a move has a source"
        return _move(state, source, path, origin)
    assert entries is not None, f"BUG: {op} has a value"
    if op is Op.SET:
        return _set(state, path, entries, origin)
    if op is Op.APPEND:
        return _append(state, path, entries, origin)
    if op is Op.INSERT:
        return _insert(state, path, entries, origin)
    return _test(state, path, entries)


class Editor:
    """Operations done to a state one after the other, with the outcome that `apply_entries` has for each.

    Sets and deletes at different places, which move no element of a list, wait until another operation has to see what
    they made, and are then done together.
    """

    def __init__(self, state: State, origin: int) -> None:
        self._state = state
        self._origin = origin
        self._splices: dict[tuple[int, int, str], Splice] = {}
        """By ranks, and where entries come between two by key, which is their order outside lists."""
        self._touched: set[Tokens] = set()
        self._above: set[Tokens] = set()
        """What lies above a touched path."""

    @property
    def state(self) -> State:
        """The state after all operations."""
        if self._splices:
            self._state = State(self._state.tree.splice([self._splices[place] for place in sorted(self._splices)]))
            self._splices = {}
            self._touched, self._above = set(), set()
        return self._state

    def apply(self, op: Op, path: Tokens, source: Tokens | None, entries: Sequence[Entry] | None) -> tuple[int, Tokens]:
        """Do one operation; how many paths it changed, and where the value is. Raises what apply_entries raises."""
        state = self.state if self._meets(path) else self._state
        planned = self._planned(op, path, entries)
        if planned is None:
            edited = apply_entries(state if op is Op.TEST else self.state, op, path, source, entries, self._origin)
            self._state = edited.state
            return edited.changed, edited.path
        (splices, changed), touched = planned
        if splices:
            self._touched.add(touched)
            self._above.update(touched[:length] for length in range(len(touched)))
        for low, high, come in splices:
            self._splices[low, high, come[0].key if low == high else ""] = (low, high, come)
        return changed, path

    def _meets(self, path: Tokens) -> bool:
        """Whether what waits is at a path, below it or above."""
        if not self._touched:
            return False
        return path in self._above or any(path[:length] in self._touched for length in range(len(path) + 1))

    def _planned(self, op: Op, path: Tokens, entries: Sequence[Entry] | None) -> tuple[_Plan, Tokens] | None:
        """What an operation does, and the path that comes, goes or changes by it; None where it has to go alone."""
        if not path or op not in (Op.SET, Op.DELETE):
            return None
        place = self._state.locate(path)
        if op is Op.DELETE:
            parent = self._state.locate(path[:-1])
            if isinstance(place, Gap) or isinstance(parent, Gap) or parent.entry.kind != MAP:
                return None
            return _plan_delete(place, parent, self._origin), path
        assert entries is not None, "BUG: a set has a value"
        if isinstance(place, Spot):
            return _plan_set(self._state, place, entries, self._origin), path
        if place.deepest.entry.kind != MAP:
            return None
        return _plan_create(self._state, place, entries, self._origin), path[: len(place.deepest.tokens) + 1]


def _set(state: State, path: Tokens, value: Sequence[Entry], origin: int) -> Edited:
    place = state.locate(path)
    if isinstance(place, Gap):
        return _create(state, place, value, origin)
    if not path:
        _check_root(value)
    return _done(state, _plan_set(state, place, value, origin), path)


def _create(state: State, gap: Gap, value: Sequence[Entry], origin: int) -> Edited:
    """Set a path that does not exist: parents are made as maps."""
    deepest = gap.deepest
    depth = len(deepest.tokens)
    if deepest.entry.kind == MAP:
        return _done(state, _plan_create(state, gap, value, origin), gap.tokens)
    if deepest.entry.kind == SCALAR or gap.tokens[depth:] != (APPEND,):
        raise state.missing(gap)
    return _add_element(state, deepest, None, value, origin)


def _delete(state: State, path: Tokens, origin: int) -> Edited:
    if not path:
        raise InvalidPath("The root cannot be deleted", hint="Set / to {} to clear the state.", path="/")
    return _done(state, _plan_delete(state.spot(path), state.spot(path[:-1]), origin), path)


_Plan = tuple[list[Splice], int]
"""What an operation does to the tree, and how many paths it changes."""


def _done(state: State, plan: _Plan, path: Tokens) -> Edited:
    splices, changed = plan
    return Edited(State(state.tree.splice(splices)) if splices else state, changed, path)


def _plan_set(state: State, place: Spot, value: Sequence[Entry], origin: int) -> _Plan:
    come = placed(value, place.entry.key, origin)
    if place.entry.kind == SCALAR and come[0].kind == SCALAR:  # nothing is below either: most sets
        same = same_scalar(place.entry, come[0])
        return ([], 0) if same else ([(place.rank, place.end, come)], 1)
    old_entries = [place.entry]
    if place.end - place.rank > 1:
        old_entries = list(state.tree.entries(place.rank, place.end))
    entries, changed = reconcile(nest(old_entries), nest(come), origin)
    return [*splices_between(old_entries, entries, place.rank)] if changed else [], changed


def _plan_create(state: State, gap: Gap, value: Sequence[Entry], origin: int) -> _Plan:
    deepest = gap.deepest
    token, *rest = gap.tokens[len(deepest.tokens) :]
    key = deepest.entry.key + map_segment(token)
    rank = state.tree.lower_bound(key, deepest.rank + 1, deepest.end)
    entries: list[Entry] = []
    for token in rest:
        entries.append(Entry(key, MAP, None, origin))
        key += map_segment(token)
    entries += placed(value, key, origin)
    return [_bump(deepest, origin), (rank, rank, entries)], len(entries)


def _plan_delete(spot: Spot, parent: Spot, origin: int) -> _Plan:
    return [_bump(parent, origin), (spot.rank, spot.end, [])], spot.end - spot.rank


def _append(state: State, path: Tokens, value: Sequence[Entry], origin: int) -> Edited:
    place = state.locate(path)
    if isinstance(place, Gap):
        created = _create(state, place, [Entry("", LIST, None, origin), *placed(value, ELEMENT, origin)], origin)
        return Edited(created.state, created.changed, (*created.path, "0"))
    _require_list(state, place)
    return _add_element(state, place, None, value, origin)


def _insert(state: State, path: Tokens, value: Sequence[Entry], origin: int) -> Edited:
    spot, index = _list_position(state, path)
    return _add_element(state, spot, index, value, origin)


def _list_position(state: State, path: Tokens) -> tuple[Spot, int | None]:
    """The list and the index (None for behind the last) that the path of an insert names."""
    if not path:
        raise InvalidPath("Nothing can be inserted at the root", hint="Give the path of a list position, such as /a/0.")
    spot = state.spot(path[:-1])
    _require_list(state, spot)
    index = list_index(path[-1])
    if path[-1] == APPEND or index == state.length(spot):
        return spot, None
    if index is None or index > state.length(spot):
        raise state.missing(Gap(path, spot))
    return spot, index


def _require_list(state: State, spot: Spot) -> None:
    if spot.entry.kind != LIST:
        kind, path = state.type_name(spot), format_path(spot.tokens)
        raise WrongType(f"{path} is a {kind}, not a list", hint="Use set.", path=path, type=kind)


def _add_element(state: State, spot: Spot, index: int | None, value: Sequence[Entry], origin: int) -> Edited:
    return _add_entries(state, spot, index, placed(value, spot.entry.key + ELEMENT, origin), origin)


def _add_entries(state: State, spot: Spot, index: int | None, entries: list[Entry], origin: int) -> Edited:
    rank = spot.end
    if index is not None:
        element = state.element(spot, index)
        assert element is not None, "BUG: the index was checked"
        rank = element.rank
    token = str(state.length(spot) if index is None else index)
    tree = state.tree.splice([_bump(spot, origin), (rank, rank, entries)])
    return Edited(State(tree), len(entries), (*spot.tokens, token))


def _move(state: State, source: Tokens, path: Tokens, origin: int) -> Edited:
    """A move is a delete and a set by this commit; inside one list the element keeps its origin."""
    if not source or is_within(path, source):
        if source and path == source:
            state.spot(source)
            return Edited(state, 0, path)
        raise InvalidPath(
            f"{format_path(source)} cannot be moved to {format_path(path)}", hint="A path cannot move into itself."
        )
    group = state.tree.hasher.classes.crossed_by(source, path)
    if group is not None:  # the ids of its values, and how they are stored, go by the prefix
        raise InvalidPath(
            f"A move from {format_path(source)} to {format_path(path)} would cross the border of the sensitive prefix"
            f" {format_path(group.path)}",
            hint="Set the value where it should be, and delete it where it was.",
        )
    spot = state.spot(source)
    entries = list(state.tree.entries(spot.rank, spot.end))
    without = _delete(state, source, origin)
    parent = without.state.locate(path[:-1])
    into_list = isinstance(parent, Spot) and parent.entry.kind == LIST
    if into_list and path[:-1] == source[:-1]:
        target, index = _list_position(without.state, path)
        moved = _add_entries(without.state, target, index, entries, origin)
        if moved.state.tree.id == state.tree.id:  # to where it was, or among its equals
            return Edited(state, 0, moved.path)
        return Edited(moved.state, without.changed, moved.path)
    added = (_insert if into_list else _set)(without.state, path, relative(entries, spot.entry.key), origin)
    return Edited(added.state, without.changed + added.changed, added.path)


def _test(state: State, path: Tokens, value: Sequence[Entry]) -> Edited:
    shown = format_path(path)
    place = state.locate(path)
    if isinstance(place, Gap):
        raise TestFailed(
            f"The test of {shown} failed: it does not exist",
            hint="Read the path again; nothing was written.",
            path=shown,
        )
    found = relative(list(state.tree.entries(place.rank, place.end)), place.entry.key)
    if not same_content(found, value):
        raise TestFailed(
            f"The test of {shown} failed: it holds another value",
            hint="Read the path again; nothing was written.",
            path=shown,
            found=_small(state, place),
        )
    return Edited(state, 0, path)


def _small(state: State, place: Spot) -> JsonValue:
    """A scalar as errors show it; the type in place of a container, of a long text, and of what cannot be read."""
    value, kind = place.entry.value, state.type_name(place)
    if place.entry.kind == SCALAR and type(value) is not Blob:
        return value
    if place.entry.kind == SCALAR and state.tree.hasher.classes.of_key(place.entry.key) and kind != "withheld":
        held = state.value(place)
        if not isinstance(held, str) or len(held.encode()) <= VALUE_INLINE_BYTES_MAX:
            return held
    return f"({kind})"


def _check_root(value: Sequence[Entry]) -> None:
    if value[0].kind != MAP:
        raise WrongType(
            "The root is always a map", hint="Set / to a map, or set a path below it.", path="/", type="map"
        )
    if len(value) > 1 and value[1].key.startswith(END):
        raise InvalidPath("The empty key directly below the root is not available", hint="Choose another key.")


def _bump(spot: Spot, origin: int) -> Splice:
    """The container's marker, changed by this commit: its keys or elements are no longer the same."""
    return (spot.rank, spot.rank + 1, [spot.entry.with_origin(origin)])
