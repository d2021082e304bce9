"""The keys of an authorization server: which are used, where they come from, when they are fetched again."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import ECAlgorithm

from asg_mcp.core.limits import (
    OAUTH_FETCH_PAUSE_SECONDS,
    OAUTH_KEYS_BYTES_MAX,
    OAUTH_KEYS_FRESH_SECONDS,
    OAUTH_KEYS_MAX,
    OAUTH_KEYS_SECONDS_MAX,
)
from asg_mcp.errors import InvalidArgument, StorageError
from asg_mcp.services.oauthkeys import FetchedKeys, KeyFile, fetched, parse_keys
from tests.cli.conftest import Run, run
from tests.services.issuers import ISSUER, Issuer, jwk_of, private_key

posix = pytest.mark.skipif(os.name != "posix", reason="file modes are of POSIX")
EC = jwk_of(private_key("ES256"), kid="e")
RSA = jwk_of(private_key("RS256"), kid="r")
__all__ = ["run"]


def parsed(*keys: Any) -> list[str]:
    return [key.kid for key in parse_keys(json.dumps({"keys": keys}).encode())]


def test_only_public_keys_that_verify_signatures_are_used() -> None:
    small = jwk_of(rsa.generate_private_key(65_537, 1_024), kid="small")
    others = [
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
        {**EC, "kid": "for encryption", "use": "enc"},
        {**EC, "kid": "for wrapping", "key_ops": ["wrapKey"]},
        {**EC, "kid": "of another algorithm", "alg": "HS256"},
        {**EC, "kid": "of another curve", "crv": "secp256k1"},
        {**EC, "kid": "off the curve", "x": EC["y"]},
        {**RSA, "kid": "without modulus", "n": ""},
        {"kid": "of no kind"},
        {"kty": ["EC"], "kid": "of a list"},
        "text",
        small,
    ]
    assert parsed(EC, *others, RSA) == ["e", "r"]


def test_a_key_is_used_for_the_algorithm_that_it_names_alone() -> None:
    named, free = parse_keys(json.dumps({"keys": [{**RSA, "alg": "PS256"}, RSA]}).encode())
    assert named.algorithms == ("PS256",)
    assert {"RS256", "PS512"} < set(free.algorithms)
    assert not {"HS256", "ES256"} & set(free.algorithms)


def test_of_a_key_that_is_published_with_its_private_part_that_part_is_forgotten() -> None:
    private = json.loads(ECAlgorithm.to_jwk(private_key("ES256")))
    (key,) = parse_keys(json.dumps({"keys": [{**private, "kid": "e"}]}).encode())
    assert private["d"] not in key.text
    assert not hasattr(key.public, "private_numbers")


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": ' + b"[" * 5_000,
        json.dumps({"keys": [EC] * (OAUTH_KEYS_MAX + 1)}).encode(),
    ],
    ids=["nothing", "a list", "no keys", "a map of keys", "too deep", "too many"],
)
def test_what_is_no_set_of_keys_is_told(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_keys(document)


# --- a file -----------------------------------------------------------------------


def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    place = tmp_path / "keys.json"
    place.write_bytes(Issuer().jwks())
    place.chmod(0o644)
    file = KeyFile(place)
    assert [key.kid for key in file.keys()] == ["k1"]
    place.write_bytes(Issuer(keys={"later": ("ES256", private_key("ES256", 2))}).jwks())
    assert [key.kid for key in file.keys()] == ["later"]


@posix
def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "keys.json"
    place.write_bytes(Issuer().jwks())
    for mode in (0o666, 0o664, 0o646):
        place.chmod(mode)
        with pytest.raises(StorageError, match="may be written by others"):
            KeyFile(place).keys()


def test_a_file_that_cannot_be_used_is_told_each_time(tmp_path: Path) -> None:
    place = tmp_path / "keys.json"
    file = KeyFile(place)
    for content in (None, b"nonsense", b" " * (OAUTH_KEYS_BYTES_MAX + 1)):
        if content is not None:
            place.write_bytes(content)
            place.chmod(0o600)
        for _ in range(2):
            with pytest.raises(StorageError) as refused:
                file.keys()
            assert str(place) in refused.value.message


# --- fetched ----------------------------------------------------------------------


class Web:
    """What the issuer publishes, how often it was asked, and a clock."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.asked: list[str] = []
        self.pages: dict[str, bytes | Exception] = {f"{ISSUER}/keys": Issuer().jwks()}

    def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        page = self.pages.get(url, OSError("404"))
        if isinstance(page, Exception):
            raise page
        return page

    def keys(self, url: str = f"{ISSUER}/keys") -> FetchedKeys:
        return FetchedKeys(ISSUER, url, self.fetch, lambda: self.now)


def known(keys: FetchedKeys) -> list[str]:
    return [key.kid for key in keys.keys()]


async def test_keys_are_fetched_when_one_is_not_known_and_not_again_for_a_while() -> None:
    web = Web()
    keys = web.keys()
    assert known(keys) == []
    await keys.update("k1")
    assert known(keys) == ["k1"]
    for kid in ("k1", "made up", "", "made up too"):
        await keys.update(kid)
    assert len(web.asked) == 1
    web.pages[f"{ISSUER}/keys"] = Issuer(keys={"k2": ("ES256", private_key("ES256", 2))}).jwks()
    web.now += OAUTH_FETCH_PAUSE_SECONDS
    await keys.update("k1")
    assert len(web.asked) == 1
    await keys.update("k2")
    assert known(keys) == ["k2"]


async def test_a_flood_of_made_up_keys_makes_one_fetch_in_each_pause() -> None:
    web = Web()
    keys = web.keys()
    for second in range(300):
        web.now = 1_000.0 + second
        await keys.update(f"made up {second}")
    assert len(web.asked) == 300 / OAUTH_FETCH_PAUSE_SECONDS


async def test_keys_that_are_old_are_fetched_again_and_count_for_an_hour_without_an_answer() -> None:
    web = Web()
    keys = web.keys()
    await keys.update("k1")
    web.now += OAUTH_KEYS_FRESH_SECONDS
    await keys.update("k1")
    assert len(web.asked) == 2
    for failure in (OSError("gone"), HTTPException("half"), ValueError("more"), b"nonsense", TimeoutError()):
        web.pages[f"{ISSUER}/keys"] = failure
        web.now += OAUTH_KEYS_FRESH_SECONDS
        await keys.update("k1")
        assert known(keys) == ["k1"], failure
    web.now += OAUTH_KEYS_SECONDS_MAX - 5 * OAUTH_KEYS_FRESH_SECONDS
    assert known(keys) == []


async def test_those_who_come_at_the_same_time_wait_for_one_fetch() -> None:
    web = Web()
    keys = web.keys()
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(keys.update, "k1")
    assert len(web.asked) == 1
    assert known(keys) == ["k1"]


METADATA = (
    "https://issuer.example/.well-known/oauth-authorization-server/realm",
    f"{ISSUER}/.well-known/openid-configuration",
)


@pytest.mark.parametrize("place", METADATA)
async def test_without_an_address_the_issuers_metadata_says_where_the_keys_are(place: str) -> None:
    web = Web()
    web.pages[METADATA[0]] = b"<html>"
    web.pages[place] = json.dumps({"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"}).encode()
    keys = web.keys("")
    await keys.update("k1")
    assert known(keys) == ["k1"]


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://issuer.example", "jwks_uri": f"{ISSUER}/keys"},
        {"jwks_uri": f"{ISSUER}/keys"},
        {"issuer": ISSUER},
        {"issuer": ISSUER, "jwks_uri": "https://evil.example/keys"},
        {"issuer": ISSUER, "jwks_uri": "https://issuer.example:444/keys"},
        {"issuer": ISSUER, "jwks_uri": "http://issuer.example/keys"},
        {"issuer": ISSUER, "jwks_uri": "http://127.0.0.1/keys"},
        {"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"},
        [],
    ],
)
async def test_metadata_of_another_issuer_or_of_other_places_leads_nowhere(document: Any) -> None:
    web = Web()
    for place in METADATA:
        web.pages[place] = json.dumps(document).encode()
    keys = web.keys("")
    await keys.update("k1")
    assert known(keys) == []
    assert set(web.asked) <= set(METADATA)


@pytest.mark.parametrize(
    "url", ["https://other.example/keys", "http://issuer.example/keys", "https://issuer.example:8443/keys"]
)
def test_keys_are_named_at_the_issuer_alone(url: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        FetchedKeys(ISSUER, url)
    assert refused.value.hint


# --- the fetch itself --------------------------------------------------------------


@pytest.fixture
def serve() -> Iterator[Callable[[bytes, int, dict[str, str]], str]]:
    """Serves one answer on this machine and says where."""
    running: list[ThreadingHTTPServer] = []

    def serving(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                for name, text in (headers or {}).items():
                    self.send_header(name, text)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        running.append(made)
        threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{made.server_address[1]}"

    yield serving
    for one in running:
        one.shutdown()
        one.server_close()


Serve = Callable[..., str]


async def test_keys_are_fetched_over_http_on_this_machine(serve: Serve) -> None:
    url = serve(Issuer().jwks())
    keys = FetchedKeys(url, f"{url}/keys")
    await keys.update("k1")
    assert known(keys) == ["k1"]


def test_what_is_fetched_is_bounded_and_no_redirect_is_followed(serve: Serve) -> None:
    assert fetched(serve(b"x" * OAUTH_KEYS_BYTES_MAX)) == b"x" * OAUTH_KEYS_BYTES_MAX
    with pytest.raises(ValueError, match="more than"):
        fetched(serve(b"x" * (OAUTH_KEYS_BYTES_MAX + 1)))
    target = serve(Issuer().jwks())
    for status in (301, 302, 303, 307, 308, 404, 500):
        with pytest.raises(OSError, match=str(status)):
            fetched(serve(b"", status, {"location": target}))


def test_an_issuer_that_sends_too_slowly_is_given_up(serve: Serve) -> None:
    times = iter([0.0, *[1_000.0] * 10])
    with pytest.raises(TimeoutError):
        fetched(serve(b"x" * 10), lambda: next(times))


# --- the command line ---------------------------------------------------------------


def test_the_command_refuses_half_of_a_configuration_before_it_makes_a_store(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    place = tmp_path / "keys.json"
    place.write_bytes(b'{"keys": []}')
    place.chmod(0o600)
    issuer, audience = ("--oauth-issuer", ISSUER), ("--oauth-audience", "https://asg.example/mcp")
    wrong: list[tuple[tuple[str, ...], str]] = [
        (issuer, "--oauth-audience"),
        (audience, "--oauth-issuer"),
        (("--oauth-jwks", str(place)), "--oauth-issuer"),
        ((*issuer, *audience, "--oauth-jwks", str(place)), "no public key"),
        ((*issuer, *audience, "--oauth-jwks", str(tmp_path / "none.json")), "cannot be read"),
        ((*issuer, *audience, "--oauth-jwks", "https://evil.example/keys"), "not at the issuer"),
        (("--oauth-issuer", "http://issuer.example", *audience), "no URL"),
    ]
    for options, told in wrong:
        done = run("serve", "--http", "--port", "0", "--db", str(folder / "s.db"), *options)
        assert done.code in (2, 3), options
        assert told in done.err, options
    assert not folder.exists()
