"""An OAuth 2.1 resource server: JWT access tokens (RFC 9068) of one issuer, and what they allow.

A token counts when the issuer signed it with an asymmetric key, for this server (RFC 8707), for now. It is not kept,
not logged and sent to nobody; what is remembered of a verified one is a hash. What it allows is in its claims:

    sub              who: the principal is ISSUER#SUB
    scope, or scp    asg:read asg:write asg:branch asg:merge asg:seal asg:admin
    asg:agents       globs of the agents that it may claim; absent: any
    asg:refs         globs of refs; absent: every one
    asg:paths        JSON Pointers; absent: all paths
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite
from typing import Any

import jwt
import orjson

from asg_mcp.core.intents import check_name
from asg_mcp.core.limits import (
    OAUTH_CLAIM_ITEMS_MAX,
    OAUTH_LEEWAY_SECONDS,
    OAUTH_TOKEN_CHARS_MAX,
    OAUTH_TOKENS_KEPT_MAX,
)
from asg_mcp.core.paths import parse_path
from asg_mcp.errors import AsgError
from asg_mcp.services.access import ANY, SCOPE_PREFIX, Grant, Verb
from asg_mcp.services.oauthkeys import ALGORITHMS, Key, KeySource, check_audience, check_issuer

logger = logging.getLogger(__name__)

SCOPES = tuple(f"{SCOPE_PREFIX}{verb}" for verb in Verb)
"""Of an access token: one for each verb."""
AGENTS_CLAIM, REFS_CLAIM, PATHS_CLAIM = "asg:agents", "asg:refs", "asg:paths"
_TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})
_SECOND = 1_000_000
_SECONDS_MAX = 2**40
_CLIENT_DIGITS = 16


class _Refused(Exception):
    """Why a token does not count. Says nothing of what is in it."""


@dataclass(frozen=True, slots=True)
class _Verified:
    """What is remembered of a token whose signature holds."""

    key: Key
    grant: Grant
    begins: int
    """Microseconds since 1970-01-01 UTC, leeway included; so is `ends`."""
    ends: int


class ResourceServer:
    """Verifies the tokens of one issuer that are meant for one server.

    `issuer` and `audience` are URLs as tokens have them, letter by letter. Raises InvalidArgument for what is none.
    """

    def __init__(self, issuer: str, audience: str, keys: KeySource) -> None:
        self.issuer = check_issuer(issuer)
        self.audience = check_audience(audience)
        self._keys = keys
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()

    async def prepare(self, text: str) -> None:
        """Have the key that a token names at hand, where the issuer has one. Raises nothing."""
        known = self._verified.get(_digest(text))
        header = {"kid": known.key.kid} if known is not None else _header(text)
        if header is not None:
            await self._keys.update(str(header.get("kid", "")))

    def verify(self, text: str, now: int) -> Grant | None:
        """What this token allows at `now` (microseconds); None if it does not count. Raises StorageError."""
        try:
            return self._verify(text, now)
        except _Refused as reason:
            logger.info("a token of an issuer was refused: %s", reason)
            return None

    def _verify(self, text: str, now: int) -> Grant:
        if len(text) > OAUTH_TOKEN_CHARS_MAX:
            raise _Refused("it is too long")
        digest = _digest(text)
        keys = self._keys.keys()
        known = self._verified.get(digest)
        if known is None or known.key not in keys:
            self._verified.pop(digest, None)
            known = self._opened(text, keys)
            self._verified[digest] = known
            if len(self._verified) > OAUTH_TOKENS_KEPT_MAX:
                self._verified.popitem(last=False)
        else:
            self._verified.move_to_end(digest)
        if not known.begins <= now < known.ends:
            raise _Refused("it has expired, or does not hold yet")
        return known.grant

    def _opened(self, text: str, keys: tuple[Key, ...]) -> _Verified:
        header = _header(text)
        if header is None:
            raise _Refused("it is no JWT that is signed with an asymmetric key")
        algorithm = str(header["alg"])
        key = _key_for(keys, str(header.get("kid", "")), algorithm)
        try:
            signed = jwt.PyJWS().decode_complete(text, key.public, algorithms=[algorithm])
            claims = orjson.loads(signed["payload"])
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise _Refused(f"its signature or form is wrong ({type(error).__name__})") from None
        if not isinstance(claims, dict):
            raise _Refused("its claims are no object")
        self._check_addressee(claims)
        begins, ends = _times(claims)
        return _Verified(key, self._grant(claims), begins, ends)

    def _check_addressee(self, claims: Mapping[str, Any]) -> None:
        audience = claims.get("aud")
        if claims.get("iss") != self.issuer:
            raise _Refused("another issuer made it")
        if self.audience not in (audience if isinstance(audience, list) else [audience]):
            raise _Refused("it is for another server")
        if "cnf" in claims:
            # It is bound to a key that its holder has to prove to have; as a bearer token it would count for any thief.
            raise _Refused("it is bound to a key of its holder, which is not asked for here")

    def _grant(self, claims: Mapping[str, Any]) -> Grant:
        subject = claims.get("sub")
        if not isinstance(subject, str) or not subject:
            raise _Refused("it does not say whom it stands for")
        principal = f"{self.issuer}#{subject}"
        client = claims.get("client_id", claims.get("azp", ""))
        try:
            check_name(principal, "principal")
            paths = tuple(parse_path(path) for path in _listed(claims, PATHS_CLAIM, "/"))
        except AsgError as error:
            raise _Refused(error.message) from None
        return Grant(
            principal=principal,
            agents=_listed(claims, AGENTS_CLAIM, ANY),
            verbs=_verbs(claims),
            refs=_listed(claims, REFS_CLAIM, ANY),
            paths=paths,
            # The same for every token of one user of one program: a refreshed one goes on where the last one was.
            credential="oauth-" + sha256(f"{principal}\x00{client}".encode()).hexdigest()[:_CLIENT_DIGITS],
            issuer=self.issuer,
        )


def _digest(text: str) -> bytes:
    return sha256(text.encode(errors="surrogatepass")).digest()


def _header(text: str) -> dict[str, Any] | None:
    """The header of a JWT that may count, from before its signature is verified."""
    if len(text) > OAUTH_TOKEN_CHARS_MAX or text.count(".") != 2:
        return None
    try:
        header = jwt.get_unverified_header(text)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    kind = header.get("typ", "")
    # What `crit` lists has to be understood, and nothing of it is.
    is_usual = isinstance(kind, str) and kind.lower() in _TYPES and "crit" not in header and "b64" not in header
    algorithm = header.get("alg")
    return header if is_usual and isinstance(algorithm, str) and algorithm in ALGORITHMS else None


def _key_for(keys: tuple[Key, ...], kid: str, algorithm: str) -> Key:
    found = [key for key in keys if algorithm in key.algorithms and (not kid or key.kid == kid)]
    if len(found) != 1:
        raise _Refused("the issuer has no such key" if not found else "it does not say which key signed it")
    return found[0]


def _times(claims: Mapping[str, Any]) -> tuple[int, int]:
    """From when to when it holds, the leeway included."""
    if "exp" not in claims:
        raise _Refused("it does not say when it expires")
    seconds = {name: _seconds(claims, name) for name in ("exp", "nbf", "iat") if name in claims}
    begins = max(seconds.get("nbf", 0.0), seconds.get("iat", 0.0)) - OAUTH_LEEWAY_SECONDS
    return int(begins * _SECOND), int((seconds["exp"] + OAUTH_LEEWAY_SECONDS) * _SECOND)


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    told = claims[name]
    if not isinstance(told, int | float) or isinstance(told, bool) or not isfinite(told) or abs(told) > _SECONDS_MAX:
        raise _Refused(f"its {name} is no time")
    return float(told)


def _verbs(claims: Mapping[str, Any]) -> frozenset[Verb]:
    given = claims.get("scope", claims.get("scp", ""))
    names = given.split(" ") if isinstance(given, str) else given
    if not isinstance(names, list):
        raise _Refused("its scope is no text")
    return frozenset(verb for verb in Verb if f"{SCOPE_PREFIX}{verb}" in names)


def _listed(claims: Mapping[str, Any], name: str, default: str) -> tuple[str, ...]:
    """The texts of a claim; a claim of another form counts for nothing, and so does the token."""
    given = claims.get(name, [default])
    if not isinstance(given, list) or len(given) > OAUTH_CLAIM_ITEMS_MAX:
        raise _Refused(f"its {name} is no list of at most {OAUTH_CLAIM_ITEMS_MAX} texts")
    if not all(isinstance(one, str) and one for one in given):
        raise _Refused(f"its {name} holds something else than texts")
    return tuple(given)
