"""What lets executors speak for a party: a key of one run alone, which the party's own key has signed.

The party's Ed25519 key stays with its driver. A delegation says what the other key is good for: one contract, one job,
one role, one number of buckets, until a time. Peers check all of it against the party's key that the contract names;
what is not in order is refused by its name.
"""

import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cleanroom import canonical
from protocols import hello
from protocols.errors import BadMessage, ProtocolError, check_agreed
from protocols.hello import Signer, signed_bytes

FORMAT = "cleanroom-delegation/1"
LABEL = "cleanroom/delegation/1"
MOST_BYTES = 4096
LONGEST = 7 * 86400
"""Seconds that a delegation may be in force from now on."""
_CONTEXT_LABEL = "cleanroom/pairs-context/1"


@dataclass(frozen=True)
class Terms:
    """What a delegation is for. contract: what sessions bind to, 32 bytes; job: of both parties, never used twice."""

    contract: bytes
    job: str
    buckets: int

    def context(self, purpose: str) -> bytes:
        """What a session of the job's binds to; purpose: which kind of session."""
        return bytes.fromhex(
            canonical.digest(
                _CONTEXT_LABEL,
                {"contract": self.contract.hex(), "job": self.job, "buckets": self.buckets, "purpose": purpose},
            )
        )


@dataclass(frozen=True)
class KeySigner:
    """An Ed25519 private key of 32 bytes, as protocols want it."""

    secret: bytes

    @property
    def public(self) -> bytes:
        """32 bytes."""
        return Ed25519PrivateKey.from_private_bytes(self.secret).public_key().public_bytes_raw()

    def sign(self, label: str, message: bytes) -> bytes:
        """64 bytes over `signed_bytes(label, message)`."""
        return Ed25519PrivateKey.from_private_bytes(self.secret).sign(signed_bytes(label, message))

    def __repr__(self) -> str:
        return "KeySigner(…)"


def delegate(signer: Signer, role: str, terms: Terms, key: bytes, seconds: int) -> bytes:
    """The signed delegation to `key`, an Ed25519 public key, from now on for so many seconds."""
    said: canonical.Json = {
        "format": FORMAT,
        "contract": terms.contract.hex(),
        "job": terms.job,
        "role": role,
        "buckets": terms.buckets,
        "expires": int(time.time()) + seconds,
        "key": key.hex(),
    }
    signature = signer.sign(LABEL, canonical.encode(said))
    return canonical.encode({"said": said, "signature": signature.hex()})


def check(content: bytes, signing: bytes, role: str, terms: Terms) -> bytes:
    """The key, 32 bytes, that `content` delegates to for this role and these terms.

    signing: the party's Ed25519 public key. Raises BadMessage for a malformed or forged one, ProtocolError for an
    unknown version, one of another contract, job, role or number of buckets, and one whose time is over.
    """
    said, signature = _read(content)
    if said.get("format") != FORMAT:  # 1. of this version
        raise ProtocolError("The peer's delegation is of an unknown version.", "Bring both sides to the same release.")
    try:  # 2. by the party
        hello.verify(signing, LABEL, canonical.encode(said), signature)
    except BadMessage as error:
        raise BadMessage("The peer's delegation is not signed by the key that the contract names.") from error
    if said["contract"] != terms.contract.hex():  # 3. for this work
        raise ProtocolError("The peer's delegation is of another contract.", "Sign the same version on both sides.")
    check_agreed({"job": terms.job, "role": role, "buckets": terms.buckets}, said)
    if not time.time() <= said["expires"] <= time.time() + LONGEST:  # 4. now
        raise ProtocolError(
            "The peer's delegation is not in force.", "Run again, and compare the clocks of both sides."
        )
    return bytes.fromhex(said["key"])


def job_secret(secret: bytes, terms: Terms) -> bytes:
    """32 bytes of one job from 32 that the two owners share: what their buckets and canaries are drawn from."""
    return hashlib.sha256(terms.context("secret") + secret).digest()


def _read(content: bytes) -> tuple[dict[str, Any], bytes]:
    try:
        if len(content) > MOST_BYTES:
            raise ValueError
        value = json.loads(content)
        said, signature = dict(value["said"]), bytes.fromhex(value["signature"])
        known = said.get("format") != FORMAT or _well_formed(said)
        if canonical.encode(value) != content or not known:
            raise ValueError
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BadMessage("The peer's delegation is malformed.") from error
    return said, signature


def _well_formed(said: dict[str, Any]) -> bool:
    kinds = {"format": str, "contract": str, "job": str, "role": str, "buckets": int, "expires": int, "key": str}
    fits = said.keys() == kinds.keys() and all(type(said[name]) is kind for name, kind in kinds.items())
    return fits and len(bytes.fromhex(said["key"])) == 32
