"""The texts of commits and events that go: what is looked for in bytes, and what stays because it is elsewhere too."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.repo.redacttexts import Mentions, strings_in
from asg_mcp.services.redactproof import needles_of
from asg_mcp.storage.base import StoredReply
from tests.repo.redactdesk import RedactDesk, holding, open_redact_desk

WHY = "Ludmilla Pelargonium told us so. " * 20
SHARED, SHORT = "ticket-2026-4711", "pelargo"


async def commit(desk: RedactDesk) -> str:
    """A commit with a long text of its own, one that another commit has too, and a short one."""
    await desk.set("/b", 1, description=f"For {SHARED} again.")
    return await desk.set("/a", 1, description="The Pelargonium protocol", reasoning=WHY, tags=(SHARED, SHORT))


async def test_the_texts_of_a_commit_are_looked_for_unless_they_are_elsewhere_too(tmp_path: Path) -> None:
    async with open_redact_desk(tmp_path) as desk:
        plan = await desk.find("commit", name=await commit(desk))
        assert plan.forms_gone() == {
            form for text in ("The Pelargonium protocol", WHY) for form in (text, text.lower())
        }
        assert plan.mentioned == {SHARED}
        proof = plan.proof()
        assert (proof.texts, proof.searched, proof.mentioned) == (4, 2, 1), "one is too short to search for"
        await desk.erase(plan)
        assert (await desk.repo.redactions.finish(plan, lambda *_: None)).left == {}
        assert WHY.encode() in needles_of(plan)
    assert holding(tmp_path, WHY, "pelargonium") == []
    assert holding(tmp_path, SHARED) != []


async def test_what_somebody_writes_while_texts_go_is_not_looked_for(tmp_path: Path) -> None:
    async with open_redact_desk(tmp_path) as desk:
        plan = await desk.find("commit", name=await commit(desk))
        await desk.set("/quoted", f"He said: {WHY}")
        await desk.erase(plan)
        assert (await desk.repo.redactions.finish(plan, lambda *_: None)).left == {}
        assert WHY in plan.mentioned
        assert WHY.encode() not in needles_of(plan)


async def test_a_commit_that_still_has_its_texts_is_told(tmp_path: Path) -> None:
    async with open_redact_desk(tmp_path) as desk:
        plan = await desk.find("commit", name=await commit(desk))
        assert (await desk.repo.redactions.finish(plan, lambda *_: None)).left == {"texts": 1}


async def test_a_remembered_answer_has_the_texts_of_an_erased_commit_no_more(tmp_path: Path) -> None:
    async with open_redact_desk(tmp_path) as desk:
        name = await commit(desk)
        reply = StoredReply(bytes(16), [f"as they say: {WHY}", SHARED])
        await desk.store.write(lambda writer: writer.put_reply("local:alice", "r1", reply))
        receipt, finished = await desk.redact("commit", name=name)
        assert (receipt.replies, finished.left) == (1, {})
        with desk.store.reading() as reader:
            left = reader.reply("local:alice", "r1")
            assert left is not None
            assert left.answer == ["as they say: ***", SHARED]


async def test_the_texts_of_an_event_are_looked_for_and_its_names_stay(tmp_path: Path) -> None:
    async with open_redact_desk(tmp_path) as desk:
        await desk.set("/a", 1)
        receipt, _ = await desk.redact("path", path=("a",))
        plan = await desk.find("event", name=str(receipt.index))
        assert "It was pasted." in plan.forms_gone()
        await desk.erase(plan)
        # The receipt of this one has the same reason.
        assert (await desk.repo.redactions.finish(plan, lambda *_: None)).left == {}
        assert plan.mentioned == {"It was pasted.", "it was pasted."}


async def test_a_text_from_a_path_that_is_inside_of_another_text_is_not_looked_for_in_bytes(tmp_path: Path) -> None:
    async with open_redact_desk(tmp_path) as desk:
        await desk.set("/users/7/name", "Ludmilla")
        await desk.set("/users/7/mail", "ludmilla@example.org", description="Write to Ludmilla.")
        plan = await desk.find("path", path=("users", "7"))
        await desk.erase(plan)
        assert (await desk.repo.redactions.finish(plan, lambda *_: None)).left == {}
        assert plan.forms_gone() == {"ludmilla@example.org"}


async def test_a_value_that_stays_elsewhere_is_known_to_have_the_same_id(tmp_path: Path) -> None:
    async with open_redact_desk(tmp_path) as desk:
        await desk.set("/users/7", {"hiv": True, "age": 37})
        await desk.set("/flag", True)
        assert (await desk.find("path", path=("users", "7"))).stays_equal()
        assert not (await desk.find("path", path=("users", "7", "age"))).stays_equal()
        assert not (await desk.find("value", value=37)).stays_equal()


def test_strings_are_all_texts_and_the_keys_that_callers_choose() -> None:
    told = {"reasoning": "a", "tags": ["b"], "tool_calls": [{"arguments": {"c": ["d", 1, None, {"e": "f"}]}}]}
    assert [*strings_in(told)] == ["a", "b", "arguments", "c", "d", "e", "f"]


@given(st.lists(st.text("abAB", min_size=1, max_size=4)), st.lists(st.text("abAB", max_size=8)))
def test_mentions_are_the_forms_that_are_in_any_text_in_its_own_or_in_small_letters(
    forms: list[str], texts: list[str]
) -> None:
    rule = Mentions(forms)
    for text in texts:
        assert not rule.is_told({"key": [text, 1, b"ab", None]})
    expected = {form for form in forms for text in (*texts, "key") if form in text or form in text.lower()}
    assert rule.found == expected
