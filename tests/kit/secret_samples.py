"""Credentials and state for the scanner: the first are made from parts at run time, so that none is in any file."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ALNUM = string.ascii_letters + string.digits
URLSAFE = ALNUM + "-_"
HEX = "0123456789abcdef"
UPPER32 = string.ascii_uppercase + "234567"


@dataclass(frozen=True)
class Sample:
    """A credential or personal datum of nobody's: the rule that should find it, the value, the secret in it."""

    rule: str
    value: Any
    secret: str


def credentials(seed: int) -> list[Sample]:
    """One of each kind of credential."""
    dice = random.Random(seed)

    def some(alphabet: str, count: int) -> str:
        return "".join(dice.choice(alphabet) for _ in range(count))

    def token(rule: str, prefix: str, alphabet: str, count: int, end: str = "a7") -> Sample:
        text = prefix + some(alphabet, count - len(end)) + end
        return Sample(rule, text, text)

    def inside(rule: str, frame: str, secret: str) -> Sample:
        return Sample(rule, frame.replace("@@", secret), secret)

    def named(rule: str, name: str, secret: str) -> Sample:
        return Sample(rule, {name: secret}, secret)

    key, bare = "PRIVATE" + " KEY-----", "\n".join(some(ALNUM + "+/", 64) for _ in range(12))
    pem = f"-----BEGIN RSA {key}\n{bare}\n-----END RSA {key}"
    jot = ".".join((_b64('{"alg":"HS256"}'), _b64('{"sub":"1","scope":"admin"}'), some(URLSAFE, 43)))
    fine = some(ALNUM, 22) + "_" + some(ALNUM, 59)
    basic = base64.b64encode(f"deploy:{some(ALNUM, 14)}".encode()).decode()
    return [
        token("aws-access-key-id", "AK" + "IA", UPPER32, 16, "Q7"),
        named("aws-secret-access-key", "aws_secret_access_key", some(ALNUM + "+/", 39) + "x"),
        token("github-token", "gh" + "p_", ALNUM, 36),
        Sample("github-fine-grained-token", "github" + "_pat_" + fine, "github" + "_pat_" + fine),
        token("gitlab-token", "gl" + "pat-", URLSAFE, 20),
        token("slack-token", "xo" + "xb-" + some(string.digits, 12) + "-", ALNUM, 24),
        token("stripe-key", "sk" + "_live_", ALNUM, 24),
        token("openai-key", "sk-" + "proj-" + some(URLSAFE, 40) + "T3Blbk" + "FJ", URLSAFE, 40),
        token("openai-key", "sk-" + some(ALNUM, 20) + "T3Blbk" + "FJ", ALNUM, 20),
        token("anthropic-key", "sk-" + "ant-api03-", URLSAFE, 95, "AA"),
        token("google-api-key", "AI" + "za", URLSAFE, 35),
        token("npm-token", "np" + "m_", ALNUM, 36),
        token("pypi-token", "pypi-" + "AgEIcHlwaS5vcmc", URLSAFE, 120),
        token("huggingface-token", "h" + "f_", ALNUM, 34),
        token("sendgrid-key", "S" + "G." + some(URLSAFE, 22) + ".", URLSAFE, 43),
        Sample("twilio-auth-token", {"twilio": {"auth_token": (found := some(HEX, 31) + "a")}}, found),
        Sample("private-key", f"cat deploy.pem\n{pem}\n", pem),
        Sample("jwt", {"session": jot}, jot),
        inside("url-password", "postgres://app:@@@db.internal:5432/orders", some(ALNUM, 16)),
        inside("url-password", "https://ci:@@@git.example.org/repo.git", some(ALNUM + "!$%", 12)),
        inside("url-password", "redis://default:@@@cache:6379/0", "hunter2"),
        inside("bearer-token", "curl -H 'Authorization: Bearer @@' https://api.example.org", some(ALNUM, 38) + "a7"),
        inside("basic-credentials", "Authorization: Basic @@", basic),
        named("assigned-secret", "db_password", "kX9" + some(ALNUM, 12) + "!7"),
        inside("assigned-secret", "HOST=db\nAPI_KEY=@@\nPORT=5432", some(ALNUM, 30) + "7aB9"),
        inside("assigned-secret", "Server=db;Database=x;User Id=app;Password=@@;", some(ALNUM, 14) + "9!_1"),
        inside("azure-storage-key", "AccountName=x;AccountKey=@@", some(ALNUM + "+/", 86) + "=="),
        inside(
            "slack-webhook", "https://@@", "hooks.slack.com/serv" + f"ices/T{some(UPPER32, 8)}/B2/{some(ALNUM, 24)}"
        ),
        token("vault-token", "hv" + "s.", URLSAFE, 92),
        token("telegram-bot-token", some("123456789", 10) + ":A" + "A", URLSAFE, 33),
        token("digitalocean-token", "do" + "p_v1_", HEX, 64),
        token("google-oauth-secret", "GOC" + "SPX-", URLSAFE, 28),
    ]


def personal() -> list[Sample]:
    """Personal data from the standards' own examples and published test numbers."""
    grouped, digits, amex = "4111 1111 1111 1111", "5555" * 3 + "4444", 378282246310005
    return [
        Sample("payment-card", f"paid with {grouped} today", grouped),
        Sample("payment-card-digits", {"card_number": digits}, digits),
        Sample("payment-card-digits", {"payment": {"card": {"number": amex}}}, str(amex)),
        Sample("iban", "pay to DE89370400440532013000", "DE89370400440532013000"),
        Sample("iban", "GB82 WEST 1234 5698 7654 32", "GB82 WEST 1234 5698 7654 32"),
        Sample("us-ssn", {"ssn": "536-90-4399"}, "536-90-4399"),
        Sample("us-ssn", "social security number: 536904399", "536904399"),
    ]


def harmless(seed: int) -> list[Any]:
    """What states hold: none of it is a secret."""
    dice = random.Random(seed)
    digest = hashlib.sha256(str(seed).encode())
    number = dice.randrange(10**9, 10**10)
    hexes = digest.hexdigest()
    image = base64.b64encode(dice.randbytes(600)).decode()
    return [
        # numbers and times
        number,
        str(number),
        f"order {number}",
        1763683200,
        1763683200123,
        1763683200123456,
        "1763683200123456",
        "1763683200123456789",
        4111111111111111,
        "4111111111111112",
        str(dice.randrange(10**15, 10**16)),
        {"order_id": str(dice.randrange(10**15, 10**16))},
        {"snowflake": dice.randrange(10**17, 10**18)},
        "2026-11-21T02:00:00Z",
        "2026-11-21T02:00:00.123456+00:00",
        "20261121T020000Z",
        "2026-11-21 02:00:00",
        0.7312345678901234,
        "3.141592653589793",
        "1,234,567.89",
        "978-3-16-148410-0",
        "9783161484100",
        "073-22-8801",
        "+49 30 901820",
        "(555) 010-9999",
        "555-01-0199",
        "12:34:56:78:9a:bc",
        # ids and digests
        str(uuid.UUID(int=dice.getrandbits(128), version=4)),
        "urn:uuid:" + str(uuid.UUID(int=dice.getrandbits(128))),
        {"api_key_id": str(uuid.UUID(int=dice.getrandbits(128)))},
        {"token": str(uuid.UUID(int=dice.getrandbits(128)))},
        hexes,
        hexes[:40],
        hexes[:32],
        hexes[:12],
        hexes[:7],
        f"sha256:{hexes}",
        f"registry.io/app@sha256:{hexes}",
        {"commit": hexes[:40]},
        {"etag": f'W/"{hexes[:32]}"'},
        {"password_hash": f"sha256:{hexes}"},
        {"secret_version": hexes[:8]},
        "bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
        "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPBdG",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "cjld2cjxh0000qzrmn831i7rn",
        "V1StGXR8_Z5jdHi6B-myT",
        "507f1f77bcf86cd799439011",
        "arn:aws:iam::123456789012:role/deploy",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf",
        "i-0abcd1234ef567890",
        "vpc-0a1b2c3d4e5f6789",
        "spec:4f2a9c0d1e7b",
        "ses-9f8e7d6c5b4a39281706",
        "req_01HXZ3V7Q9",
        "cus_NffrFeUfNV2",
        "price_1MoBy5LkdIwHu7ix",
        "pk_live_" + hexes[:24],
        "AC" + hexes[:32],
        # versions and names
        "1.4.0-rc.1+build.5",
        "v2.0.0",
        "3.11.7",
        "python:3.11-slim-bookworm",
        "libssl1.1_1.1.1n-0+deb11u5_amd64.deb",
        "task-1",
        "risk-high",
        "disk-0-proj-alpha",
        "ask-ant-colony-size",
        "desk-or-v1-chair",
        "key-value",
        "gh_pages",
        "node-3.cluster.local",
        "my-app-7d9c5b8f6d-x2x7k",
        "kube-system/coredns-5dd575-abcde",
        "DATABASE_PASSWORD_V2",
        {"secret": "my-app-credentials-v2"},
        {"secretName": "tls-wildcard-2026-11"},
        {"password": "${DB_PASSWORD}"},
        {"password": "$DB_PASSWORD"},
        {"password": "{{ vault.db.password }}"},
        {"api_key": "<your-api-key-here>"},
        {"api_key": "vault:secret/data/app#api_key"},
        {"api_key": "${ENV:OPENAI_API_KEY}"},
        {"secret": "op://team/db/pw"},
        {"password": "********"},
        {"password": "changeme"},
        {"password": "REDACTED"},
        {"client_secret": "env:CLIENT_SECRET"},
        {"password_policy": {"min_length": 12, "rotate_days": 90}},
        {"last_password_change": "2026-11-21T02:00:00Z"},
        {"token": "eyJ1c2VyIjoxfQ"},
        {"next_page_token": _b64(hexes)[:60]},
        {"cursor": _b64(json.dumps({"after": number}))},
        {"access_key_rotation": "every 90 days"},
        "password=$(cat /run/secrets/db)",
        "api_key = os.environ['API_KEY']",
        'api_key = os.environ["API_KEY_2026_PROD"]',
        "export TOKEN=$(gh auth token)",
        "tokens used: 1234567890",
        # hosts and links
        "10.0.0.12",
        "192.168.100.254:8443",
        "2001:db8:85a3::8a2e:370:7334",
        "db.internal:5432",
        "postgres://db.internal:5432/orders",
        "postgres://app@db.internal/orders",
        "postgres://app:${PW}@db/orders",
        "https://user:password@example.org/",
        "postgresql://postgres:postgres@localhost:5432",
        "amqp://guest:guest@rabbit:5672",
        "https://example.org/a?b=c&page_token=abc",
        "git@github.com:org/repo.git",
        "https://example.org/@team/notes:7",
        "ssh://git@host:22/repo",
        "mailto:ops@example.org",
        "ops@example.org",
        "asg://epoch/2026-11-21/bundle",
        "https://hooks.slack.com/services/",
        "https://discord.com/api/webhooks/",
        # data and prose
        image,
        f"data:image/png;base64,{image}",
        "iVBORw0KGgo" + image,
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + image[:43],
        "-----BEGIN CERTIFICATE-----\n" + image[:64] + "\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\n" + image[:64] + "\n-----END PUBLIC KEY-----",
        "The bearer of this note may rotate the password of the basic plan.",
        "basic understanding of tokens",
        "Use Authorization: Bearer <token>.",
        "Password reset was requested; the secret is kept in the vault.",
        "lorem ipsum dolor sit amet, consectetur adipiscing elit",
        "BEGIN PRIVATE KEY handling in docs",
        "the discard pile has 4111 1111 cards",
        {"dashboard": 4242424242424241},
        {"company": "pancake house 12345678901234"},
        "FR12 is not an account",
        "NO93 8601 1117 948",
        "DE00 3704 0044 0532 0130 00",
        {"ssn": "000-12-3456"},
        {"ssn": "not recorded"},
        {"card": "4111 1111 1111 1112"},
        {"ping_ms": 12},
        {"status": "ready", "replicas": 3},
        "[masked: jwt]",
        {"api_key": "[masked: assigned-secret]"},
        {"twilio": f"[salted: twilio-auth-token {hexes[:40]}]"},
    ]


def files_hold(folder: Path, text: str) -> bool:
    """Whether any file below a folder has these bytes."""
    return any(text.encode() in file.read_bytes() for file in folder.rglob("*") if file.is_file())


def _b64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
