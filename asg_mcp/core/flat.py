"""Between JSON values and flat entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from asg_mcp.core.ids import ValueId
from asg_mcp.core.limits import PATH_BYTES_MAX, VALUE_INLINE_BYTES_MAX
from asg_mcp.core.lists import Allowance, align
from asg_mcp.core.nodes import LIST, MAP, SCALAR, Blob, Entry, Hasher, NodeSource
from asg_mcp.core.paths import ELEMENT, END, depth_of, map_segment, unescape_segment
from asg_mcp.core.values import JsonValue
from asg_mcp.errors import LimitExceeded, Withheld

KIND_NAMES = {MAP: "map", LIST: "list"}
WITHHELD = "$withheld"
"""The only key of the map that is shown in the place of a value that was erased; its value is the value's id."""


WITHHELD_TEXT = "(withheld)"
"""What is shown, and found by search, in the place of a text that was erased."""


class Held(ValueId):
    """Stands in a value for a part that cannot be read: its id, and the row that it is kept in, 0 where it was erased.

    Merges and reverts carry it from state to state. It equals itself alone, and no caller can make one.
    """

    row: int
    erased_after: int | None
    """See `Blob`."""

    @classmethod
    def of_blob(cls, blob: Blob) -> Held:
        """What stands for a blob."""
        held = cls(blob.id)
        held.row, held.erased_after = blob.row, blob.erased_after
        return held


Unreadable = Callable[[Blob], JsonValue]
"""What to take for a value that cannot be read: `Held.of_blob` to carry it on, `marker` to show it."""


def marker(blob: Blob) -> JsonValue:
    """What is shown of a value that cannot be read."""
    return {WITHHELD: blob.id.short}


def shown_held(value: JsonValue) -> JsonValue:
    """A value with what is shown in place of each Held in it; the value itself where there is none."""
    kind = type(value)
    if kind is Held:
        return {WITHHELD: value.short}
    if kind is dict:
        return {key: shown_held(item) for key, item in value.items()}
    return [shown_held(item) for item in value] if kind is list else value


def has_marker(value: JsonValue) -> bool:
    """Whether something in a value looks like a marker."""
    if type(value) is dict:
        return (len(value) == 1 and WITHHELD in value) or any(map(has_marker, value.values()))
    return type(value) is list and any(map(has_marker, value))


def unmarked(value: JsonValue, held: Mapping[str, Held]) -> JsonValue:
    """A value that was read with markers, with what they stood for in their places again; `held` is by its short id.

    What only looks like a marker stays as it is.
    """
    if type(value) is dict:
        if len(value) == 1 and WITHHELD in value and type(value[WITHHELD]) is str and value[WITHHELD] in held:
            return held[value[WITHHELD]]
        return {key: unmarked(item, held) for key, item in value.items()}
    return [unmarked(item, held) for item in value] if type(value) is list else value


def flatten(value: JsonValue, key: str, origin: int, hasher: Hasher) -> list[Entry]:
    """The entries of a checked value at `key`, itself first, all with one origin."""
    out: list[Entry] = []
    _flatten(value, key, origin, hasher, out)
    return out


def _flatten(value: JsonValue, key: str, origin: int, hasher: Hasher, out: list[Entry]) -> None:
    kind = type(value)
    if kind is dict:
        out.append(Entry(key, MAP, None, origin))
        for segment, item in sorted([(map_segment(name), item) for name, item in value.items()], key=itemgetter(0)):
            _flatten(item, key + segment, origin, hasher, out)
    elif kind is list:
        out.append(Entry(key, LIST, None, origin))
        for item in value:
            _flatten(item, key + ELEMENT, origin, hasher, out)
    elif kind is Held:
        out.append(Entry(key, SCALAR, Blob(ValueId(value), value.row, erased_after=value.erased_after), origin))
    elif kind is str and len(value) * 4 > VALUE_INLINE_BYTES_MAX and len(value.encode()) > VALUE_INLINE_BYTES_MAX:
        out.append(Entry(key, SCALAR, Blob(hasher.value_ids.of(value), 0, value), origin))
    else:
        out.append(Entry(key, SCALAR, value, origin))


def placed(entries: Sequence[Entry], key: str, origin: int) -> list[Entry]:
    """Entries below the key "" as entries below `key`, with this origin; known value ids are kept.

    Raises LimitExceeded where the path of an entry would be too long to name.
    """
    out = []
    for entry in entries:
        if len(key) + len(entry.key) > PATH_BYTES_MAX:
            raise LimitExceeded(
                f"A path in the value would be longer than {PATH_BYTES_MAX} bytes",
                hint="Use shorter keys or fewer levels.",
                limit="PATH_BYTES_MAX",
                max=PATH_BYTES_MAX,
            )
        twin = Entry(key + entry.key, entry.kind, entry.value, origin)
        twin.value_id = entry.value_id
        out.append(twin)
    return out


def relative(entries: Sequence[Entry], key: str) -> list[Entry]:
    """The inverse of `placed`: the same entries below the key ""."""
    out = []
    for entry in entries:
        twin = Entry(entry.key[len(key) :], entry.kind, entry.value, entry.origin)
        twin.value_id = entry.value_id
        out.append(twin)
    return out


def same_content(left: Sequence[Entry], right: Sequence[Entry]) -> bool:
    """Whether two runs of entries have the same keys, kinds and values."""
    return len(left) == len(right) and all(
        a.key == b.key and a.kind == b.kind and (a.kind != SCALAR or same_scalar(a, b))
        for a, b in zip(left, right, strict=True)
    )


class Item:
    """One entry with what is below it: None for a scalar, by segment for a map, in order for a list."""

    __slots__ = ("children", "entry")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.children: Any = {} if entry.kind == MAP else [] if entry.kind == LIST else None

    def size(self) -> int:
        """How many entries it holds, itself included."""
        return 1 + sum(item.size() for item in self.below())

    def below(self) -> Iterable[Item]:
        """The items directly below, in order."""
        if self.children is None:
            return ()
        items: Iterable[Item] = self.children.values() if self.entry.kind == MAP else self.children
        return items


def nest(entries: Iterable[Entry]) -> Item:
    """The item of a contiguous range: the first entry with all that follows below it."""
    iterator = iter(entries)
    top = Item(next(iterator))
    base = depth_of(top.entry.key)
    stack = [top]
    for entry in iterator:
        depth = depth_of(entry.key) - base
        del stack[depth:]
        parent = stack[-1]
        item = Item(entry)
        if parent.entry.kind == MAP:
            parent.children[entry.key[len(parent.entry.key) :]] = item
        else:
            parent.children.append(item)
        if item.children is not None:
            stack.append(item)
    return top


def scalar_value(entry: Entry, source: NodeSource, unreadable: Unreadable | None = None) -> JsonValue:
    """The value of a scalar entry, fetched where it is stored apart.

    Raises Withheld when it was erased or its key is not there, unless `unreadable` says what to take for it.
    """
    value = entry.value
    if type(value) is not Blob:
        return value
    if unreadable is not None:
        try:
            return scalar_value(entry, source)
        except Withheld:
            return unreadable(value)
    if value.erased:
        raise Withheld(f"The value {value.id.short} was erased", value=value.id.short)
    return value.value if value.row == 0 else source.blob(value.row)


def value_of(item: Item, source: NodeSource, unreadable: Unreadable | None = None) -> JsonValue:
    """The JSON value of an item. Raises Withheld as `scalar_value` does."""
    if item.children is None:
        return scalar_value(item.entry, source, unreadable)
    if item.entry.kind == LIST:
        return [value_of(child, source, unreadable) for child in item.children]
    return {
        unescape_segment(segment[: -len(END)]): value_of(child, source, unreadable)
        for segment, child in item.children.items()
    }


def same_scalar(left: Entry, right: Entry) -> bool:
    """Whether two scalar entries hold the same value; 1 is not 1.0."""
    a, b = left.value, right.value
    if type(a) is Blob or type(b) is Blob:
        return type(a) is type(b) and a.id == b.id
    return type(a) is type(b) and bool(a == b)


def reconcile(old: Item, new: Item, origin: int) -> tuple[list[Entry], int]:
    """The entries of `new`, with each one of `old` kept that says the same, and how many paths differ.

    A kept entry is the same object. A container's marker keeps its origin while
    its keys (or the number and order of its elements) stay as they were. Elements
    of a list are aligned first, so that one which only moved up keeps its origin.
    """
    run = _Reconciling(origin)
    changed = run.items(old, new)
    return run.out, changed


class Equality:
    """Numbers items so that equal content, and it alone, has equal numbers. Each item is looked at once."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self._of: dict[int, int] = {}

    def number(self, item: Item) -> int:
        """The number of this item's content."""
        found = self._of.get(id(item))
        if found is None:
            found = self._of[id(item)] = self._numbers.setdefault(self._content(item), len(self._numbers))
        return found

    def _content(self, item: Item) -> Any:
        kind = item.entry.kind
        if kind == SCALAR:
            value = item.entry.value
            return (Blob, value.id) if type(value) is Blob else (type(value), value)
        if kind == LIST:
            return LIST, *map(self.number, item.children)
        return MAP, *[(segment, self.number(child)) for segment, child in item.children.items()]


class _Reconciling:
    """One run of `reconcile`. Each method writes the entries of `new` to `out` and counts the paths that differ."""

    def __init__(self, origin: int) -> None:
        self.out: list[Entry] = []
        self._origin = origin
        self._allowance = Allowance()
        self._equality = Equality()

    def items(self, old: Item, new: Item) -> int:
        if old.entry.kind != new.entry.kind:
            _emit(new, self.out)
            return old.size() + new.size() - 1
        if old.entry.kind == SCALAR:
            same = same_scalar(old.entry, new.entry)
            self.out.append(old.entry if same else new.entry)
            return 0 if same else 1
        return self._maps(old, new) if old.entry.kind == MAP else self._lists(old, new)

    def _maps(self, old: Item, new: Item) -> int:
        same_keys = old.children.keys() == new.children.keys()
        self.out.append(old.entry if same_keys else old.entry.with_origin(self._origin))
        changed: int = sum(item.size() for segment, item in old.children.items() if segment not in new.children)
        for segment, item in new.children.items():
            before = old.children.get(segment)
            changed += self._added(item) if before is None else self.items(before, item)
        return changed

    def _lists(self, old: Item, new: Item) -> int:
        number = self._equality.number
        pairs = align([*map(number, old.children)], [*map(number, new.children)], self._allowance)
        marker = len(self.out)
        self.out.append(old.entry)
        shifted = False
        changed = 0
        i = j = 0
        for pair_i, pair_j in [*pairs, (len(old.children), len(new.children))]:
            # Between two kept elements the rest is matched by position; what is left over came or went.
            while i < pair_i and j < pair_j:
                changed += self.items(old.children[i], new.children[j])
                i, j = i + 1, j + 1
            shifted = shifted or i < pair_i or j < pair_j
            changed += sum(item.size() for item in old.children[i:pair_i])
            changed += sum(self._added(item) for item in new.children[j:pair_j])
            if pair_i < len(old.children):
                _emit(old.children[pair_i], self.out)
            i, j = pair_i + 1, pair_j + 1
        if shifted:
            self.out[marker] = old.entry.with_origin(self._origin)
        return changed

    def _added(self, item: Item) -> int:
        _emit(item, self.out)
        return item.size()


def _emit(item: Item, out: list[Entry]) -> None:
    out.append(item.entry)
    for child in item.below():
        _emit(child, out)


def splices_between(old: Sequence[Entry], new: Sequence[Entry], rank: int) -> list[tuple[int, int, list[Entry]]]:
    """The splices that turn `old`, which begins at `rank`, into `new`; entries that are the same object stay."""
    places = {id(entry): index for index, entry in enumerate(old)}
    splices: list[tuple[int, int, list[Entry]]] = []
    done = 0
    fresh: list[Entry] = []
    for entry in new:
        place = places.get(id(entry))
        if place is None:
            fresh.append(entry)
            continue
        if fresh or place > done:
            splices.append((rank + done, rank + place, fresh))
            fresh = []
        done = place + 1
    if fresh or done < len(old):
        splices.append((rank + done, rank + len(old), fresh))
    return splices
