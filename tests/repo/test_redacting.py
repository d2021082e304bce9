"""Redaction of a repository: what was erased is in no byte, and everything else stays as it was."""

from __future__ import annotations

from pathlib import Path

from tests.repo.redactdesk import holding, open_redact_desk

SECRET = "hunter2-Qx91zz"
WORD = "qx91zz"
"""As the text index has the rarer half of it."""
LONG = f"prefix {SECRET} " + "and much more of a text " * 200


async def test_no_file_of_the_store_holds_a_byte_of_an_erased_value(tmp_path: Path) -> None:
    async with open_redact_desk(tmp_path) as desk:
        await desk.set("/db/password", SECRET, request_id="r1")
        await desk.set("/db/url", f"postgres://u:{SECRET}@host/db")
        await desk.set("/db/notes", LONG)
        await desk.set("/other", 1, description=f"Set {SECRET} again.", reasoning="Because.", tags=(SECRET,))
        await desk.set("/db/password", "another")
    assert {name.split()[-1] for name in holding(tmp_path, SECRET, WORD)} >= {"nodes", "commits", "blobs", "words"}
    async with open_redact_desk(tmp_path) as desk:
        receipt, finished = await desk.redact("value", value=SECRET)
        assert finished.left == {}
        assert receipt.rekeyed
    assert holding(tmp_path, SECRET, WORD) == []
