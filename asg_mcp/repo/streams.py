"""Ordered streams of commit numbers from the index, and their intersection."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from asg_mcp.repo.graph import Reach
from asg_mcp.storage.base import Reader, Term

_PAGE_FIRST, _PAGE_MAX = 64, 4_096
Fetch = Callable[[int, int], list[int]]
"""(bound, limit) -> the numbers from the bound on, itself included, in the direction of the stream"""


class Stream(Protocol):
    """Numbers in one direction, rising or falling. Seek goes forward only."""

    def seek(self, bound: int) -> int | None:
        """The first number at or behind the bound; None when there is none."""
        ...


class Postings:
    """What the index holds under one term, or any other source that is read in pages."""

    def __init__(self, fetch: Fetch, *, rising: bool) -> None:
        self._fetch = fetch
        self._sign = 1 if rising else -1
        self._keys: list[int] = []
        self._limit = _PAGE_FIRST
        self._complete = False

    @classmethod
    def of_term(cls, reader: Reader, term: Term, high: int, *, rising: bool) -> Postings:
        """The commits up to `high` that are indexed under a term."""

        def fetch(bound: int, limit: int) -> list[int]:
            if rising:
                return reader.find(term, high + 1, limit, after=bound - 1)
            return reader.find(term, bound + 1, limit)

        return cls(fetch, rising=rising)

    @classmethod
    def of_words(cls, reader: Reader, words: Sequence[str], high: int, *, rising: bool) -> Postings:
        """The commits up to `high` whose texts hold the words."""

        def fetch(bound: int, limit: int) -> list[int]:
            if rising:
                return reader.find_text(words, high + 1, limit, after=bound - 1)
            return reader.find_text(words, bound + 1, limit)

        return cls(fetch, rising=rising)

    @classmethod
    def of_seqs(cls, seqs: Iterable[int], *, rising: bool) -> Postings:
        """These numbers."""
        stream = cls(lambda _, __: [], rising=rising)
        stream._keys = sorted(seq if rising else -seq for seq in seqs)
        stream._complete = True
        return stream

    def seek(self, bound: int) -> int | None:
        """See Stream."""
        key = bound * self._sign
        place = bisect_left(self._keys, key)
        if place == len(self._keys) and not self._complete:
            found = self._fetch(bound, self._limit)
            self._complete = len(found) < self._limit
            self._limit = min(2 * self._limit, _PAGE_MAX)
            self._keys = [seq * self._sign for seq in found]
            place = 0
        return self._keys[place] * self._sign if place < len(self._keys) else None


class Union:
    """What any of several streams has."""

    def __init__(self, streams: Sequence[Stream], *, rising: bool) -> None:
        self._streams = list(streams)
        self._first = min if rising else max

    def seek(self, bound: int) -> int | None:
        """See Stream."""
        found = [(stream, stream.seek(bound)) for stream in self._streams]
        self._streams = [stream for stream, number in found if number is not None]
        return self._first((number for _, number in found if number is not None), default=None)


def intersection(streams: Sequence[Stream], reach: Reach | None, low: int, high: int, *, rising: bool) -> Iterator[int]:
    """The numbers in [low, high] that all streams and the reach have, in their direction."""
    step = 1 if rising else -1
    bound = low if rising else high
    while low <= bound <= high:
        agreed = 0
        while agreed < len(streams):
            # Whoever is furthest ahead says where the others have to look next.
            found = streams[agreed].seek(bound)
            if found is None or not low <= found <= high:
                return
            agreed = agreed + 1 if found == bound else 0
            bound = found
        if reach is None or bound in reach:
            yield bound
        bound += step


def seqs_of(reader: Reader, term: Term, *, rising: bool = False) -> Iterator[int]:
    """All commits that are indexed under a term, newest first; `rising`, oldest first."""
    newest = reader.last_seq()
    return intersection([Postings.of_term(reader, term, newest, rising=rising)], None, 1, newest, rising=rising)
