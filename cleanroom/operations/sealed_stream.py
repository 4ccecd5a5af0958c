"""One encrypted file, written and read in chunks: AES-256-GCM by the STREAM construction, a fresh key for each file.

    cleanroom-backup/1 {canonical JSON of how the file's key is wrapped}\\n
    chunks of 1 MiB, each 16 bytes longer when sealed; the last one shorter, or empty

STREAM: Hoang, Reyhanitabar, Rogaway, Vizár, "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance"
(2015). A chunk's nonce is its number (11 bytes, big-endian) and a byte that says whether it is the last, so that chunks
can be neither exchanged nor cut off; the first line is bound to each as associated data. The key is random for each
file, so no key and nonce occur twice. No chunk is handed on that did not verify.

The file's key is wrapped under the root key of a keystore header of its own (scrypt of a passphrase, or a key file: see
`cleanroom.keystore`), or under a secret of X25519 (RFC 7748) between a fresh key and the recipient's, by HKDF-SHA256.
"""

import json
import secrets
from collections.abc import Callable, Iterator
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cleanroom import canonical
from cleanroom.errors import BadData, UsageError
from cleanroom.keys import PartyKeys, PublicKeys, SecretAccess
from cleanroom.keystore import Keystore, Wrapping

FORMAT = b"cleanroom-backup/1"
CHUNK = 1 << 20
_TAG = 16
_KEY_NAME = "backup/key"
_EXCHANGE_LABEL = b"cleanroom/backup-exchange/1"
_LONGEST_HEAD = 1 << 14

Lock = Callable[[], tuple[dict[str, canonical.Json], Wrapping]]
"""How a new file is locked: (what its first line says of that, what wraps its key)."""
Unlock = Callable[[dict[str, canonical.Json]], Wrapping]
"""The wrapping by what a first line says. Raises BadData, UsageError."""


def by_keystore(keystore: Keystore) -> Lock:
    """Under a passphrase or a key file."""

    def lock() -> tuple[dict[str, canonical.Json], Wrapping]:
        header, wrapping = keystore.create()
        return {"keystore": header.decode()}, wrapping

    return lock


def to_recipient(public: PublicKeys) -> Lock:
    """For the holder of a home's exchange key, who alone can open it."""

    def lock() -> tuple[dict[str, canonical.Json], Wrapping]:
        fresh = X25519PrivateKey.generate()
        mine = fresh.public_key().public_bytes_raw()
        shared = fresh.exchange(X25519PublicKey.from_public_bytes(public.exchange))
        return {"to": public.exchange.hex(), "from": mine.hex()}, _agreed(shared, mine, public.exchange)

    return lock


def with_keystore(keystore: Keystore) -> Unlock:
    """The reverse of `by_keystore`."""

    def unlock(head: dict[str, canonical.Json]) -> Wrapping:
        if "keystore" not in head:
            raise UsageError("This backup is for the holder of a key.", "Name the home that holds it: --recipient-home")
        try:
            return keystore.open(str(head["keystore"]).encode())
        except BadData as error:
            raise BadData("The passphrase or key file does not open this backup.") from error

    return unlock


def as_recipient(keys: PartyKeys) -> Unlock:
    """The reverse of `to_recipient`."""

    def unlock(head: dict[str, canonical.Json]) -> Wrapping:
        if head.get("to") != keys.public.exchange.hex():
            raise BadData("This backup is not for the key of this home.")
        try:
            theirs = bytes.fromhex(str(head["from"]))
            own = X25519PrivateKey.from_private_bytes(keys.exchange_secret(SecretAccess("opens a backup made for it")))
            shared = own.exchange(X25519PublicKey.from_public_bytes(theirs))
        except (KeyError, ValueError) as error:
            raise _damaged() from error
        return _agreed(shared, theirs, keys.public.exchange)

    return unlock


class SealingWriter:
    """Takes bytes of any length; call `finish`, or the file is no backup."""

    def __init__(self, file: BinaryIO, lock: Lock) -> None:
        told, wrapping = lock()
        key = secrets.token_bytes(32)
        head = canonical.encode({**told, "key": wrapping.wrap(_KEY_NAME, key).hex()})
        self._bound = FORMAT + b" " + head + b"\n"
        self._file, self._aead, self._number, self._held = file, AESGCM(key), 0, bytearray()
        file.write(self._bound)

    def write(self, content: bytes) -> None:
        """Keep it; whole chunks go to the file."""
        self._held += content
        while len(self._held) > CHUNK:  # what may be the last chunk stays here
            self._seal(bytes(self._held[:CHUNK]), last=False)
            del self._held[:CHUNK]

    def finish(self) -> None:
        """The last chunk."""
        self._seal(bytes(self._held), last=True)
        self._held.clear()

    def _seal(self, content: bytes, *, last: bool) -> None:
        self._file.write(self._aead.encrypt(_nonce(self._number, last=last), content, self._bound))
        self._number += 1


class SealedReader:
    """Gives the bytes back, each chunk verified before."""

    def __init__(self, file: BinaryIO, unlock: Unlock) -> None:
        """Raises BadData for another format, a wrong key, or a damaged first line."""
        self._bound = file.readline(_LONGEST_HEAD)
        form, _, text = self._bound.partition(b" ")
        if form != FORMAT:
            raise BadData("This is no backup of a home, or of an unknown version.", "Update this program.")
        try:
            head = json.loads(text)
            wrapped = bytes.fromhex(head.pop("key"))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _damaged() from error
        self._aead = AESGCM(unlock(head).unwrap(_KEY_NAME, wrapped))
        self._chunks: Iterator[bytes] = self._opened(file)
        self._held = memoryview(b"")

    def read(self, length: int) -> bytes:
        """Exactly so many bytes. Raises BadData where there are fewer."""
        parts, missing = [], length
        while missing:
            if not self._held:
                chunk = next(self._chunks, None)
                if chunk is None:
                    raise _damaged()
                self._held = memoryview(chunk)
            parts.append(self._held[:missing])
            self._held = self._held[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

    def finish(self) -> None:
        """Raises BadData unless all was read."""
        if len(self._held) or next(self._chunks, None) is not None:
            raise _damaged()

    def _opened(self, file: BinaryIO) -> Iterator[bytes]:
        sealed, number = file.read(CHUNK + _TAG), 0
        while True:
            following = file.read(CHUNK + _TAG)
            try:
                content = self._aead.decrypt(_nonce(number, last=not following), sealed, self._bound)
            except (InvalidTag, ValueError) as error:
                raise _damaged() from error
            if content:
                yield content
            if not following:
                return
            sealed, number = following, number + 1


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _agreed(shared: bytes, mine: bytes, theirs: bytes) -> Wrapping:
    return Wrapping(HKDF(SHA256(), 32, salt=mine + theirs, info=_EXCHANGE_LABEL).derive(shared))


def _damaged() -> BadData:
    return BadData("The backup is damaged or incomplete.", "Take another one.")
