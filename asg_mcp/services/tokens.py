"""The tokens of a store's HTTP clients: a file beside it that only its owner may read, with hashes instead of tokens.

    token = asg_ID_SECRET     ID: 12 hex digits, public; SECRET: 256 random bits, so that a plain hash of it is enough

The file is looked at with each request and read again when it has changed, so a revoked token is refused at once.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import portalocker

from asg_mcp.core.intents import check_name
from asg_mcp.core.limits import TOKENS_FILE_BYTES_MAX, TOKENS_MAX
from asg_mcp.core.paths import format_path, parse_path
from asg_mcp.core.times import format_time, parse_time
from asg_mcp.errors import InvalidArgument, InvalidInput, LimitExceeded, NotFound, StorageError
from asg_mcp.services.access import Grant, Verb
from asg_mcp.services.oauth import ResourceServer

PREFIX = "asg_"
ANONYMOUS = "anonymous"
"""The principal of whoever needs no token."""
LOCAL_PREFIX = "local:"
"""With which the principal of the local user begins."""
VERSION = 1
_REF_GLOB = re.compile(r"(?:spec:)?[A-Za-z0-9._/*?\[\]!-]*")
_MODE = 0o600
_ID_BYTES = 6
_SECRET_BYTES = 32
_LOCK_SECONDS_MAX = 10.0


class TokenNotFound(NotFound):
    """No token has this id."""

    code = "token_not_found"


@dataclass(frozen=True, slots=True)
class Token:
    """One token, without its secret."""

    id: str
    principal: str
    hash: str
    """SHA-256 of the secret, in hex."""
    agents: tuple[str, ...]
    verbs: tuple[str, ...]
    refs: tuple[str, ...]
    paths: tuple[str, ...]
    created: int
    """Microseconds since 1970-01-01 UTC."""
    expires: int | None = None
    """The same; None is never."""

    def grant(self) -> Grant:
        """What it allows."""
        return Grant(
            principal=self.principal,
            agents=self.agents,
            verbs=frozenset(Verb(verb) for verb in self.verbs),
            refs=self.refs,
            paths=tuple(parse_path(path) for path in self.paths),
            credential=self.id,
        )

    def shown(self) -> dict[str, Any]:
        """It as people read it: without the hash, times as RFC 3339."""
        fields = asdict(self)
        del fields["hash"]
        fields["created"] = format_time(self.created)
        fields["expires"] = None if self.expires is None else format_time(self.expires)
        return {name: list(item) if isinstance(item, tuple) else item for name, item in fields.items()}


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A token to make."""

    principal: str
    agents: tuple[str, ...] = ("*",)
    verbs: tuple[str, ...] = ("read", "write", "branch", "merge")
    refs: tuple[str, ...] = ("*",)
    paths: tuple[str, ...] = ("/",)
    expires: str = ""
    """RFC 3339, or a number of seconds; empty is never."""


class TokenFile:
    """The tokens in a file. It need not be there: then no token was ever made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, ...] | None = None
        self._tokens: dict[str, Token] = {}

    def tokens(self) -> list[Token]:
        """All of them, expired ones too, in the order in which they were made.

        Raises StorageError when the file cannot be used: damaged, or readable by others.
        """
        self._refresh()
        return list(self._tokens.values())

    @property
    def is_there(self) -> bool:
        """Whether the file exists. It does once a token was made, even when all are revoked. Raises StorageError."""
        self._refresh()
        return self._stamp is not None

    def holding(self, now: int) -> int:
        """How many tokens let somebody in at `now` (microseconds). Raises StorageError."""
        return sum(token.expires is None or now < token.expires for token in self.tokens())

    def verify(self, text: str, now: int) -> Grant | None:
        """What the token of this text allows at `now` (microseconds); None if it is none, or not any more."""
        self._refresh()
        name, mark, secret = text.removeprefix(PREFIX).partition("_")
        token = self._tokens.get(name)
        # Compared even where there is no such token, so that the time tells nobody which ids there are.
        known = sha256().hexdigest() if token is None else token.hash
        is_same = hmac.compare_digest(_hash(secret), known)
        if token is None or not is_same or not mark or not text.startswith(PREFIX):
            return None
        return None if token.expires is not None and now >= token.expires else token.grant()

    def add(self, request: TokenRequest, now: int) -> tuple[str, Token]:
        """Make a token: its text, which is shown this once and kept nowhere, and what is kept of it.

        Raises InvalidArgument, InvalidName, InvalidPath, LimitExceeded and StorageError.
        """
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        token = replace(_checked(request, now), hash=_hash(secret))
        with self._locked():
            self._refresh()
            if len(self._tokens) >= TOKENS_MAX:
                raise LimitExceeded(
                    f"There are {TOKENS_MAX} tokens already",
                    hint="Revoke those that are not needed any more.",
                    limit="TOKENS_MAX",
                    max=TOKENS_MAX,
                )
            self._write([*self._tokens.values(), token])
        return f"{PREFIX}{token.id}_{secret}", token

    def revoke(self, name: str) -> Token:
        """Forget a token, by its id or whole text. Raises TokenNotFound and StorageError."""
        key = name.removeprefix(PREFIX).partition("_")[0]
        with self._locked():
            self._refresh()
            token = self._tokens.get(key)
            if token is None:
                raise TokenNotFound(f"There is no token {key!r}", hint="`asg-mcp token list` names them all.")
            self._write([one for one in self._tokens.values() if one.id != key])
        return token

    def _refresh(self) -> None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self._stamp, self._tokens = None, {}
            return
        except OSError as error:
            raise _unusable(self.path, f"cannot be read: {error.strerror}") from error
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode)
        if stamp != self._stamp:
            self._tokens = {token.id: token for token in self._read()}
            self._stamp = stamp

    def _read(self) -> list[Token]:
        try:
            with self.path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
                    raise _unusable(self.path, f"may be read by others (mode {stat.S_IMODE(mode):o}); chmod 600 it")
                document = orjson.loads(file.read(TOKENS_FILE_BYTES_MAX))
            if document["version"] != VERSION:
                raise _unusable(self.path, f"is of version {document['version']}, and this program knows {VERSION}")
            tokens = [_stored(item) for item in document["tokens"]]
            for token in tokens:
                token.grant()
        except OSError as error:
            raise _unusable(self.path, f"cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, InvalidInput) as error:
            raise _unusable(self.path, f"is damaged: {error}") from error
        return tokens

    def _write(self, tokens: Sequence[Token]) -> None:
        """Put a whole new file in the place of the old one, so that nobody ever reads half of it."""
        made = self.path.with_name(f"{self.path.name}.{secrets.token_hex(8)}")
        document = {"version": VERSION, "tokens": [asdict(token) for token in tokens]}
        try:
            descriptor = os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _MODE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            made.replace(self.path)
        except OSError as error:
            raise _unusable(self.path, f"cannot be written: {error.strerror}") from error
        finally:
            made.unlink(missing_ok=True)
        self._stamp = None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of all who change the file; the file itself is replaced, so it cannot be that."""
        place = self.path.with_name(f"{self.path.name}.lock")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = portalocker.Lock(str(place), mode="a", timeout=_LOCK_SECONDS_MAX)
            lock.acquire()
        except (OSError, portalocker.LockException) as error:
            raise _unusable(self.path, f"cannot be locked: {error}") from error
        try:
            yield
        finally:
            lock.release()


class Door:
    """Who is let in: whoever has a token and, where no token was ever made when the server started, everybody.

    A first token closes the door at once. Revoking the last does not open it again, nor does a start after that:
    whoever wants it open deletes the file. With an authorization server it is never open: whoever has a token of it is
    let in too.
    """

    def __init__(self, tokens: TokenFile, protected: tuple[str, ...] = (), oauth: ResourceServer | None = None) -> None:
        self._tokens = tokens
        self._protected = protected
        self.oauth = oauth
        tokens.tokens()  # a file that cannot be used is told now
        self._was_open = not tokens.is_there and oauth is None

    @property
    def is_open(self) -> bool:
        """Whether everybody is let in now. Raises StorageError."""
        self._was_open = self._was_open and not self._tokens.is_there
        return self._was_open

    @property
    def is_shut(self) -> bool:
        """Whether nobody is let in now: there is a file of tokens, and none in it holds. Raises StorageError."""
        return not self.is_open and self.oauth is None and not self._tokens.holding(time.time_ns() // 1_000)

    @property
    def file(self) -> Path:
        """Where the tokens are."""
        return self._tokens.path

    def verify(self, text: str) -> Grant | None:
        """What the token of this text allows, or "" where none was sent; None for nothing. Raises StorageError."""
        if not text:
            return Grant(ANONYMOUS) if self.is_open else None
        now = time.time_ns() // 1_000
        verifier = self._tokens if self.oauth is None or text.startswith(PREFIX) else self.oauth
        grant = verifier.verify(text, now)
        return None if grant is None else replace(grant, protected=self._protected)


def _checked(request: TokenRequest, now: int) -> Token:
    check_name(request.principal, "principal")
    if request.principal == ANONYMOUS or request.principal.startswith(LOCAL_PREFIX):
        raise InvalidArgument(
            f"{request.principal!r} is the principal of those who need no token",
            hint=f"Choose another name: not {ANONYMOUS}, and none that begins with {LOCAL_PREFIX}.",
        )
    for ref in request.refs:
        if not _REF_GLOB.fullmatch(ref):
            raise InvalidArgument(
                f"{ref!r} is no glob of names of refs",
                hint="Name branches and tags, such as team/*, or spec:* for speculations; not a time or a step back.",
            )
    for verb in request.verbs:
        if verb not in Verb.__members__.values():
            raise InvalidArgument(f"There is no right {verb!r}", hint=f"There are {', '.join(Verb)}.")
    for what, given in (
        ("verb", request.verbs),
        ("agent", request.agents),
        ("ref", request.refs),
        ("path", request.paths),
    ):
        if not given or "" in given:
            raise InvalidArgument(f"No {what} is named", hint="Leave the option out for its default.")
    return Token(
        id=secrets.token_hex(_ID_BYTES),
        principal=request.principal,
        hash="",
        agents=request.agents,
        verbs=tuple(dict.fromkeys(request.verbs)),
        refs=request.refs,
        paths=tuple(format_path(parse_path(path)) for path in request.paths),
        created=now,
        expires=_expiry(request.expires, now),
    )


def _expiry(text: str, now: int) -> int | None:
    if not text:
        return None
    is_count = text.isascii() and text.isdigit() and len(text) < 12
    until = now + int(text) * 1_000_000 if is_count else parse_time(text)
    if until <= now:
        raise InvalidArgument(
            f"The token would expire at {format_time(until)}, which has passed",
            hint="Give a time to come, RFC 3339 in UTC, or a number of seconds.",
        )
    return until


def _stored(item: dict[str, Any]) -> Token:
    lists = {name: tuple(str(one) for one in item[name]) for name in ("agents", "verbs", "refs", "paths")}
    expires = item["expires"]
    return Token(
        id=str(item["id"]),
        principal=str(item["principal"]),
        hash=str(item["hash"]),
        created=int(item["created"]),
        expires=None if expires is None else int(expires),
        **lists,
    )


def _hash(secret: str) -> str:
    return sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _unusable(path: Path, fault: str) -> StorageError:
    return StorageError(
        f"The token file {path} {fault}",
        hint="Nobody is let in without it. Mend it, or move it away and make the tokens anew with `asg-mcp token add`.",
    )
