"""The secrets scanner: speed on state, the worst of the hostile texts, what it finds, and what a write pays for it.

    python bench/scanner.py [--json]

Peers in the same run: every pattern tried on every text by Python's `re` (how most scanners work), and detect-secrets
where it is installed. Speeds are of the processor's time of the one thread, as other programs run too; what a write
takes is measured in turns. Ends with 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from asg_mcp.app import open_repository
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.secretrules import RULES
from asg_mcp.core.secretscan import find_secrets
from asg_mcp.core.values import encode
from asg_mcp.repo.repository import Guard
from tests.kit.hostile_texts import hostile
from tests.kit.secret_samples import credentials, harmless, personal

try:
    from detect_secrets.core.scan import scan_line
    from detect_secrets.settings import default_settings
except ImportError:
    scan_line = None

MB_PER_SECOND_MIN = 20
HOSTILE_MS_MAX = 50
HOSTILE_BYTES = 100_000
ROUNDS = 5


def cluster(pods: int) -> dict[str, Any]:
    """State as agents keep it: ids, digests, times, addresses, sentences, images, names that sound like secrets."""
    dice = random.Random(1)
    words = "the node was drained because its disk reported errors and the task moved on to another rack".split()
    out = {}
    for number in range(pods):
        pod: dict[str, Any] = {
            "id": str(uuid.UUID(int=dice.getrandbits(128))),
            "image": f"registry.example.org/app@sha256:{dice.getrandbits(256):064x}",
            "ip": f"10.{dice.randrange(256)}.{dice.randrange(256)}.{dice.randrange(256)}",
            "started": f"2026-11-{dice.randrange(1, 29):02}T02:{dice.randrange(60):02}:00Z",
            "cpu": dice.random(),
            "restarts": dice.randrange(9),
            "ready": True,
            "note": " ".join(dice.choices(words, k=25)),
            "env": {"DB_HOST": "db.internal:5432", "LOG": "info", "COMMIT": f"{dice.getrandbits(160):040x}"},
        }
        if number % 20 == 0:
            pod["env"]["DB_PASSWORD"] = "${ENV:DB_PASSWORD}"
            pod["secretName"] = f"app-credentials-{number}"
        out[f"pod-{number}"] = pod
    return out


def speed(value: Any) -> tuple[float, int]:
    """(MB/s of JSON, how much was found): the median of ROUNDS."""
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    took = []
    found = 0
    for _ in range(ROUNDS):
        start = time.thread_time()
        found = len(find_secrets(value))
        took.append(time.thread_time() - start)
    return size / statistics.median(took) / 1e6, found


def naive(value: Any) -> float:
    """MB/s of every pattern on every text."""
    patterns = [re.compile(rule.pattern) for rule in RULES]
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    texts = text.split('"')
    start = time.thread_time()
    for part in texts:
        for pattern in patterns:
            pattern.search(part)
    return len(text.encode()) / (time.thread_time() - start) / 1e6


def peer(value: Any) -> float | None:
    """MB/s of detect-secrets, line by line of indented JSON, its entropy plugins included; None where it is missing."""
    if scan_line is None:
        return None
    lines = json.dumps(value, indent=1).splitlines()
    with default_settings():
        start = time.thread_time()
        for line in lines:
            list(scan_line(line))
        return sum(map(len, lines)) / (time.thread_time() - start) / 1e6


def worst() -> tuple[float, str]:
    """The slowest hostile text of HOSTILE_BYTES: (ms, which); each the better of three, as other programs run too."""
    slowest = (0.0, "")
    for what, value in hostile(HOSTILE_BYTES):
        best = float("inf")
        for _ in range(3):
            start = time.thread_time()
            find_secrets(value)
            best = min(best, time.thread_time() - start)
        slowest = max(slowest, (best * 1e3, what))
    return slowest


def quality() -> dict[str, int]:
    """How many of the samples are found, and how many harmless values are taken for secrets."""
    samples, clean = credentials(1) + personal(), harmless(1)
    return {
        "credentials": len(samples),
        "found": sum([f.rule.name for f in find_secrets(s.value)] == [s.rule] for s in samples),
        "harmless": len(clean),
        "false_alarms": sum(bool(find_secrets(value)) for value in clean),
    }


async def writes(count: int) -> dict[str, float]:
    """Medians of one set with an intent of about 400 bytes, in µs, searched and not, in turns."""
    author, reasons = Author("local:bench", "bench"), "The node answered late three times in a row. " * 8
    intent = Intent(Category.FIX, "Mark the node as degraded.", reasons, 0.8, ("cluster",))
    took: dict[str, list[float]] = {"searched": [], "not searched": []}
    with tempfile.TemporaryDirectory() as folder:
        async with (
            open_repository(Path(folder) / "a.db", marked=False) as searched,
            open_repository(Path(folder) / "b.db", marked=False, secrets="/=allow") as plain,
        ):
            for number in range(count):
                operation = Operation(Op.SET, ("cluster", f"node-{number % 50}", "status"), f"degraded {number}")
                pair = [("searched", searched), ("not searched", plain)]
                for name, repo in pair if number % 2 else reversed(pair):
                    start = time.perf_counter()
                    await repo.commit("main", [operation], intent, author, Guard())
                    took[name].append(time.perf_counter() - start)
            screen = searched._screen
            start = time.perf_counter()
            for _ in range(count):
                screen.operations([operation])
                screen.intent(intent, author)
            alone = (time.perf_counter() - start) / count
    medians = {name: statistics.median(times) * 1e6 for name, times in took.items()}
    pairs = zip(took["searched"], took["not searched"], strict=True)
    return {**medians, "ratio": statistics.median(a / b for a, b in pairs), "search alone": alone * 1e6}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    state, small = cluster(20_000), cluster(400)
    mb_per_second, found = speed(state)
    hostile_ms, which = worst()
    figures: dict[str, Any] = {
        "state_bytes": len(encode(state)),
        "mb_per_second": mb_per_second,
        "false_alarms_in_state": found,
        "naive_mb_per_second": naive(small),
        "detect_secrets_mb_per_second": peer(small),
        "hostile_ms_per_100_kb": hostile_ms,
        "hostile_text": which,
        **quality(),
        "write_us": asyncio.run(writes(600)),
    }
    if options.json:
        print(json.dumps(figures, indent=1))
    else:
        for name, value in figures.items():
            print(f"{name:32} {value:.1f}" if isinstance(value, float) else f"{name:32} {value}")
    good = (
        mb_per_second >= MB_PER_SECOND_MIN
        and hostile_ms <= HOSTILE_MS_MAX
        and not found
        and not figures["false_alarms"]
    )
    return 0 if good and figures["found"] >= figures["credentials"] * 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
