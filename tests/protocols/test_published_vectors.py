"""Wycheproof's cases for the key exchange behind a room key, and for the HMAC that HKDF stands on."""

import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocols.errors import BadMessage
from protocols.psi import keyed

VECTORS = Path(__file__).parents[1] / "vectors"
CONTRACT = bytes(range(32))


def cases(name: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    groups = json.loads((VECTORS / name).read_text("utf-8"))["testGroups"]
    return [(group, case) for group in groups for case in group["tests"]]


def test_a_room_key_comes_of_the_published_secret_and_of_no_weak_one() -> None:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    ran = {"key": 0, "refused": 0}
    for _, case in cases("x25519_test.json"):
        secret, public, shared = (bytes.fromhex(case[name]) for name in ("private", "public", "shared"))
        if not any(shared):  # a point of low order: the key would be known to all
            with pytest.raises(BadMessage):
                keyed.room_key(secret, public, CONTRACT)
            ran["refused"] += 1
            continue
        own = X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
        info = keyed._ROOM_LABEL + b"".join(sorted([own, public]))
        assert keyed.room_key(secret, public, CONTRACT) == HKDF(SHA256(), 32, CONTRACT, info).derive(shared)
        ran["key"] += 1
    assert ran["key"] + ran["refused"] == 518 and ran["refused"] > 10


def test_hmac_sha256_as_published() -> None:
    ran = 0
    for group, case in cases("hmac_sha256_test.json"):
        tag = hmac.digest(bytes.fromhex(case["key"]), bytes.fromhex(case["msg"]), "sha256")[: group["tagSize"] // 8]
        assert hmac.compare_digest(tag, bytes.fromhex(case["tag"])) == (case["result"] == "valid"), case["tcId"]
        ran += 1
    assert ran == 174
