"""The public keys of an authorization server: a JWKS (RFC 7517) in a file, or fetched from the issuer.

A file is looked at with each token and read again when it has changed. What is fetched comes over https from the
issuer's own host, is bounded in size and time, counts for an hour at most, and is fetched again for a key that is not
known yet, at a bounded rate.
"""

from __future__ import annotations

import logging
import os
import ssl
import stat
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

import anyio
import anyio.to_thread
import jwt
import orjson

from asg_mcp.core.limits import (
    OAUTH_FETCH_PAUSE_SECONDS,
    OAUTH_FETCH_SECONDS_MAX,
    OAUTH_KEYS_BYTES_MAX,
    OAUTH_KEYS_FRESH_SECONDS,
    OAUTH_KEYS_MAX,
    OAUTH_KEYS_SECONDS_MAX,
)
from asg_mcp.errors import InvalidArgument, StorageError

logger = logging.getLogger(__name__)

Fetch = Callable[[str], bytes]
"""From an address to what is there. Raises OSError, HTTPException or ValueError."""
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",)}
ALGORITHMS = frozenset({*_RSA, "ES256", "ES384", "ES512", "EdDSA"})
"""Signatures that are accepted: those of which the verifier cannot make any itself. Never none, never HS256."""
_RSA_BITS_MIN, _RSA_BITS_MAX = 2_048, 8_192
_PUBLIC = frozenset({"kty", "crv", "x", "y", "n", "e"})
_PART_BYTES = 16 * 1_024
_DOCUMENTS = 3
"""Fetched at most for one set of keys: the metadata in two places, the keys."""
_WELL_KNOWN = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")


@dataclass(frozen=True, slots=True)
class Key:
    """A public key, and the algorithms whose signatures it verifies."""

    kid: str
    algorithms: tuple[str, ...]
    public: Any = field(compare=False)
    """As `jwt` takes it."""
    text: str
    """Its public members, by which two are compared."""


Keys = tuple[Key, ...]


class KeySource(Protocol):
    """Where keys come from."""

    def keys(self) -> Keys:
        """Those that count now. Raises StorageError where they cannot be read."""

    async def update(self, kid: str) -> None:
        """Look for newer ones, where that may help with a token that names this key. Raises nothing."""


def parse_keys(data: bytes) -> Keys:
    """The keys of a JWKS that verify signatures; others are left out. Raises ValueError for what is none."""
    document = orjson.loads(data)
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > OAUTH_KEYS_MAX:
        raise ValueError(f"a JWKS has a list of at most {OAUTH_KEYS_MAX} keys")
    return tuple(key for item in listed if isinstance(item, dict) for key in _key(item))


def _key(item: Mapping[str, Any]) -> Iterator[Key]:
    algorithms = _algorithms(item)
    operations = item.get("key_ops")
    is_for_signatures = item.get("use", "sig") == "sig" and (not isinstance(operations, list) or "verify" in operations)
    if not algorithms or not is_for_signatures:
        return
    # A document that holds the private members too is used as if it had the public ones alone.
    members = {name: part for name, part in item.items() if name in _PUBLIC}
    try:
        public = jwt.PyJWK(members, algorithm=algorithms[0]).key
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        logger.warning("a key of the issuer cannot be used: %s", type(error).__name__)
        return
    size = getattr(public, "key_size", 0)
    if item["kty"] == "RSA" and not _RSA_BITS_MIN <= size <= _RSA_BITS_MAX:
        logger.warning("an RSA key of the issuer has %d bits, and is not used", size)
        return
    text = orjson.dumps(members, option=orjson.OPT_SORT_KEYS).decode()
    yield Key(str(item.get("kid", "")), algorithms, public, text)


def _algorithms(item: Mapping[str, Any]) -> tuple[str, ...]:
    kind, curve, named = item.get("kty"), item.get("crv"), item.get("alg")
    found: tuple[str, ...] = ()
    if kind == "RSA":
        found = _RSA
    elif kind == "EC" and isinstance(curve, str):
        found = _CURVES.get(curve, ())
    elif kind == "OKP" and curve == "Ed25519":
        # RFC 9864 calls it Ed25519; `jwt` knows it as EdDSA.
        return ("EdDSA",) if named in (None, "EdDSA", "Ed25519") else ()
    return found if named is None else tuple(one for one in found if one == named)


class KeyFile:
    """A JWKS in a file that nobody else may write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, ...] = ()
        self._keys: Keys = ()

    def keys(self) -> Keys:
        """Those in the file as it is now. Raises StorageError."""
        try:
            found = self.path.stat()
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode)
            if stamp != self._stamp:
                self._keys, self._stamp = self._read(), stamp
        except OSError as error:
            raise self._unusable(f"cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise self._unusable(f"is no JWKS: {error}") from error
        return self._keys

    def _read(self) -> Keys:
        with self.path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and stat.S_IMODE(mode) & 0o022:
                raise self._unusable(f"may be written by others (mode {stat.S_IMODE(mode):o}); chmod go-w it")
            data = file.read(OAUTH_KEYS_BYTES_MAX + 1)
        if len(data) > OAUTH_KEYS_BYTES_MAX:
            raise ValueError(f"more than {OAUTH_KEYS_BYTES_MAX} bytes")
        return parse_keys(data)

    async def update(self, kid: str) -> None:
        """Nothing: `keys` looks at the file each time."""

    def _unusable(self, fault: str) -> StorageError:
        return StorageError(f"The key file {self.path} {fault}", hint="Save the issuer's JWKS there, as it is.")


class FetchedKeys:
    """A JWKS at the issuer: at `url`, or where the issuer's own metadata says it is (RFC 8414, OpenID Connect)."""

    def __init__(
        self, issuer: str, url: str = "", fetch: Fetch | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer = issuer
        self._url = url and check_url(url, issuer)
        self._fetch = fetch or fetched
        self._clock = clock
        self._keys: Keys = ()
        self._got = self._tried = float("-inf")
        self._turn = anyio.Lock()

    def keys(self) -> Keys:
        """Those last fetched, as long as they count."""
        return self._keys if self._clock() - self._got < OAUTH_KEYS_SECONDS_MAX else ()

    async def update(self, kid: str) -> None:
        """Fetch them, where this key is not known or all are old, unless it was tried a moment ago."""
        is_known = any(key.kid == kid for key in self.keys()) if kid else bool(self.keys())
        if not self._is_due(is_known=is_known) or (is_known and self._turn.locked()):
            return
        async with self._turn:
            if not self._is_due(is_known=is_known):
                return
            self._tried = self._clock()
            try:
                with anyio.fail_after(_DOCUMENTS * OAUTH_FETCH_SECONDS_MAX):
                    # Left behind when the time is over or the caller gone: its own bounds end it.
                    self._keys = await anyio.to_thread.run_sync(self._load, abandon_on_cancel=True)
            except (OSError, HTTPException, ValueError) as error:
                logger.warning("the keys of %s could not be fetched: %s", self._issuer, error)
            else:
                self._got = self._clock()

    def _is_due(self, *, is_known: bool) -> bool:
        now = self._clock()
        is_old = now - self._got >= OAUTH_KEYS_FRESH_SECONDS
        return (is_old or not is_known) and now - self._tried >= OAUTH_FETCH_PAUSE_SECONDS

    def _load(self) -> Keys:
        return parse_keys(self._fetch(self._url or self._discovered()))

    def _discovered(self) -> str:
        """The address of the keys, as the issuer's metadata has it."""
        parts = urlsplit(self._issuer)
        origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
        places = (f"{origin}{_WELL_KNOWN[0]}{path}", f"{origin}{path}{_WELL_KNOWN[1]}")
        for place, is_last in zip(places, (False, True), strict=True):
            try:
                document = orjson.loads(self._fetch(place))
            except (urllib.error.HTTPError, ValueError):
                if is_last:
                    raise
                continue
            # RFC 8414, 3.3: metadata that names another issuer is not that of this one.
            if isinstance(document, dict) and document.get("issuer") == self._issuer:
                try:
                    return check_url(str(document.get("jwks_uri", "")), self._issuer)
                except InvalidArgument as error:
                    raise ValueError(error.message) from error
        raise ValueError("its metadata does not name it as their issuer")


def check_issuer(issuer: str) -> str:
    """The issuer's URL as it is. Raises InvalidArgument unless it is https, or http on this machine."""
    return _checked(issuer, "issuer")


def check_url(url: str, issuer: str) -> str:
    """The address of keys as it is. Raises InvalidArgument unless it is at the issuer's own host."""
    _checked(url, "address of keys", query=True)
    if _origin(urlsplit(url)) != _origin(urlsplit(issuer)):
        raise InvalidArgument(
            f"The keys at {url} are not at the issuer {issuer}",
            hint="Keys are fetched from the issuer's own host alone. Save them in a file, and name that.",
        )
    return url


def check_audience(audience: str) -> str:
    """The URL of this server, as tokens name it. Raises InvalidArgument."""
    return _checked(audience, "audience")


def _checked(url: str, what: str, *, query: bool = False) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_local(host))
    is_plain = url.isprintable() and " " not in url and "#" not in url and (query or "?" not in url)
    if not host or not is_safe or not is_plain or "@" in parts.netloc:
        raise InvalidArgument(
            f"{url[:200]!r} is no URL of an {what}" if what[0] in "aeiou" else f"{url[:200]!r} is no {what}",
            hint="Give https://HOST/PATH without a query; http is for this machine alone.",
        )
    return url


def is_local(host: str) -> bool:
    """Whether the host is this machine, by its address or as localhost."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect leads elsewhere, which nobody has checked."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """None: the answer is told as an error."""


def fetched(url: str, clock: Callable[[], float] = time.monotonic) -> bytes:
    """What is at the address. Raises OSError, HTTPException, and ValueError for more than is read."""
    until = clock() + OAUTH_FETCH_SECONDS_MAX
    is_here = is_local(urlsplit(url).hostname or "")
    handlers: list[Any] = [_NoRedirect, urllib.request.HTTPSHandler(context=ssl.create_default_context())]
    if is_here:
        handlers.append(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers={"accept": "application/json"})
    with urllib.request.build_opener(*handlers).open(request, timeout=OAUTH_FETCH_SECONDS_MAX) as reply:
        data = bytearray()
        for part in iter(partial(reply.read1, _PART_BYTES), b""):
            data += part
            if len(data) > OAUTH_KEYS_BYTES_MAX:
                raise ValueError(f"more than {OAUTH_KEYS_BYTES_MAX} bytes at {url}")
            if clock() > until:
                raise TimeoutError(f"{url} sends too slowly")
    return bytes(data)
