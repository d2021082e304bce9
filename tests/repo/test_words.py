"""Words are split so that the text index finds at least what is asked for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asg_mcp.core.limits import QUERY_TEXT_BYTES_MAX
from asg_mcp.errors import InvalidArgument, LimitExceeded
from asg_mcp.repo.words import asked_words, indexed, words_of
from asg_mcp.storage.rows import Sealer
from asg_mcp.storage.session import Caches, SqliteReader

INDEX = "CREATE VIRTUAL TABLE texts USING fts5 (text, content = '', detail = none, columnsize = 0)"
TEXTS = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("aZé ßẞİıſKΣσςéǆ_-.'\"9٣½ﬁ\x00"),
        st.characters(max_codepoint=0x24F),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def index() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(INDEX)
        yield connection


def found(index: sqlite3.Connection, text: str, words: list[str]) -> bool:
    """Whether the index, asked as the store asks it, finds the text by these words."""
    index.execute("SAVEPOINT one")
    try:
        index.execute("INSERT INTO texts (rowid, text) VALUES (1, ?)", (text,))
        return SqliteReader(index, Caches(), Sealer()).find_text(words, 2, 1) == [1]
    finally:
        index.execute("ROLLBACK TO one")
        index.execute("RELEASE one")


@given(TEXTS, TEXTS)
@example("café", "CAFÉ")
@example("x_y", "y")
@example("don't", "t")
@example("0\U00018d09", "0")
@example("0\U0001f650", "0")
@example("\u1c90", "\u10d0")
def test_the_index_finds_every_text_that_holds_the_words(index: sqlite3.Connection, text: str, other: str) -> None:
    for asked in (text, text.upper(), text.lower(), text[:3], other):
        words = [word for word in words_of(asked) if indexed(word)]
        if words and words_of(asked) <= words_of(text):
            assert found(index, text, words), (text, words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Scale the cluster, node-3!", {"scale", "the", "cluster", "node", "3"}),
        ("größe ÜBER", {"größe", "über"}),
        ("v1.2_final", {"v1", "2", "final"}),
        ("", set()),
        ("—…", set()),
        ("日本 ok", {"日本", "ok"}),
    ],
)
def test_a_text_is_split_into_words(text: str, words: set[str]) -> None:
    assert words_of(text) == words


def test_what_has_no_word_and_what_is_too_long_is_refused() -> None:
    assert asked_words("b A b") == ["a", "b"]
    with pytest.raises(InvalidArgument, match="no word"):
        asked_words("?!")
    with pytest.raises(LimitExceeded):
        asked_words("a " * QUERY_TEXT_BYTES_MAX)


def test_a_word_with_newer_letters_is_looked_for_without_the_index() -> None:
    assert indexed("größe")
    assert indexed("日本")
    assert not indexed("a\u0301")
    assert not indexed("\U0001e922")
