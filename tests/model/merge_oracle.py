"""Three-way merge of plain values: slow, obvious, one case after the other.

It shares nothing with the merge of states but the alignment of lists, which is the aligner's to choose, and the look-up
of a path's rule, which has tests of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from asg_mcp.core.lists import align
from asg_mcp.core.mergerules import NO_RULES, Rules
from asg_mcp.core.values import encode

Path = tuple[str, ...]
Clashes = set[tuple[Path, str]]
Seq = Callable[[str, Path], int]

GONE: Any = type("Gone", (), {"__repr__": lambda _: "GONE"})()
"""A side that has nothing at a path."""


def nobody_knows(side: str, path: Path) -> int:
    """The newest change of a path, where no rule asks for it."""
    raise AssertionError(f"nobody said when {side} changed {path}")


def merge_values(
    base: Any, ours: Any, theirs: Any, rules: Rules = NO_RULES, *, newest: Seq = nobody_knows, manual: bool = False
) -> tuple[Any, Clashes]:
    """The merged document, and where somebody has to choose, as (path, rule); there the document is that of ours.

    `newest(side, path)` is the number of the last change at or below a path of "ours" or "theirs" (of the container
    that lacks it, for a path that is not there); the rule last-writer-wins asks for it. Paths are those of the side.
    `manual` settles nothing that both sides changed differently, but for keys of maps.
    """
    run = _Oracle(NO_RULES if manual else rules, newest, manual)
    value = run.merge((), (), (), base, ours, theirs)
    return value, run.clashes


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal; 1 is neither 1.0 nor true, and GONE is nothing but itself."""
    if left is GONE or right is GONE:
        return left is right
    return encode(left) == encode(right)


class _Contradiction(Exception):
    """The two sides cannot both be had."""


class _Meaningless(_Contradiction):
    """The rule says nothing about such values."""


class _Oracle:
    def __init__(self, rules: Rules, newest: Seq, manual: bool) -> None:
        self.rules = rules
        self.newest = newest
        self.manual = manual
        self.clashes: Clashes = set()

    def merge(self, path: Path, at_o: Path, at_t: Path, base: Any, ours: Any, theirs: Any) -> Any:
        """What a path becomes. `path` has the indexes of the base, `at_o` those of ours, `at_t` those of theirs."""
        if same(base, theirs):
            return ours
        if same(base, ours):
            return theirs
        if path == ("_meta",):
            return ours if same(ours, theirs) else self.clash(path, "migration", ours)
        rule = self.rules.at(path)
        maps = isinstance(ours, dict) and isinstance(theirs, dict)
        if rule is not None and not (rule == "union" and maps):
            try:
                return self.by_rule(rule, path, at_o, at_t, base, ours, theirs)
            except _Contradiction:
                return self.clash(path, rule, ours)
        if maps and (isinstance(base, dict) or base is GONE):
            return self.keys(path, at_o, at_t, {} if base is GONE else base, ours, theirs)
        lists = isinstance(base, list) and isinstance(ours, list) and isinstance(theirs, list)
        if lists and not (self.manual and not same(ours, theirs)):
            try:
                return self.sequence(path, at_o, at_t, base, ours, theirs)
            except _Contradiction:
                return self.clash(path, "list", ours)
        if same(ours, theirs):
            return ours
        if lists:
            return self.clash(path, "list", ours)
        held = [side for side in (base, ours, theirs) if side is not GONE]
        return self.clash(path, "container" if any(isinstance(side, dict | list) for side in held) else "scalar", ours)

    def clash(self, path: Path, rule: str, ours: Any) -> Any:
        self.clashes.add((path, str(rule)))
        return ours

    def keys(self, path: Path, at_o: Path, at_t: Path, base: Any, ours: Any, theirs: Any) -> Any:
        out = {}
        for name in sorted({*base, *ours, *theirs}):
            sides = [side.get(name, GONE) for side in (base, ours, theirs)]
            value = self.merge((*path, name), (*at_o, name), (*at_t, name), *sides)
            if value is not GONE:
                out[name] = value
        return out

    def inside(self, path: Path, at_o: Path, at_t: Path, base: Any, ours: Any, theirs: Any) -> Any:
        """An element of a list: a contradiction anywhere below is one of the list."""
        inner = _Oracle(self.rules, self.newest, self.manual)
        value = inner.merge(path, at_o, at_t, base, ours, theirs)
        if inner.clashes:
            raise _Contradiction
        return value

    # --- lists ------------------------------------------------------------------

    def sequence(self, path: Path, at_o: Path, at_t: Path, base: list[Any], ours: list[Any], theirs: list[Any]) -> Any:
        """diff3: between the elements that all three keep, one side's elements, or both sides' place by place."""
        out: list[Any] = []
        for b, o, t in stretches(base, ours, theirs):
            was, mine, other = [base[i] for i in b], [ours[i] for i in o], [theirs[i] for i in t]
            if len(b) == len(o) == len(t):
                for i, j, k in zip(b, o, t, strict=True):
                    where = ((*path, str(i)), (*at_o, str(j)), (*at_t, str(k)))
                    out.append(self.inside(*where, base[i], ours[j], theirs[k]))
            elif same(was, other) or same(mine, other):
                out += mine
            elif same(was, mine):
                out += other
            else:
                raise _Contradiction
        return out

    def by_id(self, path: Path, at_o: Path, at_t: Path, base: list[Any], ours: list[Any], theirs: list[Any]) -> Any:
        key = self.rules.id_key(path)
        for side in (base, ours, theirs):
            ids = [element.get(key) if isinstance(element, dict) else None for element in side]
            if any(item is None or isinstance(item, dict | list) for item in ids):
                raise _Meaningless
            if len({encode(item) for item in ids}) < len(ids):
                raise _Meaningless

        def find(side: list[Any], wanted: Any) -> tuple[str, Any]:
            for index, element in enumerate(side):
                if same(element[key], wanted):
                    return str(index), element
            return "-", GONE

        out = []
        known = [element[key] for element in ours]
        known += [element[key] for element in theirs if find(ours, element[key])[1] is GONE]
        for wanted in known:
            (i, was), (j, mine), (k, other) = find(base, wanted), find(ours, wanted), find(theirs, wanted)
            value = self.inside((*path, i), (*at_o, j), (*at_t, k), was, mine, other)
            if value is not GONE:
                out.append(value)
        return out

    # --- rules ------------------------------------------------------------------

    def by_rule(self, rule: str, path: Path, at_o: Path, at_t: Path, base: Any, ours: Any, theirs: Any) -> Any:
        agreed = same(ours, theirs)
        if agreed and rule not in ("sum", "concat", "union-by-id"):
            return ours
        if rule == "last-writer-wins":
            mine, other = self.newest("ours", at_o), self.newest("theirs", at_t)
            if mine == other:
                raise _Contradiction
            return ours if mine > other else theirs
        if rule == "manual":
            raise _Contradiction
        try:
            if rule == "union-by-id":
                return self.by_id(path, at_o, at_t, *lists(base, ours, theirs))
            return {"sum": total, "max": largest, "min": smallest, "concat": chain, "union": united}[rule](
                base, ours, theirs
            )
        except _Meaningless:
            if agreed:
                return ours
            raise


def stretches(base: list[Any], ours: list[Any], theirs: list[Any]) -> Iterator[tuple[range, range, range]]:
    """The indexes of the three lists, cut at the elements that all three keep."""
    texts = [[encode(element) for element in side] for side in (base, ours, theirs)]
    in_ours, in_theirs = dict(align(texts[0], texts[1])), dict(align(texts[0], texts[2]))
    at = (0, 0, 0)
    for index in sorted(in_ours.keys() & in_theirs.keys()):
        here = (index, in_ours[index], in_theirs[index])
        yield range(at[0], here[0]), range(at[1], here[1]), range(at[2], here[2])
        at = (here[0], here[1], here[2])
        yield range(at[0], at[0] + 1), range(at[1], at[1] + 1), range(at[2], at[2] + 1)
        at = (at[0] + 1, at[1] + 1, at[2] + 1)
    yield range(at[0], len(base)), range(at[1], len(ours)), range(at[2], len(theirs))


def numbers(*values: Any) -> None:
    """Raise unless all are numbers; true is none."""
    if not all(type(value) in (int, float) for value in values):
        raise _Meaningless


def total(base: Any, ours: Any, theirs: Any) -> Any:
    """The base and both changes. A missing base is 0."""
    base = 0 if base is GONE else base
    numbers(base, ours, theirs)
    result = Fraction(base) + (Fraction(ours) - Fraction(base)) + (Fraction(theirs) - Fraction(base))
    if all(type(value) is int for value in (base, ours, theirs)):
        if not -(2**63) <= result < 2**63:
            raise _Contradiction
        return int(result)
    try:
        return float(result)
    except OverflowError:
        raise _Contradiction from None


def largest(base: Any, ours: Any, theirs: Any) -> Any:
    """The larger number; of 1 and 1.0 the integer."""
    numbers(ours, theirs)
    return max(sorted([ours, theirs], key=lambda number: type(number) is float))


def smallest(base: Any, ours: Any, theirs: Any) -> Any:
    """The smaller number; of 1 and 1.0 the integer."""
    numbers(ours, theirs)
    return min(sorted([ours, theirs], key=lambda number: type(number) is float))


def lists(base: Any, ours: Any, theirs: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """The three as lists. A missing base is the empty one."""
    base = [] if base is GONE else base
    if not all(isinstance(side, list) for side in (base, ours, theirs)):
        raise _Meaningless
    return base, ours, theirs


def chain(base: Any, ours: Any, theirs: Any) -> Any:
    """What both sides appended, ours first."""
    if isinstance(ours, str):
        base = "" if base is GONE else base
        if not (isinstance(base, str) and isinstance(theirs, str)):
            raise _Meaningless
    else:
        base, ours, theirs = lists(base, ours, theirs)
    if not (same(ours[: len(base)], base) and same(theirs[: len(base)], base)):
        raise _Meaningless
    return ours + theirs[len(base) :]


def united(base: Any, ours: Any, theirs: Any) -> Any:
    """Each element once: what either side added, without what either side took away."""
    base, ours, theirs = lists(base, ours, theirs)

    def holds(side: list[Any], element: Any) -> bool:
        return any(same(element, other) for other in side)

    out: list[Any] = []
    for element in ours + theirs:
        taken = holds(base, element) and not (holds(ours, element) and holds(theirs, element))
        if not taken and not holds(out, element):
            out.append(element)
    return out
