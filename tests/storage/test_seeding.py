"""A new store file whose ids and roots are those of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from asg_mcp.core.classes import ValueClass
from asg_mcp.core.commitments import pins_of
from asg_mcp.core.nodes import Entry
from asg_mcp.core.values import encode
from asg_mcp.errors import StorageError
from asg_mcp.storage.seeding import Seed, make_store
from asg_mcp.storage.sqlite import open_store

KEY, SALT = bytes(range(32)), bytes(range(32, 64))


async def test_a_store_goes_on_with_the_keys_that_it_was_given(tmp_path: Path) -> None:
    pins = pins_of([encode("old")], lambda _: "ab" * 16, KEY)
    make_store(tmp_path / "one.db", Seed(KEY, SALT, pins, [ValueClass("people", ("people",))]))
    make_store(tmp_path / "two.db", Seed(KEY, SALT))
    one, two = await open_store(tmp_path / "one.db"), await open_store(tmp_path / "two.db")
    try:
        assert one.hasher.value_ids.of("new") == two.hasher.value_ids.of("new")
        assert one.hasher.value_ids.salt_of(encode("old")) == "ab" * 16 != two.hasher.value_ids.salt_of(encode("old"))
        assert one.hasher.level(Entry("a\x00", 0, 1, 1)) == two.hasher.level(Entry("a\x00", 0, 1, 1))
        assert [group.name for group in one.hasher.classes.all] == ["people"]
        assert one.store_id != two.store_id
        with one.reading() as reader:
            assert (reader.last_seq(), reader.events_count()) == (0, 0)
    finally:
        await one.close()
        await two.close()


def test_a_store_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    make_store(tmp_path / "one.db", Seed(KEY, SALT))
    with pytest.raises(StorageError):
        make_store(tmp_path / "one.db", Seed(SALT, KEY))
