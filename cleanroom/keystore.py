"""What opens a node's home: a passphrase (scrypt), a key file (mode 0600), or either by environment for services.

    CLEANROOM_KEY_FILE     path of a key file made by `Keystore.make_key_file`
    CLEANROOM_PASSPHRASE   the passphrase itself
Setting both is refused. A keystore opens a random root key that a small header file keeps wrapped, so that the
passphrase can change without touching what the root wraps. No secret may appear in an error, a repr or a log.
"""

import hashlib
import json
import os
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cleanroom import canonical, private_files
from cleanroom.errors import BadData, UsageError

KEY_FILE_VARIABLE = "CLEANROOM_KEY_FILE"
PASSPHRASE_VARIABLE = "CLEANROOM_PASSPHRASE"  # noqa: S105 - the variable's name, no secret
_HEADER_FORMAT = "cleanroom-keystore/1"
_KEY_FILE_FORMAT = "cleanroom-key/1"
_WRAP_LABEL = b"cleanroom/wrap/1"
_WRAP_VERSION = b"\x01"
_SALT_BYTES = 32
_SHORTEST_PASSPHRASE = 8


@dataclass(frozen=True)
class Cost:
    """scrypt's work factors (RFC 7914): n·r·128 bytes of memory; the defaults take 128 MiB and about 0.3 s."""

    n: int = 1 << 17
    r: int = 8
    p: int = 1

    def __post_init__(self) -> None:
        if self.n & (self.n - 1) or not (2 <= self.n <= 1 << 20 and 1 <= self.r <= 8 and 1 <= self.p <= 4):
            raise BadData("The passphrase parameters of the keystore are out of range.", "Restore it from a backup.")


class Wrapping:
    """Wraps secrets under one root key: each under a key and nonce of its own, bound to its name."""

    def __init__(self, root: bytes) -> None:
        self._root = root

    def wrap(self, name: str, secret: bytes) -> bytes:
        """`secret` under AES-256-GCM; opens only under the same `name`. 49 bytes longer than the secret."""
        return self._wrap(name, secret, secrets.token_bytes(_SALT_BYTES))

    def unwrap(self, name: str, wrapped: bytes) -> bytes:
        """The secret. Raises BadData where bytes, name or root key are not those of `wrap`."""
        if not wrapped.startswith(_WRAP_VERSION):
            raise BadData("A wrapped key is of an unknown version.", "Update this program or restore the backup.")
        salt, sealed = wrapped[1 : 1 + _SALT_BYTES], wrapped[1 + _SALT_BYTES :]
        try:
            key, nonce = self._key(name, salt)
            return _open(key, nonce, name.encode(), sealed)
        except (InvalidTag, ValueError) as error:
            raise BadData("A wrapped key does not open: damaged, or of another home.") from error

    def _wrap(self, name: str, secret: bytes, salt: bytes) -> bytes:
        key, nonce = self._key(name, salt)
        return _WRAP_VERSION + salt + AESGCM(key).encrypt(nonce, secret, name.encode())

    def _key(self, name: str, salt: bytes) -> tuple[bytes, bytes]:
        # A nonce of its own a key of its own: no pair can occur twice, even after a snapshot is restored.
        both = _hkdf(self._root, salt, _WRAP_LABEL + b"/" + name.encode(), 44)
        return both[:32], both[32:]


@dataclass(frozen=True)
class Keystore:
    """How a home is opened; holds the passphrase or the key file's key, never shown."""

    kind: Literal["passphrase", "key-file"]
    _secret: bytes = field(repr=False)
    _cost: Cost = Cost()

    @classmethod
    def from_passphrase(cls, passphrase: str) -> "Keystore":
        """By passphrase, at scrypt n=2^17, r=8, p=1. Raises UsageError under 8 characters."""
        return cls._from_passphrase(passphrase, Cost())

    @classmethod
    def _from_passphrase(cls, passphrase: str, cost: Cost) -> "Keystore":
        if len(passphrase) < _SHORTEST_PASSPHRASE:
            raise UsageError("A passphrase has at least {least} characters.", least=_SHORTEST_PASSPHRASE)
        return cls("passphrase", unicodedata.normalize("NFC", passphrase).encode(), cost)

    @classmethod
    def from_key_file(cls, path: Path) -> "Keystore":
        """By key file. Raises Refused where others may read it, BadData where it is missing or no key file."""
        form, _, text = private_files.read_secret(path).decode("ascii", "replace").partition("\n")
        if form != _KEY_FILE_FORMAT:
            raise BadData("{name} is not a key file of a known version.", name=path.name)
        try:
            key = bytes.fromhex(text)
        except ValueError:
            key = b""
        if len(key) != 32:
            raise BadData("The key file {name} is damaged.", "Restore it from a backup.", name=path.name)
        return cls("key-file", key)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Keystore":
        """By CLEANROOM_KEY_FILE or CLEANROOM_PASSPHRASE. Raises UsageError where none or both are set."""
        environment = os.environ if environment is None else environment
        key_file, passphrase = environment.get(KEY_FILE_VARIABLE, ""), environment.get(PASSPHRASE_VARIABLE, "")
        if bool(key_file) == bool(passphrase):
            raise UsageError(
                "Nothing says how to open the home, or two things do.",
                "Set either {key_file} or {passphrase}.",
                key_file=KEY_FILE_VARIABLE,
                passphrase=PASSPHRASE_VARIABLE,
            )
        return cls.from_key_file(Path(key_file)) if key_file else cls.from_passphrase(passphrase)

    @staticmethod
    def make_key_file(path: Path) -> None:
        """A new random key in a new file of mode 0600. Raises UsageError where it exists or cannot be made."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        try:
            with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
                file.write(f"{_KEY_FILE_FORMAT}\n{secrets.token_hex(32)}\n".encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UsageError(
                "The key file {name} cannot be made: {reason}.", name=path.name, reason=error.strerror
            ) from error

    def create(self) -> tuple[bytes, Wrapping]:
        """(header to keep beside what is wrapped, the wrapping of a new random root key)."""
        return self._create(secrets.token_bytes(32), secrets.token_bytes(_SALT_BYTES))

    def _create(self, root: bytes, salt: bytes) -> tuple[bytes, Wrapping]:
        outer = Wrapping(self._outer(salt, self._cost)).wrap("keystore/root", root)
        cost: canonical.Json = {"n": self._cost.n, "r": self._cost.r, "p": self._cost.p}
        header = {"format": _HEADER_FORMAT, "kind": self.kind, "root": outer.hex(), "salt": salt.hex(), "scrypt": cost}
        return canonical.encode(header), Wrapping(root)

    def open(self, header: bytes) -> Wrapping:
        """The wrapping whose header this is.

        Raises BadData for a wrong passphrase or key file and for a damaged or unknown header, UsageError where the
        header asks for the other kind.
        """
        kind, salt, cost, wrapped = _parse(header)
        if kind != self.kind:
            raise UsageError(
                "This home opens with another kind of key: {kind}.",
                "Set {variable}.",
                kind=kind,
                variable=PASSPHRASE_VARIABLE if kind == "passphrase" else KEY_FILE_VARIABLE,
            )
        outer = Wrapping(self._outer(salt, cost))
        try:
            return Wrapping(outer.unwrap("keystore/root", wrapped))
        except BadData as error:
            if kind == "passphrase":
                raise BadData("The passphrase does not open this home.", "Check for typing errors.") from error
            raise BadData("The key file does not open this home.", "Each home has its own key file.") from error

    def moved(self, header: bytes, to: "Keystore") -> bytes:
        """The header by which `to` opens what this keystore opens by `header`: the root key stays, its wrapping is new.

        Raises as `open`.
        """
        return to._create(self.open(header)._root, secrets.token_bytes(_SALT_BYTES))[0]

    def _outer(self, salt: bytes, cost: Cost) -> bytes:
        return self._secret if self.kind == "key-file" else _scrypt(self._secret, salt, cost)


def _parse(header: bytes) -> tuple[str, bytes, Cost, bytes]:
    damaged = BadData("The keystore's header is damaged.", "Restore it from a backup.")
    try:
        content = json.loads(header)
    except ValueError as error:
        raise damaged from error
    if not isinstance(content, dict) or content.get("format") != _HEADER_FORMAT:
        raise BadData("The keystore's header is of an unknown version.", "Update this program or restore the backup.")
    try:
        cost = Cost(**{name: int(content["scrypt"][name]) for name in ("n", "r", "p")})
        return str(content["kind"]), bytes.fromhex(content["salt"]), cost, bytes.fromhex(content["root"])
    except (KeyError, TypeError, ValueError) as error:
        raise damaged from error


def _scrypt(passphrase: bytes, salt: bytes, cost: Cost, length: int = 32) -> bytes:
    """RFC 7914."""
    room = 128 * cost.r * (cost.n + cost.p + 2)
    return hashlib.scrypt(passphrase, salt=salt, n=cost.n, r=cost.r, p=cost.p, maxmem=room, dklen=length)


def _hkdf(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256, RFC 5869."""
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)


def _open(key: bytes, nonce: bytes, name: bytes, sealed: bytes) -> bytes:
    """AES-GCM, NIST SP 800-38D; raises InvalidTag."""
    return AESGCM(key).decrypt(nonce, sealed, name)
