from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import ESCAPE, Run

COMMANDS = (
    ("get", "/cluster"),
    ("log",),
    ("blame", "/cluster/node-3/status"),
    ("diff", "evening", "main"),
    ("branches",),
)


def test_get_prints_the_value_alone_as_json(run: Run, store: Path) -> None:
    ran = run("get", "/cluster/node-3", "--db", str(store))
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out) == {"status": "draining", "pods": 11}


def test_get_without_a_path_prints_the_whole_state(run: Run, store: Path) -> None:
    assert set(json.loads(run("get", "--db", str(store)).out)) == {"cluster", "version", "note"}


def test_get_reads_at_any_ref(run: Run, store: Path) -> None:
    ran = run("get", "/cluster/node-3/status", "--ref", "evening", "--db", str(store))
    assert ran.out == '"ready"\n'
    assert run("get", "/cluster/node-3/status", "--ref", "main~2", "--db", str(store)).out == '"draining"\n'


def test_get_says_what_it_left_out_below_the_depth(run: Run, store: Path) -> None:
    ran = run("get", "/", "--depth", "1", "--db", str(store))
    assert "not complete" in ran.err
    assert "/cluster" in ran.err


def test_blame_prints_the_whole_chain_of_reasons(run: Run, store: Path) -> None:
    ran = run("blame", "/cluster/node-3/status", "--db", str(store))
    assert ran.code == 0
    for told in (
        '/cluster/node-3/status = "draining"',
        "night-watch (agent, as claimed)",
        "local:tester (principal, verified)",
        "pytest/1 (client, as observed)",
        "Fix: Drain node-3",
        "Its disk reports errors.",
        "73 %",
        "alice@ops: nights",
        "alice@ops → night-watch: drain one node",
        "Reboot it (20 %). Not taken: errors would come back",
        '{"pods": 0}',
        "incident",
    ):
        assert told in ran.out


def test_blame_explains_a_deletion(run: Run, store: Path) -> None:
    ran = run("blame", "/cluster/node-1", "--db", str(store))
    assert "/cluster/node-1 was deleted" in ran.out
    assert "jester" in ran.out


def test_blame_of_a_subtree_tells_each_reason_once(run: Run, store: Path) -> None:
    ran = run("blame", "/cluster/node-3", "--db", str(store))
    assert ran.out.count("Fix: Drain node-3") == 1
    assert ran.out.count("Checkpoint: Set up") == 1


def test_blame_with_history_tells_every_change_of_the_path(run: Run, store: Path) -> None:
    ran = run("blame", "/cluster/node-3/status", "--history", "--db", str(store))
    assert "night-watch" in ran.out
    assert "provisioner" in ran.out


def test_log_lists_commits_newest_first(run: Run, store: Path) -> None:
    lines = run("log", "--db", str(store)).out.splitlines()
    assert [line.split()[3] for line in lines] == ["jester", "release-bot", "night-watch", "provisioner", "asg-mcp"]
    assert "73 %" in lines[2]


def test_log_says_that_there_is_more_than_asked_for(run: Run, store: Path) -> None:
    ran = run("log", "-n", "2", "--db", str(store))
    assert len(ran.out.splitlines()) == 3
    assert "-n 0" in ran.out
    assert "-n 0" not in run("log", "-n", "0", "--db", str(store)).out


def test_log_of_a_path_has_its_changes_alone(run: Run, store: Path) -> None:
    (line,) = run("log", "--path", "/version", "--db", str(store)).out.splitlines()
    assert "release-bot" in line


def test_diff_shows_each_change_with_both_sides(run: Run, store: Path) -> None:
    lines = run("diff", "evening", "main", "--db", str(store)).out.splitlines()
    assert '~ /cluster/node-3/status  "ready" → "draining"' in lines
    assert '+ /version  "2.4.1"' in lines
    assert any(line.startswith("- /cluster/node-1") for line in lines)


def test_diff_below_a_path_leaves_the_rest_out(run: Run, store: Path) -> None:
    assert len(run("diff", "evening", "main", "/version", "--db", str(store)).out.splitlines()) == 1


def test_diff_of_equal_states_says_that_they_are_equal(run: Run, store: Path) -> None:
    assert run("diff", "main", "main", "--db", str(store)).out == "main and main hold the same at /.\n"


def test_branches_lists_names_with_their_heads(run: Run, store: Path) -> None:
    ran = run("branches", "--db", str(store))
    assert [line.split()[1] for line in ran.out.splitlines()] == ["evening", "main"]
    assert "+0 -3" in ran.out


def test_branches_of_an_unknown_prefix_are_told_to_be_none(run: Run, store: Path) -> None:
    assert run("branches", "--prefix", "zz", "--db", str(store)).out == "No branch or tag begins with 'zz'.\n"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_with_json_a_command_writes_what_its_tool_answers(run: Run, store: Path, command: tuple[str, ...]) -> None:
    ran = run(*command, "--json", "--db", str(store))
    assert (ran.code, ran.err) == (0, "")
    listed = {"get": "value", "log": "commits", "blame": "entries", "diff": "changes", "branches": "branches"}
    assert ran.document[listed[command[0]]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_reading_command_makes_no_store(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    ran = run(*command, "--db", str(tmp_path / "mistyped.db"))
    assert ran.code == 3
    assert "There is no store at" in ran.err
    assert "Check the path" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_a_json_document_when_json_is_asked_for(run: Run, store: Path) -> None:
    ran = run("get", "/cluster/node-4", "--json", "--db", str(store))
    assert ran.code == 1
    assert ran.document["error"]["code"] == "path_not_found"


def test_a_path_that_does_not_exist_is_answered_with_what_to_do(run: Run, store: Path) -> None:
    ran = run("get", "/cluster/node-4", "--db", str(store))
    assert (ran.code, ran.out) == (1, "")
    assert "Error: " in ran.err
    assert "Hint: " in ran.err


def test_a_malformed_path_is_a_usage_error(run: Run, store: Path) -> None:
    assert run("get", "cluster", "--db", str(store)).code == 2


def test_text_of_agents_cannot_drive_the_terminal(run: Run, store: Path) -> None:
    for command in (("get", "/note"), ("log",), ("blame", "/note"), ("diff", "evening", "main")):
        ran = run(*command, "--db", str(store))
        assert ESCAPE not in ran.out
        assert "\\u001b[2J" in ran.out


def test_a_json_document_keeps_what_agents_wrote(run: Run, store: Path) -> None:
    assert run("get", "/note", "--json", "--db", str(store)).document["value"] == f"clear {ESCAPE} it"


def test_a_folder_in_place_of_a_store_is_told_apart(run: Run, tmp_path: Path) -> None:
    ran = run("log", "--db", str(tmp_path))
    assert ran.code == 3
    assert "is a folder" in ran.err


def test_an_empty_file_is_no_store_and_stays_empty(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    assert run("log", "--db", str(path)).code == 3
    assert path.stat().st_size == 0


def test_log_of_a_path_that_never_was_is_an_error(run: Run, store: Path) -> None:
    ran = run("log", "--path", "/nothing", "--db", str(store))
    assert ran.code == 1
    assert "/nothing does not exist" in ran.err


def test_blame_with_a_depth_explains_containers_as_a_whole(run: Run, store: Path) -> None:
    ran = run("blame", "/cluster", "--depth", "1", "--json", "--db", str(store))
    assert [entry["path"] for entry in ran.document["entries"]] == ["/cluster/node-3"]


def test_a_long_answer_is_put_together_from_its_pages(run: Run, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run("log", "-n", "0", "--json", "--db", str(store)).document
    monkeypatch.setattr("asg_mcp.cli.reading.PAGE_ITEMS_MAX", 2)
    assert run("log", "-n", "0", "--json", "--db", str(store)).document == whole
    assert run("log", "-n", "3", "--json", "--db", str(store)).document["commits"] == whole["commits"][:3]
