"""Words of texts, split as the text index splits them.

The index (SQLite's unicode61) takes runs of letters, digits and private
characters as words and folds case. It also drops accents, and its tables are
older than Python's. So it finds candidates: what is found is confirmed here, and
only words on which both surely agree are looked for in it.
"""

from __future__ import annotations

import re
import unicodedata

from asg_mcp.core.limits import QUERY_TEXT_BYTES_MAX
from asg_mcp.errors import InvalidArgument, LimitExceeded

_ASCII_WORD = re.compile("[0-9a-z]+")
_OLD = unicodedata.ucd_3_2_0
"""Characters that were letters or digits in Unicode 3.2 are so in every later version, the index's included."""


def words_of(text: str) -> set[str]:
    """The words of a text, in lower case."""
    if text.isascii():
        return set(_ASCII_WORD.findall(text.lower()))
    return set("".join([_folded(char) if _in_word(char) else " " for char in text]).split(" ")) - {""}


def _in_word(char: str) -> bool:
    category = unicodedata.category(char)
    # Characters younger than the index's tables (emoji among them) are letters to it or not, as its ranges have it.
    # Taken as parts of words they never make a word here that the index sees as part of a longer one.
    return category[0] in "LNM" or category == "Co" or _OLD.category(char) == "Cn"


def _folded(char: str) -> str:
    # Capitals younger than the index's tables are not folded by it, and so not here.
    lower = char.lower()
    return lower if len(lower) == 1 and _OLD.category(char) != "Cn" else char


def asked_words(text: str) -> list[str]:
    """The words that a caller asks for, in order. Raises InvalidArgument when there are none, and LimitExceeded."""
    size = len(text.encode(errors="surrogatepass"))
    if size > QUERY_TEXT_BYTES_MAX:
        raise LimitExceeded(
            f"The text to look for has {size} bytes; at most {QUERY_TEXT_BYTES_MAX} are allowed",
            hint="Use fewer words.",
            limit="QUERY_TEXT_BYTES_MAX",
            max=QUERY_TEXT_BYTES_MAX,
        )
    words = sorted(words_of(text))
    if not words:
        raise InvalidArgument(
            f"There is no word in {text!r}", hint="text takes words of letters and digits; for other signs use pattern."
        )
    return words


def indexed(word: str) -> bool:
    """Whether the index surely holds this word as one word wherever `words_of` finds it."""
    return word.isascii() or all(_OLD.category(char)[0] in "LN" for char in word)
