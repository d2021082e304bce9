"""A query answers what a filter over every commit would answer."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.flat import scalar_value
from asg_mcp.core.ids import CommitId
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.nodes import SCALAR
from asg_mcp.core.operations import Op
from asg_mcp.core.paths import format_path, parse_path
from asg_mcp.core.state import Gap, State
from asg_mcp.core.times import format_time, parse_time
from asg_mcp.errors import (
    AsgError,
    CommitNotFound,
    InvalidArgument,
    InvalidCursor,
    LimitExceeded,
    PathNotFound,
    RefNotFound,
)
from asg_mcp.repo import scans, transaction
from asg_mcp.repo.query import run_query
from asg_mcp.repo.records import info_of
from asg_mcp.repo.requests import Query
from asg_mcp.repo.resolve import TRIED, resolve_ref, state_at
from asg_mcp.repo.results import AgentInfo, CommitInfo, QueryResult, StateItem
from asg_mcp.repo.tally import GROUP_KEYS
from asg_mcp.repo.view import View
from asg_mcp.repo.walk import walk
from tests.repo.desk import open_desk
from tests.repo.stores import BOB, Made, made_store, operation

START = parse_time("2026-11-20T22:00:00Z")
MINUTE = 60_000_000
AGENTS = [
    Author("local:alice", "planner", "claude/1.0"),
    Author("local:bob", "planner", "cursor/2", "s-1"),
    Author("local:bob", "fixer", "cursor/2", "s-2"),
    Author("token:ci", "watcher"),
]
WORDS = ["scale", "the", "Cluster", "because", "größe", "LOAD", "node-3", "v1.2", "naïve", "x", "ΟΔΟΣ", "日本"]
TAGS = ["urgent", "night shift", "42"]
AUTHORITIES: list[Any] = ["", "cfo", {"principal": "ops"}, {"note": "none"}]
PATHS = ["/a", "/a/b", "/a/b/c", "/a/d", "/list", "/list/0", "/list/-", "/m/n"]
COMMITS = 160


def some_intent(pick: random.Random, ids: list[str]) -> Intent:
    authority = pick.choice(AUTHORITIES)
    return Intent(
        pick.choice([Category.REFINE, Category.FIX, Category.EXPLORE]),
        " ".join(pick.choices(WORDS, k=pick.randint(1, 4))),
        " ".join(pick.choices(WORDS, k=pick.randint(0, 4))),
        pick.choice([None, 0.0, 0.3, 0.5, 0.73, 1.0]),
        tuple(pick.sample(TAGS, pick.randint(0, 2))),
        pick.choice(["", "", "I-1", "I-2", "I-3"]),
        pick.choice(["", "", "I-1", "I-2", *ids[-3:]]),
        {"authority": authority} if authority else {},
    )


def some_operations(pick: random.Random) -> list[Any]:
    out = []
    for _ in range(pick.randint(1, 2)):
        path = pick.choice(PATHS)
        value: Any = pick.choice([pick.randint(0, 99), {"b": {"c": pick.randint(0, 9)}}, [1, pick.randint(0, 9)]])
        op = pick.choice([Op.SET, Op.SET, Op.SET, Op.DELETE, Op.APPEND, Op.INSERT])
        out.append(operation(op, path) if op is Op.DELETE else operation(op, path, value))
    return out


async def grow(made: Made, seed: int) -> None:
    """Random commits on two branches that merge now and then; the clock goes back once in a while."""
    pick = random.Random(seed)
    ids: list[str] = []
    await made.set("/", {"list": [0], "m": {"n": 0}}, at=START)
    await made.branch("side")
    at = START
    for _ in range(COMMITS):
        at += pick.choice([1, 5, 90, -3]) * MINUTE
        ref = pick.choice(["main", "main", "side"])
        given: dict[str, Any] = {"author": pick.choice(AGENTS), "intent": some_intent(pick, ids), "at": at, "ref": ref}
        try:
            result = await made.apply(some_operations(pick), **given)
            ids += [result.commit.short, result.commit.hex()]
        except AsgError:
            await made.set(f"/m/{pick.randint(0, 5)}", pick.randint(0, 99), **given)
        if pick.random() < 0.05:
            await made.merge("main", "side", some_intent(pick, ids))


@pytest.fixture(scope="module", autouse=True)
def any_session_will_do() -> Iterator[None]:
    """The sessions are mere names here: what they may do is not what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transaction, "check_permit", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def seed() -> int:
    return 20_261_121


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Path:
    """The folder of a closed store that each test takes a copy of."""
    folder = tmp_path_factory.mktemp("grown")

    async def make() -> None:
        async with made_store(folder) as made:
            await grow(made, seed)

    asyncio.run(make())
    return folder


@pytest.fixture
async def made(tmp_path: Path, grown: Path) -> AsyncIterator[Made]:
    shutil.copytree(grown, tmp_path, dirs_exist_ok=True)
    async with made_store(tmp_path) as made:
        yield made


def ask(made: Made, **filters: Any) -> QueryResult:
    with made.store.reading() as reader:
        return run_query(View(reader, made.hasher, made.graph), Query(**{"limit": 500, **filters}))


def commits(result: QueryResult) -> list[CommitInfo]:
    assert all(isinstance(item, CommitInfo) for item in result.items)
    return [item for item in result.items if isinstance(item, CommitInfo)]


def everything(made: Made, ref: str = "") -> list[CommitInfo]:
    """Every commit that a ref reaches (of the store: ""), newest first, by walking parents."""
    with made.store.reading() as reader:
        if not ref:
            seqs = set(range(1, reader.last_seq() + 1))
        else:
            todo, seqs = [resolve_ref(reader, made.graph, ref).seq], set()
            while todo:
                seq = todo.pop()
                if seq not in seqs:
                    seqs.add(seq)
                    todo.extend(reader.commit(seq).parents)
        return [info_of(reader, reader.commit(seq)) for seq in sorted(seqs, reverse=True)]


def authority(info: CommitInfo) -> Any:
    given = info.provenance.get("authority", "")
    return given.get("principal", "") if isinstance(given, dict) else given


def split(text: str) -> set[str]:
    return {"".join(char if char.isalnum() else " " for char in part).strip() for part in text.lower().split()} - {""}


def texts(info: CommitInfo) -> set[str]:
    words: set[str] = set()
    for part in split(info.description) | split(info.reasoning):
        words.update(part.split())
    return words


def some_filters(pick: random.Random, infos: list[CommitInfo]) -> dict[str, Any]:
    one = pick.choice(infos)
    low, high = sorted(pick.sample([0.0, 0.3, 0.5, 0.73, 1.0], 2))
    since, until = sorted([pick.choice(infos).at, pick.choice(infos).at])
    choices: dict[str, Any] = {
        "agent": pick.choice(["planner", "fixer", "nobody"]),
        "principal": pick.choice(["local:bob", "token:ci"]),
        "client": pick.choice(["cursor/2", "claude/1.0"]),
        "session": pick.choice(["s-1", "s-2"]),
        "category": pick.choice([Category.FIX, Category.REFINE, Category.MERGE]),
        "tags": tuple(pick.sample(TAGS, pick.randint(1, 2))),
        "authority": pick.choice(["cfo", "ops"]),
        "text": " ".join(pick.sample(WORDS, pick.randint(1, 2))),
        "pattern": pick.choice(["(?i)cluster", "^scale", "ö", "1.2$"]),
        "confidence_min": low,
        "confidence_max": high,
        "since": since,
        "until": until,
        "intent": pick.choice(["I-1", "I-2", "I-9", one.id.short, one.id.hex()[:7]]),
    }
    return {name: choices[name] for name in pick.sample(sorted(choices), pick.randint(1, 3))}


def holds(info: CommitInfo, name: str, asked: Any, infos: list[CommitInfo]) -> bool:
    """One filter, told as simply as can be."""
    if name in ("agent", "principal", "client", "session", "category"):
        return bool(getattr(info, name) == asked)
    if name == "intent":
        bearers = [each for each in infos if each.intent_id == asked or each.id.hex().startswith(asked)]
        names = {asked} | {each.intent_id for each in bearers if each.intent_id}
        names |= {name for each in bearers for name in (each.id.short, each.id.hex())}
        return info in bearers or info.parent_intent in names
    simple: dict[str, Callable[[], bool]] = {
        "tags": lambda: all(tag in info.tags for tag in asked),
        "authority": lambda: bool(authority(info) == asked),
        "text": lambda: all(word in texts(info) for word in " ".join(split(asked)).split()),
        "pattern": lambda: pattern_holds(asked, info),
        "confidence_min": lambda: info.confidence is not None and info.confidence >= asked,
        "confidence_max": lambda: info.confidence is not None and info.confidence <= asked,
        "since": lambda: info.at >= asked,
        "until": lambda: info.at <= asked,
    }
    return simple[name]()


def pattern_holds(pattern: str, info: CommitInfo) -> bool:
    for text in (info.description, info.reasoning):
        if pattern == "(?i)cluster" and "cluster" in text.lower():
            return True
        if pattern == "^scale" and text.startswith("scale"):
            return True
        if pattern == "ö" and "ö" in text:
            return True
        if pattern == "1.2$" and text.endswith("1.2"):
            return True
    return False


async def test_filters_find_exactly_the_commits_they_describe(made: Made, seed: int) -> None:
    pick = random.Random(seed + 1)
    store = everything(made)
    of_ref = {ref: everything(made, ref) for ref in ("", "main", "side", "main~20")}
    hits = 0
    for _ in range(300):
        ref = pick.choice(list(of_ref))
        filters = some_filters(pick, store)
        expected = [info for info in of_ref[ref] if all(holds(info, *pair, store) for pair in filters.items())]
        hits += bool(expected)
        for order_by in ("newest", "oldest"):
            result = ask(made, ref=ref, order_by=order_by, **filters)
            assert commits(result) == (expected if order_by == "newest" else expected[::-1]), (ref, filters)
            assert result.next_cursor == ""
            assert len(expected) <= result.examined <= len(of_ref[ref])
    assert hits > 80


def changed_path(made: Made, info: CommitInfo, path: str) -> bool:
    """Whether a commit's state differs at the path from its first parent's: a change, or one that came and went."""
    with made.store.reading() as reader:
        row = reader.commit(info.seq)
        if not row.parents:
            return False
        old, new = (
            place_of(state_at(reader, made.hasher, each), path) for each in (reader.commit(row.parents[0]), row)
        )
        return bool(old != new)


def place_of(state: State, path: str) -> Any:
    place = state.locate(parse_path(path))
    return None if isinstance(place, Gap) else state.object(place)


@pytest.mark.parametrize(
    "path", ["/a", "/a/b", "/a/b/c", "/a/d", "/list", "/list/0", "/list/1", "/list/2", "/m/n", "/m/3"]
)
async def test_a_path_finds_the_commits_that_changed_it_or_what_is_below_it(made: Made, path: str) -> None:
    found = commits(ask(made, path=parse_path(path)))
    expected = [info for info in everything(made, "main") if changed_path(made, info, path)]
    # Operations that undo each other inside one commit name the path without changing it.
    undone = [info for info in found if info not in expected]
    assert [info for info in found if info in expected] == expected
    for info in undone:
        with made.store.reading() as reader:
            assert len(reader.commit(info.seq).parts[12]) > 1
    assert len(found) > 3 or path == "/m/3"


@pytest.mark.parametrize("order_by", ["newest", "oldest", "confidence"])
@pytest.mark.parametrize(
    "filters", [{}, {"agent": "planner"}, {"text": "cluster"}, {"confidence_max": 0.5}, {"ref": ""}]
)
async def test_pages_together_are_the_whole_while_others_write(
    made: Made, order_by: str, filters: dict[str, Any]
) -> None:
    whole = commits(ask(made, order_by=order_by, **filters))
    pages: list[CommitInfo] = []
    cursor = ""
    for limit in [1, 7, 30, *[60] * 10]:
        page = ask(made, order_by=order_by, limit=limit, cursor=cursor, **filters)
        assert len(page.items) <= limit
        pages += commits(page)
        cursor = page.next_cursor
        if not cursor:
            break
        await made.set("/m/new", len(pages), author=AGENTS[0], intent=replace(WHY, confidence=0.1))
    assert pages == whole


WHY = Intent(Category.FIX, "The cluster again.")


async def test_the_least_sure_come_first_and_those_that_say_nothing_last(made: Made) -> None:
    found = [info.confidence for info in commits(ask(made, order_by="confidence"))]
    given = [confidence for confidence in found if confidence is not None]
    assert given == sorted(given)
    assert found == given + [None] * (len(found) - len(given))
    assert len(given) < len(found)


async def test_groups_count_every_match(made: Made, seed: int) -> None:
    pick = random.Random(seed + 2)
    infos = everything(made, "main")
    for _ in range(30):
        keys = tuple(pick.sample(GROUP_KEYS, pick.randint(1, 3)))
        expected: Counter[tuple[Any, ...]] = Counter()
        for info in infos:
            for tag in info.tags or ("",):
                row = {
                    "tag": tag,
                    "day": info.at[:10],
                    "authority": authority(info),
                    **{name: getattr(info, name) for name in ("agent", "principal", "client", "session", "category")},
                }
                expected[tuple(row[key] for key in keys)] += 1 if "tag" in keys or tag == (info.tags or ("",))[0] else 0
        result = ask(made, group_by=keys, order_by="count")
        assert {tuple(group.key[key] for key in keys): group.count for group in result.groups} == expected
        assert [group.count for group in result.groups] == sorted(expected.values(), reverse=True)
        assert result.items == ()
        assert result.examined == len(infos)


async def test_groups_tell_when_they_began_and_ended_and_come_in_pages(made: Made) -> None:
    infos = [info for info in everything(made, "main") if info.agent == "fixer"]
    (group,) = ask(made, group_by=("agent",), agent="fixer").groups
    assert (group.first_at, group.last_at) == (min(info.at for info in infos), max(info.at for info in infos))
    for order_by in ("newest", "oldest", "count"):
        whole = ask(made, group_by=("agent", "day"), order_by=order_by)
        pages: list[Any] = []
        cursor = ""
        while True:
            page = ask(made, group_by=("agent", "day"), order_by=order_by, limit=2, cursor=cursor)
            pages += page.groups
            cursor = page.next_cursor
            if not cursor:
                break
            await made.set("/m/new", len(pages))
        assert tuple(pages) == whole.groups


async def test_agents_tell_who_they_are(made: Made) -> None:
    infos = everything(made, "main")
    for order_by in ("newest", "oldest", "count", "confidence"):
        found = [item for item in ask(made, target="agents", order_by=order_by).items if isinstance(item, AgentInfo)]
        assert {item.agent for item in found} == {info.agent for info in infos}
        for item in found:
            own = [info for info in infos if info.agent == item.agent]
            sure = [info.confidence for info in own if info.confidence is not None]
            assert item.commits == len(own)
            assert item.principals == tuple(sorted({info.principal for info in own}))
            assert item.clients == tuple(sorted({info.client for info in own} - {""}))
            assert item.categories == Counter(info.category.value for info in own)
            assert item.confidence_mean == (pytest.approx(sum(sure) / len(sure)) if sure else None)
            assert (item.first_at, item.last_at) == (min(info.at for info in own), max(info.at for info in own))
        key: Callable[[AgentInfo], Any] = {
            "newest": lambda item: min(-info.seq for info in infos if info.agent == item.agent),
            "oldest": lambda item: min(info.seq for info in infos if info.agent == item.agent),
            "count": lambda item: -item.commits,
            "confidence": lambda item: (item.confidence_mean is None, item.confidence_mean or 0),
        }[order_by]
        assert [key(item) for item in found] == sorted(key(item) for item in found)


def state_items(made: Made, ref: str = "main") -> list[StateItem]:
    """Every scalar of a state with the commit that last changed it."""
    with made.store.reading() as reader:
        state = state_at(reader, made.hasher, resolve_ref(reader, made.graph, ref))
        return [
            StateItem(
                step.tokens,
                scalar_value(step.entry, reader),
                state.type_name(state.spot(step.tokens)),
                info_of(reader, reader.commit(step.entry.origin)),
            )
            for step in walk(state, 0, len(state.tree))
            if step.entry.kind == SCALAR
        ]


async def test_the_state_tells_which_values_a_filter_s_commits_last_wrote(made: Made, seed: int) -> None:
    pick = random.Random(seed + 3)
    document = {f"k{number:03}": [number, {"deep": number}] for number in range(120)}
    await made.set("/big", document, author=AGENTS[1], at=START)
    for number in range(0, 120, 17):
        await made.set(f"/big/k{number:03}/1/deep", "new", author=AGENTS[2], intent=some_intent(pick, []))
    store = everything(made)
    items = state_items(made)
    hits = 0
    for _ in range(150):
        filters = {**some_filters(pick, store), "path": parse_path(pick.choice(["/", "/", "/m", "/big", "/big/k017"]))}
        pattern = filters.pop("pattern", "")
        asked = {name: value for name, value in filters.items() if name != "path"}
        expected = [
            item
            for item in items
            if item.path[: len(filters["path"])] == filters["path"]
            and all(holds(item.commit, *pair, store) for pair in asked.items())
            and (not pattern or format_path(item.path).endswith("deep"))
        ]
        hits += bool(expected)
        if pattern:
            filters["pattern"] = "deep$"
        result = ask(made, target="state", **filters)
        assert list(result.items) == expected, filters
    assert hits > 40


async def test_state_pages_together_are_the_whole_while_others_write(made: Made) -> None:
    await made.set("/big", {f"k{number:03}": number for number in range(100)})
    items = state_items(made)
    for order_by in ("newest", "confidence"):
        pages: list[Any] = []
        cursor = ""
        while True:
            page = ask(made, target="state", order_by=order_by, limit=13, cursor=cursor)
            pages += page.items
            cursor = page.next_cursor
            if not cursor:
                break
            await made.set("/big/a", len(pages))
        ranks = {item.path: rank for rank, item in enumerate(items)}
        if order_by == "confidence":
            items = sorted(
                items, key=lambda item: (item.commit.confidence is None, item.commit.confidence or 0, ranks[item.path])
            )
        assert pages == items
        await made.set("/big", {f"k{number:03}": number for number in range(100)})
        items = state_items(made)


async def test_state_entries_are_grouped_by_their_last_change(made: Made) -> None:
    expected = Counter(item.commit.agent for item in state_items(made))
    result = ask(made, target="state", group_by=("agent",))
    assert {group.key["agent"]: group.count for group in result.groups} == expected


async def test_old_parts_of_the_state_are_not_looked_at_for_what_is_new(made: Made) -> None:
    await made.set("/big", {f"k{number:04}": number for number in range(3_000)}, at=START)
    recent = START + 10_000 * MINUTE
    await made.set("/big/k0500", "new", at=recent)
    whole = ask(made, target="state", limit=1)
    assert whole.next_cursor
    result = ask(made, target="state", since=format_time(recent))
    assert [item.path for item in result.items if isinstance(item, StateItem)] == [("big", "k0500")]
    assert result.examined < 200


async def test_a_scan_that_reaches_its_limit_hands_back_a_cursor(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    filters: dict[str, Any] = {"principal": "token:ci"}
    for order_by in ("newest", "oldest"):
        whole = commits(ask(made, order_by=order_by, **filters))
        with monkeypatch.context() as patch:
            patch.setattr(scans, "SCAN_COMMITS_MAX", 2)
            pages: list[CommitInfo] = []
            cursor, empty = "", 0
            while True:
                page = ask(made, order_by=order_by, cursor=cursor, **filters)
                assert page.examined <= 2
                pages += commits(page)
                empty += not page.items
                cursor = page.next_cursor
                if not cursor:
                    break
        assert pages == whole
        assert empty > 0


async def test_a_state_scan_that_reaches_its_limit_hands_back_a_cursor(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ask(made, target="state", agent="planner")
    monkeypatch.setattr(scans, "SCAN_ENTRIES_MAX", 2)
    items: list[Any] = []
    cursor = ""
    while True:
        page = ask(made, target="state", agent="planner", cursor=cursor)
        assert page.examined <= 2
        items += page.items
        cursor = page.next_cursor
        if not cursor:
            break
    assert tuple(items) == whole.items


async def test_what_must_see_everything_says_when_it_cannot(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "SCAN_COMMITS_MAX", 10)
    monkeypatch.setattr(scans, "SCAN_ENTRIES_MAX", 2)
    for filters in (
        {"group_by": ("agent",)},
        {"target": "agents"},
        {"order_by": "confidence"},
        {"target": "state", "order_by": "confidence"},
        {"target": "state", "group_by": ("day",)},
    ):
        with pytest.raises(LimitExceeded) as caught:
            ask(made, **filters)
        assert "since" in caught.value.hint


async def test_the_index_spares_looking_at_what_does_not_match(made: Made) -> None:
    await made.set("/m/rare", 1, author=Author("local:x", "rare-agent"), intent=replace(WHY, tags=("rare-tag",)))
    for filters in ({"agent": "rare-agent"}, {"tags": ("rare-tag",)}, {"tags": ("rare-tag",), "agent": "rare-agent"}):
        for order_by in ("newest", "oldest"):
            result = ask(made, order_by=order_by, **filters)
            assert len(result.items) == result.examined == 1
    assert ask(made, text="again").examined == 1


async def test_many_matches_and_few_are_intersected_in_both_directions(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        for number in range(300):
            tags = ("third",) if number % 3 == 0 else ()
            author = AGENTS[2] if number % 100 == 7 or number % 100 == 33 else AGENTS[0]
            await made.set("/n", number, author=author, intent=replace(WHY, tags=tags))
        for order_by in ("newest", "oldest"):
            result = ask(made, agent="fixer", tags=("third",), order_by=order_by)
            expected = [info for info in everything(made, "main") if info.agent == "fixer" and info.tags]
            assert commits(result) == (expected if order_by == "newest" else expected[::-1])
            assert len(expected) == result.examined == 2
        assert len(ask(made, text="cluster again", order_by="oldest", limit=500).items) == 300


async def test_a_cursor_of_another_query_is_refused(made: Made) -> None:
    cursor = ask(made, limit=1).next_cursor
    for filters in ({"agent": "planner"}, {"ref": "side"}, {"order_by": "oldest"}, {"target": "agents"}):
        with pytest.raises(InvalidCursor):
            ask(made, cursor=cursor, **filters)
    assert ask(made, cursor=cursor, limit=2).items


@pytest.mark.parametrize(
    "filters",
    [
        {"target": "plans"},
        {"group_by": ("mood",)},
        {"group_by": ("agent", "agent")},
        {"order_by": "count"},
        {"order_by": "random"},
        {"target": "state", "order_by": "oldest"},
        {"target": "state", "ref": ""},
        {"group_by": ("agent",), "order_by": "confidence"},
        {"pattern": "("},
        {"target": "state", "pattern": "("},
        {"text": "..."},
        {"since": "yesterday"},
        {"since": "2026-11-21", "until": "2026-11-20"},
        {"confidence_min": 0.9, "confidence_max": 0.1},
        {"limit": 0},
    ],
)
async def test_a_query_that_makes_no_sense_is_refused(made: Made, filters: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        ask(made, **filters)
    assert caught.value.hint


async def test_a_ref_or_a_path_that_is_not_there_is_an_error(made: Made) -> None:
    with pytest.raises(RefNotFound):
        ask(made, ref="nothing")
    with pytest.raises(PathNotFound):
        ask(made, target="state", path=("nothing",))
    assert ask(made, path=("nothing",)).items == ()


async def test_a_json_path_says_whose_values_are_asked_for(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        nodes = {f"node-{number}": {"status": "ready", "cpu": number} for number in range(4)}
        await made.set("/cluster", nodes)
        await made.set("/cluster/node-2/status", "lost", author=BOB)
        await made.set("/cluster/node-3/cpu", 9, author=BOB)
        await made.set("/list", [{"a": 1}, {"a": 2}], author=BOB)

        def paths(jsonpath: str, **filters: Any) -> list[str]:
            found = ask(made, target="state", jsonpath=jsonpath, **filters).items
            return [format_path(item.path) for item in found if isinstance(item, StateItem)]

        assert paths("$.cluster[?@.status=='lost']") == ["/cluster/node-2/cpu", "/cluster/node-2/status"]
        assert paths("$.cluster[?@.status=='lost']", agent=BOB.agent) == ["/cluster/node-2/status"]
        assert paths("$..cpu", agent=BOB.agent) == ["/cluster/node-3/cpu"]
        assert paths("$.list[1,0]") == ["/list/0/a", "/list/1/a"]
        assert sorted(paths("$..*")) == sorted(paths("$"))
        assert paths("$.nothing") == []
        first = ask(made, target="state", jsonpath="$..cpu", limit=3)
        rest = ask(made, target="state", jsonpath="$..cpu", limit=3, cursor=first.next_cursor)
        assert (len(first.items), len(rest.items), rest.next_cursor) == (3, 1, "")
        with pytest.raises(InvalidArgument):
            ask(made, jsonpath="$..cpu")
        with pytest.raises(InvalidArgument):
            ask(made, target="state", jsonpath="$.[")


async def test_what_another_principal_tries_is_seen_by_nobody_else(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.set("/a", 1, author=BOB)
        await desk.set("/a", 2)
        opened = await desk.repo.speculations.open("main", "secret plan", BOB)
        tried = await desk.repo.speculations.modify(opened.handle, [operation(Op.SET, "/a", 3)], BOB)
        await desk.set("/a", 4, author=BOB)

        async def seen(principal: str) -> set[str]:
            page = await desk.repo.seen_by(principal).query(Query(ref=""))
            return {item.id.hex() for item in page.items if isinstance(item, CommitInfo)}

        hidden = (await desk.repo.log(f"spec:{opened.handle}", (), limit=1, cursor="")).commits[0].id
        assert tried.changed == 1
        assert await seen(BOB.principal) - await seen("local:carol") == {hidden.hex()}
        assert len(await seen("local:carol")) == 4
        assert (await desk.repo.seen_by(BOB.principal).log(hidden.short, (), limit=1, cursor="")).commits
        with pytest.raises(CommitNotFound):
            await desk.repo.seen_by("local:carol").log(hidden.short, (), limit=1, cursor="")


async def test_what_a_branch_or_a_tag_reaches_is_seen_by_everybody(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        opened = await desk.repo.speculations.open("main", "", BOB)
        tried = [
            (await desk.repo.speculations.modify(opened.handle, [operation(Op.SET, "/a", n)], BOB)).head
            for n in range(4)
        ]
        carol = desk.repo.seen_by("local:carol")

        async def seen(order: str = "newest") -> tuple[list[CommitId], int]:
            """The trials that somebody else finds, both ways, and how many commits were looked at."""
            page = await carol.query(Query(ref="", order_by=order))
            found = [item.id for item in page.items if isinstance(item, CommitInfo) and item.id in tried]
            return sorted(found, key=tried.index), page.examined

        async def named() -> list[CommitId]:
            found = []
            for one in tried:
                try:
                    found.append((await carol.log(one.short, (), limit=1, cursor="")).commits[0].id)
                except CommitNotFound:
                    continue
            return found

        assert (await seen(), await named()) == (([], 1), [])
        await desk.repo.branch("public", "branch", tried[1].hex(), BOB)
        for order in ("newest", "oldest"):
            assert await seen(order) == (tried[:2], 3)
        assert await named() == tried[:2]
        await desk.repo.branch("v1", "tag", tried[2].hex(), BOB)
        await desk.repo.delete_branch("public", BOB)
        assert (await seen(), await named()) == ((tried[:3], 4), tried[:3])
        await desk.set("/b", 1, ref="main")
        assert await named() == tried[:3]


async def test_every_commit_of_a_speculation_has_the_category_of_trials(tmp_path: Path) -> None:
    """What is hidden, and what is in no epoch, is told by it first."""
    async with open_desk(tmp_path) as desk:
        opened = await desk.repo.speculations.open("main", "", BOB)
        await desk.repo.speculations.modify(opened.handle, [operation(Op.SET, "/a", 1)], BOB)
        other = await desk.repo.speculations.open(f"spec:{opened.handle}", "label", BOB)
        await desk.repo.speculations.modify(other.handle, [operation(Op.SET, "/a", 2)], BOB)
        commits = (await desk.repo.log(f"spec:{other.handle}", (), limit=2, cursor="")).commits
        assert {commit.category for commit in commits} == {TRIED}
