"""Opening a repository: what is made, what is refused, and what stays closed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asg_mcp.app import has_store, open_repository
from asg_mcp.errors import StorageError, StoreIncompatible


async def test_a_new_store_has_a_first_commit_on_its_default_branch(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    assert not has_store(path)
    async with open_repository(path) as repository:
        refs = await repository.list_refs("", kind="all", limit=10, cursor="")
    assert [ref.name for ref in refs.refs] == ["main"]
    assert has_store(path)


async def test_a_store_is_the_same_when_it_is_opened_again(tmp_path: Path) -> None:
    heads = []
    for create in (True, True, False):
        async with open_repository(tmp_path / "state.db", create=create) as repository:
            heads.append((await repository.list_refs("", kind="all", limit=10, cursor="")).refs[0].commit)
    assert len(set(heads)) == 1


async def test_without_create_a_missing_store_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(StoreIncompatible, match="There is no store"):
        async with open_repository(tmp_path / "deep" / "state.db", create=False):
            pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("create", [True, False])
async def test_a_folder_is_no_store(tmp_path: Path, create: bool) -> None:
    with pytest.raises(StoreIncompatible, match="is a folder"):
        async with open_repository(tmp_path, create=create):
            pass
    assert not has_store(tmp_path)


async def test_a_store_is_closed_with_its_block_even_when_that_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_repository(tmp_path / "state.db") as repository:
            raise ZeroDivisionError
    with pytest.raises(StorageError):
        await repository.list_refs("", kind="all", limit=10, cursor="")


async def test_what_cannot_be_looked_at_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(StoreIncompatible, match="cannot be looked at: Permission denied"):
        has_store(tmp_path / "state.db")
