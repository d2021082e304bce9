"""Origins after a merge: what came from the other side was changed by whoever changed it there, not by the merge.

A merge applies operations to ours, so all that it touches has the merge as its origin at first. An entry that theirs
has too then takes theirs' origin. What is left is what the merge itself made: the value of a rule or of a resolution.
Replay does the same, so it is a function of its arguments alone.
"""

from __future__ import annotations

from asg_mcp.core.diff import deltas
from asg_mcp.core.flat import Equality, Item, nest, same_scalar
from asg_mcp.core.lists import Allowance, align
from asg_mcp.core.nodes import LIST, MAP, SCALAR, Entry
from asg_mcp.core.paths import ELEMENT, END, Tokens, unescape_segment
from asg_mcp.core.state import Gap, Spot, State


def adopt(ours: State, theirs: State, result: State, seq: int) -> State:
    """`result`, which is ours after operations with origin `seq`, with the origins that are theirs.

    An entry of origin `seq` that theirs has at its path, with equal kind and value, takes theirs' origin; elements of
    lists are matched as sequences. The marker of a map takes theirs' origin when its keys are theirs, and the later
    one of both sides' when each of its keys is there or missing as on one of them; that of a list takes theirs' when
    its elements are theirs.
    """
    run = _Adoption(ours, theirs, result, seq)
    run.all()
    return State(result.tree.with_origins(run.changed)) if run.changed else result


class _Adoption:
    """One run of `adopt`: the entries that get another origin, by rank, in order."""

    def __init__(self, ours: State, theirs: State, result: State, seq: int) -> None:
        self.changed: list[tuple[int, Entry]] = []
        self._ours, self._theirs, self._result, self._seq = ours, theirs, result, seq
        self._allowance = Allowance()
        self._equality = Equality()
        self._kept: list[Item] = []
        """Items that were numbered: numbers go by identity, so they must outlive the run."""

    def all(self) -> None:
        """Go through all that has the origin of the merge; a list is gone through at once."""
        done = 0
        for rank, entry in self._result.tree.since(self._seq):
            if rank < done:
                continue
            inside = ELEMENT in entry.key
            tokens = _tokens(entry.key[: entry.key.index(ELEMENT)] if inside else entry.key)
            there = self._theirs.locate(tokens)
            if isinstance(there, Gap) or ELEMENT in there.entry.key or (inside and there.entry.kind != LIST):
                continue
            if inside or entry.kind == LIST == there.entry.kind:
                done = self._list(tokens, there, rank)
            elif entry.kind == MAP == there.entry.kind:
                done = self._map(tokens, there, rank, entry)
            elif entry.kind == there.entry.kind and same_scalar(there.entry, entry):
                self._put(rank, entry, there.entry.origin)

    def _put(self, rank: int, entry: Entry, origin: int) -> None:
        if origin != entry.origin:
            self.changed.append((rank, entry.with_origin(origin)))

    def _map(self, tokens: Tokens, there: Spot, rank: int, entry: Entry) -> int:
        """The marker of a map, or the whole map where it is theirs; returns the rank behind what was gone through."""
        spot = self._result.spot(tokens)
        if self._same_whole(spot, there):
            return spot.end
        self._put(rank, entry, self._of_marker(tokens, there))
        return rank + 1

    def _same_whole(self, spot: Spot, there: Spot) -> bool:
        """Take all of theirs at once where a container is theirs to the last entry; whether it is."""
        size = spot.end - spot.rank
        if size != there.end - there.rank or self._result.object(spot) != self._theirs.object(there):
            return False
        pairs = zip(
            self._result.tree.entries(spot.rank, spot.end),
            self._theirs.tree.entries(there.rank, there.end),
            strict=True,
        )
        for at, (entry, twin) in enumerate(pairs):
            if entry.origin == self._seq:
                self._put(spot.rank + at, entry, twin.origin)
        return True

    def _of_marker(self, tokens: Tokens, there: Spot) -> int:
        place = self._ours.locate(tokens)
        is_map = isinstance(place, Spot) and ELEMENT not in place.entry.key and place.entry.kind == MAP
        here = place if isinstance(place, Spot) and is_map else None
        apart = False
        for delta in deltas(self._result, self._theirs, tokens):
            if len(delta.tokens) > len(tokens) + 1 or (delta.old is not None and delta.new is not None):
                continue
            apart = True
            if here is None or (self._ours.child(here, delta.tokens[-1]) is None) == (delta.new is None):
                return self._seq  # a key that neither side has, or that both have, came or went
        if not apart or here is None:
            return there.entry.origin
        return max(here.entry.origin, there.entry.origin)

    # --- lists --------------------------------------------------------------------

    def _list(self, tokens: Tokens, there: Spot, rank: int) -> int:
        """The outermost list around an entry; returns the rank behind what was gone through."""
        spot, mine = self._result.spot(tokens), self._ours.locate(tokens)
        if self._same_whole(spot, there):
            return spot.end
        here = mine if isinstance(mine, Spot) and ELEMENT not in mine.entry.key else None
        if here is not None and here.entry.origin == spot.entry.origin == there.entry.origin:
            # Neither side added or removed an element: each stands for that in its place, and the others are not read.
            spot = self._result.element_at(spot, rank)
            index = int(spot.tokens[-1])
            element, here = self._theirs.element(there, index), self._ours.element(here, index)
            assert element is not None and here is not None, "BUG: the lists are equally long"
            there = element
        item, other = _item(self._result, spot), _item(self._theirs, there)
        own = None if here is None else _item(self._ours, here)
        self._kept += [side for side in (item, other, own) if side is not None]
        found: list[tuple[Entry, int]] = []
        self._match(item, own, other, found)
        for at, (entry, origin) in enumerate(found):
            self._put(spot.rank + at, entry, origin)
        return spot.end

    def _match(self, item: Item, ours: Item | None, theirs: Item | None, out: list[tuple[Entry, int]]) -> None:
        """The origins of an item and of all below it, in order, given what stands for it on both sides."""
        kind, entry = item.entry.kind, item.entry
        if ours is not None and ours.entry.kind != kind:
            ours = None
        if theirs is not None and theirs.entry.kind != kind:
            theirs = None
        origin = entry.origin
        if origin == self._seq and theirs is not None:
            origin = self._of_item(item, ours, theirs)
        out.append((entry, origin))
        if kind == MAP:
            for segment, child in item.children.items():
                partners = [None if side is None else side.children.get(segment) for side in (ours, theirs)]
                self._match(child, partners[0], partners[1], out)
        elif kind == LIST:
            ours_of, theirs_of = self._partners(item, ours), self._partners(item, theirs)
            for child, mine, other in zip(item.children, ours_of, theirs_of, strict=True):
                self._match(child, mine, other, out)

    def _of_item(self, item: Item, ours: Item | None, theirs: Item) -> int:
        origin = theirs.entry.origin
        if item.entry.kind == SCALAR:
            return origin if same_scalar(item.entry, theirs.entry) else self._seq
        if item.entry.kind == LIST:
            number = self._equality.number
            same = [*map(number, item.children)] == [*map(number, theirs.children)]
            return origin if same else self._seq
        keys, others = item.children.keys(), theirs.children.keys()
        if keys == others:
            return origin
        if ours is None or not others & ours.children.keys() <= keys <= others | ours.children.keys():
            return self._seq
        return max(origin, ours.entry.origin)

    def _partners(self, item: Item, side: Item | None) -> list[Item | None]:
        """For each element of a list, that of the side's list which stands for it."""
        if side is None:
            return [None] * len(item.children)
        number = self._equality.number
        pairs = align([*map(number, side.children)], [*map(number, item.children)], self._allowance)
        out: list[Item | None] = [None] * len(item.children)
        i = j = 0
        for pair_i, pair_j in [*pairs, (len(side.children), len(item.children))]:
            while i < pair_i and j < pair_j:
                out[j] = side.children[i]
                i, j = i + 1, j + 1
            if pair_j < len(out):
                out[pair_j] = side.children[pair_i]
            i, j = pair_i + 1, pair_j + 1
        return out


def _item(state: State, spot: Spot) -> Item:
    return nest(state.tree.entries(spot.rank, spot.end))


def _tokens(key: str) -> Tokens:
    """The path of an entry outside lists."""
    return tuple(unescape_segment(segment) for segment in key.split(END)[:-1])
