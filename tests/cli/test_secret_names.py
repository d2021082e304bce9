"""Every name and text that the command line takes for the store: a secret in it is refused, and in no row after."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.kit.secret_samples import credentials
from tests.kit.store_texts import store_tells

TOKEN = next(sample.secret for sample in credentials(5) if sample.rule == "github-token")


@pytest.mark.parametrize(
    "command",
    [
        ("class", "add", f"/{TOKEN}", "--name", "a"),
        ("class", "add", f"/{TOKEN}/0", "--name", "a"),
        ("class", "add", f"/a/{TOKEN}", "--name", "UPPER"),
        ("class", "destroy", "there", "--yes", "--reason", f"It is {TOKEN}."),
        ("gc", "--yes", "--reason", TOKEN),
        ("--agent", TOKEN, "gc", "--yes"),
        ("redact", "path", "/version", "--yes", "--reason", TOKEN),
        ("redact", "path", "/version", "--yes", "--reason", "x", "--class", TOKEN),
        ("--agent", TOKEN, "redact", "path", "/version", "--yes", "--reason", "x"),
        ("--agent", TOKEN, "migrate"),
        ("--agent", TOKEN, "serve"),
        ("--agent", TOKEN, "restore", "BACKUP", "--to", "NEW"),
        ("--agent", TOKEN, "import-repo", "ARCHIVE"),
    ],
)
def test_a_secret_in_an_option_is_refused_by_rule(command: tuple[str, ...], run: Run, store: Path) -> None:
    backup, archive, new = (store.with_name(name) for name in ("backup.db", "all.zip", "new.db"))
    place = ("--db", str(new if "import-repo" in command else store))
    run("class", "add", "/there", "--name", "there", "--db", str(store))
    if "BACKUP" in command:
        assert run("backup", "--to", str(backup), "--db", str(store)).code == 0
    if "ARCHIVE" in command:
        assert run("export-repo", str(archive), "--db", str(store)).code == 0
    named = {"BACKUP": str(backup), "ARCHIVE": str(archive), "NEW": str(new)}
    ran = run(*(named.get(word, word) for word in command), *place)
    assert ran.code != 0
    assert "github-token" in ran.out + ran.err
    assert TOKEN not in ran.out + ran.err
    assert store_tells(store, TOKEN) == []
    assert not new.exists()
