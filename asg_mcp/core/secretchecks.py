"""What tells a secret from a text of the same shape: checksums, ranges, and how random a text looks.

Each check gets the bytes that a rule's pattern found and says whether they stand. All are linear in their length.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import string
from collections import Counter
from math import log2

ENTROPY_BITS_MIN = 3.0
"""Bits a character, of Shannon's entropy. Random hex has up to 4, 20 random letters and digits about 4."""
SAMPLE_BYTES = 512
"""As much of a text is looked at: it tells how the rest was made."""
PASSWORD_CHARS_MIN = 10
HEX_KEY_CHARS_MIN = 24

_PLACEHOLDER = re.compile(
    rb"(?i)[*x.\-_#]+|\W*(?:redacted|masked|salted|hidden|removed|password|passwd|pass|pwd|secret|user|username|changeme"
    rb"|token|example|none|null|undefined|your[-_ ]?\w*)\W*|\$\{.*|\$\(.*|\{\{.*|<.*>|\[.*\]|%\(\w+\)s|[\w.]+[(\[].*"
)
_DEFAULTS = frozenset((b"postgres", b"guest", b"admin", b"root", b"test", b"mysql", b"mongo", b"minioadmin"))
_VARIABLE = re.compile(rb"\$[A-Z_][A-Z0-9_]*|%[A-Z0-9_]+%|\{[a-z0-9_.]*\}")
_UUID = re.compile(rb"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_REFERENCE = re.compile(
    rb"(?i)(?:https?|vault|env|op|ref|arn|aws|gcp|azure|kms|file|secret|secretsmanager|ssm|sha\d+|md5|blake\w*"
    rb"|projects|keyring|keychain|spec|urn|data)[:/+].*|[./~].*|\d+(?:[.:,/ TZ_-]+\d+)+Z?"
)
_NAME = re.compile(rb"[a-z0-9]+(?:[-._/][a-z0-9]+)+|[A-Z0-9]+(?:_[A-Z0-9]+)+")
_SEGMENT = re.compile(rb"[-._/]")
_UPPER, _LOWER, _DIGITS = (text.encode() for text in (string.ascii_uppercase, string.ascii_lowercase, string.digits))


def entropy(text: bytes) -> float:
    """Shannon's entropy of the beginning of a text, SAMPLE_BYTES, in bits a character."""
    text = text[:SAMPLE_BYTES]
    size = len(text)
    return log2(size) - sum(n * log2(n) for n in Counter(text).values()) / size if size else 0.0


def _varied(text: bytes) -> bool:
    return len(set(text[:SAMPLE_BYTES])) >= 2**ENTROPY_BITS_MIN and entropy(text) >= ENTROPY_BITS_MIN


def random_looking(text: bytes) -> bool:
    """Whether a token has the spread of characters that a generated one has, which placeholders have not."""
    return _varied(text) and b"EXAMPLE" not in text[:SAMPLE_BYTES].upper()


def password_in_url(text: bytes) -> bool:
    """Whether what stands between : and @ of a URL is a password: any, but for placeholders and references.

    What servers come with (postgres:postgres, guest:guest) is in every manual, and keeps nobody out.
    """
    return text.lower() not in _DEFAULTS and not _stands_for_another(text)


def _stands_for_another(text: bytes) -> bool:
    return _PLACEHOLDER.fullmatch(text) is not None or _VARIABLE.fullmatch(text) is not None


def assigned_secret(text: bytes) -> bool:
    """Whether a value under a name such as password or api_key is a generated one.

    Names of secrets kept elsewhere, references, ids, dates and words are not.
    """
    text = text[:SAMPLE_BYTES]
    if len(text) < PASSWORD_CHARS_MIN or not _varied(text):
        return False
    if _stands_for_another(text) or _UUID.fullmatch(text) or _REFERENCE.fullmatch(text):
        return False
    if _NAME.fullmatch(text):  # my-app-credentials-v2, DB_PASSWORD_2: a name has no long segment full of digits
        return any(len(part) >= 16 and _count(part, _DIGITS) >= 4 for part in _SEGMENT.split(text))
    upper, lower, digits = _count(text, _UPPER), _count(text, _LOWER), _count(text, _DIGITS)
    marks = len(text) - upper - lower - digits
    if bool(upper) + bool(lower) + bool(digits) + bool(marks) >= 3:
        return digits >= 2 or marks >= 2
    return len(text) >= HEX_KEY_CHARS_MIN and digits >= 4 and lower + upper >= 1


def _count(text: bytes, chars: bytes) -> int:
    return len(text) - len(text.translate(None, chars))


def bearer(text: bytes) -> bool:
    """Whether what follows `Bearer` is a token: random, with digits and letters."""
    sample = text[:SAMPLE_BYTES]
    return random_looking(sample) and 0 < _count(sample, _DIGITS) < len(sample)


def basic(text: bytes) -> bool:
    """Whether what follows `Basic` is user:password in base64."""
    plain = _unbase64(text)
    return b":" in plain and plain.isascii() and password_in_url(plain.partition(b":")[2])


_CLAIMS = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti"})
_JWT_BYTES_MAX = 16_384


def jwt(text: bytes) -> bool:
    """Whether it is a JSON Web Token: its header is a map with `alg` or `enc` (RFC 7515), its claims say whose it is.

    Claims without any registered name (RFC 7519, section 4.1) let nobody in anywhere: they are the samples of manuals.
    """
    first, _, rest = text[:_JWT_BYTES_MAX].partition(b".")
    header, claims = _json_of(first), _json_of(rest.partition(b".")[0])
    if not isinstance(header, dict) or not ("alg" in header or "enc" in header):
        return False
    return not isinstance(claims, dict) or not _CLAIMS.isdisjoint(claims)


def _json_of(part: bytes) -> object:
    try:
        return json.loads(_unbase64(part))
    except (ValueError, RecursionError):
        return None


def _unbase64(text: bytes) -> bytes:
    try:
        return base64.urlsafe_b64decode(text.rstrip(b"=") + b"=" * (-len(text.rstrip(b"=")) % 4))
    except (binascii.Error, ValueError):
        return b""


_DOUBLED = bytes.maketrans(_DIGITS, bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))
_PLAIN = bytes.maketrans(_DIGITS, bytes(range(10)))


def luhn(digits: bytes) -> bool:
    """The check digit of ISO/IEC 7812-1: whether ASCII digits end in it."""
    return (sum(digits[::-2].translate(_PLAIN)) + sum(digits[-2::-2].translate(_DOUBLED))) % 10 == 0


def card(text: bytes) -> bool:
    """Whether digits are a payment card's: an issuer's range with its length, and the check digit."""
    digits = text.translate(None, b" -")
    size = len(digits)
    if size not in (14, 15, 16, 19) or not luhn(digits) or len(set(digits)) == 1:
        return False
    four = int(digits[:4])
    two, three = four // 100, four // 10
    return (
        (two // 10 == 4 and size in (16, 19))  # Visa
        or ((51 <= two <= 55 or 2221 <= four <= 2720) and size == 16)  # Mastercard
        or (two in (34, 37) and size == 15)  # American Express
        or ((four == 6011 or 644 <= three <= 649 or two == 65) and size in (16, 19))  # Discover
        or (3528 <= four <= 3589 and size in (16, 19))  # JCB
        or ((300 <= three <= 305 or two in (36, 38, 39)) and size == 14)  # Diners Club
        or (two == 62 and size in (16, 19))  # UnionPay
    )


IBAN_LENGTHS = {
    country: int(length)
    for country, length in (
        pair.split(":")
        for pair in (
            "AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BI:27 BR:29 BY:28 CH:21 CR:22 CY:28 CZ:24 DE:22 "
            "DJ:27 DK:18 DO:28 EE:20 EG:29 ES:24 FI:18 FK:18 FO:18 FR:27 GB:22 GE:22 GI:23 GL:18 GR:27 GT:28 HR:21 "
            "HU:28 IE:22 IL:23 IQ:23 IS:26 IT:27 JO:30 KW:30 KZ:20 LB:28 LC:32 LI:21 LT:20 LU:20 LV:21 LY:25 MC:27 "
            "MD:24 ME:22 MK:19 MN:20 MR:27 MT:31 MU:30 NI:28 NL:18 NO:15 OM:23 PK:24 PL:28 PS:29 PT:25 QA:29 RO:24 "
            "RS:22 RU:33 SA:24 SC:31 SD:18 SE:24 SI:19 SK:24 SM:27 SO:23 ST:25 SV:28 TL:23 TN:24 TR:26 UA:29 VA:22 "
            "VG:24 XK:20 YE:30"
        ).split()
    )
}
"""Characters of an IBAN by country (SWIFT's IBAN registry)."""


_LETTERS = {ord(letter): str(number) for number, letter in enumerate(string.ascii_uppercase, 10)}


def iban(text: bytes) -> bool:
    """Whether a text is an IBAN: its country's length, and 1 modulo 97 (ISO 13616)."""
    plain = text.translate(None, b" ").decode("ascii", "replace")
    if IBAN_LENGTHS.get(plain[:2]) != len(plain):
        return False
    return int((plain[4:] + plain[:4]).translate(_LETTERS)) % 97 == 1


def ssn(text: bytes) -> bool:
    """Whether digits are a US social security number that may have been issued."""
    digits = text.translate(None, b" -")
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    issued = area not in (b"000", b"666") and area < b"900" and group != b"00" and serial != b"0000"
    return issued and len(set(digits)) > 2


def always(_: bytes) -> bool:
    """The shape alone is proof."""
    return True
