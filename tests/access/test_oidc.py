"""Tokens of an identity provider: only its own keys, for this node, now; whatever else a token says."""

import base64
import datetime as dt
import hashlib
import hmac
import http.client
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from cleanroom.access import oidc
from cleanroom.access.check import AccessRefused, Caller
from cleanroom.access.oidc import Oidc, authenticate
from cleanroom.errors import BadData, Interrupted, UsageError

NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
AT = int(NOW.timestamp())
CLAIMS: dict[str, Any] = {
    "iss": "https://id.example/realm", "aud": "cleanroom", "sub": "u-17", "exp": AT + 300, "iat": AT - 5,
    "nonce": "n-0", "groups": ["staff", "crm-analysts"],
}  # fmt: skip
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8))


def jwk(kid: str) -> dict[str, Any]:
    """Public keys as RFC 7518 and 8037 write them, made without the library that reads them."""
    if kid == "rsa":
        public = RSA.public_key().public_numbers()
        return {"kty": "RSA", "kid": kid, "use": "sig", "n": number(public.n), "e": number(public.e)}
    if kid == "ec":
        point = EC.public_key().public_numbers()
        return {"kty": "EC", "kid": kid, "crv": "P-256", "x": b64(point.x.to_bytes(32)), "y": b64(point.y.to_bytes(32))}
    return {"kty": "OKP", "kid": kid, "crv": "Ed25519", "x": b64(ED.public_key().public_bytes_raw())}


def sign(alg: str, message: bytes) -> bytes:
    if alg == "RS256":
        return RSA.sign(message, padding.PKCS1v15(), hashes.SHA256())
    if alg == "ES256":
        r, s = decode_dss_signature(EC.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)
    return ED.sign(message)


KIDS = {"RS256": "rsa", "ES256": "ec", "EdDSA": "ed"}


def token(claims: Any = None, alg: str = "RS256", header: dict[str, Any] | None = None, **changes: Any) -> str:
    head = header or {"alg": alg, "kid": KIDS.get(alg, "rsa"), "typ": "JWT"}
    body = {**CLAIMS, **changes} if claims is None else claims
    said = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(body).encode())}"
    return f"{said}.{b64(sign(alg, said.encode()))}"


@pytest.fixture
def provider(tmp_path: Path) -> Oidc:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [jwk("rsa"), jwk("ec"), jwk("ed")]}))
    roles = {"crm-analysts": "analyst", "crm-approvers": "approver"}
    return Oidc("https://id.example/realm", "cleanroom", file, "groups", roles)


def code(provider: Oidc, said: str, **more: Any) -> str:
    try:
        authenticate(provider, said, now=NOW, **more)
    except AccessRefused as refused:
        return refused.code
    return ""


@pytest.mark.parametrize("alg", KIDS)
def test_a_token_of_the_provider_gives_the_roles_of_its_groups(provider: Oidc, alg: str) -> None:
    assert authenticate(provider, token(alg=alg), nonce="n-0", now=NOW) == Caller(
        "user", "u-17@id.example", ("analyst",)
    )
    both = token(alg=alg, groups=["crm-approvers", "crm-analysts", 5, None])
    assert authenticate(provider, both, now=NOW).roles == ("approver", "analyst")
    assert authenticate(provider, token(alg=alg, groups="crm-approvers"), now=NOW).roles == ("approver",)
    assert authenticate(provider, token(alg=alg, aud=["cleanroom"]), now=NOW).name == "u-17@id.example"
    assert code(provider, token(alg=alg, aud=["other", "cleanroom"], azp="cleanroom")) == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://id.example"}, {"iss": "https://id.example/realm/"}, {"iss": None}, {"iss": ["https://id.example/realm"]},
        {"aud": "other"}, {"aud": None}, {"aud": []}, {"aud": ["cleanroom", "other"]}, {"aud": {"cleanroom": 1}},
        {"aud": ["cleanroom", "other"], "azp": "other"},
        {"exp": AT - 60}, {"exp": 0}, {"exp": None}, {"exp": "9999999999"}, {"exp": True}, {"exp": 1e12}, {"exp": []},
        {"iat": AT + 61}, {"iat": "now"}, {"nbf": AT + 61}, {"nbf": None},
        {"sub": ""}, {"sub": None}, {"sub": 17}, {"sub": "a\nb"}, {"sub": "x" * 200},
        {"nonce": "n-1"}, {"nonce": None}, {"nonce": 0},
    ],
)  # fmt: skip
@pytest.mark.parametrize("alg", ["EdDSA"])
def test_claims_that_are_missing_odd_or_for_others_are_refused(
    provider: Oidc, alg: str, changes: dict[str, Any]
) -> None:
    assert code(provider, token(alg=alg, **changes), nonce="n-0") == "token"
    missing = {name: each for name, each in CLAIMS.items() if name not in changes}
    if not set(changes) <= {"iat", "nbf"}:
        assert code(provider, token(missing, alg=alg), nonce="n-0") == "token"


def test_clocks_may_be_a_minute_apart(provider: Oidc) -> None:
    assert code(provider, token(exp=AT - 59)) == ""
    assert code(provider, token(iat=AT + 60, nbf=AT + 60)) == ""


@pytest.mark.parametrize(
    "groups", [None, [], "staff", ["staff"], {"crm-analysts": 1}, 5, [["crm-analysts"]], ["owner"]]
)
def test_who_is_in_no_mapped_group_is_nobody_here(provider: Oidc, groups: Any) -> None:
    assert code(provider, token(alg="EdDSA", groups=groups)) == "role"


def test_none_and_hmac_are_refused_whatever_the_keys_say(provider: Oidc) -> None:
    public = json.loads(provider.jwks_file.read_text())["keys"][0]
    body = b64(json.dumps(CLAIMS).encode())
    for alg in ("none", "None", "NONE", "", None, 5):
        for signature in ("", b64(b"x" * 256)):
            said = f"{b64(json.dumps({'alg': alg, 'kid': 'rsa'}).encode())}.{body}.{signature}"
            assert code(provider, said) == "token"
    der = json.dumps(public).encode()
    for secret in (b"", der, base64.urlsafe_b64decode(public["n"] + "==")):  # the public key as an HMAC secret
        said = f"{b64(json.dumps({'alg': 'HS256', 'kid': 'rsa'}).encode())}.{body}"
        assert code(provider, f"{said}.{b64(hmac.new(secret, said.encode(), hashlib.sha256).digest())}") == "token"
    provider.jwks_file.write_text(json.dumps({"keys": [{"kty": "oct", "kid": "rsa", "k": b64(b"k" * 32)}]}))
    said = f"{b64(json.dumps({'alg': 'HS256', 'kid': 'rsa'}).encode())}.{body}"
    forged = f"{said}.{b64(hmac.new(b'k' * 32, said.encode(), hashlib.sha256).digest())}"
    with pytest.raises(BadData):
        authenticate(provider, forged, now=NOW)


def test_a_tokens_own_keys_and_another_key_are_refused(provider: Oidc) -> None:
    mine = ed25519.Ed25519PrivateKey.generate()
    own = {"kty": "OKP", "crv": "Ed25519", "x": b64(mine.public_key().public_bytes_raw())}
    for head in (
        {"alg": "EdDSA", "jwk": own}, {"alg": "EdDSA", "kid": "ed", "jwk": own},
        {"alg": "EdDSA", "kid": "ed", "jku": "https://evil.example/keys"}, {"alg": "EdDSA", "kid": "none"},
        {"alg": "EdDSA", "kid": "../jwks.json"}, {"alg": "RS256", "kid": "ec"}, {"alg": "PS256", "kid": "rsa"},
        {"alg": "RS512", "kid": "rsa"},
    ):  # fmt: skip
        said = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(CLAIMS).encode())}"
        assert code(provider, f"{said}.{b64(mine.sign(said.encode()))}") == "token"


def test_a_changed_token_is_refused(provider: Oidc) -> None:
    good = token(alg="ES256")
    head, body, signature = good.split(".")
    other = b64(json.dumps({**CLAIMS, "groups": ["crm-approvers"]}).encode())
    said = ["", ".", "..", "a.b.c", good + "x", good[:-4], f"{head}.{other}.{signature}", f"{head}.{body}", "\ud800",
            "x" * 100_000, f"{head}.{b64(b'[]')}.{signature}", f"{good}.{good}"]  # fmt: skip
    assert {code(provider, each) for each in said} == {"token"}


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "{}", '{"keys": []}', '{"keys": 5}', '{"keys": [5]}', "[" * 100_000,
        '{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}', '{"keys": [{"kty": "EC", "crv": "P-256"}]}',
    ],
)  # fmt: skip
def test_keys_that_are_damaged_or_weak_are_refused(provider: Oidc, content: str) -> None:
    provider.jwks_file.write_text(content)
    with pytest.raises(BadData):
        authenticate(provider, token(), now=NOW)
    provider.jwks_file.unlink()
    with pytest.raises(BadData):
        authenticate(provider, token(), now=NOW)


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "http://id.example"},
        {"issuer": "id.example"},
        {"audience": ""},
        {"roles": {}},
        {"roles": {"x": "root"}},
    ],
)
def test_a_provider_that_cannot_be_meant_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    settings = {"issuer": "https://id.example", "audience": "c", "jwks_file": tmp_path / "k", "roles": {"x": "analyst"}}
    with pytest.raises(UsageError):
        Oidc(**{**settings, **wrong})  # type: ignore[arg-type]


class _Line:
    """An https line that answers so."""

    status, content = 200, b""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def request(self, *_: object) -> None:
        if self.status == 0:
            raise OSError

    def getresponse(self) -> "_Line":
        return self

    def read(self, most: int) -> bytes:
        return self.content[:most]

    def close(self) -> None:
        pass


def test_keys_are_fetched_over_https_only_and_kept_only_if_they_are_some(
    provider: Oidc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http.client, "HTTPSConnection", _Line)
    before = provider.jwks_file.read_bytes()
    for url in (
        "http://id.example/keys",
        "file:///etc/passwd",
        "ftp://id.example",
        "https://",
        "https://u:p@id.example/",
    ):
        with pytest.raises(UsageError):
            oidc.fetch_keys(provider, url)
    for status, content, error in ((302, before, Interrupted), (500, before, Interrupted), (0, before, Interrupted),
                                   (200, b"<html>", BadData), (200, before + b" " * (1 << 20), BadData)):  # fmt: skip
        monkeypatch.setattr(_Line, "status", status)
        monkeypatch.setattr(_Line, "content", content)
        if len(content) > 1 << 20:
            content = b"{" + content
            monkeypatch.setattr(_Line, "content", content)
        with pytest.raises(error):
            oidc.fetch_keys(provider, "https://id.example/keys?v=1")
        assert provider.jwks_file.read_bytes() == before
    fresh = json.dumps({"keys": [jwk("ed")]}).encode()
    monkeypatch.setattr(_Line, "content", fresh)
    oidc.fetch_keys(provider, "https://id.example/keys")
    assert provider.jwks_file.read_bytes() == fresh
    assert code(provider, token(alg="EdDSA")) == ""
    assert code(provider, token(alg="RS256")) == "token"
