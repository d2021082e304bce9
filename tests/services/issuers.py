"""An authorization server as far as tokens show one: keys, tokens signed with them, the documents it publishes."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://issuer.example/realm"
AUDIENCE = "https://asg.example/mcp"
EVERY_SCOPE = "asg:read asg:write asg:branch asg:merge asg:seal asg:admin"


@cache
def private_key(algorithm: str, number: int = 0) -> Any:
    """A private key for the algorithm, made once; different numbers are different keys."""
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm.startswith("ES"):
        return ec.generate_private_key(
            {"256": ec.SECP256R1(), "384": ec.SECP384R1(), "512": ec.SECP521R1()}[algorithm[2:]]
        )
    return rsa.generate_private_key(65_537, 2_048)


def jwk_of(key: Any, **members: str) -> dict[str, Any]:
    """The public key as a JWK."""
    kinds: dict[type, Any] = {ed25519.Ed25519PrivateKey: OKPAlgorithm, rsa.RSAPrivateKey: RSAAlgorithm}
    kind = next((kind for known, kind in kinds.items() if isinstance(key, known)), ECAlgorithm)
    return {**json.loads(kind.to_jwk(key.public_key())), "use": "sig", **members}


@dataclass
class Issuer:
    """Signs tokens; `keys` maps key ids to (algorithm, private key)."""

    issuer: str = ISSUER
    audience: str = AUDIENCE
    keys: dict[str, tuple[str, PrivateKeyTypes]] = field(
        default_factory=lambda: {"k1": ("ES256", private_key("ES256"))}
    )

    def jwks(self) -> bytes:
        """The document of its public keys."""
        return json.dumps({"keys": [jwk_of(key, kid=kid) for kid, (_, key) in self.keys.items()]}).encode()

    def token(self, subject: str = "alice", *, kid: str = "k1", header: Any = None, **claims: Any) -> str:
        """A token for every scope and for an hour; a claim that is None is left out."""
        algorithm, key = self.keys[kid]
        now = int(time.time())
        given = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": subject,
            "iat": now,
            "exp": now + 3_600,
            "scope": EVERY_SCOPE,
            "client_id": "app",
            **claims,
        }
        body = {name: part for name, part in given.items() if part is not None}
        headers = {"kid": kid, "typ": "at+jwt", **(header or {})}
        return jwt.encode(body, key, algorithm=algorithm, headers={k: v for k, v in headers.items() if v is not None})  # type: ignore[arg-type]
