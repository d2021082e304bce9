"""What the benchmarks write: documents, one-leaf changes, and intents of real prose.

The prose is the documentation that comes with Python and the installed packages
(docstrings of the standard library, descriptions in the packages' metadata). The
compression dictionary of the store was trained on neither, and generated text
would flatter it: a small vocabulary packs twice as well.
"""

from __future__ import annotations

import ast
import itertools
import json
import random
import re
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.secretscan import find_secrets
from asg_mcp.core.values import JsonValue

LEAVES_OF_A_POD = 15
DESCRIPTION_CHARS = 70
REASONING_CHARS = 212
AGENTS = [f"agent-{number}" for number in range(8)]
TAGS = ["incident", "rollout", "capacity", "cost"]


def cluster(leaves: int) -> dict[str, JsonValue]:
    """A description of a cluster with about so many leaves: pods of 15 fields in 20 namespaces."""
    spaces: dict[str, JsonValue] = {}
    for number in range(-(-leaves // LEAVES_OF_A_POD)):
        space = spaces.setdefault(f"space-{number % 20:02}", {})
        assert isinstance(space, dict)
        space[f"pod-{number:05}"] = _pod(random.Random(number))
    return {"namespaces": spaces}


def _pod(rng: random.Random) -> dict[str, JsonValue]:
    name = rng.choice(["api", "billing", "search", "queue", "mail"])
    return {
        "metadata": {"name": f"{name}-{rng.getrandbits(32):08x}", "uid": f"{rng.getrandbits(128):032x}", "owner": name},
        "spec": {
            "image": f"registry.example/{name}:v{rng.randrange(90)}",
            "node": f"node-{rng.randrange(64)}",
            "resources": {"cpu": rng.randrange(1, 64) / 8, "memory_mb": 2 ** rng.randrange(6, 15)},
            "ports": [rng.randrange(1_024, 65_536), rng.randrange(1_024, 65_536)],
            "replicas": rng.randrange(1, 9),
        },
        "status": {
            "phase": rng.choice(["Running", "Pending", "Failed"]),
            "ready": rng.random() < 0.9,
            "restarts": rng.randrange(20),
            "ip": ".".join(str(rng.randrange(256)) for _ in range(4)),
            "started": f"2026-07-{rng.randrange(1, 29):02}T{rng.randrange(24):02}:00:00Z",
        },
    }


def flat_map(keys: int) -> dict[str, JsonValue]:
    """A map of scalars, all at one level."""
    return {f"key-{number:06}": number for number in range(keys)}


def paths_of(value: JsonValue, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of a document's leaves."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield from paths_of(child, (*prefix, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from paths_of(child, (*prefix, str(index)))
    else:
        yield prefix


def set_leaf(path: tuple[str, ...], number: int) -> list[Operation]:
    """One leaf gets a value that it did not have."""
    return [Operation(Op.SET, path, f"changed-{number:08}")]


class Writers:
    """A seeded stream of intents and authors, about 400 bytes of JSON each."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._text = prose()

    def intent(self) -> Intent:
        return Intent(
            category=self._rng.choice([Category.FIX, Category.REFINE, Category.EXPLORE]),
            description=self._excerpt(DESCRIPTION_CHARS),
            reasoning=self._excerpt(REASONING_CHARS),
            confidence=self._rng.randrange(50, 100) / 100,
            tags=(self._rng.choice(TAGS),),
        )

    def author(self) -> Author:
        return Author("operator", self._rng.choice(AGENTS), "bench/1")

    def _excerpt(self, chars: int) -> str:
        start = self._rng.randrange(len(self._text) - chars)
        return self._text[start : start + chars].strip() or "-"


def as_json(intent: Intent, author: Author) -> str:
    """What a plain table would keep of an intent."""
    return json.dumps(
        {
            "agent": author.agent,
            "category": intent.category,
            "description": intent.description,
            "reasoning": intent.reasoning,
            "confidence": intent.confidence,
            "tags": intent.tags,
        }
    )


def prose() -> str:
    """Some megabytes of documentation on one line, its spaces made single; without the sample tokens in some of it."""
    texts = (text for text in itertools.chain(_docstrings(), _descriptions()) if not find_secrets(text))
    return re.sub(r"\s+", " ", " ".join(texts))


def _docstrings() -> Iterator[str]:
    library = Path(sysconfig.get_path("stdlib"))
    for file in sorted(library.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8", errors="replace"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                yield ast.get_docstring(node) or ""


def _descriptions() -> Iterator[str]:
    for package in metadata.distributions():
        yield str(package.metadata.get_payload())
