"""Tokens of an authorization server: which count, for how long, and what they allow."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.core.limits import OAUTH_LEEWAY_SECONDS, OAUTH_TOKEN_CHARS_MAX, OAUTH_TOKENS_KEPT_MAX
from asg_mcp.errors import InvalidArgument
from asg_mcp.services.access import EVERY_VERB, Grant, Verb
from asg_mcp.services.oauth import ResourceServer
from asg_mcp.services.oauthkeys import ALGORITHMS, Keys, parse_keys
from tests.services.issuers import AUDIENCE, ISSUER, Issuer, jwk_of, private_key

SECOND = 1_000_000


class Held:
    """Keys that are at hand."""

    def __init__(self, document: bytes) -> None:
        self.document = document

    def keys(self) -> Keys:
        return parse_keys(self.document)

    async def update(self, kid: str) -> None:
        """There are no others."""


def server(*issuers: Issuer, issuer: str = ISSUER, audience: str = AUDIENCE) -> ResourceServer:
    keys = [key for one in issuers or (Issuer(),) for key in json.loads(one.jwks())["keys"]]
    return ResourceServer(issuer, audience, Held(json.dumps({"keys": keys}).encode()))


def now(offset: float = 0) -> int:
    return int((time.time() + offset) * SECOND)


def test_a_token_lets_in_with_the_rights_of_its_scopes_and_claims() -> None:
    claims: dict[str, Any] = {
        "asg:agents": ["planner-*"],
        "asg:refs": ["team/*"],
        "asg:paths": ["/team", "/a~1b"],
    }
    text = Issuer().token("alice", scope="openid asg:read asg:branch asg:readwrite", **claims)
    grant = server().verify(text, now())
    assert grant is not None
    assert grant == Grant(
        f"{ISSUER}#alice",
        ("planner-*",),
        frozenset({Verb.READ, Verb.BRANCH}),
        ("team/*",),
        (("team",), ("a/b",)),
        credential=grant.credential,
        issuer=ISSUER,
    )
    assert "alice" not in grant.credential


def test_claims_that_are_absent_restrict_nothing_and_scopes_that_are_absent_give_nothing() -> None:
    every = server().verify(Issuer().token(), now())
    assert every is not None
    assert (every.verbs, every.agents, every.refs, every.paths) == (EVERY_VERB, ("*",), ("*",), ((),))
    none = server().verify(Issuer().token(scope=None), now())
    assert none is not None
    assert none.verbs == frozenset()
    assert server().verify(Issuer().token(scope=None, scp=["asg:read"]), now()).verbs == {Verb.READ}  # type: ignore[union-attr]


def test_tokens_of_one_user_and_program_go_by_one_name_and_those_of_others_do_not() -> None:
    at = server()
    names = [
        at.verify(Issuer().token(*who, client_id=client, jti=jti), now()).credential  # type: ignore[union-attr]
        for who, client, jti in ((("a",), "x", "1"), (("a",), "x", "2"), (("a",), "y", "1"), (("b",), "x", "1"))
    ]
    assert names[0] == names[1]
    assert len(set(names)) == 3


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_each_algorithm_that_is_allowed_verifies_its_own_signatures_alone(algorithm: str) -> None:
    right = Issuer(keys={"k": (algorithm, private_key(algorithm))})
    other = Issuer(keys={"k": (algorithm, private_key(algorithm, 1))})
    assert server(right).verify(right.token(kid="k"), now())
    assert server(right).verify(other.token(kid="k"), now()) is None


def part(data: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


def forged(algorithm: str, key: bytes, **header: Any) -> str:
    """A token with the claims of a right one and a signature that whoever knows `key` can make."""
    claims = Issuer().token().split(".")[1]
    signed = f"{part({'alg': algorithm, 'kid': 'k1', **header})}.{claims}"
    mac = hmac.digest(key, signed.encode(), hashlib.sha256)
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode() if key else ''}"


def test_signatures_that_anybody_can_make_never_count() -> None:
    public = Issuer().jwks()
    for algorithm in ("none", "None", "NONE", "", "HS256", "hs256", "HS512", "ES256K", ["ES256"], None, 7):
        for key in (b"", b"secret", public, json.dumps(json.loads(public)["keys"][0]).encode()):
            assert server().verify(forged(algorithm, key), now()) is None, algorithm  # type: ignore[arg-type]


def test_a_key_in_the_token_itself_is_not_looked_at() -> None:
    thief = Issuer(keys={"k1": ("ES256", private_key("ES256", 7))})
    own = jwk_of(private_key("ES256", 7), kid="k1")
    for header in ({"jwk": own}, {"jku": "https://evil.example/keys"}, {"x5u": "https://evil.example/c"}):
        assert server().verify(thief.token(header=header), now()) is None
    assert server().verify(Issuer().token(header={"crit": ["exp"]}), now()) is None


WRONG: dict[str, dict[str, Any]] = {
    "of another issuer": {"iss": "https://evil.example"},
    "of an issuer whose name begins so": {"iss": ISSUER + "/"},
    "without issuer": {"iss": None},
    "for another server": {"aud": "https://other.example/mcp"},
    "for a server whose name begins so": {"aud": AUDIENCE + "/x"},
    "for none of several": {"aud": ["https://a.example", "https://b.example"]},
    "for nobody": {"aud": None},
    "for an object": {"aud": {AUDIENCE: 1}},
    "without subject": {"sub": None},
    "with an empty subject": {"sub": ""},
    "with a number as subject": {"sub": 7},
    "with a subject that cannot be recorded": {"sub": "a\nb"},
    "with a subject that is too long": {"sub": "a" * 300},
    "without end": {"exp": None},
    "that ends at no time": {"exp": "2999-01-01"},
    "that ends at true": {"exp": True},
    "that ends beyond all times": {"exp": 10**300},
    "that has expired": {"exp": int(time.time()) - OAUTH_LEEWAY_SECONDS - 5},
    "that does not hold yet": {"nbf": int(time.time()) + 86_400},
    "from the future": {"iat": int(time.time()) + 86_400},
    "bound to a key": {"cnf": {"jkt": "x"}},
    "with a scope that is a number": {"scope": 7},
    "with agents that are a text": {"asg:agents": "*"},
    "with refs that hold a number": {"asg:refs": [7]},
    "with refs that are null": {"asg:refs": {}},
    "with an empty ref": {"asg:refs": [""]},
    "with a path that is none": {"asg:paths": ["team"]},
    "with too many paths": {"asg:paths": [f"/{number}" for number in range(101)]},
}


@pytest.mark.parametrize("claims", WRONG.values(), ids=WRONG)
def test_a_token_is_refused_where_it_is(claims: dict[str, Any]) -> None:
    assert server().verify(Issuer().token(**claims), now()) is None


def test_a_list_of_audiences_counts_when_it_names_this_server() -> None:
    assert server().verify(Issuer().token(aud=["https://a.example", AUDIENCE]), now())


def test_an_empty_list_allows_nothing() -> None:
    claims: dict[str, Any] = {"asg:refs": [], "asg:paths": [], "asg:agents": []}
    grant = server().verify(Issuer().token(**claims), now())
    assert grant is not None
    assert not grant.reads("main")
    assert not grant.holds(())
    assert not grant.claims("bob")


def test_a_token_ends_at_its_time_though_its_signature_is_remembered() -> None:
    at, text = server(), Issuer().token()
    for offset, counts in (
        (0, True),
        (3_600 + OAUTH_LEEWAY_SECONDS - 5, True),
        (3_600 + OAUTH_LEEWAY_SECONDS + 5, False),
    ):
        assert (at.verify(text, now(offset)) is not None) is counts
    assert at.verify(text, now(-OAUTH_LEEWAY_SECONDS - 60)) is None


def test_a_token_ends_with_the_key_that_signed_it() -> None:
    issuer, keys = Issuer(), Held(Issuer().jwks())
    at, text = ResourceServer(ISSUER, AUDIENCE, keys), issuer.token()
    assert at.verify(text, now())
    keys.document = Issuer(keys={"k1": ("ES256", private_key("ES256", 3))}).jwks()
    assert at.verify(text, now()) is None
    keys.document = issuer.jwks()
    assert at.verify(text, now())


def test_a_token_without_a_key_id_counts_only_where_one_key_can_have_signed_it() -> None:
    text = Issuer().token(header={"kid": None})
    assert "kid" not in jwt.get_unverified_header(text)
    assert server().verify(text, now())
    two = Issuer(keys={"k1": ("ES256", private_key("ES256")), "k2": ("ES256", private_key("ES256", 2))})
    assert server(two).verify(text, now()) is None
    assert server(two).verify(two.token(kid="k2"), now())
    assert server().verify(Issuer().token(header={"kid": "k3"}), now()) is None
    other = Issuer(keys={"k1": ("ES256", private_key("ES256")), "k2": ("RS256", private_key("RS256"))})
    assert server(other).verify(text, now())


def test_what_is_remembered_of_tokens_is_bounded_and_holds_none_of_their_texts() -> None:
    at = server()
    texts = [Issuer().token(jti=str(number)) for number in range(3)]
    for text in texts:
        assert at.verify(text, now())
    assert not any(text in repr(vars(at)) for text in texts)
    for number in range(OAUTH_TOKENS_KEPT_MAX - len(texts)):
        at._verified[number.to_bytes(4)] = next(iter(at._verified.values()))
    assert at.verify(Issuer().token(jti="new"), now())
    assert len(at._verified) == OAUTH_TOKENS_KEPT_MAX
    assert at.verify(texts[0], now())


def test_why_a_token_is_refused_is_logged_without_the_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    text = Issuer().token("alice", aud="https://other.example", nonce="n-1234567890")
    assert server().verify(text, now()) is None
    assert "another server" in caplog.text
    assert not any(piece in caplog.text for piece in (*text.split("."), "alice", "n-1234567890", "other.example"))


RIGHT = Issuer().token()


@given(place=st.integers(0, len(RIGHT) - 1), char=st.sampled_from("Aa0_-.=+/ \x00é"))
def test_a_token_that_is_changed_in_one_place_never_counts(place: int, char: str) -> None:
    changed = RIGHT[:place] + char + RIGHT[place + 1 :]
    if changed != RIGHT:
        assert server().verify(changed, now()) is None


@given(text=st.one_of(st.text(max_size=60), st.lists(st.text("ab.-_=", max_size=9), max_size=5).map(".".join)))
def test_what_is_no_token_is_refused_quietly(text: str) -> None:
    assert server().verify(text, now()) is None


def test_hostile_headers_are_refused_quietly() -> None:
    deep = base64.urlsafe_b64encode(b"[" * 5_000).decode().rstrip("=")
    wide = base64.urlsafe_b64encode(b'{"alg":"ES256","x":' + b"[" * 3_000 + b"]" * 3_000 + b"}").decode().rstrip("=")
    tail = ".".join(RIGHT.split(".")[1:])
    for text in (
        f"{deep}.{tail}",
        f"{wide}.{tail}",
        f"{deep}.{deep}.{deep}",
        "." * 5,
        "é.é.é",
        "a" * OAUTH_TOKEN_CHARS_MAX * 2,
        "\ud800.a.b",
    ):
        assert server().verify(text, now()) is None


@pytest.mark.parametrize(
    ("issuer", "audience"),
    [
        ("http://issuer.example", AUDIENCE),
        ("issuer.example", AUDIENCE),
        ("https://", AUDIENCE),
        ("https://user@issuer.example", AUDIENCE),
        ("https://issuer.example/?x=1", AUDIENCE),
        ("https://issuer.example/#x", AUDIENCE),
        ("https://issuer.example:port", AUDIENCE),
        ("ftp://issuer.example", AUDIENCE),
        (ISSUER, "http://asg.example/mcp"),
        (ISSUER, "asg"),
        (ISSUER, ""),
    ],
)
def test_an_issuer_and_an_audience_are_urls_that_are_safe_to_use(issuer: str, audience: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        server(issuer=issuer, audience=audience)
    assert refused.value.hint
