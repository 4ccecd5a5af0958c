"""A party's keys: Ed25519 to sign, X25519 to agree on a secret, and slots for further secrets; all wrapped at rest.

A secret leaves this module only against a `SecretAccess`, which grep finds. Verification raises; it never returns a
bool.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from cleanroom import private_files
from cleanroom.errors import BadData, UsageError
from cleanroom.files import write_bytes
from cleanroom.keystore import Wrapping

_PUBLIC_FORMAT = "cleanroom-public/1"
_FINGERPRINT_LABEL = b"cleanroom/fingerprint/1"
_SLOT = re.compile(r"[a-z][a-z0-9-]{0,39}")
_SECRET_LIMIT = 1 << 16
# Ed25519 public keys of small order, sign bit cleared: under them one signature fits every message, so that a party
# could deny what it signed. Canonical and non-canonical encodings, as libsodium lists them.
_SMALL_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)


@dataclass(frozen=True)
class SecretAccess:
    """Leave to take a secret out of its keeper. Say why: every use stands in the code as `SecretAccess("…")`."""

    reason: str


@dataclass(frozen=True)
class PublicKeys:
    """What a party is known by: Ed25519 and X25519 public keys, 32 bytes each. Raises BadData for unusable ones."""

    signing: bytes
    exchange: bytes

    def __post_init__(self) -> None:
        if len(self.signing) != 32 or len(self.exchange) != 32:
            raise BadData("A public key does not have 32 bytes.")
        if self.signing[:31] + bytes([self.signing[31] & 0x7F]) in _SMALL_ORDER:
            raise BadData("A public key is of small order: signatures under it would prove nothing.")

    @property
    def fingerprint(self) -> str:
        """SHA-256 over both keys, 64 hex digits in groups of four: what people compare."""
        text = hashlib.sha256(_framed(_FINGERPRINT_LABEL, self.signing + self.exchange)).hexdigest()
        return " ".join(text[at : at + 4] for at in range(0, 64, 4))

    @property
    def short(self) -> str:
        """The fingerprint's first 16 digits: to tell parties apart in a list, not to check a key by."""
        return self.fingerprint[:19].replace(" ", "-")

    def text(self) -> str:
        """One line, to be handed to a peer."""
        return f"{_PUBLIC_FORMAT} {self.signing.hex()} {self.exchange.hex()}"

    @classmethod
    def parse(cls, text: str) -> "PublicKeys":
        """The reverse of `text`. Raises BadData."""
        form, _, rest = text.strip().partition(" ")
        if form != _PUBLIC_FORMAT:
            raise BadData("The public keys are of an unknown version.", "Ask the peer for them again.")
        try:
            signing, exchange = (bytes.fromhex(part) for part in rest.split(" "))
        except ValueError as error:
            raise BadData("The public keys are damaged.", "Ask the peer for them again.") from error
        return cls(signing, exchange)


class PartyKeys:
    """One party's secret keys in a folder, each wrapped in a file of its own."""

    def __init__(self, folder: Path, wrapping: Wrapping) -> None:
        """The keys that are in `folder`. Raises BadData where they are missing or do not open."""
        self._folder, self._wrapping = folder, wrapping
        self._signing = Ed25519PrivateKey.from_private_bytes(self._load("signing"))

    @classmethod
    def create(cls, folder: Path, wrapping: Wrapping) -> "PartyKeys":
        """New random keys in `folder`, which exists."""
        for name, make in _OWN.items():
            _store(folder, wrapping, name, make())
        return cls(folder, wrapping)

    @cached_property
    def public(self) -> PublicKeys:
        """What others may know."""
        exchange = X25519PrivateKey.from_private_bytes(self._load("exchange"))
        return PublicKeys(self._signing.public_key().public_bytes_raw(), exchange.public_key().public_bytes_raw())

    @property
    def fingerprint(self) -> str:
        """The fingerprint of `public`."""
        return self.public.fingerprint

    def sign(self, label: str, message: bytes) -> bytes:
        """64 bytes, Ed25519 (RFC 8032) over the label's length (2 bytes, big-endian), the label and the message."""
        return self._signing.sign(_framed(label.encode("ascii"), message))

    def exchange_secret(self, access: SecretAccess) -> bytes:
        """The X25519 private key, 32 bytes."""
        _check(access)
        return self._load("exchange")

    def secret(self, name: str, make: Callable[[], bytes], access: SecretAccess) -> bytes:
        """The secret in the slot `name` (a-z, 0-9, '-'); where it is empty, `make()` fills it once and for all."""
        _check(access)
        if not _SLOT.fullmatch(name) or name in _OWN:
            raise UsageError("{name} cannot name a secret.", name=name)
        path = _path(self._folder, name)
        if not path.exists():
            with private_files.locked(self._folder / "lock"):
                if not path.exists():  # another process may have been first
                    _store(self._folder, self._wrapping, name, make())
        return self._load(name)

    def _load(self, name: str) -> bytes:
        return self._wrapping.unwrap(f"keys/{name}", private_files.read(_path(self._folder, name), _SECRET_LIMIT))


def verify(signing_public: bytes, label: str, message: bytes, signature: bytes) -> None:
    """Raises BadData unless `signature` is the key's over this label and message."""
    _verify(signing_public, _framed(label.encode("ascii"), message), signature)


def _verify(signing_public: bytes, framed: bytes, signature: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(signing_public).verify(signature, framed)
    except (InvalidSignature, ValueError) as error:
        raise BadData("A signature does not verify.", "The content was changed, or another party signed it.") from error


def _framed(label: bytes, message: bytes) -> bytes:
    return len(label).to_bytes(2, "big") + label + message


def _check(access: SecretAccess) -> None:
    if not isinstance(access, SecretAccess):
        raise UsageError("A secret leaves its keeper only against a SecretAccess.")


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.secret"


def _store(folder: Path, wrapping: Wrapping, name: str, secret: bytes) -> None:
    write_bytes(_path(folder, name), wrapping.wrap(f"keys/{name}", secret))


def _new_signing() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes_raw()


def _new_exchange() -> bytes:
    return X25519PrivateKey.generate().private_bytes_raw()


_OWN: dict[str, Callable[[], bytes]] = {"signing": _new_signing, "exchange": _new_exchange}
