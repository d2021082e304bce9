"""Texts meant to make a scanner slow: long runs, repeated prefixes, near misses, everything at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

FRAGMENTS = (
    *("AKIA", "ghp_", "github_pat_", "glpat-", "xoxb-", "sk_live_", "sk-proj-", "T3BlbkFJ", "sk-ant-", "AIza", "npm_"),
    *("pypi-AgE", "hf_", "SG.", "twilio ", "key-", "-us1", "dapi", ":AA", "hvs.", ".atlasv1.", "AccountKey=", "eyJ"),
    *("eyJhbGciOiJ9.eyJ", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "://", "://a:", "a://b:c", "@"),
    *("bearer ", "basic ", "password=", "password", "secret:", "api_key\x1f", "aws_secret_access_key=", "card ", "cc "),
    *("ssn ", "social security ", "1234 ", "4111-", "1-", "1", "11", "a", "A1", "DE89", "DE89 3704 ", "GB82WEST", "."),
    *("=", "\n", "\x00", "\x1f", "é", "password=password=aB3$aB3$aB3$ ", "hooks.slack.com/services/", "/api/webhooks/"),
    *("twilio 0123456789abcdef0123456789abcde ", "4111 1111 1111 1112 ", "ssn 000-11-1111 ", "card 4111111111111112 "),
    *(
        "DE00370400440532013000 ",
        "https://u:password@h ",
        "AKIAAAAAAAAAAAAAAAAA ",
        "eyJhbGciOiJ9.aaaaaaaaaa.aaaaaaaaaa ",
    ),
)


def hostile(size: int) -> Iterator[tuple[str, Any]]:
    """(what it is, value of about `size` bytes): the same ones each time."""
    dice = random.Random(7)
    for fragment in FRAGMENTS:
        yield f"{fragment!r} repeated", fragment * (size // len(fragment))
        yield f"{fragment!r} and a run", fragment + "aB3" * (size // 3)
        yield f"{fragment!r} between runs", (fragment + "x1" * 200) * (size // (len(fragment) + 400))
    yield "all fragments", "".join(dice.choice(FRAGMENTS) for _ in range(size // 8))
    yield "all fragments between blanks", " ".join(dice.choice(FRAGMENTS) for _ in range(size // 8))
    yield "random bits", "".join(dice.choice("1A") for _ in range(size))
    yield "random digits and blanks", "".join(dice.choice("0123456789 -") for _ in range(size))
    yield "random capitals and digits", "".join(dice.choice("ABCDE12345") for _ in range(size))
    yield "many short texts", [dice.choice(FRAGMENTS) for _ in range(size // 8)]
    yield "many names", {f"{dice.choice(FRAGMENTS)}{number}": "aB3$aB3$aB3$" for number in range(size // 24)}
    yield "many passwords", [{"password": f"aB3$aB3${number}"} for number in range(size // 24)]
    deep: Any = "password=" + "aB3" * (size // 3)
    for number in range(120):
        deep = {f"secret{number}": deep} if number % 2 else [deep]
    yield "deep", deep
