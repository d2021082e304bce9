"""The filters of a query, confirmed on a decoded commit, and the index streams that find candidates for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from asg_mcp.core.ids import is_prefix
from asg_mcp.core.nodes import Hasher
from asg_mcp.core.times import parse_time
from asg_mcp.errors import InvalidArgument
from asg_mcp.repo.outcomes import OUTCOMES
from asg_mcp.repo.patterns import compile_pattern
from asg_mcp.repo.records import authority_of, info_of, is_pruned, key_of, outcome_of
from asg_mcp.repo.requests import Query
from asg_mcp.repo.results import CommitInfo
from asg_mcp.repo.streams import Postings, Stream, Union, seqs_of
from asg_mcp.repo.touched import touches
from asg_mcp.repo.words import asked_words, indexed, words_of
from asg_mcp.storage.base import CommitRow, Reader, RecordKind, Term, TermKind

_INTENT_TERMS_MAX = 2_000
"""Terms that one intent is looked up under; an intent that more commits bear is found by scanning."""

Check = Callable[[CommitRow, CommitInfo], bool]


class CommitFilter:
    """All filters of a query but those on the state.

    Raises InvalidArgument and LimitExceeded for filters that cannot hold or be read.
    """

    def __init__(self, reader: Reader, hasher: Hasher, query: Query) -> None:
        self._reader = reader
        self._hasher = hasher
        self._query = query
        self._since = parse_time(query.since) if query.since else None
        self._until = parse_time(query.until) if query.until else None
        _check_order(self._since, self._until, "since", "until", query.since, query.until)
        low, high = query.confidence_min, query.confidence_max
        _check_order(low, high, "confidence_min", "confidence_max", low, high)
        if query.status not in ("", "open", *OUTCOMES):
            raise InvalidArgument(
                f"No intent has the status {query.status!r}", hint=f"Use open, {', '.join(OUTCOMES)}."
            )
        self._words = asked_words(query.text) if query.text else []
        self._intent = NamedIntent(reader, query.intent) if query.intent else None
        self._checks = list(self._made_checks())

    def match(self, row: CommitRow) -> CommitInfo | None:
        """What to show of the commit if all filters hold, else None."""
        if (self._since is not None and row.at < self._since) or (self._until is not None and row.at > self._until):
            return None
        info = info_of(self._reader, row)
        if not all(check(row, info) for check in self._checks):
            return None
        filed = self._reader.record(RecordKind.OUTCOME, key_of(info))
        status = "open" if filed is None else filed.data["outcome"]
        deviates = filed is not None and bool(filed.data["deviations"])
        if self._query.status not in ("", status) or self._query.has_deviations not in (None, deviates):
            return None
        return info if filed is None else replace(info, outcome=outcome_of(filed))

    def bounds(self) -> tuple[int, int | None]:
        """The lowest and highest number of a commit that may match; None where there is no highest."""
        if self._since is None and self._until is None:
            return 1, None
        return self._reader.seqs_between(self._since, self._until)

    def _made_checks(self) -> Iterable[Check]:
        query = self._query
        for name in ("agent", "principal", "client", "session"):
            if asked := getattr(query, name):
                yield partial(_same, name, asked)
        if query.category is not None:
            yield lambda _, info: info.category == query.category
        if query.tags:
            yield lambda _, info: set(query.tags) <= set(info.tags)
        if query.authority:
            yield lambda _, info: authority_of(info.provenance) == query.authority
        if query.confidence_min is not None or query.confidence_max is not None:
            yield self._confident
        if self._intent is not None:
            named = self._intent
            yield lambda _, info: named.holds(info)
        if self._words:
            words = set(self._words)
            yield lambda _, info: words <= words_of(f"{info.description}\n{info.reasoning}")
        if query.pattern and query.target != "state":
            search = compile_pattern(query.pattern)
            yield lambda _, info: search(info.description) is not None or search(info.reasoning) is not None
        if query.path and query.target != "state":
            yield lambda row, _: not is_pruned(row) and touches(self._reader, self._hasher, row, query.path)

    def _confident(self, _: CommitRow, info: CommitInfo) -> bool:
        low, high = self._query.confidence_min, self._query.confidence_max
        if info.confidence is None:
            return False
        return (low is None or info.confidence >= low) and (high is None or info.confidence <= high)

    def streams(self, high: int, *, rising: bool) -> list[Stream]:
        """One stream of candidates for each filter that the index knows; a match is in all of them."""
        query = self._query
        terms: list[Term] = [(TermKind.TAG, tag) for tag in query.tags]
        for kind, text in ((TermKind.AGENT, query.agent), (TermKind.SESSION, query.session)):
            if text:
                terms.append((kind, text))
        if query.authority:
            terms.append((TermKind.AUTHORITY, query.authority))
        streams: list[Stream] = [Postings.of_term(self._reader, term, high, rising=rising) for term in terms]
        if words := [word for word in self._words if indexed(word)]:
            streams.append(Postings.of_words(self._reader, words, high, rising=rising))
        if self._intent is not None and len(self._intent.terms) <= _INTENT_TERMS_MAX:
            members = [Postings.of_term(self._reader, term, high, rising=rising) for term in self._intent.terms]
            streams.append(Union([*members, Postings.of_seqs(self._intent.seqs, rising=rising)], rising=rising))
        return streams


def _same(name: str, asked: str, _: CommitRow, info: CommitInfo) -> bool:
    return bool(getattr(info, name) == asked)


def _check_order(
    low: float | None, high: float | None, low_name: str, high_name: str, low_shown: object, high_shown: object
) -> None:
    if low is not None and high is not None and low > high:
        raise InvalidArgument(
            f"{low_name} {low_shown} is above {high_name} {high_shown}", hint="Nothing can match; swap the two."
        )


class NamedIntent:
    """What one intent is called: the caller's name or a commit id, and by children any of both.

    The intent that `text` names is borne by the commit whose id begins with it and by the commits that carry it as
    intent_id. A child names its parent by what the query says, by such a commit's intent_id, or by its id, short
    (12 digits) or whole.
    """

    def __init__(self, reader: Reader, text: str) -> None:
        self.seqs = set(reader.commit_seqs(text.lower(), _INTENT_TERMS_MAX)) if is_prefix(text) else set()
        self.seqs |= {
            seq
            for seq in seqs_of(reader, (TermKind.INTENT, text))
            if info_of(reader, reader.commit(seq)).intent_id == text
        }
        infos = [info_of(reader, reader.commit(seq)) for seq in self.seqs]
        self._parents = {text} | {info.intent_id for info in infos if info.intent_id}
        self._parents |= {name for info in infos for name in (info.id.short, info.id.hex())}

    @property
    def terms(self) -> list[Term]:
        """What its commits and their children are indexed under."""
        return [(TermKind.INTENT, name) for name in sorted(self._parents)]

    def holds(self, info: CommitInfo) -> bool:
        """Whether a commit bears the intent or is a child of it."""
        return info.seq in self.seqs or info.parent_intent in self._parents
