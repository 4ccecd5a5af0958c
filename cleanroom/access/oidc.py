"""ID tokens of a configured identity provider: checked here, offline, by the keys in a file; optional.

Only signatures of public keys count (RS256, ES256, EdDSA): "none" and HMAC are refused whatever a token or a key file
says. Whoever no claim maps to a role is nobody here. OpenID Connect Core 1.0, section 3.1.3.7; RFC 8725.
"""

import datetime as dt
import hmac
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cleanroom import private_files
from cleanroom.access.check import AccessRefused, Caller
from cleanroom.access.matrix import ROLES
from cleanroom.errors import BadData, Interrupted, UsageError
from cleanroom.files import write_bytes

ALGORITHMS = ("RS256", "ES256", "EdDSA", "Ed25519")
"""The last is the name that RFC 9864 gives to EdDSA over this curve."""
KEY_TYPES = ("RSA", "EC", "OKP")
SKEW_SECONDS = 60
LEAST_RSA_BITS = 2048
_LIMIT = 1 << 20
_LONGEST_TOKEN = 1 << 14
_LONGEST_NAME = 64


@dataclass(frozen=True)
class Oidc:
    """Whose tokens count. issuer: its https address, as tokens have it; audience: what it calls this node; jwks_file:
    its public keys; roles_claim: where a token names groups; roles: such a group → a role of this node."""

    issuer: str
    audience: str
    jwks_file: Path
    roles_claim: str = "groups"
    roles: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if urlsplit(self.issuer).scheme != "https" or not urlsplit(self.issuer).hostname or not self.audience:
            raise UsageError("An identity provider has an https address and an audience.")
        if not self.roles or not set(self.roles.values()) <= set(ROLES):
            raise UsageError("A user has roles.", "There are: {roles}.", roles=", ".join(ROLES))


def authenticate(oidc: Oidc, token: str, *, nonce: str = "", now: dt.datetime | None = None) -> Caller:
    """Whose token this is, as subject@issuer, with the roles that its claims map to. nonce: what it must hold, if any.

    Raises AccessRefused for a token that is not in force, and says not why; BadData where the keys are damaged.
    """
    moment = int((now or dt.datetime.now(dt.UTC)).timestamp())
    claims = _verified(oidc, token)
    name = f"{claims.get('sub')}@{urlsplit(oidc.issuer).hostname}"
    fits = isinstance(claims.get("sub"), str) and claims["sub"] and name.isprintable() and len(name) <= _LONGEST_NAME
    if not fits or not _in_force(oidc, claims, moment) or not _holds(claims, nonce):
        raise _refused()
    groups = claims.get(oidc.roles_claim)
    named = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
    roles = tuple(dict.fromkeys(oidc.roles[each] for each in named if isinstance(each, str) and each in oidc.roles))
    if not roles:
        raise AccessRefused("Your identity provider gives you no role here.", code="role")
    return Caller("user", name, roles)


def fetch_keys(oidc: Oidc, url: str, timeout: float = 10.0) -> None:
    """The issuer's keys from its https address into `jwks_file`. No redirect is followed. Raises UsageError, BadData
    for what are no keys, Interrupted where nobody answers."""
    place = urlsplit(url)
    if place.scheme != "https" or not place.hostname or place.username is not None:
        raise UsageError("Keys are fetched from an https address.")
    line = http.client.HTTPSConnection(place.hostname, place.port, timeout=timeout)
    try:
        line.request("GET", f"{place.path or '/'}{'?' + place.query if place.query else ''}")
        answer = line.getresponse()
        content = answer.read(_LIMIT + 1)
    except (OSError, http.client.HTTPException) as error:
        raise Interrupted("The keys of the identity provider cannot be fetched.", "Name their file.") from error
    finally:
        line.close()
    if answer.status != http.client.OK:
        raise Interrupted("The keys of the identity provider cannot be fetched.", "Name their file.")
    _keys(content)
    write_bytes(oidc.jwks_file, content)


def _verified(oidc: Oidc, token: str) -> dict[str, Any]:
    """The claims, if one of the issuer's keys signed them."""
    from joserfc import jwt
    from joserfc.errors import JoseError, UnsupportedAlgorithmError
    from joserfc.jws import JWSRegistry

    class Allowed(JWSRegistry):
        """What may sign, and nothing else; the library's own would warn at EdDSA for its old name."""

        def get_alg(self, name: str) -> Any:
            """The algorithm that a token's header names."""
            if name not in ALGORITHMS:
                raise UnsupportedAlgorithmError
            return self.algorithms[name]

    keys = _keys(private_files.read(oidc.jwks_file, _LIMIT))
    if len(token) > _LONGEST_TOKEN:
        raise _refused()
    try:
        claims: dict[str, Any] = jwt.decode(token, keys, registry=Allowed()).claims
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise _refused() from error
    return claims


def _keys(content: bytes) -> Any:
    """The set of keys, all of them public ones of an allowed kind and size."""
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet, RSAKey

    try:
        listed = json.loads(content)["keys"]
        public = [each for each in listed if each["kty"] in KEY_TYPES and each.get("use", "sig") == "sig"]
        if not public or any("d" in each for each in listed):
            raise ValueError
        found = KeySet.import_key_set({"keys": public})
        if any(isinstance(key, RSAKey) and key.public_key.key_size < LEAST_RSA_BITS for key in found.keys):
            raise ValueError
    except (JoseError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadData("The keys of the identity provider are damaged, weak or of another kind.") from error
    return found


def _in_force(oidc: Oidc, claims: Mapping[str, Any], now: int) -> bool:
    """Issuer, audience and times, each of its type: a claim that is missing or odd fails."""
    audience = claims.get("aud")
    named = [audience] if isinstance(audience, str) else audience if isinstance(audience, list) else []
    ours = oidc.audience in named and (len(named) == 1 or claims.get("azp") == oidc.audience)
    times = {each: claims.get(each, now) for each in ("exp", "iat", "nbf")}
    if "exp" not in claims or any(type(value) is not int for value in times.values()):
        return False
    begun = max(times["iat"], times["nbf"]) <= now + SKEW_SECONDS
    return claims.get("iss") == oidc.issuer and ours and begun and now < times["exp"] + SKEW_SECONDS


def _holds(claims: Mapping[str, Any], nonce: str) -> bool:
    told = claims.get("nonce")
    return not nonce or (isinstance(told, str) and hmac.compare_digest(told.encode(), nonce.encode()))


def _refused() -> AccessRefused:
    return AccessRefused("This token is not in force.", "Log in again, or ask for another.", code="token")
