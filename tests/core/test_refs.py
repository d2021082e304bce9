"""Ref names, and the text that names a commit."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asg_mcp.core.limits import ANCESTOR_STEPS_MAX, NAME_BYTES_MAX
from asg_mcp.core.refs import Revision, check_ref_name, parse_revision
from asg_mcp.errors import InvalidArgument, InvalidInput, InvalidName, LimitExceeded

# The pieces of which git's rules are made, and some that it forbids.
PIECES = ["a", "B", "7", "main", "x-y", "_", "-", ".", "..", "/", "//", ".lock", "lock", "HEAD", "refs", "refs/heads/"]
NAME_TEXT = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
ANY_TEXT = st.lists(
    st.sampled_from([*PIECES, "@", "~", "~2", ":", "spec:", "^", " ", "\n", "\x00", "é", "\ud800", "@{", "2026-11-21"]),
    max_size=8,
).map("".join)
NAMES = NAME_TEXT.filter(lambda name: accepted(name))


def accepted(name: str) -> bool:
    try:
        check_ref_name(name)
    except InvalidName:
        return False
    return True


# --- names ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["main", "a", "team/fix-42", "v1.2.3", "a/b/c", "_x", "feature/a_b.c", "abcdef", "0123456789", "f" * 64, "lock",
     "a.lockx", "a-", "a/-b", "head", "x/HEAD", "refs", "xrefs/a", "x" * NAME_BYTES_MAX],
)  # fmt: skip
def test_ordinary_names_are_accepted(name: str) -> None:
    check_ref_name(name)


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("", None), (".", None), ("/", None), ("---", None), ("HEAD", None), ("refs/", None), ("名前", None),
        ("my branch", "my-branch"), ("fix: it", "fix-it"), ("a~1", "a-1"), ("a@b", "a-b"), ("a:b", "a-b"),
        ("a^", "a"), ("a?*[b", "a-b"), ("a\\b", "a-b"), ("a\nb", "a-b"), ("main\n", "main"), ("a\x00b", "a-b"),
        ("-a", "a"), (".a", "a"), ("a/.b", "a/b"), ("a..b", "a.b"), ("a.", "a"), ("a/", "a"), ("/a", "a"),
        ("a//b", "a/b"), ("a.lock", "a"), ("a.lock/b", "a/b"), ("a.lock.lock", "a"),
        ("refs/heads/main", "main"), ("refs/tags/v1", "v1"), ("refs/x", "x"), ("refs/refs/x", "x"),
        ("café", "caf"), ("\ud800x", "x"), ("x" * 201, "x" * 200),
    ],
)  # fmt: skip
def test_a_name_that_breaks_a_rule_is_refused_with_a_name_that_does_not(name: str, suggestion: str | None) -> None:
    with pytest.raises(InvalidName) as caught:
        check_ref_name(name)
    assert caught.value.details.get("suggestion") == suggestion
    assert caught.value.hint and (suggestion is None or suggestion in caught.value.hint)


def test_each_rule_is_named_in_its_message() -> None:
    for name, words in (
        ("", "is empty"), ("a b", "character"), ("a//b", "empty part"), ("-a", "begins with -"),
        ("a/.b", "begins with ."),
        ("a..b", "two dots"), ("a.lock", ".lock"), ("a.", "ends with ."), ("HEAD", "reserved"), ("refs/a", "reserved"),
        ("x" * 201, "201 bytes"), ("é" * 101, "202 bytes"),
    ):  # fmt: skip
        with pytest.raises(InvalidName, match="ref name") as caught:
            check_ref_name(name)
        assert words in caught.value.message
        assert len(caught.value.message) < 250


@settings(max_examples=300)
@given(ANY_TEXT | st.text(max_size=30))
def test_a_suggested_name_is_always_one_that_is_accepted(name: str) -> None:
    try:
        check_ref_name(name)
    except InvalidName as error:
        assert accepted(error.details.get("suggestion", "main"))


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed; it is the oracle here")
@settings(max_examples=150)
@given(NAMES)
def test_whatever_name_is_accepted_git_accepts_as_a_branch(name: str) -> None:
    done = subprocess.run(["git", "check-ref-format", "--branch", name], capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, (name, done.stderr)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed; it is the oracle here")
@pytest.mark.parametrize("name", ["-a", ".a", "a/.b", "a..b", "a.", "a/", "a//b", "a.lock", "a.lock/b", "HEAD", "a~1"])
def test_what_git_refuses_is_refused(name: str) -> None:
    done = subprocess.run(["git", "check-ref-format", "--branch", name], capture_output=True, timeout=30, check=False)
    assert done.returncode != 0
    assert not accepted(name)


# --- revisions --------------------------------------------------------------------

EIGHT = "2026-11-21T08:00:00.000000Z"


@pytest.mark.parametrize(
    ("text", "revision"),
    [
        ("main", Revision("name", "main")),
        ("team/fix-42", Revision("name", "team/fix-42")),
        ("a3f09c", Revision("name", "a3f09c")),
        ("A3F09C", Revision("name", "A3F09C")),
        ("main~", Revision("name", "main", back=1)),
        ("main~0", Revision("name", "main")),
        ("main~3", Revision("name", "main", back=3)),
        ("main~~", Revision("name", "main", back=2)),
        ("main~3~4", Revision("name", "main", back=7)),
        ("main~007", Revision("name", "main", back=7)),
        (f"main~{ANCESTOR_STEPS_MAX}", Revision("name", "main", back=ANCESTOR_STEPS_MAX)),
        ("a3f09c~1", Revision("name", "a3f09c", back=1)),
        ("main@2026-11-21T08:00:00Z", Revision("name", "main", EIGHT)),
        ("main@2026-11-21t10:30:00+02:30", Revision("name", "main", EIGHT)),
        ("main@2026-11-21", Revision("name", "main", "2026-11-21T00:00:00.000000Z")),
        ("main@2026-11-21T08:00:00Z~2", Revision("name", "main", EIGHT, 2)),
        ("spec:Ab3_-9", Revision("spec", "Ab3_-9")),
        ("spec:h~2", Revision("spec", "h", back=2)),
        ("spec:h@2026-11-21T08:00:00Z~1", Revision("spec", "h", EIGHT, 1)),
        ("spec", Revision("name", "spec")),
    ],
)
def test_text_names_a_base_a_time_and_steps_back(text: str, revision: Revision) -> None:
    assert parse_revision(text) == revision
    assert parse_revision(str(revision)) == revision


@given(
    st.builds(
        Revision,
        st.just("name"),
        NAMES,
        st.none() | st.just(EIGHT),
        st.integers(0, ANCESTOR_STEPS_MAX),
    )
)
def test_every_revision_comes_back_from_its_text(revision: Revision) -> None:
    assert parse_revision(str(revision)) == revision


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "main"), ("HEAD", "Name the branch"), ("HEAD~1", "Name the branch"), ("main^", "main~1"),
        ("main^^", "main~2"), ("refs/heads/main", "'main'"), ("my branch", "my-branch"), (" main", "main"),
        ("main\n", "main"), ("~1", "main"), ("@2026-11-21", "main"), ("main~2@2026-11-21", "time comes first"),
        ("main~-1", "main~3"), ("main~x", "main~3"), ("main~1.0", "main~3"), ("main~ 1", "main~3"),
        ("main~²", "main~3"),
        ("spec:", "handle"), ("spec:a b", "handle"), ("spec:a/b", "handle"), ("spec:é", "handle"),
        ("spec:a\n", "handle"),
        ("spec:" + "x" * 201, "handle"), ("SPEC:x", "SPEC-x"), ("main:x", "main-x"), ("x" * 10_000, "x" * 200),
    ],
    ids=lambda text: repr(text[:30]),
)  # fmt: skip
def test_text_that_names_no_commit_is_refused_with_what_to_write_instead(text: str, hint: str) -> None:
    with pytest.raises(InvalidName) as caught:
        parse_revision(text)
    assert hint in caught.value.hint
    assert len(caught.value.message) < 250


@pytest.mark.parametrize(
    "text", ["main@", "main@{1}", "main@yesterday", "main@2026-11-21@2026-11-22", "main@2026-11-21T08:00:00"]
)
def test_a_time_that_is_none_is_refused_as_an_argument(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_revision(text)
    assert "2026" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [f"main~{ANCESTOR_STEPS_MAX + 1}", f"main~{ANCESTOR_STEPS_MAX}~", "main~" + "9" * 5000],
    ids=["one", "sum", "big"],
)
def test_more_steps_than_the_limit_are_refused_by_its_name(text: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        parse_revision(text)
    assert caught.value.details == {"limit": "ANCESTOR_STEPS_MAX", "max": ANCESTOR_STEPS_MAX}


@settings(max_examples=300)
@given(ANY_TEXT | st.text(max_size=20))
def test_any_text_is_a_revision_or_a_typed_error_with_a_hint(text: str) -> None:
    try:
        revision = parse_revision(text)
    except InvalidInput as error:
        assert error.hint
        return
    assert parse_revision(str(revision)) == revision
